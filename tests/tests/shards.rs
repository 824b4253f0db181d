//! Workers whose shards are split over several processes (spec 5.1), and writers and readers of records
//! through the deaths of those.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Addr, Conn, Credentials, DialError};
use ninep::refusal::Word;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Hive, until};

const PROCESSES: [&str; 4] = ["worker", "worker.1", "worker.2", "worker.3"];
const CTL: &str = "/queen/ctl";

fn split() -> Hive {
    Hive::edited(
        |shipped| {
            shipped
                .replace("shard_bits = 8", "shard_bits = 8\nworker_servers = 4\ncursor_retain = true")
                .replace("[workers.programs]", "[workers]\nrun = \"pool\"\n\n[workers.programs]")
        },
        |_| (),
    )
}

fn spawn(hive: &Hive, count: usize, period_ms: u64) -> Vec<String> {
    let line = format!("{{\"spawn\":\"heartbeat\",\"period_ms\":{period_ms}}}\n");
    let ack = |_| hive.command(CTL, &line).unwrap();
    (0..count)
        .map(ack)
        .map(|ack| ack.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned())
        .collect()
}

fn names(hive: &Hive, path: &str) -> Vec<String> {
    let mut conn = hive.dial().unwrap();
    conn.list(path).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// What one process has, asked past the door.
fn held(hive: &Hive, process: &str) -> Vec<String> {
    let addr = Addr::Unix(hive.path("run/srv").join(process));
    let who = Credentials { role: "server".into(), subject: "test".into(), ..Credentials::default() };
    let mut conn = Conn::dial_spec(&addr, &who, Some("")).unwrap();
    let mut ids: Vec<String> = conn.list("/").unwrap().into_iter().map(|entry| entry.name).collect();
    ids.sort();
    ids
}

fn records(hive: &Hive, id: &str) -> Option<u64> {
    let status = hive.read(&format!("/worker/{id}/status")).ok()?;
    status.split("records=").nth(1)?.split(' ').next()?.parse().ok()
}

/// Where each worker is, as the processes say it.
fn owners(hive: &Hive) -> BTreeMap<String, &'static str> {
    PROCESSES.into_iter().flat_map(|name| held(hive, name).into_iter().map(move |id| (id, name))).collect()
}

#[test]
fn a_worker_without_the_alias_beats_below_its_shard() {
    // What names the alias is taken out of the files that ship, and nothing is put in.
    let is_alias = |line: &str| line == "mount worker /worker" || line.contains(" /worker/");
    let hive = Hive::with_binds(
        |shipped| shipped.replace("shard_bits = 8", "shard_bits = 8\nworker_alias = false"),
        |file| file.lines().filter(|line| !is_alias(line)).map(|line| format!("{line}\n")).collect(),
    );
    let id = spawn(&hive, 1, 50).remove(0);
    let shards = names(&hive, "/shard");
    let path = format!("/shard/{}/worker/{id}/telemetry", shards[0]);
    until("it beats", || hive.read(&path).is_ok_and(|text| text.contains("heartbeat 3\n")));
    assert!(hive.read(&path).unwrap().starts_with("heartbeat 1\n"));
    assert!(!names(&hive, "/").contains(&"worker".to_owned()), "only the shard's path exists");
    let missing = hive.read(&format!("/worker/{id}/telemetry")).unwrap_err();
    assert_eq!(missing.word(), Some(Word::NotFound));
}

#[test]
fn each_process_has_its_shards_and_dies_alone() {
    let hive = split();
    let mut ids = spawn(&hive, 24, 50);
    ids.sort();
    until("all beat", || ids.iter().all(|id| records(&hive, id).is_some_and(|n| n >= 2)));

    let owners = owners(&hive);
    assert_eq!(owners.keys().cloned().collect::<Vec<_>>(), ids, "each worker is one process's");
    let mut listed = names(&hive, "/worker");
    listed.sort();
    assert_eq!(listed, ids);
    let mut by_shard = Vec::new();
    for label in names(&hive, "/shard") {
        let shard = u8::from_str_radix(&label, 16).unwrap();
        for id in names(&hive, &format!("/shard/{label}/worker")) {
            assert_eq!(owners[&id], PROCESSES[usize::from(shard / 64)], "{id} of shard {label}");
            by_shard.push(id);
        }
    }
    by_shard.sort();
    assert_eq!(by_shard, ids);

    let pid = |name: &str| hive.field(name, "pid");
    let others: Vec<&str> = ["log", "queen", "door", "worker", "worker.1", "worker.3"].into();
    let before: Vec<String> = others.iter().map(|name| pid(name)).collect();
    let counts: BTreeMap<&String, u64> = ids.iter().map(|id| (id, records(&hive, id).unwrap_or(0))).collect();
    hive.kill("worker.2");
    assert_eq!(others.iter().map(|name| pid(name)).collect::<Vec<_>>(), before, "nobody else has noticed");
    let is_others = |id: &&String| owners[*id] != "worker.2";
    for id in ids.iter().filter(is_others) {
        assert!(records(&hive, id).unwrap() >= counts[id], "{id} has kept its records");
    }
    until("its own are back", || {
        held(&hive, "worker.2").len() == ids.iter().filter(|id| !is_others(id)).count()
    });
    until("all beat on", || {
        let beats = |id: &String| records(&hive, id).is_some_and(|n| n >= 2);
        ids.iter().all(beats)
    });
    let killed = ids.iter().find(|id| owners[*id] == "worker.3").unwrap();
    hive.command(CTL, &format!("{{\"kill\":\"{killed}\"}}\n")).unwrap();
    assert!(!held(&hive, "worker.3").contains(killed) && records(&hive, killed).is_none());
}

/// Appends until told to stop; the numbers that were acknowledged. What fails is Busy, or Closed: opened
/// again, it goes on.
fn write_on(hive: &Hive, id: &str, stop: &AtomicBool) -> Vec<u64> {
    let path = format!("/worker/{id}/telemetry");
    let mut acknowledged = Vec::new();
    let (mut conn, mut fid, mut n) = (hive.dial().unwrap(), None, 0);
    while !stop.load(Ordering::Relaxed) {
        let mut attempt = || -> Result<(), DialError> {
            let open = match fid {
                Some(open) => open,
                None => *fid.insert(conn.open_path(&path, 1)?),
            };
            conn.write_at(open, u64::MAX, format!("record {n}\n").as_bytes()).map(drop)
        };
        match attempt() {
            Ok(()) => acknowledged.push(n),
            Err(error) => {
                let word = error.word();
                // A process that has just come back may not have heard of its workers.
                let is_defined = matches!(word, Some(Word::Busy | Word::Closed | Word::NotFound));
                assert!(is_defined, "{id}: {error}");
                fid = None;
            }
        }
        n += 1;
    }
    acknowledged
}

#[test]
fn writers_are_told_busy_and_go_on_when_their_process_is_back() {
    let hive = split();
    let ids = spawn(&hive, 8, 3_600_000);
    until("all are there", || ids.iter().all(|id| records(&hive, id).is_some_and(|n| n >= 1)));
    let owners = owners(&hive);
    let (door, stop) = (hive.field("door", "pid"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (hive, stop) = (&hive, &stop);
        let reader = scope.spawn(move || {
            let mut conn = hive.dial().unwrap();
            while !stop.load(Ordering::Relaxed) {
                conn.read_all("/proc/version").unwrap();
                conn.read_all("/log/queen.log").unwrap();
            }
        });
        let writers: Vec<_> =
            ids.iter().map(|id| (id, scope.spawn(move || write_on(hive, id, stop)))).collect();
        for process in PROCESSES {
            hive.kill(process);
        }
        let grown = |id: &String, than: u64| records(hive, id).is_some_and(|n| n > than);
        until("all are written to again", || ids.iter().all(|id| grown(id, 1)));
        let now: Vec<u64> = ids.iter().map(|id| records(hive, id).unwrap()).collect();
        until("and go on", || ids.iter().zip(&now).all(|(id, now)| grown(id, *now)));
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        for (id, writer) in writers {
            let acknowledged = writer.join().unwrap();
            let text = hive.read(&format!("/worker/{id}/telemetry")).unwrap();
            let kept: Vec<u64> = text
                .lines()
                .filter_map(|line| line.strip_prefix("record ").map(|n| n.parse().unwrap()))
                .collect();
            // The ring died with its process; since then nothing that was acknowledged is missing, and
            // no record is twice, or out of order.
            let since = acknowledged.iter().position(|n| *n >= kept[0]).unwrap();
            let is_known = |n: &&u64| kept.binary_search(n).is_ok();
            assert_eq!(acknowledged[since..].iter().filter(is_known).count(), acknowledged.len() - since);
            assert!(kept.is_sorted_by(|a, b| a < b), "{id} of {}", owners[id]);
        }
    });
    assert_eq!(hive.field("door", "pid"), door);
}

#[test]
fn writers_of_other_shards_notice_nothing_of_a_process_that_dies() {
    let hive = split();
    let ids = spawn(&hive, 12, 3_600_000);
    until("all are there", || ids.iter().all(|id| records(&hive, id).is_some_and(|n| n >= 1)));
    let owners = owners(&hive);
    let killed = owners[&ids[0]];
    let is_others = |id: &String| owners[id] != killed;
    assert!(ids.iter().any(is_others));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (hive, stop) = (&hive, &stop);
        let writers: Vec<_> =
            ids.iter().map(|id| (id, scope.spawn(move || write_on(hive, id, stop)))).collect();
        let counts = || -> Vec<u64> { ids.iter().map(|id| records(hive, id).unwrap_or(0)).collect() };
        let all_grow = |what: &str| {
            let before = counts();
            until(what, || counts().iter().zip(&before).all(|(now, before)| now > before));
        };
        all_grow("all are written to");
        hive.kill(killed);
        until("its own are back", || counts().iter().all(|n| *n > 0));
        all_grow("all are written to again");
        stop.store(true, Ordering::Relaxed);
        for (id, writer) in writers {
            let acknowledged = writer.join().unwrap();
            let attempts = 0..acknowledged.len() as u64;
            if is_others(id) {
                assert!(acknowledged.into_iter().eq(attempts), "{id}: none was refused");
            } else {
                assert!(!acknowledged.into_iter().eq(attempts), "{id}: some were told Busy");
            }
        }
    });
}

#[test]
fn a_cursor_goes_on_where_it_was_when_its_process_died() {
    let hive = split();
    let ids = spawn(&hive, 8, 3_600_000);
    let mut conn = hive.dial().unwrap();
    let owner = owners(&hive);
    for id in &ids {
        until("it is there", || records(&hive, id).is_some_and(|n| n >= 1));
        let fid = conn.open_path(&format!("/worker/{id}/telemetry"), 1).unwrap();
        for n in 0..9 {
            conn.write_at(fid, u64::MAX, format!("old {n}\n").as_bytes()).unwrap();
        }
        let cursor = conn.open_path(&format!("/worker/{id}/cursor"), 1).unwrap();
        conn.write_at(cursor, 0, b"10\n").unwrap();
        assert_eq!(conn.write_at(cursor, 0, b"9\n").unwrap_err().word(), Some(Word::Invalid));
    }
    for process in PROCESSES {
        hive.kill(process);
    }
    for id in &ids {
        let path = format!("/worker/{id}/cursor");
        until("its process knows it again", || hive.read(&path).is_ok());
        assert_eq!(hive.read(&path).unwrap(), "10\n", "{id} of {}", owner[id]);
        let mut conn = hive.dial().unwrap();
        let fid = conn.open_path(&format!("/worker/{id}/telemetry"), 1).unwrap();
        conn.write_at(fid, u64::MAX, b"new\n").unwrap();
        assert_eq!(hive.read(&format!("/worker/{id}/telemetry")).unwrap(), "new\n", "the eleventh");
        let cursor = conn.open_path(&path, 1).unwrap();
        assert_eq!(conn.write_at(cursor, 0, b"12\n").unwrap_err().word(), Some(Word::Invalid));
        conn.write_at(cursor, 0, b"11\n").unwrap();
        assert_eq!(hive.read(&format!("/worker/{id}/telemetry")).unwrap(), "", "nothing after it");
        assert_eq!(conn.write_at(cursor, 0, b"10\n").unwrap_err().word(), Some(Word::Invalid));
    }
}

#[test]
fn a_thousand_workers_attach_and_are_counted_in_their_shards() {
    const WORKERS: usize = 1000;
    let hive = Hive::edited(
        |shipped| {
            shipped
                .replace("shard_bits = 8", "shard_bits = 4\nworker_servers = 2")
                .replace("ring_bytes = 262_144", "ring_bytes = 4096")
                .replace("max_workers = 256", "max_workers = 1024")
                .replace("[workers.programs]", "[workers]\nrun = \"pool\"\n\n[workers.programs]")
        },
        |_| (),
    );
    let mut conn = hive.dial().unwrap();
    let fid = conn.open_path(CTL, 1).unwrap();
    let line = "{\"spawn\":\"heartbeat\",\"period_ms\":1000}\n".repeat(20);
    for _ in 0..WORKERS / 20 {
        conn.write_at(fid, u64::MAX, line.as_bytes()).unwrap();
    }
    let sessions = || hive.read("/proc/9p/sessions").unwrap();
    until("all have attached", || sessions().contains(&format!(" worker={WORKERS} ")));
    let ids = names(&hive, "/worker");
    assert_eq!(ids.len(), WORKERS);
    let mut shards = BTreeMap::<String, usize>::new();
    for label in names(&hive, "/shard") {
        let count = names(&hive, &format!("/shard/{label}/worker")).len();
        shards.insert(label, count);
    }
    assert_eq!((shards.len(), shards.values().sum::<usize>()), (16, WORKERS));
    assert!(shards.values().all(|count| (20..120).contains(count)), "spread evenly: {shards:?}");
    let said = sessions();
    assert!(said.starts_with("sessions total=") && said.contains(" shard_bits=4 shard_count=16\n"), "{said}");
    let counted = said.lines().filter_map(|line| line.strip_prefix("shard ")?.split_once(' '));
    let counted = counted.map(|(label, n)| (label.to_owned(), n.parse().unwrap())).collect();
    assert_eq!(shards, counted);
    until("all beat", || {
        let records = hive.read("/proc/ingest/records").unwrap();
        records.trim().strip_prefix("records=").unwrap().parse::<usize>().unwrap() >= WORKERS
    });
    for id in ids.iter().step_by(97) {
        assert!(hive.read(&format!("/worker/{id}/telemetry")).unwrap().starts_with("heartbeat 1\n"), "{id}");
    }
}
