//! The real hive while its processes die, stop and come back (spec 2.3, 13.1).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::DialError;
use ninep::refusal::Word;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tests::{Hive, until};

const SERVERS: [&str; 8] = ["log", "proc", "audit", "policy", "worker", "telemetry", "queen", "door"];
/// Within which a killed server is back. On an idle machine that is a fifth of a second; a busy one is
/// not what is tested.
const BACK: Duration = Duration::from_secs(5);
/// A file of each server, the door's own last.
const FILES: [(&str, &str); 8] = [
    ("log", "/log/queen.log"),
    ("proc", "/proc/version"),
    ("audit", "/audit/export"),
    ("policy", "/policy/rules"),
    ("telemetry", "/proc/ingest/records"),
    ("queen", "/proc/queen/workers"),
    ("queen", "/proc/lifecycle/state"),
    ("door", "/proc/9p/sessions"),
];

/// What a client may see of a server's death: a refusal that says so, or a door that is away.
fn is_defined(error: &DialError) -> bool {
    match error.word() {
        Some(word) => matches!(word, Word::Busy | Word::Closed | Word::Revoked),
        None => !matches!(error, DialError::Timeout | DialError::Protocol(_)),
    }
}

#[test]
fn a_reader_of_everything_outlives_every_server() {
    let hive = Hive::start(&[]);
    let stop = AtomicBool::new(false);
    // Which server is dead or coming back.
    let victim = Mutex::new("");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut conn, mut reads, mut slowest) = (None, 0, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                for (server, path) in FILES {
                    let before = *victim.lock().unwrap();
                    let start = Instant::now();
                    let outcome = match &mut conn {
                        None => hive.dial().map(|fresh| conn = Some(fresh)),
                        Some(conn) => conn.read_all(path).map(|text| {
                            assert!(server == "log" || server == "queen" || !text.is_empty(), "{path}");
                        }),
                    };
                    slowest = slowest.max(start.elapsed());
                    let Err(error) = outcome else {
                        reads += 1;
                        continue;
                    };
                    assert!(is_defined(&error), "{path}: {error}");
                    let during = [before, *victim.lock().unwrap()];
                    assert!(
                        during.contains(&server) || during.contains(&"door"),
                        "{path}: {error} while {during:?} died"
                    );
                    if error.is_lost()
                        || matches!(error.word(), Some(Word::Revoked))
                        || during.contains(&"door")
                    {
                        conn = None;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            }
            (reads, slowest)
        });
        for _ in 0..3 {
            for server in SERVERS {
                *victim.lock().unwrap() = server;
                let took = hive.kill(server);
                assert!(took < BACK, "{server} took {took:?}");
                // The reader's last attempt during the death is over by then.
                std::thread::sleep(Duration::from_millis(50));
                *victim.lock().unwrap() = "";
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        stop.store(true, Ordering::Relaxed);
        let (reads, slowest) = reader.join().unwrap();
        assert!(reads > 100, "{reads} reads");
        assert!(slowest < BACK, "one took {slowest:?}");
    });
}

#[test]
fn a_server_that_stops_answering_holds_up_nobody_else() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    conn.read_all("/proc/version").unwrap();
    assert!(hive.coh(&["kill", "proc", "--signal", "STOP"]).status.success());
    let stuck = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| hive.dial().and_then(|mut conn| conn.read_all("/proc/version")));
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        for _ in 0..100 {
            conn.read_all("/proc/lifecycle/state").unwrap();
            conn.read_all("/proc/9p/sessions").unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(hive.coh(&["kill", "proc", "--signal", "CONT"]).status.success());
        waiting.join().unwrap()
    });
    assert!(!stuck.unwrap().is_empty());
}

#[test]
fn commands_at_a_door_go_on_while_the_server_of_version_stands_still() {
    let hive = Hive::start(&[]);
    hive.print("coh", &["kill", "proc", "--signal", "STOP"]);
    assert!(hive.print("cohcat", &["/log/queen.log"]).contains("server=proc up"));
    assert!(hive.print("cohspawn", &["heartbeat", "ticks=1"]).starts_with("OK SPAWN "));
    let refused = hive.program("cohcat", &["/proc/version"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let sentence = "cohcat: /proc/version: Busy: the server proc does not answer; see: coh status\n";
    assert_eq!(said, sentence);
    hive.print("coh", &["kill", "proc", "--signal", "CONT"]);
    until("it answers again", || hive.program("cohcat", &["/proc/version"]).status.success());
}

#[test]
fn a_worker_beats_on_through_the_death_of_the_door() {
    let hive = Hive::start(&[]);
    hive.command("/queen/ctl", "{\"spawn\":\"heartbeat\",\"ticks\":1000,\"period_ms\":20}\n").unwrap();
    let beats = || -> Vec<u64> {
        let text = hive.dial().and_then(|mut conn| conn.read_all("/worker/worker-1/telemetry"));
        let text = String::from_utf8(text.unwrap_or_default()).unwrap();
        text.lines().map(|line| line.strip_prefix("heartbeat ").unwrap().parse().unwrap()).collect()
    };
    until("it beats", || beats().len() > 5);
    for _ in 0..3 {
        let before = beats().len();
        hive.kill("door");
        until("it beats again", || beats().len() > before + 5);
    }
    let beats = beats();
    assert!(beats.iter().zip(1..).all(|(beat, n)| *beat == n), "{beats:?}");
    let pid: i32 = hive.field("worker-1", "pid").parse().unwrap();
    hive.command("/queen/ctl", "{\"kill\":\"worker-1\"}\n").unwrap();
    until("its process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn an_idle_hive_sleeps_and_is_small() {
    let hive = Hive::start(&[]);
    // The boot's last words are written by then.
    std::thread::sleep(Duration::from_millis(500));
    let pids = hive.pids();
    let wakes = |pid: &i32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    };
    // Asking for the status has woken init: give it its rest.
    std::thread::sleep(Duration::from_millis(100));
    let before: Vec<u64> = pids.iter().map(wakes).collect();
    std::thread::sleep(Duration::from_secs(2));
    let woken: Vec<u64> = pids.iter().zip(&before).map(|(pid, before)| wakes(pid) - before).collect();
    // A line a second in /proc/ingest/watch; the others have nothing to do.
    assert!(woken.iter().all(|times| *times <= 3), "{woken:?}");
    assert!(woken.iter().filter(|times| **times > 0).count() <= 1, "{woken:?}");

    let resident = |pid: &i32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let kib: u64 = pids.iter().map(resident).sum();
    assert!(kib <= 60 << 10, "{kib} KiB");
}

#[test]
fn nobody_takes_a_running_servers_place() {
    let hive = Hive::start(&[]);
    let output = std::process::Command::new(tests::program("logfs"))
        .arg("--run")
        .arg(hive.path("run"))
        .arg("--data")
        .arg(hive.path("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = hive.field("log", "pid");
    assert!(said.ends_with(&format!("srv/log: already in use by pid {pid}\n")), "{said}");
    let alone = std::process::Command::new(tests::program("logfs")).output().unwrap();
    assert_eq!(alone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("coh up"), "{alone:?}");
}
