//! A whole hive of real processes: servers that are killed, workers, tickets, hostile clients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use ninep::refusal::Word;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tests::{Hive, until};

fn text(conn: &mut Conn, path: &str) -> Result<String, Option<Word>> {
    conn.read_all(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| error.word())
}

fn command(conn: &mut Conn, line: &str) -> Result<String, Option<Word>> {
    let fid = conn.open_path("/queen/ctl", 2).map_err(|error| error.word())?;
    let wrote = conn.write_at(fid, 0, line.as_bytes()).map_err(|error| error.word());
    let ack = conn.read_at(fid, 0, 4096).map_err(|error| error.word());
    conn.clunk(fid).unwrap();
    wrote?;
    Ok(String::from_utf8_lossy(&ack?).into_owned())
}

fn id_of(ack: &str) -> String {
    ack.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned()
}

#[test]
fn a_worker_lives_speaks_and_is_spent() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let id = id_of(&command(&mut conn, r#"{"spawn":"heartbeat","ticks":3,"period_ms":50}"#).unwrap());
    let telemetry = format!("/worker/{id}/telemetry");
    let expected = "heartbeat 1\nheartbeat 2\nheartbeat 3\n";
    until("three heartbeats", || text(&mut conn, &telemetry).as_deref() == Ok(expected));
    until("its end", || text(&mut conn, &telemetry) == Err(Some(Word::NotFound)));
    let log = text(&mut conn, "/log/queen.log").unwrap();
    assert!(log.contains(&format!("queen revoked {id} reason=ticks-spent")), "{log}");
    assert_eq!(command(&mut conn, r#"{"kill":"worker-99"}"#), Err(Some(Word::NotFound)));
    assert_eq!(command(&mut conn, r#"{"spawn":"heartbeat","ticks":0}"#), Err(Some(Word::Invalid)));
    assert_eq!(command(&mut conn, &"x".repeat(3000)), Err(Some(Word::TooBig)));
}

#[test]
fn the_queen_is_told_again_and_again_what_a_worker_has_left() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    command(&mut conn, r#"{"spawn":"heartbeat","ticks":1000,"period_ms":20}"#).unwrap();
    let left = |conn: &mut Conn| {
        let workers = text(conn, "/proc/queen/workers").unwrap();
        let left = workers.split("ticks_left=").nth(1).and_then(|rest| rest.split(' ').next());
        left.unwrap().parse::<u64>().unwrap()
    };
    until("it is told", || left(&mut conn) < 1000);
    let before = left(&mut conn);
    until("it is told again", || left(&mut conn) < before);
}

#[test]
fn a_budget_of_time_ends_a_worker() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let spawn = r#"{"spawn":"heartbeat","period_ms":50,"budget":{"ttl_s":1}}"#;
    let id = id_of(&command(&mut conn, spawn).unwrap());
    until("its end", || !text(&mut conn, "/proc/queen/workers").unwrap().contains(&id));
    let spawn = r#"{"spawn":"heartbeat","period_ms":20,"budget":{"ops":30}}"#;
    let id = id_of(&command(&mut conn, spawn).unwrap());
    until("its end", || !text(&mut conn, "/proc/queen/workers").unwrap().contains(&id));
    let log = text(&mut conn, "/log/queen.log").unwrap();
    assert!(log.contains("reason=ttl-spent") && log.contains("reason=ops-spent"), "{log}");
}

#[test]
fn a_workers_ticket_reaches_its_own_files_and_nothing_else() {
    let hive = Hive::start(&[]);
    let mut queen = hive.dial().unwrap();
    for _ in 0..2 {
        command(&mut queen, r#"{"spawn":"heartbeat","period_ms":1000}"#).unwrap();
    }
    let mint = ["mint", "--role", "worker-heartbeat", "--subject", "worker-1", "--ttl", "5m"];
    let ticket = hive.print("cohticket", &mint);
    let mut worker = hive.dial_as("worker-heartbeat", &ticket).unwrap();
    let names: Vec<String> = worker.list("/").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["log", "proc", "shard", "worker"]);
    for path in ["/proc/boot", "/log/queen.log", "/worker/worker-1/telemetry", "/worker/self/status"] {
        assert!(text(&mut worker, path).is_ok(), "{path}");
    }
    for path in [
        "/queen/ctl",
        "/worker/worker-2/telemetry",
        "/proc/version",
        "/proc/9p/sessions",
        "/proc/queen/workers",
    ] {
        assert_eq!(text(&mut worker, path), Err(Some(Word::NotFound)), "{path}");
    }
    for path in ["/log/queen.log", "/proc/boot"] {
        let opened = worker.open_path(path, 1).map_err(|error| error.word());
        assert_eq!(opened, Err(Some(Word::Permission)), "{path} is not written");
    }
    let ns = worker.open_path("/proc/9p/self/ns", 1).map_err(|error| error.word());
    assert_eq!(ns, Err(Some(Word::Permission)));
    // Another's name with this ticket, another role with this ticket.
    for role in ["queen", "observer", "worker-gpu"] {
        assert_eq!(
            hive.dial_as(role, &ticket).map(drop).map_err(|e| e.word()),
            Err(Some(Word::Permission)),
            "{role}"
        );
    }
}

#[test]
fn a_revoked_ticket_closes_its_sessions_for_good() {
    let hive = Hive::start(&[]);
    let ticket = hive.print("cohticket", &["mint", "--role", "observer", "--ttl", "5m"]);
    let ticket = ticket.as_str();
    let shown = hive.print("cohticket", &["show", "--json", ticket]);
    let id = shown.split("\"id\"").nth(1).unwrap().split('"').nth(1).unwrap().to_owned();
    let mut observer = hive.dial_as("", ticket).unwrap();
    assert!(text(&mut observer, "/proc/version").is_ok());
    hive.print("cohticket", &["revoke", &id]);
    assert_eq!(text(&mut observer, "/proc/version"), Err(Some(Word::Revoked)));
    assert_eq!(hive.dial_as("", ticket).map(drop).map_err(|e| e.word()), Err(Some(Word::Revoked)));
    hive.kill("door");
    let mut said = None;
    until("a door that remembers", || {
        said = hive.dial_as("", ticket).map(drop).map_err(|error| error.word()).err().flatten();
        matches!(said, Some(Word::Revoked))
    });
}

#[test]
fn three_bad_tickets_lock_a_name_out_but_not_the_hive() {
    let hive = Hive::start(&[]);
    for _ in 0..3 {
        let refused = hive.dial_as("observer", "coh1.AA.AA.AA").map(drop).map_err(|error| error.word());
        assert_eq!(refused, Err(Some(Word::Permission)));
    }
    let refused = hive.dial_as("observer", "coh1.AA.AA.AA").map(drop).map_err(|error| error.word());
    assert_eq!(refused, Err(Some(Word::RateLimited)));
    assert!(hive.dial().is_ok(), "the local queen");
}

#[test]
fn hostile_peers_cost_nobody_else() {
    let hive = Hive::start(&[]);
    let mut queen = hive.dial().unwrap();
    // Connections that never say anything, and one that reads nothing.
    let silent: Vec<UnixStream> = (0..1000).map(|_| UnixStream::connect(hive.door()).unwrap()).collect();
    let mut deaf = UnixStream::connect(hive.door()).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    deaf.write_all(&hello()).unwrap();
    let mut getattr = vec![19, 0, 0, 0, 24, 5, 0];
    getattr.extend_from_slice(&[0; 12]);
    let flood = getattr.repeat(4096);
    let mut sent = 0;
    while deaf.write(&flood).is_ok() {
        sent += flood.len();
        assert!(sent < 64 << 20, "a client that does not read is read no further");
    }
    // Noise of every kind; each connection ends or is answered, none hurts.
    let mut seed = 1u32;
    for round in 0..200 {
        let mut noise = if round % 2 == 0 { hello() } else { Vec::new() };
        for _ in 0..200 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.push((seed >> 24) as u8);
        }
        let mut peer = UnixStream::connect(hive.door()).unwrap();
        // The door may hang up in the middle of it.
        let _ = peer.write_all(&noise);
    }
    for _ in 0..20 {
        assert!(text(&mut queen, "/proc/version").is_ok(), "a polite client is served");
    }
    // A frame of which the door has half waits for the other half; one beyond all bounds is answered, and ends
    // the stream.
    let mut peer = UnixStream::connect(hive.door()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    peer.write_all(&u32::MAX.to_le_bytes()).unwrap();
    peer.write_all(&[100, 0, 0]).unwrap();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    assert_eq!(said, [11, 0, 0, 0, 7, 0, 0, 90, 0, 0, 0], "Rlerror EMSGSIZE, and the door has hung up");
    let sessions = text(&mut queen, "/proc/9p/sessions").unwrap();
    assert!(sessions.starts_with("sessions total=100"), "{sessions}");
    drop(silent);
    until("the end of the silent", || {
        text(&mut queen, "/proc/9p/sessions").unwrap().starts_with("sessions total=2 ")
    });
    let status = hive.print("coh", &["status"]);
    let servers = status.matches(" restarts=").count();
    assert_eq!(status.matches(" restarts=0").count(), servers, "nothing has died: {status}");
}

/// Tversion and an attach as the local queen.
fn hello() -> Vec<u8> {
    let mut out = vec![21, 0, 0, 0, 100, 255, 255, 0, 32, 0, 0, 8, 0];
    out.extend_from_slice(b"9P2000.L");
    out.extend_from_slice(&[28, 0, 0, 0, 104, 1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 5, 0]);
    out.extend_from_slice(b"queen");
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    out
}

#[test]
fn nothing_is_left_behind() {
    let hive = Hive::start(&[]);
    let run = hive.path("run");
    assert!(hive.coh(&["down"]).status.success());
    let left: Vec<_> = run.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["coh.log"], "what init had to say, and nothing else");
    assert!(hive.up(&[]).status.success(), "and it starts again");
}

#[test]
fn a_status_says_what_the_lifecycle_says() {
    let hive = Hive::start(&[]);
    assert_eq!(hive.field("hive", "state"), "ONLINE");
    hive.print("cohlife", &["cordon"]);
    assert_eq!(hive.field("hive", "state"), "DRAINING");
    hive.print("coh", &["kill", "queen", "--signal", "STOP"]);
    assert_eq!(hive.field("hive", "state"), "ONLINE", "what init knows, where the queen does not answer");
    hive.print("coh", &["kill", "queen", "--signal", "CONT"]);
    until("the queen answers", || hive.field("hive", "state") == "DRAINING");
}
