//! Growing a chain: records in their places, and checkpoints that vouch for them.

use crate::hash::Hash;
use crate::key::{AuditKey, Use};
use crate::record::{Entry, Kind, NotARecord};
use crate::verify::Head;
use alloc::format;
use alloc::vec::Vec;
use serde_json::value::RawValue;

impl Head {
    /// Appends `entry` as the chain's next line, with its newline, and moves on; says its seq. On an
    /// error nothing has changed.
    pub fn push(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<u64, NotARecord> {
        let (seq, start) = (self.next, out.len());
        entry.encode(seq, &self.hash, out)?;
        *self = Head { next: seq + 1, hash: Hash::of(&out[start..]) };
        out.push(b'\n');
        Ok(seq)
    }

    /// Appends a checkpoint: `key` vouches for the last line.
    pub fn push_checkpoint(&mut self, key: &AuditKey, ts_ms: u64, out: &mut Vec<u8>) -> u64 {
        let (seq, hash) = (self.next - 1, self.hash);
        let (id, sig) = (key.id(), key.sign(Use::Checkpoint, seq, &hash));
        let cmd = format!(r#"{{"seq":{seq},"sha256":"{hash}","key":"{id}","sig":"{sig}"}}"#);
        #[allow(clippy::expect_used)] // Digits and hex in a literal's braces.
        let cmd = RawValue::from_string(cmd).expect("that is JSON");
        let entry = Entry {
            ts_ms,
            kind: Kind::Checkpoint,
            role: "server".into(),
            subject: "audit".into(),
            ticket: "".into(),
            session: 0,
            path: "/audit/journal".into(),
            cmd: &cmd,
            ack: "OK CHECKPOINT".into(),
        };
        #[allow(clippy::expect_used)] // An object of 300 bytes.
        self.push(&entry, out).expect("a checkpoint is a record")
    }
}
