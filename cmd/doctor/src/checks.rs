//! What is looked at, one short function each.

use crate::Finding;
use crate::Finding::{Absent, Bad, Good};
use cohcmd::Life;
use ninep::dial::{Addr, Conn, Credentials};
use rustix::fs::{Access, access};
use std::env;
use std::path::{Path, PathBuf};

type Check = fn() -> Finding;

/// The checks, in the order in which they matter.
pub(crate) const ALL: &[(&str, Check)] = &[
    ("programs", programs),
    ("fuse", fuse),
    ("fusermount", fusermount),
    ("run", run_dir),
    ("data", data_dir),
    ("hive", hive),
    ("mounts", mounts),
    ("rc", rc),
    ("man", man),
    ("files", files),
    ("cargo", cargo),
    ("qemu", qemu),
];

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/lib/plan9/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

/// The hive's programs lie in one directory.
fn programs() -> Finding {
    let here = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    let wanted = ["coh", "ninedoor", "procfs", "logfs", "queenfs", "workerfs", "worker-heart", "coh-mount"];
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !here.join(name).is_file()).collect();
    if missing.is_empty() {
        Good(format!("all of them in {}", here.display()))
    } else {
        Bad(
            format!("not in {}: {}", here.display(), missing.join(" ")),
            "cargo build --release --workspace --bins".into(),
        )
    }
}

fn fuse() -> Finding {
    let device = Path::new("/dev/fuse");
    if !device.exists() {
        return Bad("/dev/fuse is not there: no mounts".into(), "sudo modprobe fuse".into());
    }
    match access(device, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Good("/dev/fuse".into()),
        Err(error) => Bad(format!("/dev/fuse: {error}"), "sudo chmod 666 /dev/fuse".into()),
    }
}

fn fusermount() -> Finding {
    match on_path("fusermount3") {
        Some(path) => Good(path.display().to_string()),
        None if rustix::process::geteuid().is_root() => {
            Absent("no fusermount3; root mounts without it".into(), "apt-get install fuse3".into())
        }
        None => Bad("no fusermount3: only root can mount".into(), "sudo apt-get install fuse3".into()),
    }
}

/// Whether `dir`, or the nearest directory above it that exists, can be written.
fn writable(dir: &Path) -> Result<PathBuf, String> {
    let there = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    access(there, Access::WRITE_OK).map_err(|error| format!("{}: {error}", there.display()))?;
    Ok(dir.to_owned())
}

fn run_dir() -> Finding {
    match writable(&cohcmd::run_dir()) {
        Ok(dir) => Good(dir.display().to_string()),
        Err(what) => Bad(what, "export COH_RUN=$HOME/.coh/run".into()),
    }
}

fn data_dir() -> Finding {
    match cohcmd::data_dir().map(|dir| writable(&dir)) {
        Some(Ok(dir)) => Good(dir.display().to_string()),
        Some(Err(what)) => Bad(what, "export COH_DATA=DIR, a directory that you can write".into()),
        None => Bad("no place for data: HOME is not set".into(), "export COH_DATA=DIR".into()),
    }
}

fn hive() -> Finding {
    let door = cohcmd::run_dir().join("door");
    if !door.exists() {
        return Absent(format!("none at {}", door.display()), "coh up -d".into());
    }
    match Conn::dial(&Addr::Unix(door.clone()), &Credentials::default()) {
        Ok(mut conn) => match conn.read_all("/proc/version") {
            Ok(version) => Good(String::from_utf8_lossy(&version).trim().chars().take(60).collect()),
            Err(error) => Bad(format!("{}: /proc/version: {error}", door.display()), "coh status".into()),
        },
        Err(error) => {
            Bad(format!("{}: {error}", door.display()), "coh up -d, which clears what is stale".into())
        }
    }
}

/// Mounted hives whose process is gone, or stands still.
fn mounts() -> Finding {
    let points = match cohcmd::mount_points() {
        Ok(points) => points,
        Err(why) => return Bad(why, "mount -t proc proc /proc".into()),
    };
    let ours: Vec<String> =
        points.iter().filter(|point| point.is_hive).map(|point| point.at.display().to_string()).collect();
    for at in &ours {
        let what = match cohcmd::life(Path::new(at)) {
            Life::Answers => continue,
            Life::Gone => "its process is gone",
            Life::Silent => "its process stands still",
        };
        return Bad(format!("{at}: {what}"), format!("coh umount {at}"));
    }
    Good(if ours.is_empty() { "none".into() } else { ours.join(" ") })
}

fn rc() -> Finding {
    match on_path("rc") {
        Some(path) => Good(path.display().to_string()),
        None => Absent("no rc: the scripts under rc/ do not run".into(), "sudo apt-get install 9base".into()),
    }
}

fn man() -> Finding {
    match on_path("mandoc").or_else(|| on_path("man")) {
        Some(path) => Good(path.display().to_string()),
        None => {
            Absent("no man: the pages under man/ are not shown".into(), "sudo apt-get install mandoc".into())
        }
    }
}

fn cargo() -> Finding {
    match on_path("cargo") {
        Some(path) => Good(format!("{}: builds the hive and runs its tests", path.display())),
        None => Absent(
            "no cargo: it builds the hive from its source and runs the tests; a hive that is built needs none"
                .into(),
            "sudo apt-get install rustc-web cargo-web".into(),
        ),
    }
}

/// One for each machine that something is tried on.
fn qemu() -> Finding {
    let wanted = [
        ("qemu-system-aarch64", "the seL4 image", "qemu-system-arm"),
        ("qemu-system-x86_64", "tests/v9fs, a Linux kernel as a client", "qemu-system-x86"),
    ];
    let (there, missing): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(program, ..)| on_path(program).is_some());
    if missing.is_empty() {
        let names: Vec<&str> = there.iter().map(|(program, ..)| *program).collect();
        return Good(names.join(" "));
    }
    let what: Vec<String> =
        missing.iter().map(|(program, runs, _)| format!("{program}, which runs {runs}")).collect();
    let packages: Vec<&str> = missing.iter().map(|(.., package)| *package).collect();
    Absent(format!("no {}", what.join("; no ")), format!("sudo apt-get install {}", packages.join(" ")))
}

/// A thousand sessions need a thousand descriptors.
fn files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(n) if n < 4096 => Absent(
            format!("{n} open files a process: fewer sessions than the manifest allows"),
            "ulimit -n 65536".into(),
        ),
        Some(n) => Good(format!("{n} open files a process")),
        None => Good("any number of open files".into()),
    }
}
