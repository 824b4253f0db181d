//! coh-umount: takes a mounted hive away, also one whose process is gone.
#![forbid(unsafe_code)]

use clap::Parser;
use rustix::mount::{UnmountFlags, unmount};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Unmount a hive
#[derive(Parser)]
#[command(name = "coh-umount", version)]
struct Args {
    /// Where it is mounted
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let args: Args = match cohcmd::arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let mut status = ExitCode::SUCCESS;
    for dir in &args.dirs {
        if let Err(what) = end(dir) {
            eprintln!("coh-umount: {}: {what}", dir.display());
            status = ExitCode::FAILURE;
        }
    }
    status
}

fn end(dir: &Path) -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")
        .map_err(|error| format!("/proc/self/mounts: {error}"))?;
    // A stale mount cannot be resolved: its name, made absolute, is what the kernel has.
    let path = std::fs::canonicalize(dir)
        .or_else(|_| std::path::absolute(dir))
        .map_err(|error| error.to_string())?;
    match kind(&mounts, &path) {
        None => return Err("nothing is mounted there".into()),
        Some("fuse.coh" | "coh") => {}
        Some(other) => return Err(format!("a {other} is mounted there, not a hive; umount(8) ends it")),
    }
    if unmount(&path, UnmountFlags::DETACH).is_ok() {
        return Ok(());
    }
    let helper = Command::new("fusermount3").args(["-u", "-z"]).arg(&path).stdin(Stdio::null()).status();
    match helper {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("fusermount3 does not unmount it; only who mounted it, or root, can".into()),
        Err(error) => Err(format!("fusermount3: {error}; install the package fuse3")),
    }
}

/// The type of what is mounted at `path`; `coh` for a hive that root has mounted, whose type is `fuse` and
/// whose source is `coh`. The kernel writes a space of a name as `\040`.
fn kind<'m>(mounts: &'m str, path: &Path) -> Option<&'m str> {
    let escaped = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (source, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
            Some((at, if kind == "fuse" && source == "coh" { "coh" } else { kind }))
        })
        .rfind(|(at, _)| *at == escaped)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_at_a_place_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ncoh /tmp/n fuse.coh rw 0 0\nx /tmp/a\\040b fuse.coh rw 0 0\n";
        assert_eq!(kind(mounts, Path::new("/tmp/n")), Some("fuse.coh"));
        assert_eq!(kind(mounts, Path::new("/tmp/a b")), Some("fuse.coh"));
        assert_eq!(kind(mounts, Path::new("/")), Some("ext4"));
        assert_eq!(kind(mounts, Path::new("/tmp")), None);
        // As root mounts it, and a stranger's.
        assert_eq!(kind("coh /n fuse rw 0 0\n", Path::new("/n")), Some("coh"));
        assert_eq!(kind("sshfs /n fuse rw 0 0\n", Path::new("/n")), Some("fuse"));
    }
}
