//! `RUN/lock`: one hive per run directory, and who that is. The kernel drops the lock with its
//! process, so a lock that can be had is never stale.

use crate::trouble::{Trouble, at};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Held as long as the hive lives; dropping it takes the file away.
pub(crate) struct Lock {
    _file: File,
    path: PathBuf,
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The hive's init.
    pub(crate) pid: i32,
    /// Since when, milliseconds since the Unix epoch.
    pub(crate) since_ms: u64,
}

/// Whether a lock was to be had.
pub(crate) enum Outcome {
    /// It was.
    Had(Lock),
    /// Somebody has it; None where they have not said who they are yet.
    Held(Option<Holder>),
}

/// Takes the lock of a run directory for this process, without waiting.
pub(crate) fn take(run: &Path, wall_ms: u64) -> Result<Outcome, Trouble> {
    let path = run.join("lock");
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Outcome::Held(read(&mut file))),
            Err(error) => return Err(at(&path)(error)),
        }
        // Its last holder may have taken the file away since it was opened here.
        let opened = file.metadata().map_err(at(&path))?;
        if fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (opened.dev(), opened.ino())) {
            file.set_len(0).map_err(at(&path))?;
            file.write_all(format!("{} {wall_ms}\n", std::process::id()).as_bytes()).map_err(at(&path))?;
            return Ok(Outcome::Had(Lock { _file: file, path }));
        }
    }
}

/// The live holder of a run directory's lock; None where there is none.
pub(crate) fn holder(run: &Path) -> Option<Option<Holder>> {
    let mut file = File::open(run.join("lock")).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Some(read(&mut file)),
        _ => None,
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (pid, since) = text.trim_end().split_once(' ')?;
    Some(Holder { pid: pid.parse().ok()?, since_ms: since.parse().ok()? })
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock itself goes with the descriptor: nobody can have made a new one yet.
        let _ = fs::remove_file(&self.path);
    }
}

impl Holder {
    /// The sentence for somebody who wants the same directory.
    pub(crate) fn refusal(holder: Option<Holder>, run: &Path) -> Trouble {
        let run = run.display();
        let who = match holder {
            Some(Holder { pid, since_ms }) => format!("pid {pid} (coh up, since {} UTC)", clock(since_ms)),
            None => "a hive that is just starting".into(),
        };
        Trouble(format!("{run}: already in use by {who}; stop it with: coh down --run {run}"))
    }
}

/// Hours and minutes of the day.
fn clock(ms: u64) -> String {
    let minutes = ms / 60_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let Outcome::Had(lock) = take(dir.path(), 1_732_190_640_000).unwrap() else { panic!("held") };
        let me = Holder { pid: std::process::id() as i32, since_ms: 1_732_190_640_000 };
        assert_eq!(holder(dir.path()), Some(Some(me)));
        let Outcome::Held(other) = take(dir.path(), 0).unwrap() else { panic!("had twice") };
        assert_eq!(other, Some(me));
        let sentence = Holder::refusal(other, Path::new("/run/coh")).0;
        let pid = me.pid;
        assert_eq!(
            sentence,
            format!(
                "/run/coh: already in use by pid {pid} (coh up, since 12:04 UTC); stop it with: coh down --run /run/coh"
            )
        );
        drop(lock);
        assert!(!dir.path().join("lock").exists());
        assert!(matches!(take(dir.path(), 0).unwrap(), Outcome::Had(_)));
    }

    #[test]
    fn a_file_without_a_holder_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lock"), "1 1\n").unwrap();
        assert_eq!(holder(dir.path()), None);
        assert!(matches!(take(dir.path(), 0).unwrap(), Outcome::Had(_)));
    }
}
