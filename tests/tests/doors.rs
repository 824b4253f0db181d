//! Three doors behind one listener: who comes in sees one hive, whichever of them has its session.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Addr, Conn, Credentials, DialError};
use ninep::refusal::Word;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tests::journal::{field, number, records};
use tests::{Hive, until, with_doors};

const DOORS: u32 = 3;

fn hive() -> Hive {
    Hive::edited(|shipped| with_doors(shipped, DOORS), |_| ())
}

fn text(conn: &mut Conn, path: &str) -> Result<String, Option<Word>> {
    let read = conn.read_all(path).map_err(|error| error.word())?;
    Ok(String::from_utf8(read).unwrap())
}

/// The sessions that a client sees.
fn sessions(conn: &mut Conn) -> BTreeSet<u32> {
    let names = conn.list("/proc/9p/session").unwrap();
    names.iter().filter_map(|entry| entry.name.parse().ok()).collect()
}

/// A queen's session, and its number.
fn queen(hive: &Hive, watch: &mut Conn) -> (Conn, u32) {
    let before = sessions(watch);
    let conn = hive.dial().unwrap();
    let new: Vec<u32> = sessions(watch).difference(&before).copied().collect();
    assert_eq!(new.len(), 1, "it is seen at once");
    (conn, new[0])
}

/// Queens' sessions, one at each door.
fn queens(hive: &Hive, watch: &mut Conn) -> BTreeMap<u32, (Conn, u32)> {
    let mut at = BTreeMap::new();
    for _ in 0..2 * DOORS {
        let (conn, number) = queen(hive, watch);
        at.entry(number % DOORS).or_insert((conn, number));
    }
    assert_eq!(at.len(), DOORS as usize);
    at
}

fn mint(hive: &Hive, more: &[&str]) -> String {
    hive.print("cohticket", &[&["mint", "--role", "observer", "--ttl", "5m"], more].concat())
}

fn id(hive: &Hive, ticket: &str) -> String {
    let shown = hive.print("cohticket", &["show", "--json", ticket]);
    shown.split("\"id\"").nth(1).unwrap().split('"').nth(1).unwrap().to_owned()
}

/// Tickets and sessions of theirs, one at each door.
fn observers(hive: &Hive, watch: &mut Conn, more: &[&str]) -> BTreeMap<u32, (String, Conn)> {
    let mut at = BTreeMap::new();
    while at.len() < DOORS as usize {
        let ticket = mint(hive, more);
        let before = sessions(watch);
        let conn = hive.dial_as("", &ticket).unwrap();
        let new: Vec<u32> = sessions(watch).difference(&before).copied().collect();
        at.entry(new[0] % DOORS).or_insert((ticket, conn));
    }
    at
}

#[test]
fn sixty_sessions_spread_and_every_door_counts_them_all() {
    let hive = hive();
    let mut conns: Vec<Conn> = (0..30).map(|_| hive.dial().unwrap()).collect();
    conns.extend((0..30).map(|_| hive.dial_as("", &mint(&hive, &[])).unwrap()));
    let seen: Vec<BTreeSet<u32>> = conns.iter_mut().map(sessions).collect();
    assert_eq!(seen[0].len(), 60);
    assert!(seen.iter().all(|ids| *ids == seen[0]), "{seen:?}");
    let mut at = [0; DOORS as usize];
    seen[0].iter().for_each(|id| at[(id % DOORS) as usize] += 1);
    assert!(at.iter().all(|n| *n >= 10), "{at:?}: queens alone are ten at each");
    for conn in &mut conns {
        let total = text(conn, "/proc/9p/sessions").unwrap();
        assert!(total.starts_with("sessions total=60 worker=0 "), "{total}");
        assert_eq!(text(conn, "/proc/9p/session/active").unwrap(), "active=60 draining=0\n");
    }
    // Every session's files, through a session of each door.
    let mut watches: Vec<&mut Conn> = conns.iter_mut().take(DOORS as usize).collect();
    for watch in &mut watches {
        let mut owners = BTreeMap::new();
        for id in &seen[0] {
            let dir = format!("/proc/9p/session/{id}");
            *owners.entry(text(watch, &format!("{dir}/owner")).unwrap()).or_insert(0) += 1;
            assert_eq!(text(watch, &format!("{dir}/state")).unwrap(), "state=ACTIVE\n");
            assert!(
                text(watch, &format!("{dir}/ns"))
                    .unwrap()
                    .contains("mount -r door /proc/pressure pressure\n")
            );
        }
        let owners: Vec<_> = owners.iter().map(|(owner, n)| (owner.as_str(), *n)).collect();
        assert_eq!(owners, [("owner=observer\n", 30), ("owner=queen\n", 30)]);
        assert_eq!(text(watch, "/proc/9p/session/999999/owner"), Err(Some(Word::NotFound)));
    }
    // Refusals, wherever they were said.
    let count = |conn: &mut Conn| -> u64 {
        let line = text(conn, "/proc/pressure/permission").unwrap();
        line.trim().strip_prefix("permission=").unwrap().parse().unwrap()
    };
    let before = count(&mut conns[0]);
    for conn in &mut conns {
        assert_eq!(conn.open_path("/proc/boot", 1).map_err(|e| e.word()), Err(Some(Word::Permission)));
    }
    let counts: Vec<u64> = conns.iter_mut().map(count).collect();
    assert!(counts.iter().all(|n| *n == before + 60), "{before}: {counts:?}");
    let records = || records(&hive.path("data/journal"));
    let attached = |kind: &str| records().iter().filter(|record| record.kind == kind).count();
    drop(conns);
    until("their ends are journaled", || attached("detach") >= 60 && attached("attach") >= 60);
}

#[test]
fn a_tickets_operations_are_counted_once_for_all_its_sessions() {
    let hive = hive();
    let mut watch = hive.dial().unwrap();
    for (door, (ticket, conn)) in observers(&hive, &mut watch, &["--ops", "60"]) {
        drop(conn);
        let mut conns: Vec<Conn> = (0..3).map(|_| hive.dial_as("", &ticket).unwrap()).collect();
        // A walk and an open each; then every read is one.
        let fids: Vec<u32> = conns.iter_mut().map(|conn| conn.open_path("/proc/boot", 0).unwrap()).collect();
        let mut reads = 0;
        let refused = loop {
            let at = reads % conns.len();
            match conns[at].read_at(fids[at], 0, 16) {
                Ok(_) => reads += 1,
                Err(error) => break error.word(),
            }
        };
        assert_eq!((refused, reads), (Some(Word::Quota), 60 - 6), "door {door}");
        for (conn, fid) in conns.iter_mut().zip(fids) {
            let again = conn.read_at(fid, 0, 16).map_err(|error| error.word());
            assert_eq!(again, Err(Some(Word::Quota)), "door {door}");
        }
    }
}

#[test]
fn a_revoked_ticket_is_let_in_by_no_door() {
    let hive = hive();
    let mut watch = hive.dial().unwrap();
    let mut observers = observers(&hive, &mut watch, &[]);
    for (ticket, _) in observers.values() {
        hive.print("cohticket", &["revoke", &id(&hive, ticket)]);
    }
    for (ticket, conn) in observers.values_mut() {
        assert_eq!(text(conn, "/proc/version"), Err(Some(Word::Revoked)));
        assert_eq!(hive.dial_as("", ticket).map(drop).map_err(|e| e.word()), Err(Some(Word::Revoked)));
    }
    // A door that was away when it was said has asked when it came back.
    for door in ["door", "door.1", "door.2"] {
        hive.kill(door);
    }
    for (ticket, _) in observers.values() {
        let mut said = None;
        until("a door that remembers", || {
            said = hive.dial_as("", ticket).map(drop).map_err(|error| error.word()).err().flatten();
            said != Some(Word::Busy) && said.is_some()
        });
        assert_eq!(said, Some(Word::Revoked));
    }
}

#[test]
fn three_failures_lock_a_peer_out_of_every_door() {
    let hive = hive();
    let mut watch = hive.dial().unwrap();
    let good = observers(&hive, &mut watch, &[]);
    let dial = |ticket: &str| hive.dial_as("observer", ticket).map(drop).map_err(|error| error.word());
    for _ in 0..3 {
        assert_eq!(dial("coh1.x.y.z"), Err(Some(Word::Permission)));
    }
    for (ticket, _) in good.values() {
        assert_eq!(dial(ticket), Err(Some(Word::RateLimited)), "who it is is not looked at");
    }
    assert!(hive.dial().is_ok(), "another name at the same socket is another peer");
}

#[test]
fn a_door_that_dies_ends_its_own_sessions_and_no_other() {
    let hive = hive();
    let mut watch = hive.dial().unwrap();
    let mut at = queens(&hive, &mut watch);
    let (mut dead, old) = at.remove(&1).unwrap();
    let mut tickets = observers(&hive, &mut watch, &[]);
    let (ticket, _) = tickets.remove(&1).unwrap();
    let highest = *sessions(&mut watch).iter().filter(|id| *id % DOORS == 1).max().unwrap();
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let others =
            at.into_values().map(|(conn, _)| conn).chain(tickets.into_values().map(|(_, conn)| conn));
        for mut conn in others {
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert!(text(&mut conn, "/proc/version").is_ok());
                    assert!(text(&mut conn, "/proc/9p/sessions").unwrap().starts_with("sessions total="));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let read = || reads.load(Ordering::Relaxed);
        until("they read", || read() > 20);
        hive.print("coh", &["kill", "door.1"]);
        assert!(matches!(dead.read_all("/proc/version"), Err(DialError::Io(_))));
        let mut back = None;
        until("its tickets are let in again", || {
            back = hive.dial_as("", &ticket).ok();
            back.is_some()
        });
        let then = read();
        until("they go on", || read() > then + 20);
        stop.store(true, Ordering::Relaxed);
        assert!(text(&mut back.unwrap(), "/proc/version").is_ok());
    });
    assert_eq!((hive.field("door", "restarts"), hive.field("door.2", "restarts")), ("0".into(), "0".into()));
    assert_eq!(hive.field("door.1", "restarts"), "1");
    let mut new = queens(&hive, &mut watch);
    let (conn, number) = new.get_mut(&1).unwrap();
    assert!(*number > highest && *number > old, "{number} comes after {highest}");
    assert_eq!(text(conn, &format!("/proc/9p/session/{number}/owner")).unwrap(), "owner=queen\n");
    assert_eq!(text(&mut watch, &format!("/proc/9p/session/{old}/owner")), Err(Some(Word::NotFound)));
}

#[test]
fn a_door_that_stands_still_is_left_out_and_holds_nobody_up() {
    let hive = hive();
    let mut watch = hive.dial().unwrap();
    let mut at = queens(&hive, &mut watch);
    let total = |conn: &mut Conn| -> usize {
        let line = text(conn, "/proc/9p/sessions").unwrap();
        field(&line, "total").unwrap().parse().unwrap()
    };
    let all = sessions(&mut watch);
    let there = all.iter().filter(|id| *id % DOORS != 2).count();
    hive.print("coh", &["kill", "door.2", "--signal", "STOP"]);
    for door in [0, 1] {
        let (conn, _) = at.get_mut(&door).unwrap();
        assert_eq!(total(conn), there, "door {door}");
        assert_eq!(sessions(conn).len(), there, "it is not waited for again");
        assert!(text(conn, "/proc/version").is_ok());
    }
    hive.print("coh", &["kill", "door.2", "--signal", "CONT"]);
    until("it counts again", || total(&mut watch) == all.len());
    let (conn, _) = at.get_mut(&2).unwrap();
    assert_eq!(sessions(conn), all);
}

#[test]
fn the_queen_changes_her_own_name_space_at_every_door() {
    let hive = hive();
    let mut watch = hive.dial().unwrap();
    for (door, (mut conn, number)) in queens(&hive, &mut watch) {
        let fid = conn.open_path("/queen/ctl", 2).unwrap();
        let lines = "{\"bind\":{\"from\":\"/proc\",\"to\":\"/p\"}}\n{\"mount\":{\"service\":\"log\",\"at\":\"/l\"}}\n";
        conn.write_at(fid, 0, lines.as_bytes()).unwrap();
        let acks = String::from_utf8(conn.read_at(fid, 0, 4096).unwrap()).unwrap();
        assert!(acks.starts_with("OK BIND ") && acks.contains("\nOK MOUNT "), "door {door}: {acks}");
        // What the door would refuse does not get as far as the journal.
        for (line, word) in [
            ("{\"bind\":{\"from\":\"/none\",\"to\":\"/x\"}}", Word::NotFound),
            ("{\"mount\":{\"service\":\"nobody\",\"at\":\"/x\"}}", Word::NotFound),
        ] {
            let refused = conn.write_at(fid, 0, line.as_bytes()).map_err(|error| error.word());
            assert_eq!(refused, Err(Some(word)), "door {door}: {line}");
        }
        assert_eq!(text(&mut conn, "/p/version"), text(&mut conn, "/proc/version"));
        assert!(text(&mut conn, "/l/queen.log").is_ok());
        // From wherever one looks, and nobody else's.
        let ns = text(&mut watch, &format!("/proc/9p/session/{number}/ns")).unwrap();
        assert!(ns.contains("bind /proc /p\n") && ns.contains("mount log /l"), "{ns}");
        assert_eq!(text(&mut watch, "/p/version"), Err(Some(Word::NotFound)));
        assert_eq!(text(&mut conn, "/p/9p/sessions"), text(&mut conn, "/proc/9p/sessions"));
    }
    let journal = records(&hive.path("data/journal"));
    for verb in ["\"bind\"", "\"mount\""] {
        assert_eq!(journal.iter().filter(|record| record.cmd.contains(verb)).count(), DOORS as usize);
    }
    assert!(journal.iter().all(|record| number(&record.cmd, "session").is_none()));
}

#[test]
fn foreign_clients_and_workers_come_in_at_every_door() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let compat = format!(
        "\n[[listeners]]\nkind = \"tcp\"\naddr = \"127.0.0.1!{port}\"\nfids = \"reuse\"\noverflow = \"wait\"\n"
    );
    let hive = Hive::edited(|shipped| with_doors(shipped, DOORS) + &compat, |_| ());
    let mut watch = hive.dial().unwrap();
    let mut at = BTreeSet::new();
    while at.len() < DOORS as usize {
        let who = Credentials { ticket: mint(&hive, &[]), ..Credentials::default() };
        let before = sessions(&mut watch);
        let mut conn = Conn::dial(&Addr::Tcp("127.0.0.1".into(), port), &who).unwrap();
        let new: Vec<u32> = sessions(&mut watch).difference(&before).copied().collect();
        at.insert(new[0] % DOORS);
        assert_eq!(conn.read_all("/proc/version").unwrap(), hive.read("/proc/version").unwrap().as_bytes());
        let owner = format!("/proc/9p/session/{}/owner", new[0]);
        assert_eq!(text(&mut conn, &owner).unwrap(), "owner=observer\n");
    }
    let spawned = hive.command("/queen/ctl", &"{\"spawn\":\"heartbeat\"}\n".repeat(9)).unwrap();
    assert_eq!(spawned.lines().count(), 9, "{spawned}");
    let workers = |conn: &mut Conn| -> usize {
        field(&text(conn, "/proc/9p/sessions").unwrap(), "worker").unwrap().parse().unwrap()
    };
    until("all work", || workers(&mut watch) == 9);
    // Their sessions end with one door, and come back with it.
    hive.kill("door.1");
    until("all work again", || workers(&mut watch) == 9);
    assert_eq!(hive.read("/proc/queen/workers").unwrap().lines().count(), 9);
}

#[test]
fn a_mount_outlives_the_death_of_every_door() {
    let hive = hive();
    let n = hive.path("n");
    let door = format!("unix!{}", hive.door().display());
    hive.print("coh-mount", &["--door", &door, n.to_str().unwrap()]);
    let read = || std::fs::read_to_string(n.join("proc/version"));
    let version = hive.read("/proc/version").unwrap();
    assert_eq!(read().unwrap(), version);
    for door in ["door.1", "door.2", "door"] {
        hive.kill(door);
        let mut again = None;
        until("the mount again", || {
            again = read().ok();
            again.is_some()
        });
        assert_eq!(again.unwrap(), version, "after the death of {door}");
    }
    hive.print("coh-umount", &[n.to_str().unwrap()]);
}
