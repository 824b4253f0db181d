//! Recorded sessions (trace(5)): what went in and out of a client, and when, in a file that is whole or
//! refused.
//! Guarantees: a file that parses is the one that was written, byte for byte; nothing of it is given out
//! before all of it was checked; a recording is bounded. Knows no protocol.
mod head;
mod mask;

pub use head::Head;
pub use mask::Mask;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};

/// The longest trace that is read.
pub const TRACE_MAX: usize = 1 << 30;
/// The longest record.
const RECORD_MAX: usize = 1 << 20;
/// A record's kind, time and length.
const RECORD_HEAD: usize = 9;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A line of the user.
    Line,
    /// A line for the user.
    Said,
    /// Bytes to the door: 9P frames.
    Sent,
    /// Bytes of the door.
    Came,
    /// The stream to the door was there.
    Dialled,
    /// Time passed, and something was due.
    Tick,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Line, Kind::Said, Kind::Sent, Kind::Came, Kind::Dialled, Kind::Tick];

    fn byte(self) -> u8 {
        Kind::ALL.iter().zip(b"<>TRDt").find(|(kind, _)| **kind == self).map_or(0, |(_, byte)| *byte)
    }

    fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.iter().zip(b"<>TRDt").find(|(_, other)| **other == byte).map(|(kind, _)| *kind)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What.
    pub kind: Kind,
    /// Milliseconds since the recording began.
    pub ms: u32,
    /// With which bytes.
    pub bytes: Vec<u8>,
}

/// Why a file is no trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError(pub(crate) &'static str);

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for TraceError {}

/// A recording in progress.
#[derive(Debug, Clone)]
pub struct Recorder {
    body: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl Recorder {
    /// At most `bytes_max` bytes of records; what comes then is left out, and all after it.
    pub fn new(bytes_max: usize) -> Recorder {
        Recorder { body: Vec::new(), bytes_max, is_full: false }
    }

    /// Adds a record.
    pub fn add(&mut self, kind: Kind, ms: u32, bytes: &[u8]) {
        let len = RECORD_HEAD + bytes.len();
        self.is_full |= bytes.len() > RECORD_MAX || self.body.len() + len > self.bytes_max;
        if self.is_full {
            return;
        }
        self.body.push(kind.byte());
        self.body.extend_from_slice(&ms.to_le_bytes());
        self.body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.body.extend_from_slice(bytes);
    }

    /// Was something left out?
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The file.
    pub fn file(&self, head: &Head) -> Vec<u8> {
        let mut file = head.summed(self.body.len()).into_bytes();
        let sum = sum(&file, &self.body);
        file.extend_from_slice(b"sha256=");
        file.extend_from_slice(sum.as_bytes());
        file.extend_from_slice(b"\n\n");
        file.extend_from_slice(&self.body);
        file
    }
}

/// Reads a whole file: its head and its records.
pub fn parse(file: &[u8]) -> Result<(Head, Vec<Record>), TraceError> {
    if file.len() > TRACE_MAX {
        return Err(TraceError("longer than any trace"));
    }
    let (head, len, sha256, summed, body) = Head::parse(file)?;
    if body.len() != len {
        return Err(TraceError("it was cut, or something was added"));
    }
    if sum(summed, body) != sha256 {
        return Err(TraceError("it was changed: its sha256 is another"));
    }
    let mut records = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let wrong = TraceError("a record is malformed");
        let (start, behind) = rest.split_at_checked(RECORD_HEAD).ok_or(wrong.clone())?;
        let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        let kind = Kind::of(start[0]).ok_or(wrong.clone())?;
        let (bytes, behind) = behind.split_at_checked(number(5) as usize).ok_or(wrong)?;
        records.push(Record { kind, ms: number(1), bytes: bytes.to_vec() });
        rest = behind;
    }
    Ok((head, records))
}

/// Of the head's lines before it, and of the body.
fn sum(summed: &[u8], body: &[u8]) -> String {
    hex(&Sha256::new().chain_update(summed).chain_update(body).finalize())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> Head {
        Head { manifest: hex(&[7; 32]), uname: "observer:x".into(), ticket_len: 300 }
    }

    fn recording() -> (Vec<u8>, Vec<Record>) {
        let mut recorder = Recorder::new(1000);
        let records =
            [(Kind::Dialled, 0, &b""[..]), (Kind::Sent, 1, b"\0\xff"), (Kind::Line, 70_000, b"ping")];
        records.iter().for_each(|(kind, ms, bytes)| recorder.add(*kind, *ms, bytes));
        let records = records.map(|(kind, ms, bytes)| Record { kind, ms, bytes: bytes.to_vec() });
        (recorder.file(&head()), records.to_vec())
    }

    #[test]
    fn what_was_recorded_comes_back() {
        let (file, records) = recording();
        assert_eq!(parse(&file), Ok((head(), records)));
    }

    #[test]
    fn every_cut_and_every_changed_bit_is_refused() {
        let (file, _) = recording();
        for n in 0..file.len() {
            assert!(parse(&file[..n]).is_err(), "cut at {n}");
        }
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                assert!(parse(&changed).is_err(), "byte {at} bit {bit}");
            }
        }
        let mut longer = file;
        longer.push(0);
        assert!(parse(&longer).is_err());
    }

    #[test]
    fn a_recording_is_bounded_and_what_there_is_stays_whole() {
        let mut recorder = Recorder::new(100);
        (0..100).for_each(|i| recorder.add(Kind::Said, i, b"a line"));
        assert!(recorder.is_full());
        let (_, records) = parse(&recorder.file(&head())).unwrap();
        assert_eq!(records.len(), 100 / (RECORD_HEAD + 6));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
