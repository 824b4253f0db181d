//! What a hive that was killed has left behind, and what one that ends takes with it.

use crate::mounts;
use crate::place;
use crate::trouble::{Trouble, at};
use chan::unix;
use cohcmd::Life;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A server whose init was killed ends by itself, but not in no time.
const LINGER: Duration = Duration::from_secs(2);

/// Clears a run directory whose lock is ours: sockets, the processes behind them, the mount.
pub(crate) fn clear(run: &Path) {
    let srv = run.join("srv");
    let mut sockets: Vec<PathBuf> =
        fs::read_dir(&srv).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    sockets.extend([run.join("door"), run.join("console")]);
    sockets.iter().for_each(|socket| evict(socket));
    if let Ok(dir) = fs::read_to_string(run.join("mount")) {
        mounts::clear(Path::new(dir.trim_end_matches('\n')));
    }
    let _ = fs::remove_file(run.join("mount"));
    let _ = fs::remove_file(run.join("door"));
    let _ = fs::remove_file(run.join("console"));
    let _ = fs::remove_dir_all(&srv);
}

/// Waits until nobody answers at `socket`; ends who still does.
fn evict(socket: &Path) {
    let start = Instant::now();
    while let Ok(stream) = unix::connect(socket) {
        let Ok((pid, _)) = unix::peer(&stream) else { return };
        if pid == std::process::id() as i32 {
            return;
        }
        if start.elapsed() > LINGER {
            crate::program::signal(pid, Signal::KILL);
        }
        if start.elapsed() > 2 * LINGER {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes the mount point, and notes it for who has to clear up after us. Says whether it is new. What is
/// mounted there and answers is somebody's.
pub(crate) fn mount_point(run: &Path, dir: &Path) -> Result<bool, Trouble> {
    if let Some(life) = mounts::life(dir) {
        let dir = dir.display();
        let what = match life {
            Life::Gone => "",
            Life::Silent => "a hive is mounted there whose process stands still",
            Life::Answers => "something is mounted there",
        };
        if !what.is_empty() {
            return Err(Trouble(format!("{dir}: {what}; coh umount {dir} ends it")));
        }
    }
    mounts::clear(dir);
    let is_new = !dir.exists();
    place::make(dir)?;
    let note = run.join("mount");
    fs::write(&note, format!("{}\n", dir.display())).map_err(at(&note))?;
    Ok(is_new)
}

/// Removes what was written into the run directory, and directories that are empty then. The log of
/// a detached hive stays, unless nothing is in it.
pub(crate) fn remove(run: &Path, written: &[String]) {
    for name in written {
        let path = run.join(name);
        let _ = fs::remove_file(&path);
        if let Some(parent) = path.parent().filter(|parent| *parent != run) {
            let _ = fs::remove_dir(parent);
        }
    }
    let log = run.join("coh.log");
    if fs::metadata(&log).is_ok_and(|meta| meta.len() == 0) {
        let _ = fs::remove_file(&log);
    }
}
