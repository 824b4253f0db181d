//! Disks that refuse at every operation, and machines that die there.

use super::*;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    /// Nothing is written.
    Clean(rustix::io::Errno),
    /// Half of it is.
    Half,
    /// Once, and everything after it too: the process has died.
    Dies,
}

/// A disk that fails at one operation, and remembers what is durable.
#[derive(Clone)]
struct Faulty {
    left: Rc<Cell<i64>>,
    fails: Fails,
    synced: Rc<RefCell<HashMap<u64, u64>>>,
    fresh: Rc<RefCell<HashSet<PathBuf>>>,
}

impl Faulty {
    fn at(n: i64, fails: Fails) -> Faulty {
        Faulty { left: Rc::new(Cell::new(n)), fails, synced: Rc::default(), fresh: Rc::default() }
    }

    fn count(&self) -> io::Result<()> {
        let left = self.left.get();
        self.left.set(left - 1);
        let error = match self.fails {
            Fails::Clean(errno) if left == 0 => errno,
            Fails::Half if left == 0 => rustix::io::Errno::NOSPC,
            Fails::Dies if left <= 0 => rustix::io::Errno::IO,
            _ => return Ok(()),
        };
        Err(error.into())
    }
}

impl Disk for Faulty {
    fn open(&self, path: &Path) -> io::Result<File> {
        self.count()?;
        if !path.exists() {
            self.fresh.borrow_mut().insert(path.into());
        }
        Real.open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.count().inspect_err(|_| {
            if self.fails != Fails::Dies || self.left.get() == -1 {
                let n = if matches!(self.fails, Fails::Clean(_)) { 0 } else { bytes.len() / 2 };
                file.write_all_at(&bytes[..n], at).unwrap();
            }
        })?;
        Real.write(file, bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.count()?;
        let meta = file.metadata().unwrap();
        self.synced.borrow_mut().insert(meta.ino(), meta.size());
        Ok(())
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        self.count()?;
        Real.truncate(file, len)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.count()?;
        self.fresh.borrow_mut().clear();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.count()?;
        Real.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.count()?;
        Real.remove(path)
    }
}

/// Appends, rotates, snapshots and drops; returns what was acknowledged and what was refused.
fn script(store: &mut Store<Faulty>, names: &str) -> (Vec<String>, Vec<String>) {
    let (mut acked, mut refused) = (Vec::new(), Vec::new());
    for i in 0..30 {
        let acks: Vec<String> = (0..3).map(|j| format!("{names} {i}.{j}")).collect();
        store.heal();
        let outcome = stage(store, &acks).map_err(drop).and_then(|_| store.commit().map_err(drop));
        if outcome.is_ok() {
            acked.extend(acks)
        } else {
            refused.extend(acks)
        }
        if let Some(seq) = store.wants_snapshot() {
            let _ = store.keep_snapshot(seq, "{}");
            let _ = store.retain();
        }
    }
    (acked, refused)
}

/// Every operation of the script fails once: nothing acknowledged is lost, nothing refused stays, and
/// the next append is taken.
#[test]
fn a_disk_that_refuses_once_costs_its_own_batch_only() {
    use rustix::io::Errno;
    for fails in [Fails::Clean(Errno::NOSPC), Fails::Clean(Errno::IO), Fails::Half] {
        for n in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let disk = Faulty::at(i64::MAX, fails);
            let (mut store, ..) = open_with(disk.clone(), options(dir.path()));
            disk.left.set(n);
            let (acked, refused) = script(&mut store, "x");
            let is_over = disk.left.get() >= 0;
            assert!(refused.len() <= 3, "{fails:?} {n}: {refused:?}");
            assert_eq!(store.heal(), &Health::Whole, "{fails:?} {n}");
            let summary = store.verify().unwrap().unwrap();
            let there = acks_of(&on_disk(dir.path()));
            assert!(acked.ends_with(&there), "{fails:?} {n}");
            drop(store);
            let (store, opened, _) = open(dir.path());
            assert_eq!((opened.torn, opened.broken), (None, None), "{fails:?} {n}");
            assert_eq!(store.head(), summary.head);
            if is_over {
                assert!(n > 100, "the script has had {n} operations");
                break;
            }
        }
    }
}

/// The process dies at every operation, and the machine with it: what was not synced is lost in part
/// or whole. What was acknowledged is there; the rest whole or not at all.
#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_acknowledged() {
    for lost in 0..4 {
        for n in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let disk = Faulty::at(i64::MAX, Fails::Dies);
            let (mut store, ..) = open_with(disk.clone(), options(dir.path()));
            disk.left.set(n);
            let (acked, _) = script(&mut store, "x");
            let is_over = disk.left.get() > 0;
            drop(store);
            for entry in fs::read_dir(dir.path()).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::metadata(&path).unwrap();
                let synced = disk.synced.borrow().get(&meta.ino()).copied().unwrap_or(0);
                let tail = meta.size().saturating_sub(synced);
                let is_segment = path.extension().is_some_and(|extension| extension == "jsonl");
                if lost > 0 && disk.fresh.borrow().contains(&path) {
                    fs::remove_file(&path).unwrap();
                } else if is_segment {
                    let file = open_rw(&path);
                    file.set_len(synced + tail * (3 - lost) / 3).unwrap();
                }
            }
            let (mut store, opened, acks) = open(dir.path());
            assert_eq!(opened.broken, None, "{lost} {n}");
            let there: Vec<String> = acks.into_iter().filter(|ack| ack != "OK CHECKPOINT").collect();
            let first = there.first().cloned();
            let kept: Vec<String> =
                acked.iter().skip_while(|ack| Some(*ack) != first.as_ref()).cloned().collect();
            assert!(there.starts_with(&kept), "{lost} {n}: {there:?} {kept:?}");
            assert!(there.len() - kept.len() <= 3, "{lost} {n}");
            append(&mut store, &["after"]).unwrap();
            if is_over {
                break;
            }
        }
    }
}

fn open_rw(path: &Path) -> File {
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_full_disk_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::at(i64::MAX, Fails::Dies);
    let (mut store, ..) = open_with(disk.clone(), options(dir.path()));
    append(&mut store, &["a"]).unwrap();
    disk.left.set(0);
    for _ in 0..5 {
        assert!(append(&mut store, &["b"]).is_err());
        assert!(matches!(store.heal(), Health::Trouble(_)));
        assert_eq!(acks_of(&store.from(1, 1000).unwrap()), ["a"], "reads go on");
    }
    disk.left.set(i64::MAX);
    assert_eq!(store.heal(), &Health::Whole);
    assert_eq!(append(&mut store, &["c"]), Ok(2));
    assert_eq!(acks_of(&on_disk(dir.path())), ["a", "c"]);
}

#[test]
fn a_tail_that_changed_while_the_disk_refused_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::at(i64::MAX, Fails::Clean(rustix::io::Errno::IO));
    let (mut store, ..) = open_with(disk.clone(), options(dir.path()));
    append(&mut store, &["a", "b"]).unwrap();
    disk.left.set(1);
    append(&mut store, &["c"]).unwrap_err();
    let path = last_segment(dir.path());
    let file = open_rw(&path);
    file.write_all_at(b"X", 30).unwrap();
    assert!(matches!(store.heal(), Health::Broken(_)));
    assert!(append(&mut store, &["d"]).unwrap_err().contains("damaged"));
}
