//! Every control file from outside: what it refuses, and that a refusal is all that comes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use ninep::refusal::Word;
use std::collections::BTreeSet;
use tests::ctl::{ALL, DEVICE, give, resource};
use tests::journal::{Record, records};
use tests::{Hive, until};

fn text(conn: &mut Conn, path: &str) -> String {
    String::from_utf8_lossy(&conn.read_all(path).unwrap()).into_owned()
}

/// What a command could have changed.
fn traces(conn: &mut Conn) -> String {
    let paths = [
        "/proc/lifecycle/state",
        "/proc/lease/summary",
        "/proc/lease/active",
        "/proc/schedule/queue",
        "/proc/queen/dedupe",
        "/proc/queen/workers",
        "/queen/export/windows",
        "/queen/export/jobs",
        "/queen/telemetry/dev-1/latest",
        "/policy/rules",
        "/trace/filter",
    ];
    paths.map(|path| text(conn, path)).concat()
}

/// The files below `dir` that take commands.
fn ctls(conn: &mut Conn, dir: &str, found: &mut BTreeSet<String>) {
    const DIRECTORY: u8 = 0x80;
    for entry in conn.list(if dir.is_empty() { "/" } else { dir }).unwrap() {
        let path = format!("{dir}/{}", entry.name);
        if entry.qid.kind & DIRECTORY != 0 {
            ctls(conn, &path, found);
        } else if ["ctl", "queue"].contains(&&*entry.name) && conn.open_path(&path, 1).is_ok() {
            found.insert(path);
        }
    }
}

#[test]
fn bad_input_to_any_ctl_is_refused_and_leaves_nothing_but_the_refusal() {
    let hive = Hive::with_sections(&resource(100, 4), |_| {});
    give(&hive, DEVICE, r#"{"new":"segment"}"#).unwrap();
    let mut conn = hive.dial().unwrap();
    let mut found = BTreeSet::new();
    ctls(&mut conn, "", &mut found);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ALL, "a ctl that is not tested");
    let before = traces(&mut conn);
    let long = format!("{{\"kill\":\"{}\"}}", "x".repeat(7500));
    let longer = format!("{{\"spawn\":\"{}\"}}", "x".repeat(5000));
    let deep = "[".repeat(1500);
    let deep_object = "{\"a\":".repeat(400);
    let huge = format!(
        "{{\"open\":{{\"id\":\"w\",\"path\":\"/a\",\"until_ms\":1{},\"max_bytes\":1}}}}",
        "0".repeat(300)
    );
    let bad = [
        // Not an object.
        "[]",
        "null",
        "7",
        "true",
        "\"spawn\"",
        "spawn heartbeat",
        "frown",
        "[\"spawn\",\"heartbeat\"]",
        "[{\"kill\":\"worker-1\"}]",
        // Not whole.
        "{",
        "{\"spawn\"",
        "{\"spawn\":\"heartbeat\"",
        "{\"set\":{\"level\":\"debug\",\"cats\":[\"boot\"]}",
        "{\"new\":\"segment\"}}",
        "{\"new\":\"segment\"} {\"new\":\"segment\"}",
        // No verb, or none that is known.
        "{}",
        "{\"unknown\":1}",
        "{\"nothing\":{}}",
        "{\"SPAWN\":\"heartbeat\"}",
        // Wrong types.
        "{\"spawn\":5}",
        "{\"spawn\":null}",
        "{\"spawn\":true}",
        "{\"spawn\":[\"heartbeat\"]}",
        "{\"kill\":[]}",
        "{\"lifecycle\":5}",
        "{\"grant\":{}}",
        "{\"grant\":[\"GPU-0\",\"a\",1,1,1,1]}",
        "{\"enqueue\":\"job-1\"}",
        "{\"enqueue\":{\"id\":\"j\"}}",
        "{\"open\":5}",
        "{\"job\":\"job-1\"}",
        "{\"apply\":{\"id\":\"r\",\"rules\":{}}}",
        "{\"id\":\"a\",\"target\":5,\"decision\":\"approve\"}",
        "{\"set\":\"debug\"}",
        "{\"set\":{\"level\":5,\"cats\":[]}}",
        "{\"set\":{\"level\":\"debug\",\"cats\":\"boot\"}}",
        "{\"new\":5}",
        "{\"new\":\"segment\",\"mime\":5}",
        "{\"seal\":{}}",
        "{\"from\":\"0\",\"to\":1}",
        // Unknown keys, and keys that come twice.
        "{\"spawn\":\"heartbeat\",\"x\":1}",
        "{\"spawn\":\"heartbeat\",\"spawn\":\"heartbeat\"}",
        "{\"release\":\"lease-1\",\"x\":1}",
        "{\"cancel\":\"job-1\",\"cancel\":\"job-1\"}",
        "{\"close\":\"a\",\"close\":\"a\"}",
        "{\"rollback\":{\"to\":\"manifest\",\"x\":1}}",
        "{\"id\":\"a\",\"target\":\"/a\",\"decision\":\"approve\",\"x\":1}",
        "{\"set\":{\"level\":\"debug\",\"cats\":[],\"x\":1}}",
        "{\"set\":{\"level\":\"off\",\"level\":\"debug\",\"cats\":[]}}",
        "{\"new\":\"segment\",\"new\":\"segment\"}",
        "{\"new\":\"segment\",\"x\":1}",
        "{\"from\":1,\"to\":1,\"x\":1}",
        "{\"from\":1,\"from\":1,\"to\":1}",
        // Numbers that are no whole ones, negative, or too large.
        "{\"spawn\":\"heartbeat\",\"ticks\":99999999999999999999999999}",
        "{\"spawn\":\"heartbeat\",\"ticks\":-1}",
        "{\"spawn\":\"heartbeat\",\"ticks\":1e3}",
        "{\"spawn\":\"heartbeat\",\"ticks\":1.5}",
        "{\"renew\":{\"lease\":\"lease-1\",\"ttl_s\":0}}",
        "{\"grant\":{\"resource\":\"GPU-0\",\"subject\":\"s\",\"mem_mb\":18446744073709551616,\"streams\":1,\"ttl_s\":1}}",
        "{\"enqueue\":{\"id\":\"a\",\"kind\":\"k\",\"resource\":\"GPU-0\",\"priority\":99999999999999999999}}",
        "{\"from\":1,\"to\":99999999999999999999}",
        "{\"from\":-1,\"to\":1}",
        "{\"from\":1.0,\"to\":1}",
        "{\"id\":\"a\",\"target\":\"/a\",\"decision\":\"approve\",\"ttl_s\":99999999999999999999}",
        &huge,
        // Values that are none.
        "{\"open\":{\"id\":\"w\",\"path\":\"../x\",\"until_ms\":1,\"max_bytes\":1}}",
        "{\"job\":{\"id\":\".\",\"window\":\"w\"}}",
        "{\"apply\":{\"id\":\"a\",\"rules\":[{\"id\":\"r\",\"target\":\"/../x\",\"decision\":\"gate\"}]}}",
        "{\"apply\":{\"id\":\"a\",\"rules\":[{\"id\":\"r\",\"target\":\"/x\",\"decision\":\"ask\"}]}}",
        "{\"id\":\"a\",\"target\":\"x\",\"decision\":\"perhaps\"}",
        "{\"id\":\"a\",\"target\":\"b\",\"decision\":\"approve\"}",
        "{\"set\":{\"level\":\"loud\",\"cats\":[]}}",
        "{\"set\":{\"level\":\"debug\",\"cats\":[\"gossip\"]}}",
        "{\"new\":\"file\"}",
        "{\"new\":\"segment\",\"mime\":\"text\"}",
        "{\"seal\":\"../a\"}",
        "{\"from\":2,\"to\":1}",
        // NUL, and depth.
        "{\"spawn\":\"heart\0beat\"}",
        "drain\0",
        "\0",
        &deep,
        &deep_object,
        &long,
        &longer,
    ];
    let give = |conn: &mut Conn, path: &str, data: &[u8]| {
        let fid = conn.open_path(path, 2).unwrap();
        let wrote = conn.write_at(fid, 0, data);
        conn.clunk(fid).unwrap();
        wrote.map_err(|error| error.word())
    };
    for path in ALL {
        for line in bad {
            let told = give(&mut conn, path, format!("{line}\n").as_bytes());
            let is_refused = matches!(told, Err(Some(Word::Invalid | Word::TooBig)));
            assert!(is_refused, "{path} {line:.80}: {told:?}");
        }
        // Bytes that are no text.
        for bytes in [&b"\xff\xfe{}\n"[..], b"{\"kill\":\"\xc3\x28\"}\n", b"\x00\x01\x02\n"] {
            assert_eq!(give(&mut conn, path, bytes), Err(Some(Word::Invalid)), "{path} {bytes:?}");
        }
        assert_eq!(give(&mut conn, path, long.as_bytes()), Err(Some(Word::TooBig)), "{path}");
        // Nothing at all is no command.
        assert_eq!(give(&mut conn, path, b" \n\r\n\n"), Err(Some(Word::Invalid)), "{path}");
        // A line of a megabyte comes in many writes.
        let fid = conn.open_path(path, 2).unwrap();
        let mut at = 0;
        let refused = loop {
            match conn.write_at(fid, at, &[b'x'; 4096]) {
                Ok(n) => at += u64::from(n),
                Err(error) => break error.word(),
            }
            assert!(at < 1 << 20, "{path} takes lines without end");
        };
        // Where a line may be as long as a write, each write is one, and a bad one.
        assert!(matches!(refused, Some(Word::TooBig | Word::Invalid)), "{path}: {refused:?}");
        // Half a line, and then nobody: one write is one line or more, never a part of one.
        let fid = conn.open_path(path, 2).unwrap();
        assert!(conn.write_at(fid, 0, b"{\"spawn\":").is_err(), "{path}");
        assert!(conn.write_at(fid, 9, b"\"heartbeat\"}\n").is_err(), "{path}");
    }
    assert_eq!(traces(&mut conn), before);
    let taken = records(&hive.path("data/journal"));
    let taken: Vec<&Record> = taken.iter().filter(|record| record.kind == "ctl").collect();
    assert!(taken.len() == 1 && taken[0].path == DEVICE, "more than the segment: {taken:?}");
    for server in ["queen", "policy", "audit", "telemetry", "trace", "door"] {
        assert_eq!(hive.field(server, "restarts"), "0", "{server}");
    }
}

#[test]
fn no_worker_comes_in_while_the_hive_drains() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let ack = give(&hive, "/queen/ctl", r#"{"spawn":"heartbeat","period_ms":50}"#).unwrap();
    assert!(ack.starts_with("OK SPAWN id=worker-1"));
    until("it is in", || !text(&mut conn, "/worker/worker-1/telemetry").is_empty());
    let ticket = ["mint", "--role", "worker-heartbeat", "--subject", "worker-1", "--ttl", "5m"];
    let ticket = hive.print("cohticket", &ticket);
    assert!(hive.dial_as("worker-heartbeat", &ticket).is_ok());
    give(&hive, "/queen/lifecycle/ctl", "cordon").unwrap();
    let refused = hive.dial_as("worker-heartbeat", &ticket).err().and_then(|error| error.word());
    assert_eq!(refused, Some(Word::Busy));
    // What is in goes on.
    let telemetry = text(&mut conn, "/worker/worker-1/telemetry").len();
    until("telemetry", || text(&mut conn, "/worker/worker-1/telemetry").len() > telemetry);
    assert_eq!(give(&hive, "/queen/lifecycle/ctl", "quiesce"), Err(Word::Busy));
    give(&hive, "/queen/lifecycle/ctl", "resume").unwrap();
    assert!(hive.dial_as("worker-heartbeat", &ticket).is_ok());
}
