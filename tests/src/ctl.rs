//! Commands to a hive's control files: which there are, how one is given, and what a test's hive is to have.

use crate::Hive;
use ninep::refusal::Word;

/// A device for tests, whose `ctl` is there when it has a segment.
pub const DEVICE: &str = "/queen/telemetry/dev-1/ctl";

/// Every file of the name space that takes commands, of a hive that has [`DEVICE`].
pub const ALL: [&str; 10] = [
    "/actions/queue",
    "/policy/ctl",
    "/queen/ctl",
    "/queen/export/ctl",
    "/queen/lease/ctl",
    "/queen/lifecycle/ctl",
    "/queen/schedule/ctl",
    DEVICE,
    "/replay/ctl",
    "/trace/ctl",
];

/// A section of the manifest with a resource, `GPU-0`.
pub fn resource(mem_mb: u64, streams: u64) -> String {
    format!("[[lease.resources]]\nid = \"GPU-0\"\nmem_mb = {mem_mb}\nstreams = {streams}\n")
}

/// Gives a command in a session of its own: the acknowledgement, or the word of the refusal.
pub fn give(hive: &Hive, path: &str, line: &str) -> Result<String, Word> {
    let told = hive.command(path, line);
    told.map(|ack| ack.trim_end().to_owned()).map_err(|error| error.word().unwrap_or(Word::Closed))
}

/// A command of `/queen/ctl` in its envelope.
pub fn envelope(id: &str, key: &str, cmd: &str) -> String {
    format!(
        r#"{{"schema":"queen-ctl/v1","id":"{id}","idempotency_key":"{key}","issued_unix_ms":1,"cmd":{cmd}}}"#
    )
}
