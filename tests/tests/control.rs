//! Control files from outside: what they refuse, what comes twice, what a state of the hive allows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use ninep::refusal::Word;
use tests::{Hive, until};

const CTLS: [&str; 7] = [
    "/queen/ctl",
    "/queen/lifecycle/ctl",
    "/queen/lease/ctl",
    "/queen/schedule/ctl",
    "/queen/export/ctl",
    "/policy/ctl",
    "/actions/queue",
];

/// Writes bytes to a ctl; the acknowledgement, or the word of the refusal.
fn give(conn: &mut Conn, path: &str, data: &[u8]) -> Result<String, Option<Word>> {
    let fid = conn.open_path(path, 2).map_err(|error| error.word())?;
    let wrote = conn.write_at(fid, 0, data).map_err(|error| error.word());
    let ack = conn.read_at(fid, 0, 4096).map_err(|error| error.word());
    conn.clunk(fid).unwrap();
    wrote?;
    Ok(String::from_utf8_lossy(&ack?).trim().to_owned())
}

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
        "/policy/rules",
    ];
    paths.map(|path| text(conn, path)).concat()
}

#[test]
fn bad_input_to_any_ctl_is_refused_and_leaves_nothing() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let before = traces(&mut conn);
    let long = format!("{{\"kill\":\"{}\"}}\n", "x".repeat(7500));
    let bad: [&[u8]; 16] = [
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"7\n",
        b"\"spawn\"\n",
        b"{\"spawn\"\n",
        b"{\"spawn\":\"heartbeat\",\"spawn\":\"heartbeat\"}\n",
        b"{\"spawn\":null}\n",
        b"[\"spawn\",\"heartbeat\"]\n",
        b"{\"nothing\":{}}\n",
        b"{\"grant\":[\"GPU-0\",\"a\",1,1,1,1]}\n",
        b"{\"enqueue\":{\"id\":\"a\",\"kind\":\"k\",\"resource\":\"r\",\"priority\":99999999999999999999}}\n",
        b"{\"close\":\"a\",\"close\":\"a\"}\n",
        b"{\"id\":\"a\",\"target\":\"b\",\"decision\":\"approve\"}\n",
        b"{\"apply\":{\"id\":\"a\",\"rules\":[{\"id\":\"r\",\"target\":\"/../x\",\"decision\":\"gate\"}]}}\n",
        b"\xff\xfe{}\n",
    ];
    for path in CTLS {
        for line in bad {
            let said = give(&mut conn, path, line);
            assert_eq!(said, Err(Some(Word::Invalid)), "{path} {}", String::from_utf8_lossy(line));
        }
        assert_eq!(give(&mut conn, path, b"{\"kill\":\"a\0b\"}\n"), Err(Some(Word::Invalid)), "{path}");
        assert_eq!(give(&mut conn, path, long.as_bytes()), Err(Some(Word::TooBig)), "{path}");
    }
    assert_eq!(traces(&mut conn), before);
    let journal = text(&mut conn, "/audit/journal");
    assert!(!journal.contains("\"kind\":\"ctl\""), "nothing was accepted: {journal}");
}

fn envelope(id: &str, cmd: &str) -> String {
    format!(r#"{{"schema":"queen-ctl/v1","id":"{id}","idempotency_key":"k","issued_unix_ms":1,"cmd":{cmd}}}"#)
}

#[test]
fn a_command_that_comes_again_after_deaths_has_one_effect() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let spawn = envelope("a", r#"{"spawn":"heartbeat"}"#);
    let first = give(&mut conn, "/queen/ctl", spawn.as_bytes()).unwrap();
    for server in ["queen", "audit", "policy"] {
        hive.kill(server);
        until("an answer", || give(&mut conn, "/queen/ctl", spawn.as_bytes()) != Err(Some(Word::Busy)));
        let again = give(&mut conn, "/queen/ctl", spawn.as_bytes());
        assert_eq!(again, Ok(format!("{first} dup=1")), "after the death of {server}");
    }
    assert_eq!(text(&mut conn, "/proc/queen/workers").lines().count(), 1);
    let other = envelope("a", r#"{"kill":"worker-1"}"#);
    assert_eq!(give(&mut conn, "/queen/ctl", other.as_bytes()), Err(Some(Word::Invalid)));
}

#[test]
fn an_approval_outlives_the_gate_and_is_used_once() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let rules = r#"{"apply":{"id":"s","rules":[{"id":"r","target":"/queen/export/ctl","decision":"gate"}]}}"#;
    give(&mut conn, "/policy/ctl", rules.as_bytes()).unwrap();
    let open = r#"{"open":{"id":"w","path":"/a","until_ms":99999999999999,"max_bytes":1}}"#;
    let mut settled = |line: &str| {
        let mut said = Err(Some(Word::Busy));
        until("an answer", || {
            said = give(&mut conn, "/queen/export/ctl", line.as_bytes());
            said != Err(Some(Word::Busy))
        });
        said
    };
    hive.kill("policy");
    assert_eq!(settled(open), Err(Some(Word::Policy)));
    let approve = r#"{"id":"a","target":"/queen/export/ctl","decision":"approve"}"#;
    hive.command("/actions/queue", approve).unwrap();
    hive.kill("policy");
    assert!(settled(open).unwrap().starts_with("OK OPEN id=w seq="));
    hive.kill("policy");
    assert_eq!(settled(r#"{"close":"w"}"#), Err(Some(Word::Policy)));
    assert_eq!(text(&mut conn, "/actions/a/status"), "consumed\n");
}

#[test]
fn no_worker_comes_in_while_the_hive_drains() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let ack = give(&mut conn, "/queen/ctl", br#"{"spawn":"heartbeat","period_ms":50}"#).unwrap();
    assert!(ack.starts_with("OK SPAWN id=worker-1"));
    let ticket = ["mint", "--role", "worker-heartbeat", "--subject", "worker-1", "--ttl", "5m"];
    let ticket = hive.print("cohticket", &ticket);
    assert!(hive.dial_as("worker-heartbeat", &ticket).is_ok());
    give(&mut conn, "/queen/lifecycle/ctl", b"cordon").unwrap();
    let refused = hive.dial_as("worker-heartbeat", &ticket).err().and_then(|error| error.word());
    assert_eq!(refused, Some(Word::Busy));
    // What is in goes on.
    let telemetry = text(&mut conn, "/worker/worker-1/telemetry").len();
    until("telemetry", || text(&mut conn, "/worker/worker-1/telemetry").len() > telemetry);
    assert_eq!(give(&mut conn, "/queen/lifecycle/ctl", b"quiesce"), Err(Some(Word::Busy)));
    give(&mut conn, "/queen/lifecycle/ctl", b"resume").unwrap();
    assert!(hive.dial_as("worker-heartbeat", &ticket).is_ok());
}
