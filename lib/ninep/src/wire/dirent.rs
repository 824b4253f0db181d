//! The entries of a directory, as Rreaddir carries them: qid[13] offset[8] type[1] name[s].

use super::Qid;
use super::codec::{Field, Reader, WireError};
use alloc::vec::Vec;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirent<'a> {
    /// The file's qid.
    pub qid: Qid,
    /// Where the next Treaddir goes on behind this entry.
    pub offset: u64,
    /// `d_type` of dirent.h: 0 unknown, 4 directory, 8 regular file.
    pub kind: u8,
    /// Its name.
    pub name: &'a str,
}

/// Bytes of an entry besides its name.
const FIXED: usize = 24;

impl<'a> Dirent<'a> {
    /// Appends the entry if `out` then has at most `limit` bytes; says whether it did.
    pub fn push(&self, out: &mut Vec<u8>, limit: usize) -> bool {
        if out.len() + FIXED + self.name.len() > limit {
            return false;
        }
        self.qid.put(out);
        self.offset.put(out);
        self.kind.put(out);
        self.name.put(out);
        true
    }

    /// The entries of an Rreaddir's data; ends at the first that is malformed.
    pub fn iter(data: &'a [u8]) -> impl Iterator<Item = Result<Dirent<'a>, WireError>> {
        let mut from = Reader(data);
        let mut is_broken = false;
        core::iter::from_fn(move || {
            if from.0.is_empty() || is_broken {
                return None;
            }
            let entry = Self::get(&mut from);
            is_broken = entry.is_err();
            Some(entry)
        })
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Dirent {
            qid: Field::get(from)?,
            offset: Field::get(from)?,
            kind: Field::get(from)?,
            name: Field::get(from)?,
        })
    }
}
