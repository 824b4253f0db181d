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
    real: Real,
}

impl Faulty {
    fn at(dir: &Path, fails: Fails) -> Faulty {
        let left = Rc::new(Cell::new(i64::MAX));
        Faulty { left, fails, synced: Rc::default(), fresh: Rc::default(), real: Real::new(dir) }
    }

    fn count(&self) -> Result<(), Trouble> {
        let left = self.left.get();
        self.left.set(left - 1);
        let error = match self.fails {
            Fails::Clean(errno) if left == 0 => errno,
            Fails::Half if left == 0 => rustix::io::Errno::NOSPC,
            Fails::Dies if left <= 0 => rustix::io::Errno::IO,
            _ => return Ok(()),
        };
        Err(std::io::Error::from(error).into())
    }
}

impl Files for Faulty {
    type File = File;

    fn show(&self, name: &str) -> String {
        self.real.show(name)
    }

    fn make_dir(&self, dir: &str) -> Result<(), Trouble> {
        self.real.make_dir(dir)
    }

    fn lock(&self, dir: &str) -> Result<Option<File>, Trouble> {
        self.real.lock(dir)
    }

    fn names(&self, dir: &str) -> Result<Vec<String>, Trouble> {
        self.real.names(dir)
    }

    fn open(&self, name: &str) -> Result<File, Trouble> {
        self.count()?;
        if self.real.find(name).is_err() {
            self.fresh.borrow_mut().insert(name.into());
        }
        self.real.open(name)
    }

    fn find(&self, name: &str) -> Result<File, Trouble> {
        self.real.find(name)
    }

    fn len(&self, file: &File) -> Result<u64, Trouble> {
        self.real.len(file)
    }

    fn stamp(&self, file: &File) -> Result<(files::Stamp, bool), Trouble> {
        self.real.stamp(file)
    }

    fn read(&self, file: &File, out: &mut [u8], at: u64) -> Result<usize, Trouble> {
        self.real.read(file, out, at)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> Result<(), Trouble> {
        self.count().inspect_err(|_| {
            if self.fails != Fails::Dies || self.left.get() == -1 {
                let n = if matches!(self.fails, Fails::Clean(_)) { 0 } else { bytes.len() / 2 };
                file.write_all_at(&bytes[..n], at).unwrap();
            }
        })?;
        self.real.write(file, bytes, at)
    }

    fn sync(&self, file: &File) -> Result<(), Trouble> {
        self.count()?;
        let meta = file.metadata().unwrap();
        self.synced.borrow_mut().insert(meta.ino(), meta.size());
        Ok(())
    }

    fn truncate(&self, file: &File, len: u64) -> Result<(), Trouble> {
        self.count()?;
        self.real.truncate(file, len)
    }

    fn sync_dir(&self, _: &str) -> Result<(), Trouble> {
        self.count()?;
        self.fresh.borrow_mut().clear();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Trouble> {
        self.count()?;
        self.real.rename(from, to)
    }

    fn rename_dir(&self, from: &str, to: &str) -> Result<(), Trouble> {
        self.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), Trouble> {
        self.count()?;
        self.real.remove(name)
    }

    fn remove_dir(&self, dir: &str) -> Result<(), Trouble> {
        self.count()?;
        self.real.remove_dir(dir)
    }

    fn forget(&self, file: &File) {
        self.real.forget(file);
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
            let disk = Faulty::at(dir.path(), fails);
            let (mut store, ..) = open_with(disk.clone(), options());
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
            let disk = Faulty::at(dir.path(), Fails::Dies);
            let (mut store, ..) = open_with(disk.clone(), options());
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
                if lost > 0 && disk.fresh.borrow().contains(Path::new(path.file_name().unwrap())) {
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
    let disk = Faulty::at(dir.path(), Fails::Dies);
    let (mut store, ..) = open_with(disk.clone(), options());
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
    let disk = Faulty::at(dir.path(), Fails::Clean(rustix::io::Errno::IO));
    let (mut store, ..) = open_with(disk.clone(), options());
    append(&mut store, &["a", "b"]).unwrap();
    disk.left.set(1);
    append(&mut store, &["c"]).unwrap_err();
    let path = last_segment(dir.path());
    let file = open_rw(&path);
    file.write_all_at(b"X", 30).unwrap();
    assert!(matches!(store.heal(), Health::Broken(_)));
    assert!(append(&mut store, &["d"]).unwrap_err().contains("damaged"));
}

fn memory(kib: usize) -> &'static [std::sync::atomic::AtomicU64] {
    Box::leak((0..kib * 128).map(|_| std::sync::atomic::AtomicU64::new(0)).collect())
}

#[test]
fn a_journal_in_memory_goes_on_in_the_next_life() {
    let words = memory(64);
    let kept = || files::Memory::open(words).unwrap().below("journal");
    let mut all = Vec::new();
    for life in 0..4 {
        let (mut store, opened, acks) = open_with(kept(), options());
        assert_eq!((opened.torn, opened.broken), (None, None));
        let there: Vec<String> = acks.into_iter().filter(|ack| ack != "OK CHECKPOINT").collect();
        assert!(all.ends_with(&there) && there.is_empty() == (life == 0), "{there:?}");
        for i in 0..30 {
            let ack = format!("{life}.{i}");
            append(&mut store, &[&ack]).unwrap();
            all.push(ack);
            if let Some(seq) = store.wants_snapshot() {
                assert!(store.keep_snapshot(seq, "{}").unwrap());
                store.retain().unwrap();
            }
        }
        assert_eq!(store.verify().unwrap().unwrap().head, store.head());
    }
    assert!(open_with(kept(), options()).0.first() > 1, "the oldest have gone");
}

#[test]
fn a_full_memory_refuses_and_keeps_what_it_took() {
    let large = Options { segment_bytes: 1 << 20, journal_bytes: 1 << 20 };
    let words = memory(24);
    let (mut store, ..) = open_with(files::Memory::open(words).unwrap(), large);
    let mut taken = Vec::new();
    let refused = loop {
        let ack = format!("{}", taken.len());
        match append(&mut store, &[&ack]) {
            Ok(_) => taken.push(ack),
            Err(refused) => break refused,
        }
    };
    assert!(refused.contains("no space left"), "{refused}");
    assert_eq!(store.heal(), &Health::Whole, "it is no damage");
    assert!(append(&mut store, &["more"]).is_err() && !taken.is_empty());
    store.heal();
    assert_eq!(store.verify().unwrap().unwrap().records, taken.len() as u64);
    drop(store);
    assert_eq!(open_with(files::Memory::open(words).unwrap(), large).2, taken);
}
