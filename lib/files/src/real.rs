//! Files of a file system, below one of its directories.

use crate::{Fault, Files, Result, Stamp};
use rustix::fs::{Advice, FlockOperation, fadvise, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::string::String;
use std::time::{SystemTime, UNIX_EPOCH};
use std::vec::Vec;

/// A file changed so shortly before it was looked at may change again without a new time: the clock of file
/// systems is coarse.
const COARSE_NS: i128 = 50_000_000;

/// The file system below a directory.
#[derive(Debug, Clone)]
pub struct Real {
    dir: PathBuf,
    is_private: bool,
}

impl Real {
    /// What is below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Real {
        Real { dir: dir.into(), is_private: false }
    }

    /// What is below a directory in it.
    #[must_use]
    pub fn below(&self, dir: &str) -> Real {
        Real { dir: self.path(dir), ..*self }
    }

    /// The same, and nobody but this user reads what is made.
    #[must_use]
    pub fn private(self) -> Real {
        Real { is_private: true, ..self }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }
}

fn is_gone(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Files for Real {
    type File = File;

    fn show(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn make_dir(&self, dir: &str) -> Result<()> {
        let mode = if self.is_private { 0o700 } else { 0o777 };
        Ok(DirBuilder::new().recursive(true).mode(mode).create(self.path(dir))?)
    }

    fn lock(&self, dir: &str) -> Result<Option<File>> {
        let file = File::open(self.path(dir))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Fault::new("another hive has these files open")),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn names(&self, dir: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(dir))? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<File> {
        let mode = if self.is_private { 0o600 } else { 0o666 };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(mode);
        Ok(options.open(self.path(name))?)
    }

    fn find(&self, name: &str) -> Result<File> {
        Ok(File::open(self.path(name))?)
    }

    fn len(&self, file: &File) -> Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn stamp(&self, file: &File) -> Result<(Stamp, bool)> {
        let meta = file.metadata()?;
        let (m, m_ns, c, c_ns) = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        let changed = i128::from(c) * 1_000_000_000 + i128::from(c_ns);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128);
        let times = [m, m_ns, c, c_ns].map(|time| time as u64);
        let [m, m_ns, c, c_ns] = times;
        Ok((Stamp([meta.ino(), meta.size(), m, m_ns, c, c_ns]), now - changed > COARSE_NS))
    }

    fn read(&self, file: &File, out: &mut [u8], at: u64) -> Result<usize> {
        loop {
            match file.read_at(out, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?),
            }
        }
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> Result<()> {
        Ok(file.write_all_at(bytes, at)?)
    }

    fn sync(&self, file: &File) -> Result<()> {
        Ok(file.sync_data()?)
    }

    fn truncate(&self, file: &File, len: u64) -> Result<()> {
        Ok(file.set_len(len)?)
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        Ok(sync_dir(&self.path(dir))?)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        Ok(fs::rename(self.path(from), self.path(to))?)
    }

    fn rename_dir(&self, from: &str, to: &str) -> Result<()> {
        self.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        is_gone(fs::remove_file(self.path(name)))
    }

    fn remove_dir(&self, dir: &str) -> Result<()> {
        is_gone(fs::remove_dir_all(self.path(dir)))
    }

    fn forget(&self, file: &File) {
        // Advice: where it is not followed, the read sees what the kernel has.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
}
