//! The chain, checked line by line: seq without gaps, every prev the sha256 of the line before, every
//! checkpoint signed. What is wrong is told apart, and the first bad seq named.

use crate::hash::Hash;
use crate::key::{PublicKeys, Use};
use crate::record::{self, Kind, NotARecord, RECORD_MAX, Record};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use serde::Deserialize;

/// Where a chain stands: what its next record must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The next seq.
    pub next: u64,
    /// The sha256 of the last line.
    pub hash: Hash,
}

impl Head {
    /// Before the first record of a hive.
    pub const START: Head = Head { next: 1, hash: Hash::ZERO };
}

/// What is wrong with a journal, and the first seq that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What stands where `seq` belongs is not a record.
    Malformed {
        /// The first bad seq.
        seq: u64,
        /// In which way.
        why: NotARecord,
    },
    /// The record is not the one that its neighbours vouch for.
    Edited {
        /// The first bad seq.
        seq: u64,
    },
    /// Records are not there.
    Missing {
        /// The first of them.
        seq: u64,
        /// The one that is there instead.
        found: u64,
    },
    /// Another record of the journal stands in its place.
    Reordered {
        /// The first bad seq.
        seq: u64,
        /// The one that stands there.
        found: u64,
    },
    /// It chains, but it is not the record whose sha256 is known from elsewhere.
    Rewritten {
        /// The known seq: that one or one before it is bad.
        seq: u64,
    },
    /// A checkpoint that the audit key has not signed.
    Unsigned {
        /// The checkpoint's seq.
        seq: u64,
        /// In which way.
        why: &'static str,
    },
    /// The last line has no end: a write that was cut off. All before it is whole.
    Torn {
        /// The seq that it would have had.
        seq: u64,
        /// Its bytes.
        bytes: usize,
    },
    /// Whole as far as it goes, but it was longer.
    Short {
        /// The first seq that is not there.
        seq: u64,
        /// The last that was.
        last: u64,
    },
}

impl Fault {
    /// The first seq that is not as it was written.
    pub fn seq(&self) -> u64 {
        match self {
            Fault::Malformed { seq, .. }
            | Fault::Edited { seq }
            | Fault::Missing { seq, .. }
            | Fault::Reordered { seq, .. }
            | Fault::Rewritten { seq }
            | Fault::Unsigned { seq, .. }
            | Fault::Torn { seq, .. }
            | Fault::Short { seq, .. } => *seq,
        }
    }

    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Malformed { .. } => "malformed",
            Fault::Edited { .. } => "edited",
            Fault::Missing { .. } => "missing",
            Fault::Reordered { .. } => "reordered",
            Fault::Rewritten { .. } => "rewritten",
            Fault::Unsigned { .. } => "unsigned",
            Fault::Torn { .. } => "torn",
            Fault::Short { .. } => "short",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad seq={} fault={}", self.seq(), self.word())?;
        match self {
            Fault::Malformed { why, .. } => write!(f, " detail={:?}", why.0),
            Fault::Unsigned { why, .. } => write!(f, " detail={why:?}"),
            Fault::Missing { found, .. } | Fault::Reordered { found, .. } => write!(f, " found={found}"),
            Fault::Torn { bytes, .. } => write!(f, " bytes={bytes}"),
            Fault::Short { last, .. } => write!(f, " last={last}"),
            Fault::Edited { .. } | Fault::Rewritten { .. } => Ok(()),
        }
    }
}

impl core::error::Error for Fault {}

/// What was found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The first seq.
    pub first: u64,
    /// How many records.
    pub records: u64,
    /// How many of them are checkpoints.
    pub checkpoints: u64,
    /// The last seq that a checkpoint vouches for; 0 without one.
    pub signed: u64,
    /// Where the chain stands.
    pub head: Head,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint<'a> {
    seq: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

/// Checks a chain as it comes.
#[derive(Debug)]
pub struct Verifier<'k> {
    keys: &'k PublicKeys,
    /// None: the first line may be any.
    base: Option<Head>,
    /// A record that must be there.
    known: Vec<Head>,
    summary: Summary,
    /// The part of a line that [`Verifier::feed`] has seen.
    partial: Vec<u8>,
    /// A fault that the next line tells more about, and the line that showed it.
    doubt: Option<(Fault, Vec<u8>)>,
}

impl<'k> Verifier<'k> {
    /// From `base` on; without one the first line is taken as it is, and only what follows vouches for
    /// it. Without keys the signatures are not checked, their form is.
    pub fn new(keys: &'k PublicKeys, base: Option<Head>) -> Verifier<'k> {
        let head = base.unwrap_or(Head::START);
        let summary = Summary { first: head.next, records: 0, checkpoints: 0, signed: 0, head };
        Verifier { keys, base, known: Vec::new(), summary, partial: Vec::new(), doubt: None }
    }

    /// The journal must have the last record of `head`, and may have grown since. Several may be known.
    #[must_use]
    pub fn expect(mut self, head: Head) -> Self {
        self.known.push(head);
        self
    }

    /// What was found whole so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes one line without its newline. After a fault no further line is taken; the line after the
    /// bad one makes the fault more precise: [`Verifier::refine`].
    pub fn line<'l>(&mut self, line: &'l [u8]) -> Result<Record<'l>, Fault> {
        let Summary { records, head, .. } = self.summary;
        let want = head.next;
        let record = Record::parse(line).map_err(|why| Fault::Malformed { seq: want, why })?;
        let is_free = records == 0 && self.base.is_none();
        if is_free {
            self.summary.first = record.seq;
        } else {
            let (found, is_next) = (record.seq, record.prev == head.hash);
            match found {
                _ if found == want && is_next => {}
                // The fault of the one before, or its own: the next line knows.
                _ if found == want => return Err(Fault::Edited { seq: (want - 1).max(1) }),
                _ if is_next => return Err(Fault::Edited { seq: want }),
                _ if found > want => return Err(Fault::Missing { seq: want, found }),
                _ => return Err(Fault::Reordered { seq: want, found }),
            }
        }
        if record.entry.kind == Kind::Checkpoint {
            self.check(&record).map_err(|why| Fault::Unsigned { seq: record.seq, why })?;
            self.summary.checkpoints += 1;
            self.summary.signed = record.seq - 1;
        }
        let hash = Hash::of(line);
        if self.known.iter().any(|known| known.next - 1 == record.seq && known.hash != hash) {
            return Err(Fault::Rewritten { seq: record.seq });
        }
        self.summary.records += 1;
        let next = record.seq.checked_add(1).ok_or(Fault::Edited { seq: record.seq })?;
        self.summary.head = Head { next, hash };
        Ok(record)
    }

    /// Takes a line that is held to be whole until a signed checkpoint after it says so: its place in the
    /// chain is checked, and what it says is not read, unless it is a checkpoint. None: something is wrong,
    /// and [`Verifier::line`] says what.
    pub(crate) fn link(&mut self, line: &[u8]) -> Option<Kind> {
        let Head { next, hash } = self.summary.head;
        let kind = record::place(line, next, &hash)?;
        if kind == Kind::Checkpoint {
            self.line(line).ok()?;
        } else {
            self.summary.records += 1;
            self.summary.head = Head { next: next.checked_add(1)?, hash: Hash::of(line) };
        }
        Some(kind)
    }

    /// What the audit key has signed must be the record before, which the chain names by its hash.
    fn check(&self, record: &Record<'_>) -> Result<(), &'static str> {
        let it: Checkpoint<'_> = serde_json::from_str(record.entry.cmd.get())
            .map_err(|_| "the checkpoint has not the form of one")?;
        let hash = Hash::from_hex(&it.sha256).ok_or("the checkpoint's sha256 is none")?;
        if it.seq.checked_add(1) != Some(record.seq) || hash != record.prev {
            return Err("the checkpoint vouches for another record");
        }
        if self.keys.is_empty() {
            return Ok(());
        }
        self.keys.check(Use::Checkpoint, &it.key, it.seq, &hash, &it.sig)
    }

    /// Takes any piece of the journal.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() {
                self.whole(line)?;
            } else {
                let mut partial = core::mem::take(&mut self.partial);
                partial.extend_from_slice(line);
                self.whole(&partial)?;
                partial.clear();
                self.partial = partial;
            }
            bytes = rest;
        }
        // A line that is too long is known to be bad before its end.
        let room = (RECORD_MAX + 1).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    fn whole(&mut self, line: &[u8]) -> Result<(), Fault> {
        if let Some((fault, bad)) = self.doubt.take() {
            return Err(self.refine(fault, &bad, line));
        }
        match self.line(line) {
            Ok(_) => Ok(()),
            Err(fault @ (Fault::Edited { .. } | Fault::Missing { .. })) => {
                self.doubt = Some((fault, line.into()));
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// The journal ends here; where `head` is known, it must end there.
    pub fn finish(mut self, head: Option<&Head>) -> Result<Summary, (Fault, Summary)> {
        let summary = self.summary;
        let newest = self.known.iter().max_by_key(|known| known.next);
        let least = head.or(newest);
        let last = summary.head.next - 1;
        let fault = match (self.doubt.take(), head) {
            (Some((fault, line)), Some(head)) => self.blame(fault, &line, &head.hash),
            (Some((fault, _)), None) => fault,
            (None, _) if least.is_some_and(|least| least.next > summary.head.next) => {
                let last = least.map_or(last, |least| least.next - 1);
                Fault::Short { seq: summary.head.next, last }
            }
            (None, _) if !self.partial.is_empty() => {
                Fault::Torn { seq: summary.head.next, bytes: self.partial.len() }
            }
            (None, Some(head)) if *head != summary.head => Fault::Edited { seq: last },
            _ => return Ok(summary),
        };
        Err((fault, summary))
    }

    /// What the line after a bad one, `line`, tells about the fault.
    pub fn refine(&self, fault: Fault, line: &[u8], next: &[u8]) -> Fault {
        let (want, Ok(next)) = (self.summary.head.next, Record::parse(next)) else { return fault };
        match fault {
            Fault::Edited { .. } if next.seq == want + 1 => self.blame(fault, line, &next.prev),
            Fault::Missing { seq, found } if next.seq == seq => Fault::Reordered { seq, found },
            fault => fault,
        }
    }

    /// Whose fault it is that `line` does not fit the one before it; `vouched` is its right sha256. Either
    /// its prev alone was edited, or the one before is not what it was.
    pub(crate) fn blame(&self, fault: Fault, line: &[u8], vouched: &Hash) -> Fault {
        let Head { next: want, hash } = self.summary.head;
        let (Fault::Edited { seq }, Ok(record)) = (&fault, Record::parse(line)) else { return fault };
        let mut mended = Vec::new();
        let is_encoded = record.entry.encode(record.seq, &hash, &mut mended).is_ok();
        if seq + 1 == want && is_encoded && Hash::of(&mended) == *vouched {
            return Fault::Edited { seq: want };
        }
        fault
    }
}
