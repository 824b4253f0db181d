//! A directory, Treaddir by Treaddir, with an end whatever the server says.

use super::DialError;
use crate::wire::Dirent;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

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

    /// The entries of one Rreaddir; None at the end.
    pub fn take<'a>(&mut self, data: &'a [u8]) -> Result<Option<Vec<Dirent<'a>>>, DialError> {
        if data.is_empty() {
            return Ok(None);
        }
        let entries: Vec<Dirent> = Dirent::iter(data)
            .collect::<Result<_, _>>()
            .map_err(|error| DialError::Protocol(error.to_string()))?;
        self.seen.insert(self.offset);
        self.offset = entries.last().map_or(self.offset, |entry| entry.offset);
        if self.seen.contains(&self.offset) {
            return Err(DialError::Protocol("a directory that begins again: its offsets repeat".into()));
        }
        self.count += entries.len();
        if self.count > ENTRIES_MAX {
            return Err(DialError::Protocol("a directory of more than a million entries".into()));
        }
        Ok(Some(entries))
    }
}
