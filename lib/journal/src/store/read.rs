//! Reading: by byte for streams, by seq for folds, and all of it for verification.

use super::segment::Segment;
use super::{Health, Store, Trouble};
use crate::verify::{Fault, Head, Summary};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use files::{Files, Kind, Stamp};

/// Bytes read at once when a seq is looked for.
const CHUNK: usize = 64 << 10;

/// The file that was read last.
pub(super) struct Reader<F> {
    first: u64,
    file: F,
}

/// A segment that was verified, and has not changed since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    stamp: Stamp,
    start: Head,
    head: Head,
    records: u64,
    signed: u64,
    checkpoints: u64,
}

impl<D: Files> Store<D> {
    /// The place of the oldest byte that is retained, counted over the life of this store.
    pub fn base(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.base)
    }

    /// One past the last durable byte.
    pub fn end(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.base + segment.len)
    }

    /// Copies durable bytes from the place `at` on; 0 at the end, and before [`Store::base`].
    pub fn read_at(&self, at: u64, out: &mut [u8]) -> Result<usize, Trouble> {
        let i = self.segments.partition_point(|segment| segment.base <= at);
        let Some(segment) = i.checked_sub(1).and_then(|i| self.segments.get(i)) else { return Ok(0) };
        self.read_segment(segment, at - segment.base, out)
    }

    fn read_segment(&self, segment: &Segment, at: u64, out: &mut [u8]) -> Result<usize, Trouble> {
        let left = usize::try_from(segment.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let out_len = out.len().min(left);
        let first = segment.start.next;
        let mut reader = self.reader.borrow_mut();
        let reader = match &mut *reader {
            Some(reader) if reader.first == first => reader,
            other => other.insert(Reader { first, file: self.disk.find(&segment.name)? }),
        };
        self.disk.read(&reader.file, &mut out[..out_len], at)
    }

    /// Whole lines from the record `seq` on: at most `max` bytes, but one record at least; nothing at
    /// the end. A seq that is no longer retained gives none.
    pub fn from(&self, seq: u64, max: usize) -> Result<Vec<u8>, Trouble> {
        let mut out = Vec::new();
        if seq < self.first() || seq >= self.tip.head.next {
            return Ok(out);
        }
        let i = self.segments.partition_point(|segment| segment.start.next <= seq).saturating_sub(1);
        let Some(segment) = self.segments.get(i) else { return Ok(out) };
        let (mut at, mut before) = segment.near(seq);
        let base = segment.base;
        let mut chunk = vec![0; CHUNK];
        loop {
            let n = self.read_at(base + at, &mut chunk)?;
            if n == 0 {
                // All, or a file shorter than it was.
                break;
            }
            let mut piece = &chunk[..n];
            while before < seq
                && let Some(end) = piece.iter().position(|byte| *byte == b'\n')
            {
                piece = &piece[end + 1..];
                before += 1;
            }
            if before == seq {
                out.extend_from_slice(piece);
            }
            at += n as u64;
            if out.len() > max {
                let first = out.iter().position(|byte| *byte == b'\n').map_or(out.len(), |i| i + 1);
                if let Some(end) = out[..max.max(first)].iter().rposition(|byte| *byte == b'\n') {
                    out.truncate(end + 1);
                    return Ok(out);
                }
            }
        }
        let whole = out.iter().rposition(|byte| *byte == b'\n').map_or(0, |i| i + 1);
        out.truncate(whole);
        if out.is_empty() {
            let what = format!("{}: shorter than what was written", self.disk.show(&segment.name));
            return Err(Trouble::new(what));
        }
        Ok(out)
    }

    /// Reads the retained chain again, all that has changed on the disk since it was last read, and
    /// checks it against what was committed.
    pub fn verify(&self) -> Result<Result<Summary, Fault>, Trouble> {
        if let Health::Broken(fault) = &self.health {
            return Ok(Err(fault.clone()));
        }
        let start = self.segments.front().map_or(self.tip.head, |segment| segment.start);
        let mut all = Summary { first: start.next, records: 0, checkpoints: 0, signed: 0, head: start };
        for (i, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(i + 1).map_or(self.tip.head, |after| after.start);
            let checked = match self.check(segment, &end)? {
                Ok(checked) => checked,
                Err(fault) => return Ok(Err(fault)),
            };
            all.records += checked.records;
            all.checkpoints += checked.checkpoints;
            all.signed = all.signed.max(checked.signed);
            // A segment is checked from where the one before was when it was written.
            if checked.start != all.head {
                return Ok(Err(Fault::Edited { seq: checked.start.next - 1 }));
            }
            all.head = checked.head;
        }
        if all.head != self.tip.head {
            return Ok(Err(Fault::Edited { seq: self.tip.head.next - 1 }));
        }
        Ok(Ok(all))
    }

    fn check(&self, segment: &Segment, end: &Head) -> Result<Result<Checked, Fault>, Trouble> {
        let file = match self.disk.find(&segment.name) {
            Err(error) if error.kind == Kind::NotFound => {
                return Ok(Err(Fault::Missing { seq: segment.start.next, found: segment.next }));
            }
            other => other?,
        };
        let (stamp, is_settled) = self.disk.stamp(&file)?;
        let known = self.checked.borrow().get(&segment.start.next).copied();
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(Ok(known));
        }
        let summary = match segment.check(&self.disk, &self.keys, &file, end)? {
            Ok(summary) => summary,
            Err(fault) => return Ok(Err(fault)),
        };
        let checked = Checked {
            stamp,
            start: segment.start,
            head: summary.head,
            records: summary.records,
            signed: summary.signed,
            checkpoints: summary.checkpoints,
        };
        if is_settled {
            self.checked.borrow_mut().insert(segment.start.next, checked);
        }
        Ok(Ok(checked))
    }
}
