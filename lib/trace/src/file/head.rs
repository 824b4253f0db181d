//! The head of a trace: lines of text, then an empty one.

use super::TraceError;
use alloc::format;
use alloc::string::{String, ToString};

const MAGIC: &str = "coh-trace 1";
/// More than any head has.
const HEAD_MAX: usize = 1024;

/// Of which hive, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Fingerprint of the hive's manifest, as `/proc/version` shows it; empty where it was not to be read.
    pub manifest: String,
    /// `role` or `role:subject`.
    pub uname: String,
    /// Length of the ticket that was shown; what it was is not in the file.
    pub ticket_len: usize,
}

impl Head {
    /// The lines that are summed with the body.
    pub(crate) fn summed(&self, len: usize) -> String {
        let Head { manifest, uname, ticket_len } = self;
        format!("{MAGIC}\nmanifest={manifest}\nuname={uname}\nticket_len={ticket_len}\nbytes={len}\n")
    }

    /// The head, the body's length and the sum as it gives them, what is summed of the head, and the body.
    #[allow(clippy::type_complexity, reason = "taken apart at once, in one place")]
    pub(crate) fn parse(file: &[u8]) -> Result<(Head, usize, String, &[u8], &[u8]), TraceError> {
        let near = &file[..file.len().min(HEAD_MAX)];
        let end = near.windows(2).position(|two| two == b"\n\n").ok_or(TraceError("no head of a trace"))?;
        let text = core::str::from_utf8(&file[..end]).map_err(|_| TraceError("no head of a trace"))?;
        let mut lines = text.split('\n');
        if lines.next() != Some(MAGIC) {
            return Err(TraceError("no trace of version 1"));
        }
        let mut next = |key: &str| {
            let value = lines.next().and_then(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.ok_or(TraceError("the head lacks a line"))
        };
        let number =
            |text: &str| text.parse::<usize>().map_err(|_| TraceError("the head has a wrong number"));
        let manifest = next("manifest")?.to_string();
        let uname = next("uname")?.to_string();
        let ticket_len = number(next("ticket_len")?)?;
        let len = number(next("bytes")?)?;
        let sha256 = next("sha256")?.to_string();
        let summed = &file[..end - "sha256=".len() - sha256.len()];
        if lines.next().is_some() || ticket_len > 8192 {
            return Err(TraceError("the head has too much"));
        }
        Ok((Head { manifest, uname, ticket_len }, len, sha256, summed, &file[end + 2..]))
    }
}
