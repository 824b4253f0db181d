//! Mount points: made ready, waited for, cleared of what a killed mount has left, taken away.

use rustix::mount::{UnmountFlags, unmount as sys_unmount};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// errno of a mount whose process is gone.
const ENOTCONN: i32 = 107;

/// A directory to mount on, as an absolute path; a stale mount there is cleared first.
pub(crate) fn prepare(dir: &Path) -> Result<PathBuf, String> {
    let said = |error: std::io::Error| format!("{}: {error}", dir.display());
    match fs::metadata(dir) {
        Err(error) if error.raw_os_error() == Some(ENOTCONN) => {
            eprintln!("coh-mount: {}: clearing a mount whose process is gone", dir.display());
            unmount(dir)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(dir).map_err(said)?,
        Err(error) => return Err(said(error)),
        Ok(found) if !found.is_dir() => return Err(format!("{}: not a directory", dir.display())),
        Ok(_) => {}
    }
    let dir = fs::canonicalize(dir).map_err(said)?;
    if is_mounted(&dir) {
        return Err(format!("{0}: something is mounted there; coh umount {0} ends it", dir.display()));
    }
    Ok(dir)
}

/// Does another file system begin at this directory?
fn is_mounted(dir: &Path) -> bool {
    let parent = dir.parent().unwrap_or(dir);
    match (fs::metadata(dir), fs::metadata(parent)) {
        (Ok(here), Ok(above)) => here.dev() != above.dev(),
        _ => false,
    }
}

/// Waits until the kernel has the mount.
pub(crate) fn wait(dir: &Path) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(5);
    while !is_mounted(dir) {
        if Instant::now() > until {
            return Err(format!("{}: the mount does not appear", dir.display()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Takes a mount away, even one in use: those who use it get errors, nobody hangs.
pub(crate) fn unmount(dir: &Path) -> Result<(), String> {
    if sys_unmount(dir, UnmountFlags::DETACH).is_ok() {
        return Ok(());
    }
    let by_helper = Command::new("fusermount3")
        .args(["-u", "-z"])
        .arg(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match by_helper {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => {
            Err(format!("{}: fusermount3 does not unmount it; fuser -m shows who uses it", dir.display()))
        }
        Err(error) => Err(format!("{}: fusermount3: {error}; install the package fuse3", dir.display())),
    }
}
