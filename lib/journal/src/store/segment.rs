//! One file of the journal: records from its first seq on, and where they are in it.

use crate::PublicKeys;
use crate::lines::{Lines, Source};
use crate::record::{Kind, Record};
use crate::verify::{Fault, Head, Summary, Verifier};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use files::{Fault as Trouble, Files};

/// Of so many records the place of one is kept.
const STEP: u64 = 64;

/// The name of the segment whose first record is `seq`.
pub(super) fn name(seq: u64) -> String {
    format!("{seq:020}.jsonl")
}

/// The first seq of the segment with that name.
pub(super) fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".jsonl")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The first bytes of a file, in order.
pub(super) struct Bytes<'f, D: Files> {
    disk: &'f D,
    file: &'f D::File,
    at: u64,
    end: u64,
}

impl<'f, D: Files> Bytes<'f, D> {
    pub(super) fn of(disk: &'f D, file: &'f D::File, end: u64) -> Self {
        Bytes { disk, file, at: 0, end }
    }
}

impl<D: Files> Source for Bytes<'_, D> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Trouble> {
        let room = out.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let n = self.disk.read(self.file, &mut out[..room], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// A file and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) name: String,
    /// Where the chain stands before its first record.
    pub(super) start: Head,
    /// The next seq after its last record.
    pub(super) next: u64,
    /// Its place among all bytes of the journal.
    pub(super) base: u64,
    /// Bytes that are whole and durable.
    pub(super) len: u64,
    /// The place of every 64th record.
    index: Vec<u64>,
}

/// Who looks on while segments are read.
pub(super) trait Look {
    /// Are records of that kind wanted?
    fn wants(&self, kind: Kind) -> bool;
    /// One of them, and its line.
    fn record(&mut self, record: &Record<'_>, line: &[u8]);
    /// Where the chain stands after each record; what is said of a segment may be said again.
    fn head(&mut self, head: &Head);
}

/// How a segment's reading ended.
#[derive(Debug)]
pub(super) enum End {
    /// With its last record.
    Whole,
    /// With a line that is no record, and no record after it.
    Torn { fault: Fault, bytes: u64 },
    /// With a line that is no record of the chain, and records after it.
    Broken {
        fault: Fault,
        /// The last line, where that is the bad one.
        last: Option<Vec<u8>>,
    },
}

impl Segment {
    pub(super) fn new(start: Head, base: u64) -> Segment {
        Segment { name: name(start.next), start, next: start.next, base, len: 0, index: Vec::new() }
    }

    /// The next record is at `len` of the file, and has so many bytes.
    pub(super) fn push(&mut self, bytes: u64) {
        if (self.next - self.start.next).is_multiple_of(STEP) {
            self.index.push(self.len);
        }
        self.next += 1;
        self.len += bytes;
    }

    /// A place at or before the record `seq`, and the seq that is there.
    pub(super) fn near(&self, seq: u64) -> (u64, u64) {
        let step = (seq - self.start.next) / STEP;
        let at = usize::try_from(step).ok().and_then(|i| self.index.get(i)).copied().unwrap_or(0);
        (at, self.start.next + step * STEP)
    }

    /// Reads the file of a closed segment, counts what is whole, and says where the chain stands. All of it
    /// is what was written if it chains and its last line is a checkpoint that the audit key has signed:
    /// what the records say is read of those that are wanted. None: it is not so, and [`Segment::read`]
    /// tells more.
    pub(super) fn skim<D: Files>(
        &mut self,
        disk: &D,
        keys: &PublicKeys,
        look: &mut dyn Look,
    ) -> Result<Option<(Head, u64)>, Trouble> {
        let file = disk.find(&self.name)?;
        let mut lines = Lines::new(Bytes::of(disk, &file, u64::MAX));
        let mut verifier = Verifier::new(keys, Some(self.start));
        let mut read = Segment::new(self.start, self.base);
        let mut wanted = Vec::new();
        while let Some(line) = lines.next()? {
            let kind = verifier.link(line.bytes).filter(|_| line.is_whole);
            let Some(kind) = kind else { return Ok(None) };
            if look.wants(kind) {
                wanted.push((read.len, line.len));
            }
            look.head(&verifier.summary().head);
            read.push(line.len);
        }
        let Summary { head, signed, .. } = *verifier.summary();
        if keys.is_empty() || signed + 2 != head.next {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for (at, len) in wanted {
            bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
            let n = disk.read(&file, &mut bytes, at)?;
            let line = bytes.get(..n).and_then(|bytes| bytes.strip_suffix(b"\n")).unwrap_or_default();
            if let Ok(record) = Record::parse(line) {
                look.record(&record, line);
            }
        }
        *self = read;
        Ok(Some((head, signed)))
    }

    /// Reads the file to its end and counts what is whole.
    pub(super) fn read<D: Files>(
        &mut self,
        disk: &D,
        keys: &PublicKeys,
        look: &mut dyn Look,
    ) -> Result<(Head, u64, End), Trouble> {
        let file = disk.find(&self.name)?;
        let mut lines = Lines::new(Bytes::of(disk, &file, u64::MAX));
        let mut verifier = Verifier::new(keys, Some(self.start));
        let outcome = loop {
            let Some(line) = lines.next()? else { break None };
            if !line.is_whole {
                let (seq, bytes) = (self.next, line.bytes.len());
                break Some((Fault::Torn { seq, bytes }, line.bytes.to_vec(), line.len));
            }
            match verifier.line(line.bytes) {
                Ok(record) => {
                    if look.wants(record.entry.kind) {
                        look.record(&record, line.bytes);
                    }
                    look.head(&verifier.summary().head);
                }
                Err(fault) => break Some((fault, line.bytes.to_vec(), line.len)),
            }
            self.push(line.len);
        };
        let summary = *verifier.summary();
        let Some((mut fault, bad, mut bytes)) = outcome else {
            return Ok((summary.head, summary.signed, End::Whole));
        };
        // A record in a wrong place is no torn write: that one is cut off, not whole.
        let mut is_broken = !matches!(fault, Fault::Torn { .. } | Fault::Malformed { .. });
        let mut is_first = true;
        while let Some(line) = lines.next()? {
            if is_first && line.is_whole {
                fault = verifier.refine(fault, &bad, line.bytes);
            }
            is_first = false;
            bytes += line.len;
            is_broken |= line.is_whole && Record::parse(line.bytes).is_ok();
        }
        let last = is_first.then_some(bad);
        let end = if is_broken { End::Broken { fault, last } } else { End::Torn { fault, bytes } };
        Ok((summary.head, summary.signed, end))
    }

    /// Reads the durable part again.
    /// Its last line is `end`'s.
    pub(super) fn check<D: Files>(
        &self,
        disk: &D,
        keys: &PublicKeys,
        file: &D::File,
        end: &Head,
    ) -> Result<Result<Summary, Fault>, Trouble> {
        let mut lines = Lines::new(Bytes::of(disk, file, self.len));
        let mut verifier = Verifier::new(keys, Some(self.start));
        while let Some(line) = lines.next()? {
            let seq = verifier.summary().head.next;
            if !line.is_whole {
                return Ok(Err(Fault::Torn { seq, bytes: line.bytes.len() }));
            }
            if let Err(fault) = verifier.line(line.bytes) {
                let bad = line.bytes.to_vec();
                return Ok(Err(match lines.next()? {
                    Some(next) => verifier.refine(fault, &bad, next.bytes),
                    None => verifier.blame(fault, &bad, &end.hash),
                }));
            }
        }
        let summary = *verifier.summary();
        if summary.head.next != self.next {
            return Ok(Err(Fault::Short { seq: summary.head.next, last: self.next - 1 }));
        }
        Ok(Ok(summary))
    }
}
