//! The hive over a mount: plain file operations, no ticket.

use crate::hive::{Access, Entry, Stat};
use crate::trouble::Trouble;
use ninep::refusal::Word;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// EHOSTDOWN of a mount.
const DOOR_AWAY: &str = "the hive's door is away; look with: coh status";

pub(crate) struct Mount {
    dir: PathBuf,
}

impl Mount {
    pub(crate) fn new(dir: PathBuf) -> Result<Self, Trouble> {
        match fs::metadata(&dir) {
            Ok(meta) if meta.is_dir() => Ok(Mount { dir }),
            Ok(_) => Err(Trouble::failed(format!("{}: not a directory, so no mount", dir.display()))),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::HOSTDOWN.raw_os_error()) => {
                Err(Trouble::failed(format!("{}: {DOOR_AWAY}", dir.display())))
            }
            Err(e) => {
                let dir = dir.display();
                let why = plain(&e);
                Err(Trouble::failed(format!("{dir}: {why}; mount a hive there with: coh-mount {dir}")))
            }
        }
    }

    pub(crate) fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn real(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }

    pub(crate) fn stat(&self, path: &str) -> Result<Stat, Trouble> {
        let meta = fs::symlink_metadata(self.real(path)).map_err(|e| self.trouble(path, &e))?;
        let size = if meta.is_dir() { 0 } else { meta.len() };
        let (kind, qid_path) = self.qid(path).unzip();
        Ok(Stat { mode: meta.mode(), size, qid_path: qid_path.unwrap_or(meta.ino()), qid_kind: kind })
    }

    /// The qid's type and path, which coh-mount tells as an attribute; other mounts of 9P do not.
    fn qid(&self, path: &str) -> Option<(u8, u64)> {
        let mut text = [0; 64];
        let n = rustix::fs::lgetxattr(self.real(path), "user.9p.qid", &mut text).ok()?;
        let mut words = std::str::from_utf8(&text[..n]).ok()?.split(' ');
        let kind = u8::from_str_radix(words.next()?, 16).ok()?;
        let path = u64::from_str_radix(words.nth(1)?, 16).ok()?;
        Some((kind, path))
    }

    pub(crate) fn list(&self, path: &str) -> Result<Vec<Entry>, Trouble> {
        let read = || -> io::Result<Vec<Entry>> {
            fs::read_dir(self.real(path))?
                .map(|entry| {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    Ok(Entry { name, is_dir: entry.file_type()?.is_dir() })
                })
                .collect()
        };
        read().map_err(|e| self.trouble(path, &e))
    }

    pub(crate) fn open(&self, path: &str, access: Access) -> Result<fs::File, Trouble> {
        let file = OpenOptions::new()
            .read(access != Access::Write)
            .write(access != Access::Read)
            .open(self.real(path))
            .map_err(|e| self.trouble(path, &e))?;
        if access == Access::Read && file.metadata().is_ok_and(|meta| meta.is_dir()) {
            return Err(is_a_directory(path));
        }
        Ok(file)
    }

    pub(crate) fn read(
        &self,
        path: &str,
        file: &mut fs::File,
        offset: u64,
        max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        buf.resize(max, 0);
        match retry(|| file.read_at(buf, offset)) {
            Ok(n) => {
                buf.truncate(n);
                Ok(())
            }
            // A file system may call its files streams; then they are read in order.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SPIPE.raw_os_error()) => {
                let n = retry(|| file.read(buf)).map_err(|e| self.trouble(path, &e))?;
                buf.truncate(n);
                Ok(())
            }
            Err(e) => {
                buf.clear();
                Err(self.trouble(path, &e))
            }
        }
    }

    pub(crate) fn write(
        &self,
        path: &str,
        file: &mut fs::File,
        offset: u64,
        data: &[u8],
    ) -> Result<(), Trouble> {
        // Append-only files of the hive append wherever the write says it is, from 0 on.
        let n = match retry(|| file.write_at(data, offset)) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SPIPE.raw_os_error()) => {
                retry(|| io::Write::write(file, data))
            }
            written => written,
        };
        match n.map_err(|e| self.trouble(path, &e))? {
            n if n == data.len() => Ok(()),
            n => Err(Trouble::failed(format!("{path}: only {n} of {} bytes were taken", data.len()))),
        }
    }

    pub(crate) fn sync(&self, path: &str, file: &fs::File) -> Result<(), Trouble> {
        file.sync_data().map_err(|e| self.trouble(path, &e))
    }

    pub(crate) fn size(&self, path: &str, file: &fs::File) -> Result<u64, Trouble> {
        file.metadata().map(|meta| meta.len()).map_err(|e| self.trouble(path, &e))
    }

    /// What the hive says of itself.
    pub(crate) fn version(&self) -> Option<String> {
        fs::read_to_string(self.real("/proc/version")).ok()
    }

    /// The session's last refusal; the mount's processes share it.
    pub(crate) fn errstr(&self) -> Option<String> {
        fs::read_to_string(self.real("/proc/9p/self/errstr")).ok()
    }

    fn trouble(&self, path: &str, e: &io::Error) -> Trouble {
        use rustix::io::Errno;
        let errno = e.raw_os_error().unwrap_or(0);
        match Errno::from_raw_os_error(errno) {
            Errno::ISDIR => return is_a_directory(path),
            Errno::NOTDIR => return not_a_directory(path),
            Errno::ROFS => return Trouble::refused(path, Word::Permission, "the mount is read-only"),
            Errno::NAMETOOLONG => return Trouble::refused(path, Word::Invalid, "the name is too long"),
            Errno::NOTCONN | Errno::CONNABORTED => {
                let dir = self.dir.display();
                return Trouble::failed(format!(
                    "{path}: the mount at {dir} has lost its program; run: coh-umount {dir} && coh-mount {dir}"
                ));
            }
            Errno::TIMEDOUT => {
                return Trouble::failed(format!(
                    "{path}: its server does not answer; which it is: the hive's log or coh-mount's notes"
                ));
            }
            Errno::HOSTDOWN => {
                return Trouble::failed(format!("{path}: {DOOR_AWAY}"));
            }
            _ => {}
        }
        match u32::try_from(errno).ok().and_then(Word::from_errno) {
            Some(word) => Trouble::refused(path, word, ""),
            None => Trouble::failed(format!("{path}: {}", plain(e))),
        }
    }
}

pub(crate) fn is_a_directory(path: &str) -> Trouble {
    Trouble::refused(path, Word::Invalid, format!("a directory; list it with: cohls {path}"))
}

pub(crate) fn not_a_directory(path: &str) -> Trouble {
    Trouble::refused(path, Word::NotFound, "there is a file on the way, not a directory")
}

/// An error without the number that Rust adds.
fn plain(e: &io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Runs a system call again when a signal has cut it short.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
