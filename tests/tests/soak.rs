//! A hive at work for long: its memory is flat, its counts are exact, nobody dies. A run of a fixed length by
//! default; `COH_SOAK=3600` is for so many seconds, and prints what it sees every half minute.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Conn, DialError};
use ninep::refusal::Word;
use ninep::wire::Tmsg;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tests::{Hive, until};

const CTL: &str = "/queen/ctl";
/// Workers that the test appends to; their own hearts beat once an hour.
const STILL: usize = 8;
const HEARTS: u64 = 4;
const TICKS: u64 = 10;
/// By how much one process may have grown since it was warm, KiB: what an allocator keeps. In a short run the
/// queues between processes are still filling.
const GROWTH_KIB: u64 = 3 << 10;
const FILLING_KIB: u64 = 16 << 10;

/// How much of each kind of work has been done.
#[derive(Default)]
struct Work {
    /// Records acknowledged, and refused.
    appended: AtomicU64,
    segments: AtomicU64,
    spawned: AtomicU64,
    sessions: AtomicU64,
    revoked: AtomicU64,
    refusals: AtomicU64,
}

impl Work {
    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    fn text(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "records={} segments={} spawned={} sessions={} revoked={} refusals={}",
            of(&self.appended),
            of(&self.segments),
            of(&self.spawned),
            of(&self.sessions),
            of(&self.revoked),
            of(&self.refusals)
        )
    }
}

/// Everything that fills does so early, so that what grows later grows for ever.
fn small() -> Hive {
    let small = |shipped: &str| {
        shipped
            .replace("ring_bytes = 1_048_576", "ring_bytes = 65_536")
            .replace("ring_bytes = 262_144", "ring_bytes = 16_384\neviction = \"evict-oldest\"")
            .replace("shard_bits = 8", "shard_bits = 8\nworker_servers = 2\nmax_segments_per_device = 4")
            .replace("segment_bytes = 4_194_304", "segment_bytes = 65_536")
            .replace("journal_bytes = 67_108_864", "journal_bytes = 524_288\ndecisions_bytes = 16_384")
            .replace("max_workers = 256", "max_workers = 256\ndedupe_entries = 64\nrevocations = 16")
            .replace(
                "[workers.programs]",
                "[trace]\nring_bytes = 16_384\n\n[workers]\nrun = \"pool\"\n\n[workers.programs]",
            )
    };
    Hive::edited(small, |_| ())
}

/// Does a command, again while the hive is busy; its acknowledgement.
fn order(conn: &mut Conn, path: &str, line: &str) -> String {
    loop {
        let mut attempt = || -> Result<String, DialError> {
            let fid = conn.open_path(path, 2)?;
            let written = conn.write_at(fid, u64::MAX, line.as_bytes());
            let ack = written.and_then(|_| conn.read_at(fid, 0, 4096));
            conn.clunk(fid)?;
            Ok(String::from_utf8_lossy(&ack?).into_owned())
        };
        match attempt() {
            Ok(ack) => return ack,
            Err(error) if error.word() == Some(Word::Busy) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{path}: {line}: {error}"),
        }
    }
}

fn id(ack: &str) -> String {
    ack.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned()
}

/// Records of every length into workers' rings, sixteen on their way at once.
fn append(hive: &Hive, ids: &[String], work: &Work) {
    let mut conn = hive.dial().unwrap();
    for (i, id) in ids.iter().enumerate() {
        let fid = conn.open_path(&format!("/worker/{id}/telemetry"), 1).unwrap();
        let data = vec![b'x'; 1 + i * 97];
        let write = Tmsg::Write { fid, offset: u64::MAX, data: &data };
        let answers = conn.batch(&vec![write; 16]).unwrap();
        Work::add(&work.appended, answers.iter().filter(|answer| answer.is_ok()).count() as u64);
        conn.clunk(fid).unwrap();
    }
}

/// A reader that stays open: what the ring has passed is Revoked, and it goes on from what is retained.
struct Reader<'a> {
    conn: Conn,
    fid: u32,
    at: u64,
    path: String,
    work: &'a Work,
}

impl<'a> Reader<'a> {
    fn open(hive: &Hive, id: &str, work: &'a Work) -> Reader<'a> {
        let (mut conn, path) = (hive.dial().unwrap(), format!("/worker/{id}/telemetry"));
        let fid = conn.open_path(&path, 0).unwrap();
        Reader { conn, fid, at: 0, path, work }
    }

    fn read(&mut self) {
        match self.conn.read_at(self.fid, self.at, 8000) {
            Ok(more) => self.at += more.len() as u64,
            Err(error) => {
                assert_eq!(error.word(), Some(Word::Revoked), "{error}");
                Work::add(&self.work.revoked, 1);
                self.conn.clunk(self.fid).unwrap();
                self.fid = self.conn.open_path(&self.path, 0).unwrap();
                self.at = 0;
            }
        }
    }
}

/// A new segment for each of some devices, and records into it; the oldest go.
fn segments(conn: &mut Conn, round: u64, work: &Work) {
    let device = format!("/queen/telemetry/dev-{}", round % 8);
    let ack = order(conn, &format!("{device}/ctl"), "{\"new\":\"segment\",\"mime\":\"text/plain\"}\n");
    let name = ack.strip_prefix("OK NEW seg=").and_then(|rest| rest.split(' ').next()).unwrap();
    let fid = conn.open_path(&format!("{device}/seg/{name}"), 1).unwrap();
    let write = Tmsg::Write { fid, offset: u64::MAX, data: &[b's'; 2000] };
    let answers = conn.batch(&vec![write; 16]).unwrap();
    Work::add(&work.appended, answers.iter().filter(|answer| answer.is_ok()).count() as u64);
    Work::add(&work.segments, 1);
    conn.clunk(fid).unwrap();
}

/// Workers that live for some ticks.
fn hearts(conn: &mut Conn, work: &Work) {
    let line = format!("{{\"spawn\":\"heartbeat\",\"ticks\":{TICKS},\"period_ms\":20}}\n");
    let ids: Vec<String> = (0..HEARTS).map(|_| id(&order(conn, CTL, &line))).collect();
    Work::add(&work.spawned, HEARTS);
    for id in ids {
        // Gone, or spent: all its ticks are in.
        until("a worker has had its ticks", || {
            conn.read_all(&format!("/worker/{id}/status")).map_or(true, |s| s.starts_with(b"state=spent"))
        });
    }
}

/// Sessions that come, look at everything that a watcher looks at, are refused something, and go.
fn visit(hive: &Hive, work: &Work) {
    let mut conn = hive.dial().unwrap();
    for path in ["/proc/ingest/watch", "/proc/ingest/p95_ms", "/log/queen.log", "/proc/9p/sessions"] {
        match conn.read_all(path) {
            Ok(_) => (),
            // The ring may go round while it is being read.
            Err(error) => assert_eq!(error.word(), Some(Word::Revoked), "{path}: {error}"),
        }
    }
    for path in ["/worker", "/shard", "/queen/telemetry"] {
        conn.list(path).unwrap();
    }
    let long = format!("/queen/telemetry/{}/ctl", "x".repeat(65));
    for path in ["/worker/none/telemetry", "/queen/telemetry/d/seg/none", &long] {
        assert_eq!(conn.open_path(path, 1).unwrap_err().word(), Some(Word::NotFound), "{path}");
        Work::add(&work.refusals, 1);
    }
    let fid = conn.open_path(CTL, 1).unwrap();
    assert_eq!(conn.write_at(fid, 0, b"{\"kill\":\"nobody\"}\n").unwrap_err().word(), Some(Word::NotFound));
    Work::add(&work.refusals, 1);
    Work::add(&work.sessions, 1);
}

/// What each process holds by itself, KiB, by its pid and the name that `coh status` has first for it: one
/// process has many workers.
fn memory(hive: &Hive) -> BTreeMap<String, (String, u64)> {
    let mut all = BTreeMap::new();
    for line in hive.print("coh", &["status"]).lines() {
        let Some(pid) = line.split(' ').find_map(|field| field.strip_prefix("pid=")) else { continue };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = field.and_then(|field| field.trim().strip_suffix(" kB")?.trim().parse().ok());
        let Some(kib) = kib else { continue };
        let name = line.split(' ').next().unwrap_or_default().to_owned();
        all.entry(pid.to_owned()).or_insert((name, kib));
    }
    all
}

fn records(hive: &Hive) -> u64 {
    let text = hive.read("/proc/ingest/records").unwrap();
    text.trim().strip_prefix("records=").unwrap().parse().unwrap()
}

/// Ends the work when it goes, also where a test has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_hive_at_work_holds_no_more_than_when_it_was_warm() {
    let seconds = std::env::var("COH_SOAK").ok().map(|value| value.parse().expect("COH_SOAK is seconds"));
    let hive = small();
    let mut queen = hive.dial().unwrap();
    until("devices take commands", || {
        hive.command("/queen/telemetry/d/ctl", "{\"seal\":\"none\"}\n").unwrap_err().word()
            != Some(Word::Busy)
    });
    order(&mut queen, "/trace/ctl", "{\"set\":{\"level\":\"debug\",\"cats\":[\"boot\",\"ninep\"]}}\n");
    let still = "{\"spawn\":\"heartbeat\",\"period_ms\":3600000}\n";
    let ids: Vec<String> = (0..STILL).map(|_| id(&order(&mut queen, CTL, still))).collect();
    let path = |id: &String| format!("/worker/{id}/telemetry");
    until("all have beaten", || ids.iter().all(|id| hive.read(&path(id)).is_ok_and(|text| !text.is_empty())));

    let (work, stop, rounds) = (Work::default(), AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    // Warm after a tenth, and after all that is bounded has gone round.
    let warm_at =
        |rounds: u64| rounds >= 40 && seconds.is_none_or(|s: u64| start.elapsed().as_secs() * 10 >= s);
    let done_at = |rounds: u64| rounds >= 120 && seconds.is_none_or(|s: u64| start.elapsed().as_secs() >= s);
    let (mut warm, mut last) = (None, BTreeMap::new());
    std::thread::scope(|scope| {
        let (hive, ids, work, stop, rounds) = (&hive, &ids, &work, &stop, &rounds);
        let is_on = || !stop.load(Ordering::Relaxed);
        let appender = scope.spawn(move || {
            let mut readers: Vec<Reader> = ids.iter().map(|id| Reader::open(hive, id, work)).collect();
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                append(hive, ids, work);
                // Each at a speed of its own: the first at every turn, the last rarely.
                readers.iter_mut().enumerate().filter(|(i, _)| n % (1 << i) == 0).for_each(|(_, r)| r.read());
                n += 1;
            }
        });
        let visitor = scope.spawn(move || {
            while is_on() {
                visit(hive, work);
            }
        });
        let ends = Stop(stop);
        let mut said = Instant::now();
        while !appender.is_finished() && !visitor.is_finished() {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            segments(&mut queen, round, work);
            if round % 4 == 0 {
                hearts(&mut queen, work);
            }
            if warm.is_none() && warm_at(round) {
                warm = Some(memory(hive));
            }
            if seconds.is_some() && said.elapsed() > Duration::from_secs(30) {
                said = Instant::now();
                println!("{:>5} s: {} KiB: {:?}", start.elapsed().as_secs(), work.text(), memory(hive));
            }
            if done_at(round) {
                last = memory(hive);
                break;
            }
        }
        drop(ends);
        appender.join().unwrap();
        visitor.join().unwrap();
    });
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let hours = start.elapsed().as_secs() / 3600 + 1;
    let beats = |hours: u64| STILL as u64 * hours + TICKS * of(&work.spawned);
    let counted = || records(&hive).saturating_sub(of(&work.appended));
    until("all is counted", || counted() >= beats(1));
    assert!(
        (beats(1)..=beats(hours)).contains(&counted()),
        "{} and {} records",
        of(&work.appended),
        counted()
    );
    assert!(of(&work.revoked) > 0 && of(&work.segments) > 8 * 4, "{}", work.text());
    let status = hive.print("coh", &["status"]);
    let restarts = status.split_whitespace().filter_map(|field| field.strip_prefix("restarts="));
    assert!(restarts.into_iter().all(|n| n == "0"), "{status}");
    let warm = warm.unwrap();
    let growth = if seconds.is_some() { GROWTH_KIB } else { FILLING_KIB };
    println!("{}\nwarm, KiB: {warm:?}\nlast, KiB: {last:?}", work.text());
    for (pid, (name, kib)) in &last {
        let Some((_, before)) = warm.get(pid) else { continue };
        assert!(*kib <= before + growth, "{name} has grown from {before} to {kib} KiB");
    }
}
