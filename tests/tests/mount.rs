//! A mount while what is behind it stops, goes away and comes back (spec 2.4).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::Hive;

const ETIMEDOUT: i32 = 110;
const EHOSTDOWN: i32 = 112;

/// Waits for what takes a mount its deadline and more.
fn at_last(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn errno(result: io::Result<Vec<u8>>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn signal(hive: &Hive, server: &str, signal: &str) {
    hive.print("coh", &["kill", server, "--signal", signal]);
}

/// A hive and a mount that outlives it; unmounted when it goes.
struct Background {
    hive: Option<Hive>,
    dir: PathBuf,
}

impl Background {
    fn new() -> Background {
        let hive = Hive::start(&[]);
        let dir = hive.path("n");
        hive.print("coh-mount", &[dir.to_str().unwrap()]);
        Background { hive: Some(hive), dir }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let hive = self.hive.take().unwrap();
        let _ = hive.program("coh-umount", &[self.dir.to_str().unwrap()]);
    }
}

fn every_entry(dir: &Path, each: &mut impl FnMut(&fs::DirEntry)) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        each(&entry);
        if entry.file_type().unwrap().is_dir() {
            every_entry(&entry.path(), each);
        }
    }
}

#[test]
fn a_listing_tells_the_inode_that_stat_tells() {
    let hive = Hive::mounted();
    hive.command("/queen/ctl", "{\"spawn\":\"heartbeat\"}\n").unwrap();
    let mut entries = 0;
    every_entry(&hive.path("n"), &mut |entry| {
        entries += 1;
        let path = entry.path();
        assert_eq!(entry.ino(), fs::symlink_metadata(&path).unwrap().ino(), "{}", path.display());
    });
    assert!(entries > 40, "{entries}");
}

#[test]
fn a_stopped_server_is_named_and_holds_up_nobody_else() {
    let hive = Hive::mounted();
    let n = hive.path("n");
    let version = n.join("proc/version");
    fs::read(&version).unwrap();
    signal(&hive, "proc", "STOP");
    std::thread::scope(|scope| {
        // More than a pool of a few threads has, in the directory in which the others look names up.
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| errno(fs::read(&version)))).collect();
        for path in ["log/queen.log", "proc/lifecycle/state", "proc/9p/sessions", "proc/queen/workers"] {
            fs::read(n.join(path)).unwrap();
        }
        assert!(fs::read_dir(&n).unwrap().count() >= 5);
        let is_refused = waiting.into_iter().map(|thread| thread.join().unwrap()).all(|e| e.is_some());
        assert!(is_refused, "a read of what does not answer has an answer");
    });
    let said = || fs::read_to_string(hive.path("run/coh.log")).unwrap();
    at_last("its name is said", || said().contains("the server proc has not answered for"));
    let log = || hive.read("/log/queen.log").unwrap();
    at_last("and logged", || log().contains("Z mount no-answer server=proc path=/proc"));
    // By then it is known to be silent, and nobody waits for it any more.
    assert_eq!(errno(fs::read(&version)), Some(ETIMEDOUT));
    fs::read(n.join("proc/lifecycle/state")).unwrap();
    signal(&hive, "proc", "CONT");
    at_last("it answers again", || fs::read(&version).is_ok());
    at_last("that is said, too", || said().contains("the server proc answers again after"));
}

#[test]
fn a_stopped_door_is_named_in_the_notes_of_a_background_mount() {
    let mount = Background::new();
    let (hive, state) = (mount.hive.as_ref().unwrap(), mount.dir.join("proc/lifecycle/state"));
    fs::read(&state).unwrap();
    assert!(!hive.path("run/mount.log").exists(), "no notes yet");
    signal(hive, "door", "STOP");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| errno(fs::read(&state)))).collect();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Some(ETIMEDOUT));
        }
    });
    let notes = || fs::read_to_string(hive.path("run/mount.log")).unwrap_or_default();
    let name = format!("the door unix!{} has not answered for", hive.door().display());
    at_last("it is named", || notes().contains(&name));
    signal(hive, "door", "CONT");
    at_last("it answers again", || fs::read(&state).is_ok());
}

#[test]
fn a_mount_without_its_hive_says_that_the_host_is_down() {
    let mount = Background::new();
    let hive = mount.hive.as_ref().unwrap();
    let state = mount.dir.join("proc/lifecycle/state");
    let mut open = fs::File::open(&state).unwrap();
    hive.print("coh", &["down"]);
    assert_eq!(errno(fs::read(&state)), Some(EHOSTDOWN));
    assert_eq!(fs::metadata(&mount.dir).err().and_then(|error| error.raw_os_error()), Some(EHOSTDOWN));
    let said = hive.program("cohcat", &["--ns", mount.dir.to_str().unwrap(), "/proc/version"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("the hive's door is away"), "{said}");
    assert!(hive.up(&[]).status.success());
    at_last("it is found again", || fs::read(&state).is_ok());
    let stale = io::Read::read_to_end(&mut open, &mut Vec::new());
    assert_eq!(stale.err().and_then(|error| error.raw_os_error()), Some(116), "ESTALE");
}

#[test]
fn a_hive_takes_no_mount_point_away_from_another() {
    let (hive, other) = (Hive::mounted(), Hive::start(&[]));
    assert!(other.coh(&["down"]).status.success());
    let n = hive.path("n").display().to_string();
    let output = other.up(&["--mount", &n]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&format!("{n}: something is mounted there; coh umount {n} ends it")), "{said}");
    assert!(fs::read_to_string(hive.path("n/proc/version")).unwrap().starts_with("cohesix "));
    assert_eq!(hive.field("mount", "restarts"), "0");
}
