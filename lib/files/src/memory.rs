//! Files in memory that outlives the process: words that a later life of it finds as this one left them,
//! whatever it was doing when it ended. Bounded: what finds no room is refused, counted, and changes nothing.
//!
//! ```text
//! header   MAGIC, blocks
//! entries  one a name: seq (0: free), id, length, bytes of the name, the name
//! owners   one a block: the id of its file and its number in the file (0: free)
//! blocks   1 KiB each
//! ```
//!
//! Every change comes to be by one store: of an entry's seq, or of a length. What was not stored then is found
//! and given back at the next start. Of two entries of one file, or of one name, the newer one counts.

mod disk;
#[cfg(test)]
mod tests;

use crate::{Fault, Files, Kind, Result, Stamp};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::AtomicU64;
use disk::{Disk, Id};

/// Memory with files in it, seen from one of its directories.
#[derive(Debug, Clone)]
pub struct Memory {
    disk: Rc<RefCell<Disk>>,
    /// Its name, with a `/` behind it; empty for all of it.
    dir: String,
}

/// A file that is open. It stays one when its name goes; its bytes do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File(Id);

fn gone() -> Fault {
    Fault { kind: Kind::NotFound, said: "no such file".into() }
}

impl Memory {
    /// What earlier lives have left there; nothing in words that are all zero.
    pub fn open(words: &'static [AtomicU64]) -> Result<Memory> {
        Ok(Memory { disk: Rc::new(RefCell::new(Disk::open(words)?)), dir: String::new() })
    }

    /// What is below a directory in it.
    #[must_use]
    pub fn below(&self, dir: &str) -> Memory {
        Memory { disk: Rc::clone(&self.disk), dir: self.full(dir) + "/" }
    }

    /// The same: nobody else has this memory.
    #[must_use]
    pub fn private(self) -> Memory {
        self
    }

    /// Bytes that are free, in whole blocks.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.disk.borrow().free()
    }

    /// How often something found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.disk.borrow().refused()
    }

    fn full(&self, name: &str) -> String {
        match name {
            "" => self.dir.strip_suffix('/').unwrap_or_default().into(),
            name => format!("{}{name}", self.dir),
        }
    }

    /// What the names of everything below `dir` begin with.
    fn prefix(&self, dir: &str) -> String {
        match self.full(dir) {
            all if all.is_empty() => all,
            dir => dir + "/",
        }
    }
}

impl Files for Memory {
    type File = File;

    fn show(&self, name: &str) -> String {
        format!("memory/{}", self.full(name))
    }

    /// A directory is there as long as something is in it.
    fn make_dir(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn lock(&self, _: &str) -> Result<Option<File>> {
        Ok(None)
    }

    fn names(&self, dir: &str) -> Result<Vec<String>> {
        let disk = self.disk.borrow();
        if disk.find(&self.full(dir)).is_some() {
            return Err(Fault::new("not a directory"));
        }
        let mut names: Vec<String> = Vec::new();
        for rest in disk.below(&self.prefix(dir)) {
            let name = rest.split('/').next().unwrap_or_default();
            // They come sorted: what is in one directory comes together, but for names that go on after it.
            if names.last().is_none_or(|last| last != name) {
                names.push(name.into());
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<File> {
        let name = self.full(name);
        let mut disk = self.disk.borrow_mut();
        match disk.find(&name) {
            Some(id) => Ok(File(id)),
            None => disk.make(&name).map(File),
        }
    }

    fn find(&self, name: &str) -> Result<File> {
        self.disk.borrow().find(&self.full(name)).map(File).ok_or_else(gone)
    }

    fn len(&self, file: &File) -> Result<u64> {
        self.disk.borrow().len(file.0).ok_or_else(gone)
    }

    fn stamp(&self, file: &File) -> Result<(Stamp, bool)> {
        let disk = self.disk.borrow();
        let (version, len) = disk.version(file.0).zip(disk.len(file.0)).ok_or_else(gone)?;
        Ok((Stamp([file.0, version, len, 0, 0, 0]), true))
    }

    fn read(&self, file: &File, out: &mut [u8], at: u64) -> Result<usize> {
        self.disk.borrow().read(file.0, out, at).ok_or_else(gone)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> Result<()> {
        self.disk.borrow_mut().write(file.0, bytes, at)
    }

    /// What is written is there.
    fn sync(&self, _: &File) -> Result<()> {
        Ok(())
    }

    fn truncate(&self, file: &File, len: u64) -> Result<()> {
        self.disk.borrow_mut().truncate(file.0, len)
    }

    fn sync_dir(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.full(from), self.full(to));
        self.disk.borrow_mut().rename(&from, &to)
    }

    fn rename_dir(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.prefix(from), self.prefix(to));
        let mut disk = self.disk.borrow_mut();
        let names: Vec<String> = disk.below(&from).map(String::from).collect();
        if names.is_empty() {
            return Err(gone());
        }
        names.iter().try_for_each(|name| disk.rename(&format!("{from}{name}"), &format!("{to}{name}")))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let name = self.full(name);
        self.disk.borrow_mut().remove(&name);
        Ok(())
    }

    fn remove_dir(&self, dir: &str) -> Result<()> {
        let prefix = self.prefix(dir);
        let mut disk = self.disk.borrow_mut();
        let names: Vec<String> = disk.below(&prefix).map(|rest| format!("{prefix}{rest}")).collect();
        names.iter().for_each(|name| disk.remove(name));
        Ok(())
    }

    fn forget(&self, _: &File) {}
}
