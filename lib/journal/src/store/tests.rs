//! The store on real files: what is there again, damage at every byte, bounds.

mod faults;

use super::*;
use crate::{Hash, Kind, Lines, Record, Verifier};
use files::Real;
use serde_json::value::RawValue;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

fn options() -> Options {
    Options { segment_bytes: 2000, journal_bytes: 8000 }
}

fn keys() -> (AuditKey, PublicKeys) {
    let key = AuditKey::from_hex(SECRET).unwrap();
    let mut keys = PublicKeys::default();
    keys.add(&key.public_hex()).unwrap();
    (key, keys)
}

fn open_with<D: Files>(disk: D, options: Options) -> (Store<D>, Opened, Vec<String>) {
    let (key, keys) = keys();
    let mut acks = Vec::new();
    let look = |record: &Record<'_>, _: &[u8]| acks.push(record.entry.ack.to_string());
    let (store, opened) = Store::open(disk, options, key, keys, |_| true, look).unwrap();
    (store, opened, acks)
}

fn open(dir: &Path) -> (Store<Real>, Opened, Vec<String>) {
    open_with(Real::new(dir).private(), options())
}

/// A batch of records whose acknowledgements tell them apart.
fn stage<D: Files>(store: &mut Store<D>, acks: &[String]) -> Result<u64, Refused> {
    let cmd = RawValue::from_string(r#"{"spawn":"heartbeat"}"#.into()).unwrap();
    let entry = |ack: &String| Entry {
        ts_ms: 5,
        kind: Kind::Ctl,
        role: "queen".into(),
        subject: "".into(),
        ticket: "".into(),
        session: 7,
        path: "/queen/ctl".into(),
        cmd: &cmd,
        ack: ack.clone().into(),
    };
    let batch: Vec<Entry<'_>> = acks.iter().map(entry).collect();
    store.stage(&batch, 6)
}

fn append<D: Files>(store: &mut Store<D>, acks: &[&str]) -> Result<u64, String> {
    let acks: Vec<String> = acks.iter().map(|ack| (*ack).to_owned()).collect();
    let seq = stage(store, &acks).map_err(|refused| format!("{refused:?}"))?;
    store.commit().map(|()| seq)
}

/// All lines of the directory's segments, in order.
fn on_disk(dir: &Path) -> Vec<u8> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    paths.iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

/// The acknowledgements of the ctl records, chain and signatures checked by the pure verifier.
fn acks_of(bytes: &[u8]) -> Vec<String> {
    let (_, keys) = keys();
    let (mut lines, mut acks) = (Lines::new(bytes), Vec::new());
    let mut verifier = Verifier::new(&keys, None);
    while let Some(line) = lines.next().unwrap() {
        assert!(line.is_whole);
        let record = verifier.line(line.bytes).unwrap();
        if record.entry.kind == Kind::Ctl {
            acks.push(record.entry.ack.to_string());
        }
    }
    acks
}

fn last_segment(dir: &Path) -> PathBuf {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.into_iter().max().unwrap()
}

#[test]
fn what_was_committed_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, opened, _) = open(dir.path());
    assert_eq!(opened, Opened { records: 0, torn: None, broken: None });
    let names: Vec<String> = (0..50).map(|i| format!("OK {i}")).collect();
    for pair in names.chunks(2) {
        stage(&mut store, pair).unwrap();
        store.commit().unwrap();
    }
    let (head, end) = (store.head(), store.end());
    assert!(store.segments.len() > 4, "it has rotated");
    let mut read = vec![0; end as usize];
    let mut at = 0;
    while at < read.len() {
        let to = (at + 100).min(read.len());
        let n = store.read_at(at as u64, &mut read[at..to]).unwrap();
        assert!(n > 0);
        at += n;
    }
    assert_eq!(read, on_disk(dir.path()));
    assert_eq!(acks_of(&read), names);
    assert_eq!(store.verify().unwrap().unwrap().head, head);
    drop(store);
    let (store, opened, acks) = open(dir.path());
    assert_eq!((store.head(), opened.torn, opened.broken), (head, None, None));
    assert_eq!(acks.iter().filter(|ack| *ack != "OK CHECKPOINT").count(), 50);
    for seq in 1..head.next {
        let lines = store.from(seq, 700).unwrap();
        let first = Record::parse(lines.split(|b| *b == b'\n').next().unwrap()).unwrap().seq;
        assert!(first == seq && lines.ends_with(b"\n") && lines.len() <= 700);
    }
    assert!(store.from(head.next, 700).unwrap().is_empty());
    assert!(!store.from(1, 1).unwrap().is_empty(), "one record at least");
}

#[test]
fn a_journal_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, ..) = open(dir.path());
    let (key, keys) = keys();
    let error = Store::open(Real::new(dir.path()), options(), key, keys, |_| true, |_, _| {}).err().unwrap();
    assert!(error.to_string().contains("another hive"));
}

#[test]
fn every_cut_of_a_write_that_nobody_was_told_of_is_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    append(&mut store, &["a", "b"]).unwrap();
    let sidecar = fs::read(dir.path().join("head")).unwrap();
    let path = last_segment(dir.path());
    let before = fs::metadata(&path).unwrap().size();
    append(&mut store, &["c"]).unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    for len in before as usize..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        fs::write(dir.path().join("head"), &sidecar).unwrap();
        let (mut store, opened, acks) = open(dir.path());
        let left = (len as u64) - before;
        let is_torn = left > 0 && len < whole.len();
        assert_eq!(opened.torn, is_torn.then_some((3, left)), "{len}");
        assert_eq!(opened.broken, None);
        assert_eq!(acks.len(), 2 + usize::from(len == whole.len()));
        append(&mut store, &["d"]).unwrap();
        assert_eq!(acks_of(&on_disk(dir.path())).last().unwrap(), "d");
    }
}

#[test]
fn every_cut_of_what_was_acknowledged_is_damage_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    append(&mut store, &["a", "b", "c"]).unwrap();
    drop(store);
    let path = last_segment(dir.path());
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let (mut store, opened, acks) = open(dir.path());
        let fault = opened.broken.expect("damage");
        assert_eq!((fault.seq(), opened.torn), (acks.len() as u64 + 1, None), "{len}");
        assert!(append(&mut store, &["d"]).unwrap_err().contains("damaged"));
        assert!(store.verify().unwrap().is_err());
        drop(store);
        assert_eq!(fs::read(&path).unwrap(), &whole[..len]);
    }
}

#[test]
fn a_flip_anywhere_is_found_at_the_start_and_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    for i in 0..22 {
        append(&mut store, &[&format!("OK {i}")]).unwrap();
    }
    drop(store);
    let mut seq = 0;
    let mut paths: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    assert!(paths.len() > 2);
    for path in paths {
        let whole = fs::read(&path).unwrap();
        let mut starts = 0;
        for at in 0..whole.len() {
            starts += u64::from(at == 0 || whole[at - 1] == b'\n');
            if at % 47 != 0 {
                continue;
            }
            let (mut live, ..) = open(dir.path());
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 7);
            fs::write(&path, &bad).unwrap();
            let fault = live.verify().unwrap().expect_err("found by verify");
            assert_eq!(fault.seq(), seq + starts, "verify, {at} of {}: {fault}", path.display());
            live.health = Health::Whole;
            drop(live);
            let (_, opened, acks) = open(dir.path());
            let fault = opened.broken.expect("found at the start");
            assert_eq!(fault.seq(), seq + starts, "open, {at} of {}: {fault}", path.display());
            assert!(acks.len() as u64 >= seq, "what is before is served");
            fs::write(&path, &whole).unwrap();
        }
        seq += starts;
    }
}

#[test]
fn a_segment_that_is_gone_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    for i in 0..40 {
        append(&mut store, &[&format!("OK {i}")]).unwrap();
    }
    let middle = store.segments[2].clone();
    let head = store.head();
    drop(store);
    let kept = fs::read(dir.path().join(&middle.name)).unwrap();
    fs::remove_file(dir.path().join(&middle.name)).unwrap();
    let (store, opened, _) = open(dir.path());
    assert_eq!(opened.broken, Some(Fault::Missing { seq: middle.start.next, found: middle.next }));
    drop(store);
    fs::write(dir.path().join(&middle.name), kept).unwrap();
    let last = last_segment(dir.path());
    let first_of_last = segment::seq_of(last.file_name().unwrap().to_str().unwrap()).unwrap();
    fs::remove_file(last).unwrap();
    let (_, opened, _) = open(dir.path());
    assert_eq!(opened.broken, Some(Fault::Short { seq: first_of_last, last: head.next - 1 }));
}

#[test]
fn the_oldest_go_only_when_a_snapshot_stands_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    let mut i = 0;
    while store.bytes() <= 9000 {
        append(&mut store, &[&format!("OK {i}")]).unwrap();
        i += 1;
    }
    assert_eq!(store.retain().unwrap(), 0);
    let second = store.segments[1].start;
    let covered = store.wants_snapshot().unwrap();
    assert_eq!(covered, second.next - 1);
    assert!(!store.keep_snapshot(covered + 1, "{}").unwrap(), "not a segment's end");
    assert!(store.keep_snapshot(covered, r#"{"seq":1}"#).unwrap());
    assert_eq!(store.retain().unwrap(), 1);
    assert_eq!(store.first(), second.next);
    assert_eq!(store.verify().unwrap().unwrap().first, second.next);
    assert_eq!(store.read_at(0, &mut [0; 10]).unwrap(), 0);
    drop(store);
    let (store, opened, _) = open(dir.path());
    assert_eq!((opened.broken, store.first()), (None, second.next));
    assert_eq!(store.snapshot(u64::MAX), Some((covered, r#"{"seq":1}"#.into())));
    assert_eq!(store.snapshot(covered - 1), None);
    drop(store);
    // Without the snapshot nothing vouches for the first record.
    let snapshot = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = snapshot.into_iter().find(|path| path.to_string_lossy().contains("snapshot-")).unwrap();
    let text = fs::read_to_string(&snapshot).unwrap();
    fs::write(&snapshot, text.replace(r#"{"seq":1}"#, r#"{"seq":2}"#)).unwrap();
    let (_, opened, _) = open(dir.path());
    assert_eq!(opened.broken, Some(Fault::Missing { seq: 1, found: second.next }));
}

#[test]
fn a_journal_without_snapshots_is_full_at_twice_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    let outcome = (0..200).find_map(|i| append(&mut store, &[&format!("OK {i}")]).err());
    assert!(outcome.unwrap().contains("full"));
    assert!(store.bytes() < 8000 * 2 + 2000);
    assert_eq!(store.health(), &Health::Whole);
    while let Some(seq) = store.wants_snapshot() {
        store.keep_snapshot(seq, "{}").unwrap();
    }
    store.retain().unwrap();
    append(&mut store, &["again"]).unwrap();
    assert!(store.bytes() <= 8000 + 2000);
}

#[test]
fn a_bad_record_takes_its_batch_with_it_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, ..) = open(dir.path());
    stage(&mut store, &["a".into()]).unwrap();
    let long = "x".repeat(crate::RECORD_MAX);
    assert!(matches!(stage(&mut store, &["b".into(), long]), Err(Refused::Invalid(_))));
    assert_eq!(stage(&mut store, &["c".into()]).unwrap(), 2);
    store.commit().unwrap();
    assert_eq!(acks_of(&on_disk(dir.path())), ["a", "c"]);
}

#[test]
fn a_checkpoint_comes_every_1024_records() {
    let dir = tempfile::tempdir().unwrap();
    let large = Options { segment_bytes: 1 << 30, journal_bytes: 1 << 31 };
    let (mut store, ..) = open_with(Real::new(dir.path()), large);
    let batch: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    for _ in 0..500 {
        stage(&mut store, &batch).unwrap();
        store.commit().unwrap();
    }
    let bytes = on_disk(dir.path());
    let mut lines = Lines::new(&bytes[..]);
    let mut last = 0;
    while let Some(line) = lines.next().unwrap() {
        let record = Record::parse(line.bytes).unwrap();
        if record.entry.kind == Kind::Checkpoint {
            assert!(record.seq - last <= CHECKPOINT_EVERY && record.seq - last > CHECKPOINT_EVERY - 11);
            last = record.seq;
        }
    }
    assert_eq!(store.verify().unwrap().unwrap().checkpoints, 4);
    assert_ne!(store.head().hash, Hash::ZERO);
}

/// The time that a hive waits for its journal, with room for a slow machine.
#[test]
#[cfg_attr(debug_assertions, ignore = "a measure of optimised code")]
fn a_hundred_thousand_records_are_recovered_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let large = Options { segment_bytes: 4 << 20, journal_bytes: 1 << 31 };
    let (mut store, ..) = open_with(Real::new(dir.path()), large);
    let batch: Vec<String> = (0..1000).map(|i| format!("OK SPAWN id=worker-{i}")).collect();
    let began = std::time::Instant::now();
    for _ in 0..100 {
        stage(&mut store, &batch).unwrap();
        store.commit().unwrap();
    }
    println!("appended in {:?}", began.elapsed());
    drop(store);
    let (key, keys) = keys();
    let began = std::time::Instant::now();
    let is_denial = |kind| kind == Kind::Deny;
    let (store, opened) = Store::open(Real::new(dir.path()), large, key, keys, is_denial, |_, _| {}).unwrap();
    println!("{} records, {} bytes recovered in {:?}", opened.records, store.bytes(), began.elapsed());
    assert!(began.elapsed().as_millis() < 1000 && opened.records > 100_000);
}

/// Records a second, by records in a commit: `cargo test --release -p journal -- --ignored --nocapture`.
#[test]
#[ignore = "a measure, of the disk above all"]
fn records_a_second() {
    for size in [1, 8, 28, 256] {
        let dir = tempfile::tempdir().unwrap();
        let large = Options { segment_bytes: 4 << 20, journal_bytes: 1 << 31 };
        let (mut store, ..) = open_with(Real::new(dir.path()), large);
        let batch: Vec<String> = (0..size).map(|i| format!("OK SPAWN id=worker-{i}")).collect();
        let (began, mut records) = (std::time::Instant::now(), 0);
        while began.elapsed().as_millis() < 1000 {
            stage(&mut store, &batch).unwrap();
            store.commit().unwrap();
            records += size;
        }
        println!("{size} in a commit: {:.0}/s", records as f64 / began.elapsed().as_secs_f64());
    }
}
