//! Files as a server keeps them: few operations, behind which is a file system, or memory that outlives the
//! process. Guarantees: a name is one file; what was synced is there in the next life; what finds no room is
//! refused and changes nothing. Knows nothing of what is in them.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod memory;
#[cfg(feature = "std")]
mod real;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
pub use memory::Memory;
#[cfg(feature = "std")]
pub use real::Real;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such file.
    NotFound,
    /// There is no room.
    NoSpace,
    /// Anything else.
    Other,
}

/// What could not be done, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind it is.
    pub kind: Kind,
    said: String,
}

impl Fault {
    /// One of no particular kind.
    pub fn new(said: impl Into<String>) -> Fault {
        Fault { kind: Kind::Other, said: said.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl core::error::Error for Fault {}

#[cfg(feature = "std")]
impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::StorageFull => Kind::NoSpace,
            _ => Kind::Other,
        };
        Fault { kind, said: std::string::ToString::to_string(&error) }
    }
}

/// What came of it.
pub type Result<T> = core::result::Result<T, Fault>;

/// What a file was like: as long as it is the same, so are the file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u64; 6]);

/// Files below one directory. A name is a path from there, `/` between its parts; the empty one is the directory.
pub trait Files {
    /// One that is open.
    type File;

    /// A name as people know it.
    fn show(&self, name: &str) -> String;
    /// Makes a directory, and those that it is in, where there is none.
    fn make_dir(&self, dir: &str) -> Result<()>;
    /// Has the directory for itself as long as the caller holds what this returns.
    fn lock(&self, dir: &str) -> Result<Option<Self::File>>;
    /// What is directly in a directory, in any order.
    fn names(&self, dir: &str) -> Result<Vec<String>>;
    /// Opens a file for reading and writing, and makes it where there is none.
    fn open(&self, name: &str) -> Result<Self::File>;
    /// Opens a file that is there, for reading.
    fn find(&self, name: &str) -> Result<Self::File>;
    /// Its bytes.
    fn len(&self, file: &Self::File) -> Result<u64>;
    /// What it is like; None where it changed so shortly ago that it may change again and look the same.
    fn stamp(&self, file: &Self::File) -> Result<(Stamp, bool)>;
    /// Reads once, at most what `out` has room for; 0 at the end.
    fn read(&self, file: &Self::File, out: &mut [u8], at: u64) -> Result<usize>;
    /// Writes all of `bytes` at `at`.
    fn write(&self, file: &Self::File, bytes: &[u8], at: u64) -> Result<()>;
    /// Returns when the file's bytes and length outlive the process and the machine's next start, as far as
    /// anything does.
    fn sync(&self, file: &Self::File) -> Result<()>;
    /// Leaves the first `len` bytes.
    fn truncate(&self, file: &Self::File, len: u64) -> Result<()>;
    /// Returns when the directory's names are as durable.
    fn sync_dir(&self, dir: &str) -> Result<()>;
    /// Gives a file its name, instead of what had it.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// As [`Files::rename`] for a directory where none has the name. What is in it may come one by one.
    fn rename_dir(&self, from: &str, to: &str) -> Result<()>;
    /// Takes a file away, where there is one.
    fn remove(&self, name: &str) -> Result<()>;
    /// Takes a directory away with all that is in it, where there is one.
    fn remove_dir(&self, dir: &str) -> Result<()>;
    /// The next read asks what is below, not what the machine remembers.
    fn forget(&self, file: &Self::File);

    /// Reads a file whole, if it has at most `max` bytes.
    fn load(&self, name: &str, max: u64) -> Result<Vec<u8>> {
        let file = self.find(name)?;
        let len = self.len(&file)?;
        if len > max {
            return Err(Fault::new(alloc::format!("{len} bytes; at most {max} are read")));
        }
        let mut out = alloc::vec![0; usize::try_from(len).unwrap_or(0)];
        let n = self.fill(&file, &mut out, 0)?;
        out.truncate(n);
        Ok(out)
    }

    /// Reads until `out` is full or the file ends.
    fn fill(&self, file: &Self::File, out: &mut [u8], at: u64) -> Result<usize> {
        let mut n = 0;
        while n < out.len() {
            match self.read(file, &mut out[n..], at + n as u64)? {
                0 => break,
                more => n += more,
            }
        }
        Ok(n)
    }
}
