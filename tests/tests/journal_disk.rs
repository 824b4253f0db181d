//! The journal's server dies at every system call that matters, its disk is full, slow to come back, or
//! has kept half a record (spec 6.2; G1, G2 and G11 of the fault plan).
//!
//! strace stops a process at a call; where this user may not trace, or not mount, the test says so and
//! is skipped. `COH_FAULTS_LONG=1` gives scripts of two hundred commands instead of four, long enough
//! for segments to be closed and snapshots to be made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::refusal::Word;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::ctl::envelope;
use tests::journal::{Record, records, segments, verify};
use tests::{Hive, until};

/// A strace of the journal's server that does one thing to it.
struct Trace(Child);

impl Trace {
    /// `inject` is strace's, such as `fdatasync:signal=SIGKILL:when=3`. None where tracing is not allowed.
    fn begin(hive: &Hive, inject: &str) -> Option<Trace> {
        let calls = inject.split(':').next().unwrap();
        let child = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={inject}"), "-p", &hive.field("audit", "pid")])
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: no strace");
            return None;
        };
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        let trace = Trace(child);
        if said.contains("not permitted") {
            eprintln!("skipped: {said}");
            return None;
        }
        assert!(said.contains("attached"), "{said}");
        Some(trace)
    }

    /// Has its process ended?
    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // SIGTERM, so that it lets go of its process.
        let _ = Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// A command in an envelope, given until it is acknowledged; the acknowledgement.
fn insist(hive: &Hive, id: &str) -> String {
    let line = envelope(id, "k", r#"{"budget":{"ttl_s":100000}}"#);
    let start = Instant::now();
    loop {
        match hive.command("/queen/ctl", &line) {
            Ok(ack) => return ack.trim_end().into(),
            Err(error) => {
                let is_defined = error.word().is_none_or(|word| word == Word::Busy);
                assert!(is_defined && start.elapsed() < Duration::from_secs(30), "{id}: {error}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The records of one envelope.
fn of<'r>(journal: &'r [Record], id: &str) -> Vec<&'r Record> {
    let mark = format!("\"id\":\"{id}\",");
    journal.iter().filter(|record| record.cmd.contains(&mark)).collect()
}

/// Every acknowledgement is in the journal, once, under its number.
fn hold(journal: &[Record], given: &[(String, String)]) {
    for (id, ack) in given {
        let found = of(journal, id);
        assert_eq!(found.len(), 1, "{id} was told {ack:?}: {found:?}");
        let ack = ack.strip_suffix(" dup=1").unwrap_or(ack);
        assert_eq!(ack, format!("{} seq={}", found[0].ack, found[0].seq));
    }
}

/// Kills the server before the nth `call` of a script, for every n that the script comes to; how many.
fn every(hive: &Hive, call: &str, script: usize, given: &mut Vec<(String, String)>) -> Option<usize> {
    for n in 1.. {
        until("the journal's server is up", || hive.field("audit", "state") == "up");
        let mut trace = Trace::begin(hive, &format!("{call}:signal=SIGKILL:when={n}"))?;
        for i in 0..script {
            let id = format!("{call}-{n}-{i}");
            let ack = insist(hive, &id);
            given.push((id, ack));
        }
        if !trace.is_over() {
            return Some(n - 1);
        }
        assert!(n < 100_000);
    }
    None
}

#[test]
fn no_acknowledgement_is_lost_when_the_journal_dies_at_any_call() {
    let is_long = std::env::var_os("COH_FAULTS_LONG").is_some();
    let small = |manifest: &str| {
        let small = manifest.replace("segment_bytes = 4_194_304", "segment_bytes = 65_536");
        assert_ne!(small, manifest);
        // Death after death is what is wanted here: no longer and longer waits between them.
        format!("{small}\n[restart]\nbackoff_ms = 100\nbackoff_max_ms = 100\n")
    };
    let hive = Hive::edited(small, |_| {});
    let mut given = Vec::new();
    // Records and the answer about them.
    let script = if is_long { 200 } else { 4 };
    for call in ["pwrite64", "fdatasync", "sendto"] {
        let Some(deaths) = every(&hive, call, script, &mut given) else { return };
        println!("{deaths} deaths before {call}");
        assert!(deaths >= script.min(8), "{deaths} deaths before {call}");
    }
    // A closed segment and the next, and a snapshot, come once in so many records.
    for call in if is_long { &["openat", "fsync", "rename"][..] } else { &[] } {
        let Some(deaths) = every(&hive, call, 250, &mut given) else { return };
        println!("{deaths} deaths before {call}");
        assert!(deaths > 0, "no death before {call}");
    }
    tests::until("the journal is back from its last death", || hive.read("/audit/export").is_ok());
    assert!(hive.print("cohreplay", &[]).starts_with("ok records="));
    verify(&hive);
    let journal = records(&hive.path("data/journal"));
    assert_eq!(journal[0].seq, 1, "nothing was dropped");
    hold(&journal, &given);
}

#[test]
fn a_call_that_fails_once_refuses_a_command_and_leaves_nothing() {
    let hive = Hive::start(&[]);
    let mut given = Vec::new();
    let mut refused = 0;
    for (call, error) in
        [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC")]
    {
        for n in 1..=6 {
            let Some(trace) = Trace::begin(&hive, &format!("{call}:error={error}:when={n}")) else { return };
            for i in 0..4 {
                let id = format!("{call}-{error}-{n}-{i}");
                let line = format!(r#"{{"quota":{{"subject":"{id}","max_leases":1,"max_mem_mb":1}}}}"#);
                match hive.command("/queen/lease/ctl", &line) {
                    Ok(ack) => given.push((id, Some(ack.trim_end().to_owned()))),
                    Err(error) => {
                        assert_eq!(error.word(), Some(Word::Busy), "{error}");
                        refused += 1;
                        given.push((id, None));
                    }
                }
            }
            drop(trace);
            insist(&hive, &format!("after-{call}-{error}-{n}"));
        }
    }
    assert!(refused > 4, "{refused} were refused");
    assert_eq!(hive.field("audit", "restarts"), "0", "it recovers by itself");
    assert!(hive.print("cohreplay", &[]).starts_with("ok records="));
    verify(&hive);
    let journal = records(&hive.path("data/journal"));
    for (id, ack) in given {
        let mark = format!("\"subject\":\"{id}\",");
        let found: Vec<String> = journal
            .iter()
            .filter(|record| record.cmd.contains(&mark))
            .map(|record| format!("{} seq={}", record.ack, record.seq))
            .collect();
        assert_eq!(found, Vec::from_iter(ack), "{id}");
    }
}

/// Runs this test again in a name space of its own, in which it may mount; says whether it is there.
fn is_in_own_namespace(test: &str) -> bool {
    const INSIDE: &str = "COH_FAULTS_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let can = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user has no name space to mount in");
        return false;
    }
    let status = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.unwrap().success());
    false
}

#[test]
fn a_full_disk_stops_commands_and_nothing_else_until_there_is_room() {
    if !is_in_own_namespace("a_full_disk_stops_commands_and_nothing_else_until_there_is_room") {
        return;
    }
    let hive = Hive::edited(str::to_owned, |data| {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(data).status();
        assert!(mount.unwrap().success());
    });
    let before = insist(&hive, "before");
    let ballast = hive.path("data/ballast");
    for round in 0..3 {
        // What is left of the last page of the journal is not the disk's.
        let _ = fs::write(&ballast, vec![0; 2 << 20]);
        let (mut refused, mut given, mut in_a_row) = (Vec::new(), Vec::new(), 0);
        for i in 0..1000 {
            let id = format!("full-{round}-{i}");
            let line = format!(r#"{{"quota":{{"subject":"{id}","max_leases":1,"max_mem_mb":1}}}}"#);
            match hive.command("/queen/lease/ctl", &line) {
                // Into that rest may go a record that comes alone, where one with others before did not.
                Ok(ack) => {
                    in_a_row = 0;
                    given.push((id, ack.trim_end().to_owned()));
                }
                Err(error) => {
                    assert_eq!(error.word(), Some(Word::Busy), "{error}");
                    in_a_row += 1;
                    refused.push(id);
                }
            }
            if in_a_row > 20 {
                break;
            }
        }
        assert!(in_a_row > 20, "the disk was never full");
        assert!(hive.read("/proc/lifecycle/state").unwrap().starts_with("state="));
        assert!(hive.read("/audit/journal").unwrap().contains("\"id\":\"before\","));
        assert!(hive.read("/audit/verify").unwrap().starts_with("ok records="));
        fs::remove_file(&ballast).unwrap();
        insist(&hive, &format!("room-{round}"));
        assert_eq!(hive.field("audit", "restarts"), "0", "it recovers by itself");
        let journal = records(&hive.path("data/journal"));
        let count = |id: &str| journal.iter().filter(|it| it.cmd.contains(&format!("\"{id}\""))).count();
        assert!(refused.iter().all(|id| count(id) == 0), "refused, and recorded");
        assert!(given.iter().all(|(id, _)| count(id) == 1), "acknowledged, and not recorded");
    }
    assert!(hive.print("cohreplay", &[]).starts_with("ok records="));
    verify(&hive);
    hold(&records(&hive.path("data/journal")), &[("before".into(), before)]);
}

fn last_segment(hive: &Hive) -> PathBuf {
    segments(&hive.path("data/journal")).pop().unwrap()
}

#[test]
fn a_torn_tail_is_cut_off_and_reported_and_nothing_before_it_goes() {
    let hive = Hive::start(&[]);
    let ack = insist(&hive, "whole");
    for (round, keep) in [1usize, 2, 30, 150, 220].into_iter().enumerate() {
        insist(&hive, &format!("torn-{round}"));
        assert!(hive.coh(&["down"]).status.success());
        // As after a loss of power: half of the last write, and no word of how far it had come.
        let (path, head) = (last_segment(&hive), hive.path("data/journal/head"));
        let text = fs::read(&path).unwrap();
        let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let keep = keep.min(text.len() - last - 1);
        fs::write(&path, &text[..last + keep]).unwrap();
        fs::remove_file(head).unwrap();
        assert!(hive.up(&[]).status.success());
        insist(&hive, &format!("after-{round}"));
        let said = "audit cut off a torn write: seq=";
        until("it is reported", || {
            let log = hive.read("/log/queen.log").unwrap();
            log.contains(said) && log.contains(&format!(" bytes={keep}\n"))
        });
    }
    assert!(hive.print("cohreplay", &[]).starts_with("ok records="));
    verify(&hive);
    let journal = records(&hive.path("data/journal"));
    hold(&journal, &[("whole".into(), ack)]);
    assert!((0..5).all(|round| of(&journal, &format!("after-{round}")).len() == 1));
    assert!(hive.up(&[]).status.success());
}

#[test]
fn a_flipped_byte_is_found_with_its_seq_by_the_hive_and_without_it() {
    let hive = Hive::start(&[]);
    for i in 0..20 {
        insist(&hive, &format!("e-{i}"));
    }
    let path = last_segment(&hive);
    let whole = fs::read(&path).unwrap();
    let starts: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    let (dir, key) = (hive.path("data/journal"), hive.path("data/audit.pub"));
    for (record, at) in [(1, 0), (5, 100), (12, 7), (15, 180)] {
        // Seqs begin with 1: record 1 of the file is seq 2.
        let (seq, at) = (record + 1, starts[record - 1] + at);
        // In its place: the journal goes on at its end.
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[whole[at] ^ 1], at as u64).unwrap();
        let said = hive.read("/audit/verify").unwrap();
        assert!(said.starts_with(&format!("bad seq={seq} ")), "{said}, not {seq}");
        let output = hive.program("cohverify", &["--key", key.to_str().unwrap(), dir.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("seq={seq} ")), "{said}, not {seq}");
        until("the log says it", || {
            hive.read("/log/queen.log").unwrap().contains(&format!("audit verify: bad seq={seq} "))
        });
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
        assert!(hive.read("/audit/verify").unwrap().starts_with("ok records="));
    }
}
