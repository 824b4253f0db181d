//! Snapshots: the state that later records stand on, in a file of its own, signed. The first line is
//! the header, the second the state.

use super::{Health, Store, Trouble};
use crate::hash::Hash;
use crate::key::{AuditKey, PublicKeys, Use};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use files::Files;
use serde::Deserialize;

/// The largest snapshot.
const SNAPSHOT_MAX: u64 = 16 << 20;

fn name(seq: u64) -> String {
    format!("snapshot-{seq:020}")
}

/// The seq of the snapshot with that name.
pub(super) fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("snapshot-")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    seq: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

/// A snapshot that the audit key vouches for.
pub(super) struct Snapshot {
    /// Of the last record in it.
    pub(super) hash: Hash,
    /// What the caller gave.
    pub(super) state: String,
}

fn vouched(hash: &Hash, state: &Hash) -> Hash {
    Hash::of(&[hash.0, state.0].concat())
}

fn text(key: &AuditKey, seq: u64, hash: &Hash, state: &str) -> String {
    let digest = Hash::of(state.as_bytes());
    let (id, sig) = (key.id(), key.sign(Use::Snapshot, seq, &vouched(hash, &digest)));
    format!(r#"{{"seq":{seq},"sha256":"{hash}","state":"{digest}","key":"{id}","sig":"{sig}"}}"#)
        + "\n"
        + state
        + "\n"
}

/// Reads a snapshot; one that is not vouched for is none.
pub(super) fn read<D: Files>(disk: &D, seq: u64, keys: &PublicKeys) -> Result<Snapshot, Trouble> {
    let bad = |what: &str| Trouble::new(what);
    let text = disk.load(&name(seq), SNAPSHOT_MAX + (1 << 10))?;
    let text = String::from_utf8(text).map_err(|_| bad("no text"))?;
    let (header, state) = text.split_once('\n').ok_or(bad("no header"))?;
    let state = state.strip_suffix('\n').ok_or(bad("cut off"))?;
    let header: Header<'_> = serde_json::from_str(header).map_err(|error| bad(&error.to_string()))?;
    let (Some(hash), Some(digest)) = (Hash::from_hex(&header.sha256), Hash::from_hex(&header.state)) else {
        return Err(bad("not a sha256"));
    };
    if header.seq != seq || digest != Hash::of(state.as_bytes()) {
        return Err(bad("not what its header says"));
    }
    keys.check(Use::Snapshot, &header.key, seq, &vouched(&hash, &digest), &header.sig).map_err(bad)?;
    Ok(Snapshot { hash, state: state.into() })
}

impl<D: Files> Store<D> {
    /// Ends of closed segments that no snapshot covers, oldest first: where one is wanted next.
    pub fn wants_snapshot(&self) -> Option<u64> {
        if self.health != Health::Whole {
            return None;
        }
        let closed = self.segments.len().saturating_sub(1);
        let newest = self.snapshots.keys().next_back().copied().unwrap_or(0);
        self.segments.iter().take(closed).map(|segment| segment.next - 1).find(|seq| *seq > newest)
    }

    /// Keeps the state after the record `seq`, the last of a closed segment, one line; says whether there
    /// is such a segment. It is durable on return.
    pub fn keep_snapshot(&mut self, seq: u64, state: &str) -> Result<bool, Trouble> {
        let Some(after) = self.segments.iter().find(|segment| segment.start.next == seq.wrapping_add(1))
        else {
            return Ok(false);
        };
        if state.len() as u64 > SNAPSHOT_MAX || state.contains('\n') {
            return Err(Trouble::new("a snapshot is one line of 16 MiB at most"));
        }
        let hash = after.start.hash;
        let path = name(seq);
        let draft = format!("{path}.new");
        let file = self.disk.open(&draft)?;
        self.disk.truncate(&file, 0)?;
        self.disk.write(&file, text(&self.key, seq, &hash, state).as_bytes(), 0)?;
        self.disk.sync(&file)?;
        self.disk.rename(&draft, &path)?;
        self.disk.sync_dir("")?;
        self.snapshots.insert(seq, hash);
        Ok(true)
    }

    /// The newest snapshot at or before `seq`: its seq and its state.
    pub fn snapshot(&self, seq: u64) -> Option<(u64, String)> {
        let known = self.snapshots.range(..=seq).rev();
        known.into_iter().find_map(|(seq, _)| Some((*seq, read(&self.disk, *seq, &self.keys).ok()?.state)))
    }

    /// Snapshots that nothing stands on any more go, but never the newest.
    pub(super) fn drop_snapshots(&mut self) -> Result<(), Trouble> {
        let first = self.first();
        while self.snapshots.len() > 1
            && let Some((seq, _)) = self.snapshots.first_key_value()
            && seq + 1 < first
        {
            self.disk.remove(&name(*seq))?;
            self.snapshots.pop_first();
        }
        Ok(())
    }
}
