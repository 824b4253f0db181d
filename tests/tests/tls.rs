//! A tls listener, and what dials it: commands, sessions that threads share, a mount. The authority is made
//! for each run, with openssl.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Addr, Conn, Credentials, DialError, SharedConn};
use ninep::refusal::Word;
use ninep::wire::{Rmsg, Tmsg, decode_r};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::{Hive, until, with_doors};

fn openssl(dir: &Path, args: &str) {
    let made = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&made.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// An authority.
fn authority(dir: &Path, name: &str) {
    let extensions = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
    openssl(
        dir,
        &format!("req -x509 {KEY} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem {extensions}"),
    );
}

/// A hive with a tls listener for the name localhost.
struct Tls {
    hive: Hive,
    port: u16,
}

impl Tls {
    fn start() -> Tls {
        Tls::edited(str::to_owned)
    }

    fn edited(edit: impl FnOnce(&str) -> String) -> Tls {
        // Free now; another's in between is another run of the test.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listener = format!(
            "[[listeners]]\nkind = \"tls\"\naddr = \"127.0.0.1!{port}\"\ncert = \"file:door.pem\"\nkey = \"file:door.key\"\n"
        );
        let hive = Hive::edited(
            |shipped| edit(shipped) + &listener,
            |data| {
                authority(data, "ours");
                authority(data, "strangers");
                openssl(data, &format!("req {KEY} -subj /CN=localhost -keyout door.key -out door.csr"));
                fs::write(data.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
                openssl(
                    data,
                    "x509 -req -in door.csr -CA ours.pem -CAkey ours.key -days 2 -extfile names -out door.pem",
                );
            },
        );
        Tls { hive, port }
    }

    fn ca(&self, name: &str) -> PathBuf {
        self.hive.path(&format!("data/{name}.pem"))
    }

    fn addr(&self, host: &str, ca: &str) -> Addr {
        Addr::Tls { host: host.into(), port: self.port, ca: Some(self.ca(ca)) }
    }

    fn queen(&self) -> Credentials {
        let ticket = self.hive.print("cohticket", &["mint", "--role", "queen", "--ttl", "5m"]);
        Credentials { ticket, ..Credentials::default() }
    }
}

#[test]
fn who_shows_a_ticket_over_tls_is_served_as_at_home() {
    let tls = Tls::start();
    let addr = tls.addr("localhost", "ours");
    let stranger = Conn::dial(&addr, &Credentials::default()).map(drop).map_err(|error| error.word());
    assert_eq!(stranger, Err(Some(Word::Permission)), "nobody is queen by dialling");
    let mut conn = Conn::dial(&addr, &tls.queen()).unwrap();
    assert_eq!(conn.read_all("/proc/version").unwrap(), tls.hive.read("/proc/version").unwrap().as_bytes());
    // Many frames each way, several in one record and several records in one frame.
    let fid = conn.open_path("/log/queen.log", 1).unwrap();
    let line = format!("{}\n", "x".repeat(7999));
    for _ in 0..40 {
        assert_eq!(conn.write_at(fid, u64::MAX, line.as_bytes()).unwrap(), 8000);
    }
    let log = conn.read_all("/log/queen.log").unwrap();
    assert_eq!(log.iter().filter(|byte| **byte == b'x').count() / 7999, 40);
    let text = tls.addr("localhost", "ours").to_string();
    let ticket = tls.hive.path("ticket");
    fs::write(&ticket, tls.queen().ticket).unwrap();
    let shown =
        tls.hive.print("cohcat", &["--door", &text, "--ticket", ticket.to_str().unwrap(), "/proc/version"]);
    assert_eq!(shown, tls.hive.read("/proc/version").unwrap().trim());
}

#[test]
fn a_session_of_another_door_over_tls_is_served_as_at_home() {
    let tls = Tls::edited(|shipped| with_doors(shipped, 3));
    let addr = tls.addr("localhost", "ours");
    let (version, line) = (tls.hive.read("/proc/version").unwrap(), format!("{}\n", "x".repeat(7999)));
    let mut conns = Vec::new();
    // Where a ticket's sessions are is decided by its id: a dozen leave no door out, but once in a hundred.
    for _ in 0..12 {
        let mut conn = Conn::dial(&addr, &tls.queen()).unwrap();
        assert_eq!(conn.read_all("/proc/version").unwrap(), version.as_bytes());
        let fid = conn.open_path("/log/queen.log", 1).unwrap();
        for _ in 0..10 {
            assert_eq!(conn.write_at(fid, u64::MAX, line.as_bytes()).unwrap(), 8000);
        }
        conns.push(conn);
    }
    for conn in &mut conns {
        let log = conn.read_all("/log/queen.log").unwrap();
        assert_eq!(log.iter().filter(|byte| **byte == b'x').count() / 7999, 120);
    }
    let active = || tls.hive.read("/proc/9p/session/active").unwrap();
    assert_eq!(active(), "active=13 draining=0\n");
    conns.clear();
    until("their ends are seen", || active() == "active=1 draining=0\n");
}

#[test]
fn a_door_that_cannot_prove_its_name_is_not_talked_to() {
    let tls = Tls::start();
    for addr in [tls.addr("localhost", "strangers"), tls.addr("127.0.0.1", "ours")] {
        let refused = Conn::dial(&addr, &tls.queen()).map(drop).unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{addr}: {refused}");
    }
    let missing = Conn::dial(&tls.addr("localhost", "nobodys"), &tls.queen()).map(drop).unwrap_err();
    assert!(missing.to_string().contains("nobodys.pem"), "{missing}");
}

#[test]
fn what_is_no_tls_ends_and_hurts_nobody() {
    let tls = Tls::start();
    let mut noise = TcpStream::connect(("127.0.0.1", tls.port)).unwrap();
    noise.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    noise.write_all(&[0x13, 0, 0, 0, 100, 0xff, 0xff].repeat(100)).unwrap();
    let mut said = Vec::new();
    // An alert and the end, or the end alone.
    let _ = noise.read_to_end(&mut said);
    assert!(said.len() < 100, "{said:?}");
    // One that stays in the middle of its handshake.
    let _half = TcpStream::connect(("127.0.0.1", tls.port)).unwrap();
    let mut conn = Conn::dial(&tls.addr("localhost", "ours"), &tls.queen()).unwrap();
    conn.read_all("/proc/version").unwrap();
}

#[test]
fn threads_share_a_session_over_tls() {
    let tls = Tls::start();
    let conn = SharedConn::dial(&tls.addr("localhost", "ours"), &tls.queen()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let read = |path: &[&str]| -> Vec<u8> {
        let (fid, _) = conn.walk(conn.root(), path, until).unwrap();
        conn.call(&Tmsg::Lopen { fid, flags: 0 }, until).unwrap();
        let frame = conn.call(&Tmsg::Read { fid, offset: 0, count: 4096 }, until).unwrap();
        conn.let_go(fid);
        match decode_r(&frame).unwrap().1 {
            Rmsg::Read { data } => data.to_vec(),
            other => panic!("{other:?}"),
        }
    };
    let (version, boot) = (read(&["proc", "version"]), read(&["proc", "boot"]));
    assert_ne!(version, boot);
    std::thread::scope(|scope| {
        for i in 0..16 {
            let (read, version, boot) = (&read, &version, &boot);
            scope.spawn(move || {
                for _ in 0..50 {
                    match i % 2 {
                        0 => assert_eq!(&read(&["proc", "version"]), version),
                        _ => assert_eq!(&read(&["proc", "boot"]), boot),
                    }
                }
            });
        }
    });
    tls.hive.kill("door");
    until_lost(&conn);
    let lost = conn.call(&Tmsg::Getattr { fid: 0, mask: 0 }, until).map(drop);
    assert!(matches!(lost, Err(DialError::Io(_))), "{lost:?}");
}

fn until_lost(conn: &SharedConn) {
    until("the end of the session", || conn.is_lost());
}

#[test]
fn a_hive_is_mounted_over_tls() {
    let tls = Tls::start();
    let (n, ticket) = (tls.hive.path("n"), tls.hive.path("ticket"));
    fs::write(&ticket, tls.queen().ticket).unwrap();
    let door = tls.addr("localhost", "ours").to_string();
    let at = n.to_str().unwrap();
    tls.hive.print("coh-mount", &["--door", &door, "--ticket", ticket.to_str().unwrap(), at]);
    let version = fs::read_to_string(n.join("proc/version"));
    let wrote = fs::write(n.join("queen/ctl"), "{\"spawn\":\"heartbeat\"}\n");
    tls.hive.kill("door");
    let mut again = None;
    until("the door again", || {
        again = fs::read_to_string(n.join("proc/version")).ok();
        again.is_some()
    });
    tls.hive.print("coh-umount", &[at]);
    assert_eq!(version.unwrap(), tls.hive.read("/proc/version").unwrap());
    wrote.unwrap();
    assert_eq!(again.unwrap(), tls.hive.read("/proc/version").unwrap());
}
