//! Memory against a file system, and lives that end at any store.

use super::*;
use crate::Real;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn words(kib: usize) -> &'static [AtomicU64] {
    let words: Vec<AtomicU64> = (0..kib * 128).map(|_| AtomicU64::new(0)).collect();
    Box::leak(words.into_boxed_slice())
}

/// All files below, and their bytes.
fn all<F: Files>(files: &F, dir: &str, out: &mut BTreeMap<String, Vec<u8>>) {
    for name in files.names(dir).unwrap() {
        let name = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        match files.names(&name) {
            Ok(_) => all(files, &name, out),
            Err(_) => drop(out.insert(name.clone(), files.load(&name, u64::MAX).unwrap())),
        }
    }
}

fn contents<F: Files>(files: &F) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    all(files, "", &mut out);
    out
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize, u8, u64),
    Truncate(usize, u64),
    Rename(usize, usize),
    Remove(usize),
    Away,
    Again,
}

const NAMES: [&str; 6] = ["a", "b", "d/a", "d/b", "d.x", "e/f/g"];

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), 0usize..3000, any::<u8>(), 0u64..4000).prop_map(|(n, len, b, at)| Step::Write(n, len, b, at)),
        1 => (name(), 0u64..4000).prop_map(|(n, len)| Step::Truncate(n, len)),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name().prop_map(Step::Remove),
        1 => Just(Step::Away),
        1 => Just(Step::Again),
    ]
}

/// Whether it was done.
fn run<F: Files>(files: &F, step: &Step) -> bool {
    match *step {
        Step::Write(name, len, byte, at) => {
            let bytes: Vec<u8> = (0..len).map(|i| byte.wrapping_add(i as u8)).collect();
            files.open(NAMES[name]).and_then(|file| files.write(&file, &bytes, at)).is_ok()
        }
        Step::Truncate(name, len) => {
            files.open(NAMES[name]).and_then(|file| files.truncate(&file, len)).is_ok()
        }
        Step::Rename(from, to) => files.rename(NAMES[from], NAMES[to]).is_ok(),
        Step::Remove(name) => files.remove(NAMES[name]).is_ok(),
        Step::Away => files.remove_dir("d").and_then(|()| files.make_dir("d")).is_ok(),
        Step::Again => true,
    }
}

proptest! {
    #[test]
    fn memory_does_what_a_file_system_does(steps in prop::collection::vec(step(), 1..60)) {
        let (dir, words) = (tempfile::tempdir().unwrap(), words(256));
        let real = Real::new(dir.path());
        for dir in ["d", "e/f"] {
            real.make_dir(dir).unwrap();
        }
        let mut memory = Memory::open(words).unwrap();
        let free = memory.free();
        for step in &steps {
            if matches!(step, Step::Again) {
                memory = Memory::open(words).unwrap();
            }
            prop_assert_eq!(run(&real, step), run(&memory, step), "{:?}", step);
            prop_assert_eq!(contents(&real), contents(&memory), "{:?}", step);
        }
        for name in NAMES {
            memory.remove(name).unwrap();
        }
        prop_assert_eq!(memory.free(), free, "no block is lost");
        prop_assert_eq!(Memory::open(words).unwrap().free(), free);
    }

    /// A life that ends at any store leaves every file as it was before a step or after it; bytes that a step
    /// writes over may be in between, those behind a file's end are not there.
    #[test]
    fn a_life_may_end_at_any_store(steps in prop::collection::vec(step(), 1..12), left in 0u64..3000) {
        let words = words(64);
        let memory = Memory::open(words).unwrap();
        memory.disk.borrow().left.set(left);
        let mut before = contents(&memory);
        let mut after = before.clone();
        for step in &steps {
            before = contents(&memory);
            run(&memory, step);
            after = contents(&memory);
            if memory.disk.borrow().left.get() == 0 {
                break;
            }
        }
        let memory = Memory::open(words).unwrap();
        for (name, bytes) in contents(&memory) {
            let is_one = |of: &BTreeMap<String, Vec<u8>>| of.get(&name).is_some_and(|known| known.len() == bytes.len());
            // A file that was just made is empty before its first write.
            prop_assert!(is_one(&before) || is_one(&after) || bytes.is_empty(), "{} has {} bytes", name, bytes.len());
            if let (Some(was), Some(is)) = (before.get(&name), after.get(&name)) && was == is {
                prop_assert_eq!(&bytes, was, "{} was not touched", name);
            }
        }
        for (name, bytes) in &before {
            if after.get(name) == Some(bytes) {
                prop_assert_eq!(&memory.load(name, u64::MAX).unwrap(), bytes, "{} is still there", name);
            }
        }
        // Nothing is lost to files that are not there.
        for name in NAMES {
            memory.remove(name).unwrap();
        }
        prop_assert_eq!(memory.free(), Memory::open(self::words(64)).unwrap().free());
    }
}

#[test]
fn what_finds_no_room_is_refused_whole_and_counted() {
    let memory = Memory::open(words(64)).unwrap();
    let file = memory.open("a").unwrap();
    memory.write(&file, b"here", 0).unwrap();
    let free = memory.free();
    let fault = memory.write(&file, &vec![1; 64 << 10], 4).unwrap_err();
    assert_eq!((fault.kind, memory.refused(), memory.free()), (Kind::NoSpace, 1, free));
    assert_eq!(memory.load("a", 100).unwrap(), b"here");
    memory.write(&file, &vec![1; free as usize], 1024).unwrap();
    assert_eq!((memory.free(), memory.write(&file, b"x", 1024 + free).unwrap_err().kind), (0, Kind::NoSpace));
    memory.write(&file, b"HERE", 0).unwrap();
    memory.truncate(&file, 4).unwrap();
    assert_eq!((memory.load("a", 100).unwrap(), memory.free()), (b"HERE".to_vec(), free));
}

#[test]
fn there_are_only_so_many_files() {
    let memory = Memory::open(words(64)).unwrap();
    let refused = (0..1000).find_map(|i| memory.open(&format!("f{i}")).err()).unwrap();
    assert_eq!(refused.kind, Kind::NoSpace);
    memory.remove("f0").unwrap();
    memory.open("again").unwrap();
    assert_eq!(memory.open(&"x".repeat(97)).unwrap_err().kind, Kind::Other);
}

#[test]
fn any_words_are_survived() {
    let words = words(16);
    let memory = Memory::open(words).unwrap();
    for name in ["a", "d/b"] {
        let file = memory.open(name).unwrap();
        memory.write(&file, &[7; 2000], 0).unwrap();
    }
    let kept: Vec<u64> = words.iter().map(|word| word.load(core::sync::atomic::Ordering::Relaxed)).collect();
    for at in 0..words.len() {
        for word in [0, 1, u64::MAX, 1 << 63, 0x0101_0101_0101_0101] {
            for (place, kept) in words.iter().zip(&kept) {
                place.store(*kept, core::sync::atomic::Ordering::Relaxed);
            }
            words[at].store(word, core::sync::atomic::Ordering::Relaxed);
            let memory = Memory::open(words).unwrap();
            let file = memory.open("new").unwrap();
            let _ = memory.write(&file, &[1; 100], 0);
            contents(&memory);
        }
    }
}

#[test]
fn a_directory_is_seen_from_within() {
    let memory = Memory::open(words(64)).unwrap();
    let below = memory.below("telemetry").below("dev");
    let file = below.open("seg").unwrap();
    below.write(&file, b"x", 0).unwrap();
    assert_eq!(memory.names("").unwrap(), ["telemetry"]);
    assert_eq!(memory.below("telemetry").names("").unwrap(), ["dev"]);
    memory.rename_dir("telemetry/dev", "telemetry/.dev").unwrap();
    assert_eq!(memory.load("telemetry/.dev/seg", 10).unwrap(), b"x");
    assert_eq!(
        (below.find("seg").unwrap_err().kind, below.show("seg")),
        (Kind::NotFound, "memory/telemetry/dev/seg".into())
    );
}
