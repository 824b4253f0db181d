//! Finding what there is: the last whole, chained record; a torn tail, cut off and reported; damage,
//! reported and left alone.

use super::disk::Disk;
use super::segment::{self, End, Segment};
use super::{Health, Opened, Options, Store, StoreError, Tip, at};
use crate::hash::Hash;
use crate::key::{AuditKey, PublicKeys};
use crate::lines::Lines;
use crate::record::Record;
use crate::verify::{Fault, Head, Verifier};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

const SIDECAR: &str = "head";

/// The sidecar's line; always as long, so that it is overwritten whole, and with its own sha256, so that
/// half of one and half of another is none.
pub(super) fn note(head: &Head) -> String {
    let said = format!("seq={:020} sha256={}", head.next - 1, head.hash);
    let check = Hash::of(said.as_bytes());
    format!("{said} check={check}\n")
}

fn noted(text: &str) -> Option<Head> {
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

fn names(dir: &Path) -> io::Result<Names> {
    let mut names = Names { segments: Vec::new(), snapshots: Vec::new() };
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        names.segments.extend(segment::seq_of(name));
        names.snapshots.extend(super::snapshot::seq_of(name));
    }
    names.segments.sort_unstable();
    names.snapshots.sort_unstable();
    Ok(names)
}

/// One store has the directory, as long as it holds what this returns.
fn lock(dir: &Path) -> io::Result<fs::File> {
    use rustix::fs::{FlockOperation, flock};
    let file = fs::File::open(dir)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => io::Error::other("another hive has this journal open"),
        error => error.into(),
    })?;
    Ok(file)
}

/// The reading of all segments.
struct Found {
    segments: VecDeque<Segment>,
    tip: Tip,
    torn: Option<(u64, u64)>,
    broken: Option<Fault>,
}

impl<D: Disk> Store<D> {
    /// Opens the journal, or begins one. `look` sees every record that is served, in order.
    pub fn open(
        disk: D,
        options: Options,
        key: AuditKey,
        keys: PublicKeys,
        mut look: impl FnMut(&Record<'_>, &[u8]),
    ) -> Result<(Store<D>, Opened), StoreError> {
        let dir = &options.dir;
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
        let lock = lock(dir).map_err(at(dir))?;
        let Names { segments: firsts, snapshots } = names(dir).map_err(at(dir))?;
        let covered: BTreeMap<u64, Hash> = snapshots
            .into_iter()
            .filter_map(|seq| Some((seq, super::snapshot::read(dir, seq, &keys).ok()?.hash)))
            .collect();
        let sidecar_path = dir.join(SIDECAR);
        let was = fs::read_to_string(&sidecar_path).ok().and_then(|text| noted(&text));

        let mut found = read(dir, &firsts, &covered, was.as_ref(), &keys, &mut look)?;
        if found.segments.is_empty() && found.broken.is_none() {
            let segment = Segment::new(dir, found.tip.head, 0);
            disk.open(&segment.path).map_err(at(&segment.path))?;
            disk.sync_dir(dir).map_err(at(dir))?;
            found.segments.push_back(segment);
        }
        let last = found.segments.back().map_or(dir, |segment| &segment.path);
        // Of a damaged journal nothing is opened for writing.
        let active = match found.broken {
            Some(_) => fs::File::open(last).map_err(at(last))?,
            None => disk.open(last).map_err(at(last))?,
        };
        if found.broken.is_none() && found.torn.is_some() {
            let len = found.segments.back().map_or(0, |segment| segment.len);
            disk.truncate(&active, len).and_then(|()| disk.sync(&active)).map_err(at(last))?;
        }
        let opened = Opened {
            records: found.tip.head.next - found.segments.front().map_or(1, |segment| segment.start.next),
            torn: found.torn.filter(|_| found.broken.is_none()),
            broken: found.broken.clone(),
        };
        let sidecar = if found.broken.is_none() { disk.open(&sidecar_path).ok() } else { None };
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
fn first_prev(path: &Path) -> Option<Hash> {
    let mut lines = Lines::new(fs::File::open(path).ok()?);
    let line = lines.next().ok()??;
    Some(Record::parse(line.bytes).ok()?.prev)
}

fn read(
    dir: &Path,
    firsts: &[u64],
    covered: &BTreeMap<u64, Hash>,
    was: Option<&Head>,
    keys: &PublicKeys,
    look: &mut impl FnMut(&Record<'_>, &[u8]),
) -> Result<Found, StoreError> {
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
    let mut hash_then = (was.map(|was| was.next) == Some(head.next)).then_some(head.hash);
    let mut bytes = 0;
    for (i, first) in firsts.iter().enumerate() {
        let next = found.tip.head.next;
        if *first != next {
            found.broken = Some(Fault::Missing { seq: next, found: *first });
            break;
        }
        let mut segment = Segment::new(dir, found.tip.head, bytes);
        let path = segment.path.clone();
        let (head, signed, end) = segment
            .read(keys, &mut |record, line, head| {
                if was.is_some_and(|was| was.next == head.next) {
                    hash_then = Some(head.hash);
                }
                look(record, line);
            })
            .map_err(at(&path))?;
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
                    Some(next) => first_prev(&dir.join(segment::name(*next))),
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
        } else if hash_then.is_some_and(|hash| hash != was.hash) {
            found.broken = Some(Fault::Edited { seq: last });
        }
    }
    Ok(found)
}
