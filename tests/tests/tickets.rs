//! cohticket and what it looks for, and what a ticket lets its bearer do with cursors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Conn, DialError};
use ninep::refusal::Word;
use tests::{Hive, until};

#[test]
fn a_time_to_live_is_in_the_ticket() {
    let hive = Hive::start(&[]);
    let mint = |ttl: &str| hive.program("cohticket", &["mint", "--role", "observer", "--ttl-s", ttl]);
    let ticket = String::from_utf8(mint("7").stdout).unwrap();
    let shown = hive.print("cohticket", &["show", "--json", ticket.trim()]);
    assert!(shown.contains("\"ttl_s\":7"), "{shown}");
    assert_eq!(mint("0").status.code(), Some(2));
    assert!(hive.dial_as("observer", ticket.trim()).is_ok());
}

#[test]
fn a_manifest_that_cannot_be_read_mints_nothing() {
    let hive = Hive::start(&[]);
    let mint = || hive.program("cohticket", &["mint", "--role", "observer"]);
    hive.print("coh", &["down"]);
    assert!(mint().status.success(), "without a hive there are the defaults");
    std::fs::create_dir(hive.path("run/manifest.cbor")).unwrap();
    let refused = mint();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("manifest.cbor: Is a directory"), "{said}");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    std::fs::remove_dir(hive.path("run/manifest.cbor")).unwrap();
}

#[test]
fn a_ticket_moves_cursors_as_often_as_its_quota_says() {
    let hive = Hive::start(&[]);
    let ack = hive.command("/queen/ctl", "{\"spawn\":\"heartbeat\",\"period_ms\":20}\n").unwrap();
    let id = ack.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    let (telemetry, cursor) = (format!("/worker/{id}/telemetry"), format!("/worker/{id}/cursor"));
    until("nine records", || hive.read(&telemetry).is_ok_and(|text| text.contains("heartbeat 9\n")));
    let options = ["--cursor-advances", "2", "--cursor-resumes", "1"];
    let ticket =
        hive.print("cohticket", &[&["mint", "--role", "queen", "--ttl", "1h"], &options[..]].concat());
    let word = |outcome: Result<(), DialError>| outcome.err().and_then(|error| error.word());
    let mut conn = hive.dial_as("queen", &ticket).unwrap();
    let fid = conn.open_path(&cursor, 2).unwrap();
    let advance =
        |conn: &mut Conn, n: u64| word(conn.write_at(fid, 0, format!("{n}\n").as_bytes()).map(drop));
    let read = |conn: &mut Conn| word(conn.read_all(&telemetry).map(drop));
    assert_eq!(read(&mut conn), None, "there is no cursor of its own yet");
    assert_eq!([1, 2, 3].map(|n| advance(&mut conn, n)), [None, None, Some(Word::Quota)]);
    let errstr = String::from_utf8(conn.read_all("/proc/9p/self/errstr").unwrap()).unwrap();
    assert_eq!(errstr, format!("reason=quota path={cursor} detail=the ticket's cursor advances are spent\n"));
    assert_eq!(conn.read_all(&cursor).unwrap(), b"2\n", "a refused advance moves nothing");
    assert_eq!([(); 2].map(|()| read(&mut conn)), [None, Some(Word::Quota)]);
    // By whatever path, and in whatever session.
    let mut again = hive.dial_as("queen", &ticket).unwrap();
    let shards = again.list("/shard").unwrap();
    let by_shard = format!("/shard/{}/worker/{id}/telemetry", shards[0].name);
    assert_eq!(word(again.read_all(&by_shard).map(drop)), Some(Word::Quota));
    assert!(hive.dial().unwrap().read_all(&telemetry).is_ok(), "others are not held to it");
}
