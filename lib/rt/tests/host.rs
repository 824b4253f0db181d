//! A small tree on its socket, as peers of every kind find it.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, Op, Request, Service, Tree, Verdict};
use ninep::wire::{self, MSIZE_MAX, NOFID, NOTAG, Names, Rmsg, Tmsg, VERSION};
use rt::{Boot, Host, Poll};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What peers have answered.
type Seen = Arc<Mutex<Vec<Result<Vec<u8>, Refusal>>>>;

/// Answers what it is asked through its ctl: `ask SERVER ROOT PATH` reads there, `log TEXT` logs.
#[derive(Default)]
struct Toy {
    outbox: Vec<Request>,
    seen: Seen,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Service for Toy {
    fn outbox(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, _id: u64, answer: Result<Vec<u8>, Refusal>, _now: ninep::srv::Now) {
        self.seen.lock().unwrap().push(answer);
    }
}

fn ctl(toy: &mut Toy, _call: &Call, line: &str) -> Verdict {
    match line.split_once(' ') {
        Some(("log", text)) => toy.outbox.push(Request::log(text)),
        Some(("ask", path)) => {
            toy.outbox.push(Request { id: 7, server: "other", root: "", path: path.into(), op: Op::Read })
        }
        _ => {
            let refusal = Refusal::new(Word::Invalid, "ask or log");
            return Verdict::Refuse { verb: "TOY".into(), refusal };
        }
    }
    Verdict::Ack("OK TOY".into())
}

fn tree(toy: Toy) -> Tree<Toy> {
    let main = Dir::new()
        .text("big", |_, _, out| {
            out.push_str(&"0123456789abcdef".repeat(4096));
            Ok(())
        })
        .orders("ctl", 0o600, 200, ctl);
    let sink = Dir::new().orders("queen.log", 0o600, 8000, |toy: &mut Toy, _, line| {
        toy.lines.lock().unwrap().push(line.into());
        Verdict::Ack("OK".into())
    });
    Tree::new(toy, main).internal("sink", sink)
}

/// A server in a thread of its own; ends with its value.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    seen: Seen,
    lines: Arc<Mutex<Vec<String>>>,
    wakes: Arc<Mutex<u64>>,
}

impl Running {
    fn start(run: &Path, name: &'static str) -> Running {
        std::fs::create_dir_all(run.join("srv")).unwrap();
        let hive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sys/hive.toml");
        let manifest = manifest::compile(&hive).unwrap().manifest;
        let boot = Boot { name, index: 0, run: run.into(), data: run.into(), manifest };
        let socket = boot.socket(name);
        let (stop, toy) = (Arc::new(AtomicBool::new(false)), Toy::default());
        let (seen, lines, wakes) = (toy.seen.clone(), toy.lines.clone(), Arc::new(Mutex::new(0)));
        let (stops, woken) = (stop.clone(), wakes.clone());
        let thread = std::thread::spawn(move || {
            let mut poll = Poll::new().unwrap();
            let mut host = Host::new(&boot, tree(toy), &poll).unwrap();
            let mut events = Vec::new();
            while !stops.load(Ordering::Relaxed) {
                let now = rt::now();
                host.turn(&poll, now);
                poll.wait(host.deadline_ms(), now, &mut events).unwrap();
                *woken.lock().unwrap() += 1;
                let now = rt::now();
                for event in events.drain(..) {
                    assert!(host.event(&poll, event, now));
                }
            }
        });
        let running = Running { stop, thread: Some(thread), seen, lines, wakes };
        until(|| UnixStream::connect(&socket).is_ok());
        running
    }

    fn stop(&mut self, run: &Path, name: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(run.join("srv").join(name));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "it never came to hold");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client that writes frames and takes replies apart, and nothing else.
struct Client(UnixStream);

impl Client {
    fn new(run: &Path, name: &str) -> Client {
        let stream = UnixStream::connect(run.join("srv").join(name)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Client(stream);
        client.send(&[
            (NOTAG, Tmsg::Version { msize: MSIZE_MAX, version: VERSION }),
            (1, Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 1 }),
        ]);
        client.reply();
        client.reply();
        client
    }

    fn send(&mut self, msgs: &[(u16, Tmsg)]) {
        let mut out = Vec::new();
        msgs.iter().for_each(|(tag, msg)| msg.encode(*tag, &mut out));
        self.0.write_all(&out).unwrap();
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 4];
        self.0.read_exact(&mut frame).unwrap();
        let size = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        frame.resize(size, 0);
        self.0.read_exact(&mut frame[4..]).unwrap();
        frame
    }

    fn open(&mut self, name: &str, fid: u32, flags: u32) {
        let names = [name];
        self.send(&[
            (1, Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&names[..]) }),
            (2, Tmsg::Lopen { fid, flags }),
        ]);
        self.reply();
        let frame = self.reply();
        assert!(matches!(wire::decode_r(&frame), Ok((2, Rmsg::Lopen { .. }))));
    }

    fn command(&mut self, line: &str) {
        self.open("ctl", 9, 1);
        self.send(&[
            (3, Tmsg::Write { fid: 9, offset: 0, data: line.as_bytes() }),
            (4, Tmsg::Clunk { fid: 9 }),
        ]);
        let frame = self.reply();
        assert!(matches!(wire::decode_r(&frame), Ok((3, Rmsg::Write { .. }))), "{line}");
        self.reply();
    }
}

#[test]
fn half_frames_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(dir.path(), "toy");
    let mut client = Client::new(dir.path(), "toy");
    let mut out = Vec::new();
    Tmsg::Getattr { fid: 0, mask: 0x7ff }.encode(5, &mut out);
    for byte in out {
        client.0.write_all(&[byte]).unwrap();
    }
    assert!(matches!(wire::decode_r(&client.reply()), Ok((5, Rmsg::Getattr { .. }))));
    server.stop(dir.path(), "toy");
}

#[test]
fn a_slow_reader_gets_every_reply_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(dir.path(), "toy");
    let mut slow = Client::new(dir.path(), "toy");
    slow.open("big", 1, 0);
    // 60,000 bytes of requests ask for 20 MiB of replies.
    let count = 2600;
    let mut out = Vec::new();
    for i in 0..count {
        Tmsg::Read { fid: 1, offset: (i % 8) * 8000, count: 8000 }.encode(10 + i as u16, &mut out);
    }
    let mut writer = slow.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&out).unwrap());
    let mut polite = Client::new(dir.path(), "toy");
    for _ in 0..100 {
        polite.send(&[(5, Tmsg::Getattr { fid: 0, mask: 0x7ff })]);
        polite.reply();
    }
    for i in 0..count {
        let frame = slow.reply();
        let Ok((tag, Rmsg::Read { data })) = wire::decode_r(&frame) else { panic!("reply {i}") };
        assert_eq!((tag, data.len()), (10 + i as u16, 8000));
    }
    sender.join().unwrap();
    server.stop(dir.path(), "toy");
}

#[test]
fn a_peer_that_vanishes_leaves_no_trace_and_an_idle_server_sleeps() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(dir.path(), "toy");
    for i in 0..300 {
        let mut client = Client::new(dir.path(), "toy");
        client.open("big", 1, 0);
        let reads = [(7, Tmsg::Read { fid: 1, offset: 0, count: 8000 }); 40];
        client.send(&reads[..1 + i % 40]);
        if i % 3 == 0 {
            client.0.shutdown(Shutdown::Write).unwrap();
        }
    }
    let mut client = Client::new(dir.path(), "toy");
    client.open("big", 1, 0);
    std::thread::sleep(Duration::from_millis(100));
    let before = *server.wakes.lock().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(*server.wakes.lock().unwrap(), before, "nothing happened, and it woke");
    server.stop(dir.path(), "toy");
}

#[test]
fn a_frame_beyond_all_bounds_ends_its_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(dir.path(), "toy");
    let mut bad = Client::new(dir.path(), "toy");
    bad.0.write_all(&[0xff; 64]).unwrap();
    assert_eq!(bad.0.read(&mut [0; 16]).unwrap(), 0);
    Client::new(dir.path(), "toy").open("big", 1, 0);
    server.stop(dir.path(), "toy");
}

#[test]
fn a_file_of_a_peer_is_read_whole_and_a_peer_that_is_away_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(dir.path(), "toy");
    let mut client = Client::new(dir.path(), "toy");
    client.command("ask big");
    until(|| server.seen.lock().unwrap().len() == 1);
    assert_eq!(server.seen.lock().unwrap()[0].as_ref().unwrap_err().word, Word::Busy);

    let mut other = Running::start(dir.path(), "other");
    client.command("ask big");
    client.command("ask nothing");
    until(|| server.seen.lock().unwrap().len() == 3);
    {
        let seen = server.seen.lock().unwrap();
        assert!(seen.iter().flatten().any(|file| file.len() == 65536));
        assert!(seen[1..].iter().flat_map(Result::as_ref).count() == 1);
        assert!(seen[1..].iter().filter_map(|a| a.as_ref().err()).all(|r| r.word == Word::NotFound));
    }
    other.stop(dir.path(), "other");
    client.command("ask big");
    until(|| server.seen.lock().unwrap().len() == 4);
    assert_eq!(server.seen.lock().unwrap()[3].as_ref().unwrap_err().word, Word::Busy);
    server.stop(dir.path(), "toy");
}

#[test]
fn log_lines_wait_for_the_log_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(dir.path(), "toy");
    let mut client = Client::new(dir.path(), "toy");
    for i in 0..500 {
        client.command(&format!("log line {i}"));
    }
    let mut log = Running::start(dir.path(), "log");
    until(|| log.lines.lock().unwrap().len() == 500);
    let lines = log.lines.lock().unwrap().clone();
    assert!(lines.iter().enumerate().all(|(i, line)| *line == format!("line {i}")));
    log.stop(dir.path(), "log");

    // More than is kept: the newest are counted, and the count is told.
    let long = "x".repeat(190);
    for _ in 0..2000 {
        client.command(&format!("log {long}"));
    }
    let mut log = Running::start(dir.path(), "log");
    until(|| log.lines.lock().unwrap().last().is_some_and(|line| line.starts_with("toy log lines lost")));
    let lines = log.lines.lock().unwrap().clone();
    let lost = format!("toy log lines lost count={} reason=log-away", 2000 - (lines.len() - 1));
    assert_eq!(lines.last(), Some(&lost));
    log.stop(dir.path(), "log");
    server.stop(dir.path(), "toy");
}
