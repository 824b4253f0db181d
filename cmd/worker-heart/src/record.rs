//! What a beat is in the telemetry file.

use crate::FrameSchema;
use frame::Frame;
use rt::prelude::*;

/// The worker's role.
pub(crate) const ROLE: &str = "worker-heartbeat";

/// Beat `n` of a worker, as it is appended.
pub(crate) fn record(worker_id: &str, schema: FrameSchema, n: u64) -> Vec<u8> {
    let mut record = format!("heartbeat {n}\n").into_bytes();
    if schema == FrameSchema::Cbor {
        let payload = core::mem::take(&mut record);
        let emitted_ms = rt::now().wall_ms;
        Frame { worker_id, role: ROLE, seq: n, emitted_ms, payload: &payload }.encode(&mut record);
    }
    record
}

/// The number of the last beat in the file; 0 where there is none.
pub(crate) fn last(mut records: &[u8], schema: FrameSchema) -> u64 {
    if schema == FrameSchema::Text {
        let text = String::from_utf8_lossy(records);
        return text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("heartbeat ")?.parse().ok())
            .unwrap_or(0);
    }
    let mut last = 0;
    while let Ok((frame, n)) = Frame::decode(records) {
        last = frame.seq;
        records = &records[n..];
    }
    last
}
