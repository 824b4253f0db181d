//! Where a mount says what it cannot say to a program: standard error, or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// Bytes of the file; then it begins anew.
const FILE_MAX: u64 = 64 << 10;
/// O_NOFOLLOW of fcntl.h.
const O_NOFOLLOW: i32 = 0o400_000;

/// Where notes go.
pub(crate) enum Notes {
    /// In the foreground.
    Stderr,
    /// In the background: the first that can be written, made with its first note.
    Files([PathBuf; 2]),
}

impl Notes {
    pub(crate) fn take(&self, what: &str) {
        let wrote = match self {
            Notes::Stderr => writeln!(io::stderr(), "coh-mount: {what}"),
            Notes::Files([one, other]) => {
                open(one).or_else(|_| open(other)).and_then(|mut file| writeln!(file, "{} {what}", now()))
            }
        };
        // There is nowhere to say that a note cannot be taken.
        drop(wrote);
    }
}

/// The file, which is ours and no link to somewhere else.
fn open(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).custom_flags(O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if found.uid() != rustix::process::geteuid().as_raw() || !found.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if found.len() > FILE_MAX {
        file.set_len(0)?;
    }
    Ok(file)
}

/// The time, as the hive's log has it.
pub(crate) fn now() -> String {
    stamp::utc(cohcmd::now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_file_is_bounded_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mount.log");
        let nowhere = dir.path().join("none/mount.log");
        let notes = Notes::Files([nowhere.clone(), path.clone()]);
        notes.take("one");
        notes.take("two");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(" one\n") && text.ends_with(" two\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, vec![b'x'; FILE_MAX as usize + 1]).unwrap();
        notes.take("three");
        assert!(fs::read_to_string(&path).unwrap().len() < 100);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        Notes::Files([nowhere, link]).take("four");
        assert!(!fs::read_to_string(&path).unwrap().contains("four"));
    }
}
