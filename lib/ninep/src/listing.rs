//! A directory, Treaddir by Treaddir, with an end whatever the server says.

use crate::wire::Dirent;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// More entries than any directory of a hive has.
const ENTRIES_MAX: usize = 1 << 20;

/// How far a directory is read.
#[derive(Debug, Default)]
pub struct Listing {
    offset: u64,
    /// Offsets that were read from; a server that gives one of them again would be read for ever.
    seen: BTreeSet<u64>,
    count: usize,
}

impl Listing {
    /// Where the next Treaddir begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The entries of one Rreaddir; None at the end. The error says what no directory is like.
    pub fn take<'a>(&mut self, data: &'a [u8]) -> Result<Option<Vec<Dirent<'a>>>, String> {
        if data.is_empty() {
            return Ok(None);
        }
        let entries: Vec<Dirent> =
            Dirent::iter(data).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        self.seen.insert(self.offset);
        self.offset = entries.last().map_or(self.offset, |entry| entry.offset);
        if self.seen.contains(&self.offset) {
            return Err("a directory that begins again: its offsets repeat".into());
        }
        self.count += entries.len();
        if self.count > ENTRIES_MAX {
            return Err("a directory of more than a million entries".into());
        }
        Ok(Some(entries))
    }
}
