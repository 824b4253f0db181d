//! Who follows a worker's records sees the same bytes, whatever it follows them with; who was away too
//! long is told so once; writers at once leave each other's records whole; a flood is one session among others.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use ninep::refusal::Word;
use ninep::wire::kind::{RLERROR, RWRITE};
use ninep::wire::{NOFID, NOTAG, Names, Tmsg, VERSION};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tests::{Hive, program, until};

const CTL: &str = "/queen/ctl";

/// A worker that beats once and then leaves its file to the test.
fn still(hive: &Hive) -> String {
    let ack = hive.command(CTL, "{\"spawn\":\"heartbeat\",\"period_ms\":3600000}\n").unwrap();
    let id = ack.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    let path = format!("/worker/{id}/telemetry");
    until("its one beat", || hive.read(&path).is_ok_and(|text| !text.is_empty()));
    id
}

/// A program that is read as it runs, and ends with the test.
struct Running {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (mut out, said) = (child.stdout.take().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let into = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Running { child, said }
    }

    fn said(&self) -> String {
        String::from_utf8(self.said.lock().unwrap().clone()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What cohtail has said of one of several files.
fn part_of(said: &str, path: &str) -> String {
    let mut part = String::new();
    let mut is_its = false;
    for line in said.split_inclusive('\n') {
        match line.trim_end().strip_prefix("==> ").and_then(|name| name.strip_suffix(" <==")) {
            Some(name) => is_its = name == path,
            None if is_its && line != "\n" => part.push_str(line),
            None => {}
        }
    }
    part
}

#[test]
fn a_tail_on_a_mount_a_cohtail_and_a_reader_see_the_same_bytes() {
    let hive = Hive::mounted();
    let ids = [still(&hive), still(&hive)];
    let paths = ids.each_ref().map(|id| format!("/worker/{id}/telemetry"));
    let run = hive.path("run");
    let tails = ids.each_ref().map(|id| {
        let file = hive.path("n").join(format!("worker/{id}/telemetry"));
        Running::start(Command::new("tail").args(["-c", "+1", "-s", "0.1", "-f"]).arg(file))
    });
    let mut cohtail = Command::new(program("cohtail"));
    let cohtail = cohtail.args(["-n", "1000000", "-f", "--interval-ms", "250"]).args(&paths);
    let cohtail = Running::start(cohtail.env("COH_RUN", &run));

    let mut conn = hive.dial().unwrap();
    let fids = paths.each_ref().map(|path| conn.open_path(path, 1).unwrap());
    for n in 0..3000u32 {
        // Of every length, and some of several lines.
        let body = "x".repeat(n as usize * 7 % 64);
        let record = format!("{n} {body}\n{}", if n % 5 == 0 { "and more\n" } else { "" });
        conn.write_at(fids[n as usize % 2], u64::MAX, record.as_bytes()).unwrap();
    }
    for (path, tail) in paths.iter().zip(&tails) {
        let all = hive.read(path).unwrap();
        assert!(all.lines().count() > 1500);
        until("tail -f has it all", || tail.said().len() >= all.len());
        assert_eq!(tail.said(), all, "tail -f {path}");
        until("cohtail -f has it all", || part_of(&cohtail.said(), path).len() >= all.len());
        assert_eq!(part_of(&cohtail.said(), path), all, "cohtail -f {path}");
    }
}

fn small_rings() -> Hive {
    Hive::edited(|shipped| shipped.replace("ring_bytes = 262_144", "ring_bytes = 4096"), |_| ())
}

#[test]
fn a_reader_that_was_away_for_ten_wraps_is_told_once_where_to_go_on() {
    let hive = small_rings();
    let id = still(&hive);
    let (telemetry, cursor) = (format!("/worker/{id}/telemetry"), format!("/worker/{id}/cursor"));
    let mut conn = hive.dial().unwrap();
    let to = conn.open_path(&telemetry, 1).unwrap();
    let append = |conn: &mut Conn, n: u64| {
        let record = format!("{n:>63}\n");
        conn.write_at(to, u64::MAX, record.as_bytes()).unwrap();
    };
    // The heart's own record is the first.
    (2..=20).for_each(|n| append(&mut conn, n));
    let fid = conn.open_path(&cursor, 1).unwrap();
    conn.write_at(fid, 0, b"20\n").unwrap();
    let from = conn.open_path(&telemetry, 0).unwrap();
    assert_eq!(conn.read_at(from, 0, 8000).unwrap(), b"", "it has handled all");
    (21..=20 + 10 * 64).for_each(|n| append(&mut conn, n));

    let fresh = conn.open_path(&telemetry, 0).unwrap();
    let refused = conn.read_at(fresh, 0, 8000).unwrap_err();
    assert_eq!(refused.word(), Some(Word::Revoked));
    let errstr = String::from_utf8(conn.read_all("/proc/9p/self/errstr").unwrap()).unwrap();
    let first: u64 =
        errstr.split("first=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    // Reads on from where it was told, to the end, in one piece.
    let mut text = Vec::new();
    loop {
        match conn.read_at(fresh, text.len() as u64, 8000).unwrap() {
            more if more.is_empty() => break,
            more => text.extend(more),
        }
    }
    let read: Vec<u64> =
        String::from_utf8(text).unwrap().lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(read, (first..=660).collect::<Vec<_>>());
    let told = || {
        let log = hive.read("/log/queen.log").unwrap();
        log.lines().filter(|line| line.contains(&format!("worker cursor passed id={id}"))).count()
    };
    until("the log says so", || told() > 0);
    let again = conn.open_path(&telemetry, 0).unwrap();
    let _ = conn.read_at(again, 0, 8000);
    assert_eq!(told(), 1, "once");
    conn.write_at(fid, 0, b"660\n").unwrap();
    assert_eq!(conn.write_at(fid, 0, b"20\n").unwrap_err().word(), Some(Word::Invalid));
}

#[test]
fn writers_at_once_never_interleave_inside_a_record() {
    const WRITERS: usize = 3;
    // All of them fit the ring, whoever is done first.
    const EACH: usize = 100;
    let hive = Hive::mounted();
    let id = still(&hive);
    let made = hive.command("/queen/telemetry/dev/ctl", "{\"new\":\"segment\"}\n").unwrap();
    assert!(made.starts_with("OK NEW seg=seg-000001 "), "{made}");
    // Of every length, and told apart by every byte.
    let record = |writer: usize, n: usize| {
        let fill = char::from(b'a' + writer as u8).to_string().repeat(1 + n * 37 % 1000);
        format!("{writer} {n} {fill}\n")
    };
    for path in [format!("/worker/{id}/telemetry"), "/queen/telemetry/dev/seg/seg-000001".to_owned()] {
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (hive, path) = (&hive, &path);
                scope.spawn(move || {
                    let mut conn = hive.dial().unwrap();
                    let fid = conn.open_path(path, 1).unwrap();
                    for first in (0..EACH).step_by(16) {
                        // So many on their way at once.
                        let some: Vec<String> =
                            (first..(first + 16).min(EACH)).map(|n| record(writer, n)).collect();
                        let writes: Vec<Tmsg> = some
                            .iter()
                            .map(|data| Tmsg::Write { fid, offset: u64::MAX, data: data.as_bytes() })
                            .collect();
                        assert!(conn.batch(&writes).unwrap().iter().all(Result::is_ok));
                    }
                });
            }
            // A shell's `>>` among them.
            let file = hive.path("n").join(path.trim_start_matches('/'));
            for n in 0..40 {
                let mut file = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
                file.write_all(record(WRITERS, n).as_bytes()).unwrap();
            }
        });
        let text = hive.read(&path).unwrap();
        let mut next = [0; WRITERS + 1];
        for line in text.split_inclusive('\n').filter(|line| !line.starts_with("heartbeat")) {
            let mut words = line.split(' ');
            let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).unwrap();
            let (writer, n) = (number(), number());
            assert_eq!(line, record(writer, n), "{path}: a record in pieces");
            assert_eq!(next[writer], n, "{path}: {writer} out of order");
            next[writer] += 1;
        }
        assert_eq!(next, [EACH, EACH, EACH, 40], "{path}");
    }
}

/// A session without a client's window: frames as bytes, replies by their number.
struct Raw(UnixStream);

impl Raw {
    fn attached(hive: &Hive, path: &[&str]) -> Raw {
        let mut raw = Raw(UnixStream::connect(hive.path("run/flood")).unwrap());
        let mut frames = Vec::new();
        Tmsg::Version { msize: 8192, version: VERSION }.encode(NOTAG, &mut frames);
        Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 0 }.encode(1, &mut frames);
        Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(path) }.encode(2, &mut frames);
        Tmsg::Lopen { fid: 1, flags: 1 }.encode(3, &mut frames);
        raw.0.write_all(&frames).unwrap();
        assert!(raw.replies(4).iter().all(|kind| *kind != RLERROR));
        raw
    }

    /// The types of the next replies.
    fn replies(&mut self, count: usize) -> Vec<u8> {
        let mut kinds = Vec::new();
        while kinds.len() < count {
            let mut size = [0; 4];
            self.0.read_exact(&mut size).unwrap();
            let mut rest = vec![0; u32::from_le_bytes(size) as usize - 4];
            self.0.read_exact(&mut rest).unwrap();
            kinds.push(rest[0]);
        }
        kinds
    }
}

#[test]
fn a_flood_is_one_session_among_others() {
    const FLOOD: u16 = 2000;
    let listener =
        "[[listeners]]\nkind = \"unix\"\naddr = \"flood\"\nlocal_queen = true\noverflow = \"wait\"";
    let hive = Hive::with_sections(listener, |_| ());
    let id = still(&hive);
    let mut flood = Raw::attached(&hive, &["worker", &id, "telemetry"]);
    let mut conn = hive.dial().unwrap();
    let fid = conn.open_path(&format!("/worker/{id}/telemetry"), 1).unwrap();
    // All of it is there before the door looks at any of it.
    hive.print("coh", &["kill", "door", "--signal", "STOP"]);
    let mut frames = Vec::new();
    let write = Tmsg::Write { fid: 1, offset: u64::MAX, data: b"flood\n" };
    (0..FLOOD).for_each(|tag| write.encode(tag, &mut frames));
    flood.0.write_all(&frames).unwrap();
    let one = conn.begin_write(fid, u64::MAX, b"one\n").unwrap();
    hive.print("coh", &["kill", "door", "--signal", "CONT"]);
    assert_eq!(conn.written(one).unwrap(), 4);
    assert!(flood.replies(FLOOD.into()).iter().all(|kind| *kind == RWRITE));
    let text = hive.read(&format!("/worker/{id}/telemetry")).unwrap();
    assert_eq!(text.lines().count(), usize::from(FLOOD) + 2);
    let before = text.lines().position(|line| line == "one").unwrap();
    // The bound on a session's requests in flight, and one turn of the door's more.
    assert!(before <= 1 + 32 + 64, "{before} records came before it");
}
