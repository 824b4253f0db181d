//! Consoles: the same lines on every way in, and what hostile clients get.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Addr, Credentials};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use talk::Talk;
use tests::{Hive, program, until};

/// A client that says nothing for so long pings.
const SILENCE: Duration = Duration::from_secs(15);

/// A hive with a TCP console, and that console's port.
fn hive() -> (Hive, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (Hive::start(&["--console", &format!("tcp!127.0.0.1!{port}")]), port)
}

fn transcripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

/// What differs from run to run, by its name.
fn named(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once('=') {
        Some(("manifest", _)) => "manifest={sha256}".to_owned(),
        Some(("elapsed_ms", _)) => "elapsed_ms={ms}".to_owned(),
        Some(("seq", _)) => "seq={n}".to_owned(),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn transcript(mut talk: Talk, script: &str) -> String {
    let mut text = String::new();
    for line in script.lines() {
        text.push_str(&format!("> {line}\n"));
        talk.send(line, &mut |said| text.push_str(&(named(said) + "\n"))).unwrap();
    }
    text
}

fn queen() -> Credentials {
    Credentials { role: "queen".into(), ..Credentials::default() }
}

fn same(name: &str, golden: &str, found: &str) {
    assert!(golden == found, "{name}: expected:\n{golden}\nfound:\n{found}\nfirst difference: {:?}", {
        let mut lines = golden.lines().zip(found.lines());
        lines.find(|(golden, found)| golden != found)
    });
}

#[test]
fn a_script_says_the_same_on_every_way_in() {
    let (hive, port) = hive();
    let script = fs::read_to_string(transcripts().join("session.coh")).unwrap();
    let path = transcripts().join("session.txt");
    let door = Addr::Unix(hive.door());
    let local = Addr::Unix(hive.path("run/console"));
    let remote = Addr::Tcp("127.0.0.1".into(), port);
    let token = fs::read_to_string(hive.path("data/console.token")).unwrap();
    let in_process = transcript(Talk::door(&door, queen(), &mut |_| {}).unwrap(), &script);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &in_process).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    same("at the door", &golden, &in_process);
    let talk = Talk::console(&local, None, &queen(), SILENCE, &mut |_| {}).unwrap();
    same("on the socket", &golden, &transcript(talk, &script));
    let talk = Talk::console(&remote, Some(token.trim()), &queen(), SILENCE, &mut |_| {}).unwrap();
    same("over TCP", &golden, &transcript(talk, &script));

    // cohsh, with the attach that the others had before: at the door and at both consoles.
    let said: String =
        golden.lines().filter(|line| !line.starts_with("> ")).map(|line| line.to_owned() + "\n").collect();
    let (local, remote) =
        (format!("unix!{}", hive.path("run/console").display()), format!("tcp!127.0.0.1!{port}"));
    let token = hive.path("data/console.token").display().to_string();
    for options in [&[][..], &["--console", &local], &["--console", &remote, "--token", &token]] {
        let mut cohsh = Command::new(program("cohsh"));
        let lines = fs::File::open(transcripts().join("session.coh")).unwrap();
        let output = cohsh.args(options).env("COH_RUN", hive.path("run")).stdin(lines).output().unwrap();
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed: String = printed.lines().map(|line| named(line) + "\n").collect();
        same(&format!("cohsh {options:?}"), &format!("OK ATTACH role=queen\n{said}"), &printed);
    }
    let mut cohsh = Command::new(program("cohsh"));
    let output = cohsh.args(["--console", &remote]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("give the console's token with --token FILE"),
        "{said}"
    );
}

/// A TCP console, byte for byte.
struct Raw(TcpStream);

impl Raw {
    fn new(port: u16) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Raw(stream)
    }

    fn authenticated(hive: &Hive, port: u16) -> Raw {
        let mut raw = Raw::new(port);
        let token = fs::read_to_string(hive.path("data/console.token")).unwrap();
        assert_eq!(raw.says(format!("AUTH {}", token.trim()).as_bytes()), "OK AUTH");
        raw
    }

    fn send(&mut self, line: &[u8]) {
        self.0.write_all(&[&console::header(line.len()), line].concat()).unwrap();
    }

    fn hears(&mut self) -> String {
        let mut header = [0; 4];
        self.0.read_exact(&mut header).unwrap();
        let mut line = vec![0; u32::from_le_bytes(header) as usize - 4];
        self.0.read_exact(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn says(&mut self, line: &[u8]) -> String {
        self.send(line);
        self.hears()
    }

    fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn bad_lines_and_frames_get_their_line_and_the_connection_lives() {
    let (hive, port) = hive();
    let mut raw = Raw::authenticated(&hive, port);
    assert_eq!(raw.says(b"caf\xe9"), r#"ERR LINE reason=invalid detail="not UTF-8""#);
    assert_eq!(raw.says(b"pi\x1bng"), r#"ERR LINE reason=invalid detail="a control character""#);
    assert_eq!(raw.says(b""), r#"ERR LINE reason=invalid detail="an empty line; see help""#);
    assert!(raw.says(&[b'x'; 256]).starts_with("ERR LINE"));
    assert_eq!(raw.says(&[b'x'; 257]), "ERR FRAME reason=invalid-length");
    raw.0.write_all(&3_u32.to_le_bytes()).unwrap();
    assert_eq!(raw.hears(), "ERR FRAME reason=invalid-length");
    // In pieces.
    for byte in [&console::header(4)[..], b"ping"].concat() {
        raw.0.write_all(&[byte]).unwrap();
    }
    assert_eq!(raw.hears(), "PONG");
    raw.0.write_all(&(1_u32 << 31).to_le_bytes()).unwrap();
    assert_eq!(raw.hears(), "ERR FRAME reason=invalid-length");
    raw.0.write_all(&vec![0; 1 << 20]).unwrap();

    let mut stranger = Raw::new(port);
    assert_eq!(stranger.says(b"attach queen"), r#"ERR ATTACH reason=permission detail="AUTH first""#);
    stranger.0.write_all(&1000_u32.to_le_bytes()).unwrap();
    assert_eq!(stranger.hears(), "ERR FRAME reason=invalid-length");
    assert!(stranger.is_closed());
}

#[test]
fn the_third_failure_locks_a_peer_out_and_the_log_names_it() {
    let (hive, port) = hive();
    let mut raw = Raw::new(port);
    for _ in 0..2 {
        assert_eq!(raw.says(b"AUTH guess"), "ERR AUTH reason=permission");
    }
    let mut other = Raw::new(port);
    assert_eq!(other.says(b"AUTH guess"), "ERR AUTH reason=permission");
    assert_eq!(raw.says(b"AUTH guess"), "ERR AUTH reason=rate-limited");
    let token = fs::read_to_string(hive.path("data/console.token")).unwrap();
    assert_eq!(other.says(format!("AUTH {}", token.trim()).as_bytes()), "ERR AUTH reason=rate-limited");
    let peer = other.0.local_addr().unwrap();
    let line = format!("console denied verb=AUTH peer={peer} locked_s=90");
    until("the lock is in the log", || hive.read("/log/queen.log").unwrap().contains(&line));
    let record = format!(
        r#""kind":"deny","role":"server","subject":"console","ticket":"","session":0,"path":"","cmd":{{"op":"auth","peer":"{peer}","locked_s":90}}"#
    );
    until("the lock is in the journal", || hive.read("/audit/decisions").unwrap().contains(&record));
    // Who has the socket is somebody else.
    let local = Addr::Unix(hive.path("run/console"));
    Talk::console(&local, None, &queen(), SILENCE, &mut |_| {}).unwrap();
}

#[test]
fn who_does_not_say_auth_is_let_go() {
    let (_hive, port) = hive();
    let start = Instant::now();
    let mut raw = Raw::new(port);
    raw.0.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    assert!(raw.is_closed());
    assert!((9..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[test]
fn a_thousand_connections_and_slow_readers_disturb_nobody() {
    let (hive, _) = hive();
    let path = hive.path("run/console");
    let local = Addr::Unix(path.clone());
    let mut first = Talk::console(&local, None, &queen(), SILENCE, &mut |_| {}).unwrap();
    let mut slow = UnixStream::connect(&path).unwrap();
    slow.set_nonblocking(true).unwrap();
    slow.write_all(b"attach queen\n").unwrap();
    // Asks for more than it will ever read, until nothing more is taken.
    let asked = (0..100_000).take_while(|_| slow.write_all(b"help\n").is_ok()).count();
    assert!(asked < 100_000, "everything was taken");
    // Follows what grows beyond what its ring holds, and reads none of it.
    let mut tail = UnixStream::connect(&path).unwrap();
    tail.write_all(b"attach queen\ntail /log/queen.log\n").unwrap();
    let mut conn = hive.dial().unwrap();
    let log = conn.open_path("/log/queen.log", 1).unwrap();
    for _ in 0..1500 {
        conn.write_at(log, u64::MAX, format!("{}\n", "x".repeat(1000)).as_bytes()).unwrap();
    }
    let crowd: Vec<_> = (0..1000).filter_map(|_| UnixStream::connect(&path).ok()).collect();
    let start = Instant::now();
    let mut said = String::new();
    first.send("cat /proc/lifecycle/state", &mut |line| said.push_str(line)).unwrap();
    assert!(said.contains("state=ONLINE"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let turned_away = crowd.into_iter().filter(|stream| {
        let mut line = String::new();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let _ = (&*stream).read_to_string(&mut line);
        line.starts_with("ERR CONSOLE reason=busy")
    });
    assert!(turned_away.count() > 700);
    let status = fs::read_to_string(format!("/proc/{}/status", hive.field("console", "pid"))).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = rss.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 32 << 10, "{kib} KiB");
}

#[test]
fn ping_is_answered_at_once_while_a_tail_runs() {
    let (hive, _) = hive();
    let local = Addr::Unix(hive.path("run/console"));
    let mut talk = Talk::console(&local, None, &queen(), SILENCE, &mut |_| {}).unwrap();
    talk.send("tail /log/queen.log", &mut |_| {}).unwrap();
    talk.wait(Duration::from_millis(200), &mut |_| {}).unwrap();
    let start = Instant::now();
    talk.send("ping", &mut |_| {}).unwrap();
    assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
    hive.command("/queen/ctl", "{\"spawn\":\"heartbeat\",\"ticks\":1}\n").unwrap();
    let mut seen = String::new();
    until("the tail shows what is added", || {
        talk.wait(Duration::from_millis(100), &mut |line| seen.push_str(line)).unwrap();
        seen.contains("queen spawned worker-1")
    });
    let mut lines = Vec::new();
    talk.send("cat /proc/lifecycle/state", &mut |line| lines.push(line.to_owned())).unwrap();
    assert!(lines.iter().any(|line| line == "END") && lines.last().is_some_and(|line| line == "END"));
}

#[test]
fn the_hive_passes_its_own_tests() {
    let (hive, _) = hive();
    for mode in ["quick", "full", "negative", "smp"] {
        let json = hive.print("cohtest", &["--mode", mode, "--json"]);
        assert!(json.starts_with(&format!("{{\"ok\":true,\"mode\":\"{mode}\",\"elapsed_ms\":")), "{json}");
        assert!(json.ends_with("],\"version\":\"1\"}"), "{json}");
    }
    let json = hive.print("cohtest", &["--mode", "full", "--json", "--no-mutate"]);
    assert!(json.contains("\"detail\":\"skipped\""));
    // Run again it says the same, but for how long it took; over a console, too.
    let local = format!("unix!{}", hive.path("run/console").display());
    let report = |options: &[&str]| {
        let json = hive.print("cohtest", &[&["--mode", "full", "--json"], options].concat());
        let (before, rest) = json.split_once("\"elapsed_ms\":").unwrap();
        before.to_owned() + rest.trim_start_matches(|c: char| c.is_ascii_digit())
    };
    let first = report(&[]);
    assert_eq!(first, report(&[]));
    assert_eq!(first, report(&["--console", &local]));
    assert!(program("cohtest").exists());
}

#[test]
fn the_regression_pack_passes() {
    let (hive, _) = hive();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rc/coh");
    let mut scripts: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() >= 15);
    for script in scripts {
        hive.print("cohsh", &["--script", script.to_str().unwrap()]);
    }
}

#[test]
fn a_recorded_conversation_plays_again_and_a_changed_one_does_not() {
    let (hive, _) = hive();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rc/coh/tcp_basic.coh");
    let trace = hive.path("session.trace");
    let (script, file) = (script.to_str().unwrap(), trace.to_str().unwrap());
    let said = hive.print("cohsh", &["--script", script, "--record-trace", file]);
    // What is played needs no hive.
    assert_eq!(hive.print("cohsh", &["--replay-trace", file]), said);
    let whole = fs::read(&trace).unwrap();
    for (name, bytes) in [
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("changed", whole.iter().enumerate().map(|(i, b)| if i == 400 { b ^ 1 } else { *b }).collect()),
    ] {
        fs::write(&trace, bytes).unwrap();
        let played = hive.program("cohsh", &["--replay-trace", file]);
        assert_eq!(played.status.code(), Some(1), "{name}");
        assert!(played.stdout.is_empty(), "{name}: something was played");
    }
}
