//! Whether the queen is to be reached, and why not, as a real hive tells it (spec 4.2).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use tests::ctl::give;
use tests::journal::records;
use tests::{Hive, until};

fn text(conn: &mut Conn, file: &str) -> String {
    let bytes = conn.read_all(&format!("/proc/root/{file}")).unwrap_or_default();
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

/// Waits until a session is told that reason, and what goes with it.
fn await_reason(conn: &mut Conn, reason: &str) {
    until(reason, || text(conn, "cut_reason") == format!("cut_reason={reason}"));
    let reachable = if reason == "none" { "reachable=yes" } else { "reachable=no" };
    assert_eq!(text(conn, "reachable"), reachable);
}

/// Changes of a reason, as the journal has them.
fn recorded(hive: &Hive, reason: &str) -> Vec<String> {
    let prefix = format!("OK CUT reason={reason} holds=");
    let journal = records(&hive.path("data/journal"));
    journal.iter().filter_map(|it| Some(it.ack.strip_prefix(&prefix)?.to_owned())).collect()
}

/// A session that may look and is not the queen's.
fn observer(hive: &Hive) -> Conn {
    let ticket = hive.print("cohticket", &["mint", "--role", "observer", "--ttl", "5m"]);
    hive.dial_as("observer", &ticket).unwrap()
}

#[test]
fn while_the_queen_is_being_restarted_no_way_leads_to_her() {
    let slow = |shipped: &str| format!("{shipped}\n[restart]\nbackoff_ms = 2000\nbackoff_max_ms = 2000\n");
    let hive = Hive::edited(slow, |_| {});
    let mut conn = observer(&hive);
    await_reason(&mut conn, "none");
    hive.print("coh", &["kill", "queen"]);
    await_reason(&mut conn, "network_unreachable");
    let seen = text(&mut conn, "last_seen_ms");
    assert!(conn.read_all("/proc/lifecycle/state").is_err(), "she is away");
    assert_eq!(text(&mut conn, "last_seen_ms"), seen, "she is seen while away");
    until("she is back", || conn.read_all("/proc/lifecycle/state").is_ok());
    await_reason(&mut conn, "none");
    assert_ne!(text(&mut conn, "last_seen_ms"), seen);
}

#[test]
fn a_rule_that_denies_her_control_file_cuts_her_off_through_deaths_until_it_goes() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let rules = r#"{"apply":{"id":"s","rules":[{"id":"r","target":"/queen/ctl","decision":"deny"}]}}"#;
    give(&hive, "/policy/ctl", rules).unwrap();
    await_reason(&mut conn, "policy_denied");
    for server in ["queen", "policy", "door"] {
        hive.kill(server);
        conn = hive.dial().unwrap();
        await_reason(&mut conn, "policy_denied");
    }
    // Other rules, or none, leave her be.
    let other = r#"{"apply":{"id":"t","rules":[{"id":"r","target":"/queen/*/ctl","decision":"deny"}]}}"#;
    give(&hive, "/policy/ctl", other).unwrap();
    await_reason(&mut conn, "none");
    give(&hive, "/policy/ctl", r#"{"rollback":{"to":"s"}}"#).unwrap();
    await_reason(&mut conn, "policy_denied");
    give(&hive, "/policy/ctl", r#"{"rollback":{"to":"manifest"}}"#).unwrap();
    await_reason(&mut conn, "none");
    assert_eq!(recorded(&hive, "policy_denied"), ["true", "false", "true", "false"]);
    assert!(hive.print("cohreplay", &[]).starts_with("ok records="));
}

#[test]
fn a_queen_whose_last_session_was_revoked_is_cut_off_until_the_next() {
    let hive = Hive::start(&[]);
    let mut conn = observer(&hive);
    let ticket = hive.print("cohticket", &["mint", "--role", "queen", "--ttl", "5m"]);
    let shown = hive.print("cohticket", &["show", "--json", &ticket]);
    let id = tests::journal::string(&shown, "id").unwrap();
    await_reason(&mut conn, "none");
    let mut queen = hive.dial_as("queen", &ticket).unwrap();
    let fid = queen.open_path("/queen/ctl", 1).unwrap();
    // Her own: the answer may come after the end.
    drop(queen.write_at(fid, 0, format!("{{\"revoke\":\"{id}\"}}").as_bytes()));
    await_reason(&mut conn, "session_revoked");
    hive.kill("door");
    let mut conn = observer(&hive);
    await_reason(&mut conn, "session_revoked");
    drop(hive.dial().unwrap());
    await_reason(&mut conn, "none");
    assert_eq!(recorded(&hive, "session_revoked"), ["true", "false"]);
}
