//! What the store does to a file system: few operations, so that a test can fail each of them.

use rustix::fs::{Advice, fadvise};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Changes of a file system.
pub trait Disk {
    /// Opens a file for reading and writing, and makes it where there is none.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `at`.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Returns when the file's bytes and length are on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&self, file: &File, len: u64) -> io::Result<()>;
    /// Returns when the directory's names are on the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file its name, instead of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The file system itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl Disk for Real {
    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Lets the machine forget what it holds of a file's clean pages: the next read asks the disk.
pub(super) fn forget_pages(file: &File) {
    // Advice: where it is not followed, the read sees what the kernel has.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}
