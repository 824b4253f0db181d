//! Replay: a journal of ten thousand commands comes to the same again, here and elsewhere (spec 6.4).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Instant;
use tests::Hive;
use tests::ctl::{envelope, resource};
use tests::journal::{records, verify};

const COMMANDS: usize = 10_000;
const CLIENTS: usize = 8;

/// The commands of one client: of every ctl that the authority and policy fold, some of them refused.
fn command(client: usize, i: usize) -> (&'static str, String) {
    let name = format!("c{client}-{i}");
    match i % 10 {
        0 => ("/queen/ctl", envelope(&name, "k", r#"{"budget":{"ttl_s":100000}}"#)),
        1 => ("/queen/ctl", format!("{{\"budget\":{{\"ops\":{}}}}}", 1_000_000 + i)),
        2 => (
            "/queen/lease/ctl",
            format!(
                r#"{{"grant":{{"resource":"GPU-0","subject":"{name}","mem_mb":1,"streams":1,"ttl_s":1}}}}"#
            ),
        ),
        3 => ("/queen/lease/ctl", format!("{{\"release\":\"lease-{}\"}}", i / 10 + 1)),
        4 => (
            "/queen/lease/ctl",
            format!(r#"{{"quota":{{"subject":"{name}","max_leases":{i},"max_mem_mb":{i}}}}}"#),
        ),
        5 => (
            "/queen/schedule/ctl",
            format!(
                r#"{{"enqueue":{{"id":"{name}","kind":"gpu","resource":"GPU-0","priority":1,"not_before_ms":99999999999999,"spec":{{"mem_mb":1,"streams":1,"ttl_s":1}}}}}}"#
            ),
        ),
        6 => ("/queen/schedule/ctl", format!("{{\"cancel\":\"c{client}-{}\"}}", i - 1)),
        7 => (
            "/queen/export/ctl",
            format!(
                r#"{{"open":{{"id":"{name}","path":"/queen/telemetry/ä b","until_ms":99999999999999,"max_bytes":1}}}}"#
            ),
        ),
        8 => ("/queen/export/ctl", format!("{{\"close\":\"c{client}-{}\"}}", i - 1)),
        _ => (
            "/actions/queue",
            format!(r#"{{"id":"{name}","target":"/queen/*/ctl","decision":"deny","ttl_s":1}}"#),
        ),
    }
}

#[test]
fn ten_thousand_commands_come_to_the_same_again_also_on_another_machine() {
    let hive = Hive::with_sections(&resource(1_000_000, 1_000_000), |_| {});
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let hive = &hive;
            scope.spawn(move || {
                let mut conn = hive.dial().unwrap();
                let mut fids = std::collections::BTreeMap::new();
                let mut given = 0;
                for i in 0.. {
                    let (path, line) = command(client, i);
                    let fid = *fids.entry(path).or_insert_with(|| conn.open_path(path, 2).unwrap());
                    // A lease of somebody else, a queue that is full: refused, and not in the journal.
                    given += usize::from(conn.write_at(fid, u64::MAX, line.as_bytes()).is_ok());
                    if given >= COMMANDS / CLIENTS {
                        return;
                    }
                }
            });
        }
    });
    hive.command("/queen/ctl", r#"{"spawn":"heartbeat","ticks":3,"period_ms":10}"#).unwrap();
    let live = hive.print("cohreplay", &[]);
    assert!(live.starts_with("ok records=") && !live.contains("unknown"), "{live}");
    verify(&hive);
    let journal = records(&hive.path("data/journal"));
    let commands = journal.iter().filter(|record| record.kind == "ctl").count();
    assert!(commands > COMMANDS, "{commands} commands are in the journal");
    let last = journal.last().unwrap().seq.to_string();

    // Up to the last record of then: the boots that follow are others.
    let mut sums = Vec::new();
    for env in [
        &[][..],
        &[("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR.UTF-8")],
        &[("TZ", "America/St_Johns"), ("LC_ALL", "C"), ("HOME", "/nonexistent"), ("RUST_BACKTRACE", "1")],
    ] {
        let start = Instant::now();
        let elsewhere = Hive::moved(&hive, env);
        let up = start.elapsed();
        let said = elsewhere.print("cohreplay", &["1", &last, "--json"]);
        println!("up in {up:?}, replayed by {:?}: {said}", start.elapsed());
        assert!(said.contains(r#""result":"ok""#) && said.contains(r#""records":"#), "{said}");
        sums.push(said);
    }
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "{sums:#?}");
}
