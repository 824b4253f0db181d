//! cohsh as people use it: at a terminal, and on a serial line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::terminal::{Terminal, line};
use tests::{Hive, program, until};

/// cohsh with the hive in its environment, and its old lines in the hive's directory.
fn cohsh(hive: &Hive) -> Command {
    let mut command = Command::new(program("cohsh"));
    command.env("COH_RUN", hive.path("run")).env("XDG_STATE_HOME", hive.path("state"));
    command
}

#[test]
fn a_person_edits_completes_and_calls_back_lines() {
    let hive = Hive::start(&[]);
    let mut shell = Terminal::start(&cohsh(&hive));
    shell.shows("OK ATTACH role=queen");
    shell.shows("coh> ");
    // Backspace, then ^A and ^K: the line is another.
    shell.types("pinx\x7fg\r");
    shell.shows("PONG");
    shell.types("nonsense\x01\x0bping\r");
    assert!(!shell.shows("PONG").contains("ERR"));
    // A verb, a directory, a file: as far as they are clear.
    shell.types("ca\t");
    shell.shows("cat ");
    shell.types("/pr\tvers\t");
    shell.shows("/proc/version");
    shell.types("\r");
    // A refusal is red, what else is no data faint, and data as it is.
    shell.shows("\x1b[2mOK CAT path=/proc/version\x1b[0m\r\ncohesix ");
    shell.shows("\x1b[2mEND\x1b[0m");
    shell.types("cat /none\r");
    shell.shows("\x1b[31mERR CAT reason=notfound");
    // Up, twice: the line before that.
    shell.types("\x1b[A\x1b[A\r");
    shell.shows("cohesix ");
    shell.types("detach\r");
    shell.shows("OK DETACH");
    shell.types("attach queen not-a-ticket\r");
    shell.shows("ATTACH");
    shell.types("quit\r");
    shell.shows("OK QUIT");
    assert_eq!(shell.ends(), Some(0));
    let old = fs::read_to_string(hive.path("state/coh/cohsh_history")).unwrap();
    assert!(old.contains("cat /proc/version") && !old.contains("ticket"), "{old}");
}

#[test]
fn a_tail_ends_with_the_next_line_or_with_an_interrupt() {
    let hive = Hive::start(&[]);
    let mut shell = Terminal::start(&cohsh(&hive));
    shell.shows("coh> ");
    for end in ["\x03", "\r"] {
        shell.types("tail /log/queen.log\r");
        shell.shows("following");
        let word = format!("a word before {}", end.escape_default());
        hive.print("cohecho", &[&word, "/log/queen.log"]);
        shell.shows(&word);
        shell.types(end);
        shell.shows("END");
        shell.shows("coh> ");
    }
    // ping alone ends nothing.
    shell.types("tail /log/queen.log\r");
    shell.shows("following");
    shell.types("ping\r");
    shell.shows("PONG");
    shell.shows("following");
    shell.types("cat /proc/lifecycle/state\r");
    shell.shows("state=ONLINE");
    // Where nothing is shown, ^D and not ^C is the end.
    shell.shows("coh> ");
    shell.types("\x03");
    shell.shows("coh> ");
    shell.types("ping\r");
    shell.shows("PONG");
    shell.types("\x04");
    assert_eq!(shell.ends(), Some(0));
}

#[test]
fn a_lost_connection_is_made_again_for_a_person_and_ends_a_script() {
    let hive = Hive::start(&[]);
    let mut shell = Terminal::start(&cohsh(&hive));
    shell.shows("coh> ");
    hive.kill("door");
    shell.types("cat /proc/version\r");
    shell.shows("connected again; the last line was not repeated");
    shell.shows("coh> ");
    shell.types("cat /proc/version\r");
    shell.shows("cohesix ");
    shell.types("quit\r");
    assert_eq!(shell.ends(), Some(0));

    let mut script =
        cohsh(&hive).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(script.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "OK ATTACH role=queen");
    hive.kill("door");
    script.stdin.take().unwrap().write_all(b"ls /\n").unwrap();
    let output = script.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stderr.is_empty());
}

#[test]
fn what_a_person_types_is_recorded_and_plays_again() {
    let hive = Hive::start(&[]);
    let trace = hive.path("typed.trace");
    let trace = trace.to_str().unwrap();
    let mut command = cohsh(&hive);
    command.args(["--record-trace", trace]);
    let mut shell = Terminal::start(&command);
    shell.shows("coh> ");
    shell.types("cat /proc/lifecycle/state\r");
    shell.shows("state=ONLINE");
    shell.types("quit\r");
    assert_eq!(shell.ends(), Some(0));
    let played = hive.print("cohsh", &["--replay-trace", trace]);
    assert!(
        played.contains("OK ATTACH role=queen\nOK CAT path=/proc/lifecycle/state\nstate=ONLINE\n"),
        "{played}"
    );
}

/// A machine at the other end of a serial line: it echoes, asks with a prompt, says things of its own, and
/// has a hive's console behind it.
fn machine(mut wire: fs::File, console: &Path) {
    let mut lines = UnixStream::connect(console).unwrap();
    let mut answers = lines.try_clone().unwrap();
    let mut out = wire.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(n @ 1..) = answers.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..n]).replace('\n', "\r\n");
            if out.write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        wire.write_all(b"[root] console ready\r\ncohesix> ").unwrap();
        let mut byte = [0; 1];
        while let Ok(1) = wire.read(&mut byte) {
            let (echo, line) = match byte[0] {
                b'\r' => (&b"\r\n"[..], &b"\n"[..]),
                b' '..=b'~' => (&byte[..], &byte[..]),
                _ => (&b""[..], &byte[..]),
            };
            if wire.write_all(echo).and_then(|()| lines.write_all(line)).is_err() {
                return;
            }
        }
    });
}

#[test]
fn a_serial_line_says_the_same_as_every_other_way_in() {
    let hive = Hive::start(&[]);
    until("the console is there", || hive.path("run/console").exists());
    let (master, device) = line();
    // Somebody must hold the line while nobody speaks; and it is no terminal, it echoes nothing itself.
    let held = fs::OpenOptions::new().read(true).write(true).open(&device).unwrap();
    let mut raw = tcgetattr(&held).unwrap();
    raw.make_raw();
    tcsetattr(&held, OptionalActions::Now, &raw).unwrap();
    machine(master, &hive.path("run/console"));
    let transcripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let script = fs::File::open(transcripts.join("session.coh")).unwrap();
    let output =
        cohsh(&hive).args(["--console", &format!("serial!{}", device.display())]).stdin(script).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let golden = fs::read_to_string(transcripts.join("session.txt")).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<_> = said.lines().filter(|line| !line.starts_with("[root]")).collect();
    let expected: Vec<_> = std::iter::once("OK ATTACH role=queen")
        .chain(golden.lines().filter(|line| !line.starts_with("> ")))
        .collect();
    let first = said
        .iter()
        .zip(&expected)
        .find(|(said, expected)| !expected.contains(['{', '}']) && said != expected);
    assert!(
        first.is_none() && said.len() == expected.len(),
        "first: {first:?} of {} and {}",
        said.len(),
        expected.len()
    );
}

#[test]
fn what_is_no_serial_line_is_refused() {
    let hive = Hive::start(&[]);
    for (addr, status, why) in [
        ("serial!", 2, "no device"),
        ("serial!/dev/null", 1, "no serial line"),
        ("serial!/dev/none", 1, "/dev/none"),
    ] {
        let output = cohsh(&hive).args(["--console", addr]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(status) && said.contains(why), "{addr}: {said}");
    }
}
