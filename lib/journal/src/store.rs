//! The journal in files: segments of lines, appended in groups and made durable before anybody is
//! told. Guarantees: what was committed is there after any crash; what failed to commit leaves nothing;
//! damage is reported and never repaired. Single-threaded; reads no clock.

mod open;
mod read;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;

use crate::key::{AuditKey, PublicKeys};
use crate::record::{Entry, NotARecord};
use crate::verify::{Fault, Head};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use files::{Fault as Trouble, Files};
pub use open::{SIDECAR, noted};
use read::{Checked, Reader};
use segment::Segment;

/// Records from one checkpoint to the next, the latter counted.
const CHECKPOINT_EVERY: u64 = 1024;
/// Bytes that may wait for one commit.
const GROUP_BYTES: usize = 4 << 20;

/// How large the journal may become.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment that has so many bytes is closed.
    pub segment_bytes: u64,
    /// Beyond so many bytes the oldest segments that a snapshot covers are dropped; at twice as many
    /// nothing is appended.
    pub journal_bytes: u64,
}

/// Why the store cannot be opened.
#[derive(Debug)]
pub struct StoreError {
    /// Which file.
    pub path: String,
    /// What the system said.
    pub error: Trouble,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.error)
    }
}

impl core::error::Error for StoreError {}

fn at<D: Files>(disk: &D, name: &str) -> impl FnOnce(Trouble) -> StoreError {
    let path = disk.show(name);
    |error| StoreError { path, error }
}

/// What was found at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Records that are served.
    pub records: u64,
    /// A write that was cut off, and has been cut away: the seq that it would have had, and its bytes.
    pub torn: Option<(u64, u64)>,
    /// Damage: the journal is served up to there, and takes no more.
    pub broken: Option<Fault>,
}

/// Whether the journal can be appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Whole,
    /// The disk has refused; [`Store::heal`] tries again.
    Trouble(String),
    /// It is damaged, for people to look at.
    Broken(Fault),
}

/// Why nothing of a batch was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is not one.
    Invalid(NotARecord),
    /// Not now.
    Busy(String),
}

/// The chain's end, as far as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tip {
    head: Head,
    /// The last seq that a checkpoint vouches for.
    signed: u64,
}

impl Tip {
    /// Records since the last checkpoint.
    fn unsigned(&self) -> u64 {
        // A checkpoint stands right after the record that it vouches for.
        (self.head.next - 1).saturating_sub(self.signed + u64::from(self.signed > 0))
    }
}

/// A journal, in the directory that `D` is.
pub struct Store<D: Files> {
    disk: D,
    options: Options,
    key: AuditKey,
    keys: PublicKeys,
    health: Health,
    /// Oldest first; the last one grows.
    segments: VecDeque<Segment>,
    active: D::File,
    /// What is durable.
    tip: Tip,
    /// What is, with that which waits.
    staged: Tip,
    pending: Vec<u8>,
    /// The bytes of each record in `pending`.
    pending_lens: Vec<u64>,
    /// Seqs that snapshots cover.
    snapshots: BTreeMap<u64, crate::Hash>,
    /// Says how far the journal was durable, if the disk has kept it: see [`Store::note`].
    sidecar: Option<D::File>,
    _lock: Option<D::File>,
    reader: RefCell<Option<Reader<D::File>>>,
    checked: RefCell<BTreeMap<u64, Checked>>,
}

impl<D: Files> Store<D> {
    /// Whether it can be appended to.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The public half of the key that signs checkpoints.
    pub fn public_hex(&self) -> String {
        self.key.public_hex()
    }

    /// Where the durable chain stands.
    pub fn head(&self) -> Head {
        self.tip.head
    }

    /// The first seq that is retained; the next one where nothing is.
    pub fn first(&self) -> u64 {
        self.segments.front().map_or(self.tip.head.next, |segment| segment.start.next)
    }

    /// Something waits for [`Store::commit`].
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Puts a batch behind what waits, all of it or nothing; says its first seq. `now_ms` is the time of
    /// a checkpoint that may go before it.
    pub fn stage(&mut self, batch: &[Entry<'_>], now_ms: u64) -> Result<u64, Refused> {
        match &self.health {
            Health::Whole => {}
            Health::Trouble(what) => return Err(Refused::Busy(what.clone())),
            Health::Broken(fault) => return Err(Refused::Busy(format!("the journal is damaged: {fault}"))),
        }
        if self.bytes() >= self.options.journal_bytes.saturating_mul(2) {
            return Err(Refused::Busy("the journal is full, and no snapshot lets its oldest part go".into()));
        }
        if self.pending.len() >= GROUP_BYTES {
            return Err(Refused::Busy("too much waits for the disk".into()));
        }
        if self.is_time_to_rotate() {
            self.rotate(now_ms).map_err(|error| Refused::Busy(self.fail(&error)))?;
        }
        let (before, len, count) = (self.staged, self.pending.len(), self.pending_lens.len());
        if self.staged.unsigned() + batch.len() as u64 >= CHECKPOINT_EVERY {
            self.stage_checkpoint(now_ms);
        }
        let first = self.staged.head.next;
        for entry in batch {
            let start = self.pending.len();
            if let Err(refused) = self.staged.head.push(entry, &mut self.pending) {
                self.staged = before;
                self.pending.truncate(len);
                self.pending_lens.truncate(count);
                return Err(Refused::Invalid(refused));
            }
            self.pending_lens.push((self.pending.len() - start) as u64);
        }
        Ok(first)
    }

    fn stage_checkpoint(&mut self, now_ms: u64) {
        if self.staged.unsigned() == 0 {
            return;
        }
        let start = self.pending.len();
        let seq = self.staged.head.push_checkpoint(&self.key, now_ms, &mut self.pending);
        self.pending_lens.push((self.pending.len() - start) as u64);
        self.staged.signed = seq - 1;
    }

    /// Makes durable what waits. On an error nothing of it stays, and the sentence says why.
    pub fn commit(&mut self) -> Result<(), String> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write().map_err(|error| self.fail(&error))
    }

    fn write(&mut self) -> Result<(), Trouble> {
        let Some(segment) = self.segments.back_mut() else { return Ok(()) };
        self.disk.write(&self.active, &self.pending, segment.len)?;
        self.disk.sync(&self.active)?;
        self.pending_lens.drain(..).for_each(|bytes| segment.push(bytes));
        self.pending.clear();
        self.pending.shrink_to(1 << 20);
        self.tip = self.staged;
        self.note();
        Ok(())
    }

    /// Writes down how far the journal is durable, in a file of its own, without waiting for the disk:
    /// a crash may lose it and then less is known, but never more than was so. It tells a record that
    /// was acknowledged and is damaged from one that never was.
    fn note(&mut self) {
        let line = open::note(&self.tip.head);
        let written = self.sidecar.as_ref().map(|file| self.disk.write(file, line.as_bytes(), 0));
        if matches!(written, Some(Err(_))) {
            self.sidecar = None;
        }
    }

    /// The disk has refused: takes back what waits. The kernel may hold as clean what it could not
    /// write, so nothing in memory is believed until [`Store::heal`] has looked.
    fn fail(&mut self, error: &Trouble) -> String {
        self.staged = self.tip;
        self.pending.clear();
        self.pending_lens.clear();
        let Some(segment) = self.segments.back() else { return error.to_string() };
        // Where this fails too, heal does it; no read goes beyond what is durable.
        let _ = self.disk.truncate(&self.active, segment.len);
        let what = format!("{}: {error}", self.disk.show(&segment.name));
        self.health = Health::Trouble(what.clone());
        what
    }

    /// Tries to append again after trouble: opens the segment anew, cuts off what may have stayed, and
    /// reads it from the disk.
    pub fn heal(&mut self) -> &Health {
        if matches!(self.health, Health::Trouble(_)) {
            match self.reopen() {
                Ok(None) => self.health = Health::Whole,
                Ok(Some(fault)) => self.health = Health::Broken(fault),
                Err(error) => drop(self.fail(&error)),
            }
        }
        &self.health
    }

    fn reopen(&mut self) -> Result<Option<Fault>, Trouble> {
        let Some(segment) = self.segments.back() else { return Ok(None) };
        self.active = self.disk.open(&segment.name)?;
        self.disk.truncate(&self.active, segment.len)?;
        self.disk.sync(&self.active)?;
        self.disk.forget(&self.active);
        let file = self.disk.find(&segment.name)?;
        Ok(match segment.check(&self.disk, &self.keys, &file, &self.tip.head)? {
            Ok(summary) if summary.head == self.tip.head => None,
            Ok(_) => Some(Fault::Edited { seq: self.tip.head.next - 1 }),
            Err(fault) => Some(fault),
        })
    }

    fn is_time_to_rotate(&self) -> bool {
        let len = self.segments.back().map_or(0, |segment| segment.len);
        self.pending.is_empty() && len >= self.options.segment_bytes
    }

    /// Closes the segment with a checkpoint, and begins the next.
    fn rotate(&mut self, now_ms: u64) -> Result<(), Trouble> {
        self.stage_checkpoint(now_ms);
        if !self.pending.is_empty() {
            self.write()?;
        }
        let base = self.end();
        let segment = Segment::new(self.tip.head, base);
        let file = self.disk.open(&segment.name)?;
        // An earlier attempt may have left something.
        self.disk.truncate(&file, 0)?;
        self.disk.sync(&file)?;
        self.disk.sync_dir("")?;
        self.active = file;
        self.segments.push_back(segment);
        Ok(())
    }

    /// Bytes that are retained.
    pub fn bytes(&self) -> u64 {
        self.end() - self.base()
    }

    /// Drops the oldest segments beyond `journal_bytes` that snapshots cover; says how many.
    pub fn retain(&mut self) -> Result<usize, Trouble> {
        let mut dropped = 0;
        if matches!(self.health, Health::Broken(_)) || self.bytes() <= self.options.journal_bytes {
            return Ok(dropped);
        }
        while self.bytes() > self.options.journal_bytes
            && self.segments.len() > 1
            && let Some(oldest) = self.segments.front()
            && self.snapshots.contains_key(&(oldest.next - 1))
        {
            // One by one: a gap among the names would be damage.
            self.disk.sync_dir("")?;
            self.disk.remove(&oldest.name)?;
            self.checked.borrow_mut().remove(&oldest.start.next);
            *self.reader.borrow_mut() = None;
            self.segments.pop_front();
            dropped += 1;
        }
        // A segment that comes back after a crash must find what it stands on.
        self.disk.sync_dir("")?;
        self.drop_snapshots()?;
        Ok(dropped)
    }
}
