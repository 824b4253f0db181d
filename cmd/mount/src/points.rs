//! Mount points: made ready, waited for, cleared of what a killed mount has left.

use cohcmd::{Life, life, mount_path, mounted_at, unmount};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory to mount on, as an absolute path; a stale mount there is cleared first.
pub(crate) fn prepare(dir: &Path) -> Result<PathBuf, String> {
    let said = |error: std::io::Error| format!("{}: {error}", dir.display());
    let path = mount_path(dir).or_else(|error| match error.kind() {
        ErrorKind::NotFound => fs::create_dir_all(dir).and_then(|()| mount_path(dir)),
        _ => Err(error),
    });
    let path = path.map_err(said)?;
    if let Some(point) = mounted_at(&path)? {
        match if point.is_hive { life(&path) } else { Life::Answers } {
            Life::Gone => {
                eprintln!("coh-mount: {}: clearing a mount whose process is gone", dir.display());
                unmount(&path).map_err(|why| format!("{}: {why}", dir.display()))?;
            }
            Life::Silent => {
                let dir = dir.display();
                return Err(format!(
                    "{dir}: a hive is mounted there whose process stands still; coh umount {dir} ends it"
                ));
            }
            Life::Answers => {
                return Err(format!(
                    "{0}: something is mounted there; coh umount {0} ends it",
                    dir.display()
                ));
            }
        }
    }
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(format!("{}: not a directory", dir.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(&path).map(|()| path).map_err(said)
        }
        Err(error) => Err(said(error)),
    }
}

/// Waits until the kernel has the mount.
pub(crate) fn wait(dir: &Path) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(5);
    while !mounted_at(dir)?.is_some_and(|point| point.is_hive) {
        if Instant::now() > until {
            return Err(format!("{}: the mount does not appear", dir.display()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
