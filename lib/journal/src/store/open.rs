//! Finding what there is: the last whole, chained record; a torn tail, cut off and reported; damage,
//! reported and left alone.

use super::segment::{self, Bytes, End, Look, Segment};
use super::{Health, Opened, Options, Store, StoreError, Tip, Trouble, at};
use crate::hash::Hash;
use crate::key::{AuditKey, PublicKeys};
use crate::lines::Lines;
use crate::record::{Kind, Record};
use crate::verify::{Fault, Head, Verifier};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use files::Files;

/// The file beside the segments that says how far the journal was written.
pub const SIDECAR: &str = "head";
/// Bytes of what is in it at most.
const SIDECAR_MAX: u64 = 4096;

/// The sidecar's line; always as long, so that it is overwritten whole, and with its own sha256, so that
/// half of one and half of another is none.
pub(super) fn note(head: &Head) -> String {
    let said = format!("seq={:020} sha256={}", head.next - 1, head.hash);
    let check = Hash::of(said.as_bytes());
    format!("{said} check={check}\n")
}

/// The head that the sidecar's line says, if it is one.
pub fn noted(text: &str) -> Option<Head> {
    let (said, check) = text.strip_suffix('\n')?.split_once(" check=")?;
    let (seq, hash) = said.strip_prefix("seq=")?.split_once(" sha256=")?;
    let seq: u64 = seq.parse().ok()?;
    let head = Head { next: seq.checked_add(1)?, hash: Hash::from_hex(hash)? };
    (Hash::from_hex(check)? == Hash::of(said.as_bytes())).then_some(head)
}

/// What a directory holds of a journal.
struct Names {
    segments: Vec<u64>,
    snapshots: Vec<u64>,
}

fn names<D: Files>(disk: &D) -> Result<Names, Trouble> {
    let mut names = Names { segments: Vec::new(), snapshots: Vec::new() };
    for name in disk.names("")? {
        names.segments.extend(segment::seq_of(&name));
        names.snapshots.extend(super::snapshot::seq_of(&name));
    }
    names.segments.sort_unstable();
    names.snapshots.sort_unstable();
    Ok(names)
}

/// The reading of all segments.
struct Found {
    segments: VecDeque<Segment>,
    tip: Tip,
    torn: Option<(u64, u64)>,
    broken: Option<Fault>,
}

impl<D: Files> Store<D> {
    /// Opens the journal in the directory that `disk` is, or begins one. `look` sees every record that is
    /// served and of a kind that it `wants`, in order.
    pub fn open(
        disk: D,
        options: Options,
        key: AuditKey,
        keys: PublicKeys,
        wants: fn(Kind) -> bool,
        mut look: impl FnMut(&Record<'_>, &[u8]),
    ) -> Result<(Store<D>, Opened), StoreError> {
        disk.make_dir("").map_err(at(&disk, ""))?;
        let lock = disk.lock("").map_err(at(&disk, ""))?;
        let Names { segments: firsts, snapshots } = names(&disk).map_err(at(&disk, ""))?;
        let covered: BTreeMap<u64, Hash> = snapshots
            .into_iter()
            .filter_map(|seq| Some((seq, super::snapshot::read(&disk, seq, &keys).ok()?.hash)))
            .collect();
        let was =
            disk.load(SIDECAR, SIDECAR_MAX).ok().and_then(|text| noted(core::str::from_utf8(&text).ok()?));

        let mut onlooker = Onlooker { wants, look: &mut look, was: was.as_ref(), hash_then: None };
        let mut found = read(&disk, &firsts, &covered, &mut onlooker, &keys)?;
        if found.segments.is_empty() && found.broken.is_none() {
            let segment = Segment::new(found.tip.head, 0);
            disk.open(&segment.name).map_err(at(&disk, &segment.name))?;
            disk.sync_dir("").map_err(at(&disk, ""))?;
            found.segments.push_back(segment);
        }
        let last = found.segments.back().map_or("", |segment| &segment.name);
        // Of a damaged journal nothing is opened for writing.
        let active = match found.broken {
            Some(_) => disk.find(last).map_err(at(&disk, last))?,
            None => disk.open(last).map_err(at(&disk, last))?,
        };
        if found.broken.is_none() && found.torn.is_some() {
            let len = found.segments.back().map_or(0, |segment| segment.len);
            disk.truncate(&active, len).and_then(|()| disk.sync(&active)).map_err(at(&disk, last))?;
        }
        let opened = Opened {
            records: found.tip.head.next - found.segments.front().map_or(1, |segment| segment.start.next),
            torn: found.torn.filter(|_| found.broken.is_none()),
            broken: found.broken.clone(),
        };
        let sidecar = if found.broken.is_none() { disk.open(SIDECAR).ok() } else { None };
        let mut store = Store {
            disk,
            key,
            keys,
            health: found.broken.map_or(Health::Whole, Health::Broken),
            segments: found.segments,
            active,
            tip: found.tip,
            staged: found.tip,
            pending: Vec::new(),
            pending_lens: Vec::new(),
            snapshots: covered,
            sidecar,
            _lock: lock,
            reader: RefCell::new(None),
            checked: RefCell::new(BTreeMap::new()),
            options,
        };
        store.note();
        Ok((store, opened))
    }
}

/// What a segment's first record says of the line before.
fn first_prev<D: Files>(disk: &D, name: &str) -> Option<Hash> {
    let file = disk.find(name).ok()?;
    let mut lines = Lines::new(Bytes::of(disk, &file, u64::MAX));
    let line = lines.next().ok()??;
    Some(Record::parse(line.bytes).ok()?.prev)
}

/// The caller's look, and the sidecar's.
struct Onlooker<'o> {
    wants: fn(Kind) -> bool,
    look: &'o mut dyn FnMut(&Record<'_>, &[u8]),
    /// Where the chain stood when the sidecar was written.
    was: Option<&'o Head>,
    /// The sha256 that is there now.
    hash_then: Option<Hash>,
}

impl Look for Onlooker<'_> {
    fn wants(&self, kind: Kind) -> bool {
        (self.wants)(kind)
    }

    fn record(&mut self, record: &Record<'_>, line: &[u8]) {
        (self.look)(record, line);
    }

    fn head(&mut self, head: &Head) {
        if self.was.is_some_and(|was| was.next == head.next) {
            self.hash_then = Some(head.hash);
        }
    }
}

fn read<D: Files>(
    disk: &D,
    firsts: &[u64],
    covered: &BTreeMap<u64, Hash>,
    look: &mut Onlooker<'_>,
    keys: &PublicKeys,
) -> Result<Found, StoreError> {
    let was = look.was;
    let first = firsts.first().copied().unwrap_or(1);
    // What the first record stands on: nothing, or the state that a snapshot holds.
    let base = match covered.get(&(first.wrapping_sub(1))) {
        Some(hash) => Some(Head { next: first, hash: *hash }),
        None => (first == 1).then_some(Head::START),
    };
    let head = base.unwrap_or(Head { next: first, hash: Hash::ZERO });
    // A segment ends with a checkpoint, which vouches for the record before itself.
    let signed = first.saturating_sub(2);
    let mut found = Found { segments: VecDeque::new(), tip: Tip { head, signed }, torn: None, broken: None };
    if base.is_none() {
        found.broken = Some(Fault::Missing { seq: 1, found: first });
        return Ok(found);
    }
    look.head(&head);
    let mut bytes = 0;
    for (i, first) in firsts.iter().enumerate() {
        let next = found.tip.head.next;
        if *first != next {
            found.broken = Some(Fault::Missing { seq: next, found: *first });
            break;
        }
        let mut segment = Segment::new(found.tip.head, bytes);
        let name = segment.name.clone();
        let is_closed = i + 1 < firsts.len();
        let skimmed = if is_closed { segment.skim(disk, keys, look).map_err(at(disk, &name))? } else { None };
        let (head, signed, end) = match skimmed {
            Some((head, signed)) => (head, signed, End::Whole),
            None => segment.read(disk, keys, look).map_err(at(disk, &name))?,
        };
        bytes += segment.len;
        found.tip = Tip { head, signed: found.tip.signed.max(signed) };
        found.segments.push_back(segment);
        match end {
            End::Whole => continue,
            End::Torn { fault, bytes } if i + 1 == firsts.len() => {
                found.torn = Some((head.next, bytes));
                // Torn, unless it was whole once.
                found.broken = was.filter(|was| was.next > head.next).map(|_| fault);
            }
            End::Torn { fault, .. } => found.broken = Some(fault),
            End::Broken { fault, last } => {
                // Who knows what the last line was: the next segment, or the sidecar.
                let vouched = match firsts.get(i + 1) {
                    Some(next) => first_prev(disk, &segment::name(*next)),
                    None => was.filter(|was| was.next == head.next + 1).map(|was| was.hash),
                };
                found.broken = Some(match (last, vouched) {
                    (Some(last), Some(vouched)) => {
                        Verifier::new(keys, Some(head)).blame(fault, &last, &vouched)
                    }
                    _ => fault,
                });
            }
        }
        break;
    }
    if let (None, Some(was)) = (&found.broken, was) {
        let last = was.next - 1;
        if was.next > found.tip.head.next {
            found.broken = Some(Fault::Short { seq: found.tip.head.next, last });
        } else if look.hash_then.is_some_and(|hash| hash != was.hash) {
            found.broken = Some(Fault::Edited { seq: last });
        }
    }
    Ok(found)
}
