//! The small commands, as programs, against a hive: on a mount and at its door they print the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::program;

/// A hive, and the commands on its mount and at its door.
struct Hive(tests::Hive);

impl Hive {
    fn start() -> Hive {
        Hive(tests::Hive::mounted())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// A command line for this hive's door, or its mount.
    fn command(&self, line: &[&str], is_mount: bool) -> Command {
        let mut command = Command::new(program(line[0]));
        command.args(&line[1..]);
        for name in ["COH_NS", "COH_DOOR", "COH_TICKET", "COH_TICKET_FILE"] {
            command.env_remove(name);
        }
        if is_mount {
            command.env("COH_NS", self.path("n"));
        } else {
            command.env("COH_RUN", self.path("run"));
        }
        command
    }

    fn run(&self, line: &[&str], is_mount: bool) -> Said {
        Said::of(self.command(line, is_mount).output().unwrap())
    }

    /// Runs a command on the mount and at the door; what it says must be the same.
    fn both(&self, line: &[&str]) -> Said {
        let (door, mount) = (self.run(line, false), self.run(line, true));
        assert_eq!(door, mount, "{line:?}: at the door (left) and on the mount (right)");
        door
    }
}

/// What a command printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    out: String,
    err: String,
    status: Option<i32>,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { out: text(output.stdout), err: text(output.stderr), status: output.status.code() }
    }

    fn is(&self, out: &str, err: &str, status: i32) {
        assert_eq!((self.out.as_str(), self.err.as_str(), self.status), (out, err, Some(status)));
    }
}

/// Lines that a running command prints, as they come.
struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)).ok();
        });
        Running { child, lines }
    }

    /// Waits for a line that contains `text`; gives those before it.
    fn until(&self, text: &str) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(20);
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return before,
                Ok(line) => before.push(line),
                Err(_) => panic!("{text:?} did not come; {before:#?} did"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn reading_and_refusals_are_the_same_on_a_mount_and_at_a_door() {
    let hive = Hive::start();
    hive.both(&["cohls"]).is(
        "actions\naudit\nkmesg\nlog\npolicy\nproc\nqueen\nreplay\nshard\ntrace\nworker\n",
        "",
        0,
    );
    hive.both(&["cohls", "queen/lease", "/queen/ctl"]).is("/queen/ctl\n\nqueen/lease:\nctl\n", "", 0);
    hive.both(&["cohls", "-l", "/queen/lease"]).is("-rw-------         0 ctl\n", "", 0);
    for line in [
        &["cohls", "-lR", "/proc/tests"][..],
        &["cohls", "--json", "/proc/lifecycle"],
        &["cohcat", "/proc/version", "/proc/lifecycle/state"],
        &["cohtail", "-n", "1", "/proc/version", "/proc/lifecycle/state"],
        &["cohns"],
        &["cohps"],
        &["cohps", "--json"],
    ] {
        let said = hive.both(line);
        assert_eq!((said.err.as_str(), said.status), ("", Some(0)), "{line:?}");
    }
    let stat = hive.both(&["cohstat", "/queen/ctl", "/proc/version", "/worker", "/proc/9p/self/ns"]);
    for (line, kind) in stat.out.lines().zip(["ctl", "text", "dir", "value"]) {
        assert!(line.contains(&format!(" kind={kind} ")), "{line}");
    }
    let log = hive.run(&["cohstat", "/log/queen.log"], true).out;
    assert!(log.contains(" kind=append ") && log.contains(" server=log"), "{log}");

    let none = "cohcat: /gpu: NotFound: no such file in queen's name space\n";
    hive.both(&["cohcat", "/gpu"]).is("", none, 1);
    let directory = "cohcat: /proc: Invalid: a directory; list it with: cohls /proc\n";
    hive.both(&["cohcat", "/proc"]).is("", directory, 1);
    let permission = "cohecho: /proc/version: Permission: the mount is read-only\n";
    hive.both(&["cohecho", "text", "/proc/version"]).is("", permission, 1);
    hive.both(&["cohkill", "worker-9"]).is("", "cohkill: worker-9: NotFound: no such worker; see cohps\n", 1);
    for line in [
        &["cohcat", "/proc/version/x"][..],
        &["cohcat", "/proc/../etc/passwd"],
        &["cohls", "/1/2/3/4/5/6/7/8/9"],
        &["cohspawn", "frog"],
        &["cohecho", "not json", "/queen/ctl"],
    ] {
        let said = hive.both(line);
        assert_eq!((said.out.as_str(), said.status), ("", Some(1)), "{line:?}: {}", said.err);
        let words = ["NotFound: ", "Invalid: "];
        assert!(words.iter().any(|word| said.err.contains(word)), "{line:?}: {}", said.err);
    }
    // One that fails does not keep the others from being read.
    let version = hive.run(&["cohcat", "/proc/version"], false).out;
    hive.both(&["cohcat", "/gpu", "/proc/version"]).is(&version, none, 1);
}

#[test]
fn commands_write_and_print_acknowledgements() {
    let hive = Hive::start();
    for (is_mount, id) in [(false, "worker-1"), (true, "worker-2")] {
        let said = hive.run(&["cohspawn", "heartbeat", "ticks=1000", "period_ms=100"], is_mount);
        assert!(said.out.starts_with(&format!("OK SPAWN id={id}")), "{said:?}");
        let workers = hive.run(&["cohps"], is_mount).out;
        assert!(workers.lines().any(|line| line.starts_with(id)), "{workers}");
        let kill = format!("{{\"kill\":\"{id}\"}}");
        let said = hive.run(&["cohecho", &kill, "/queen/ctl"], is_mount);
        assert!(said.out.starts_with("OK KILL"), "{said:?}");
        hive.run(&["cohecho", "a", "remark", "of", id, "/log/queen.log"], is_mount).is("", "", 0);
        for is_mount in [false, true] {
            let log = hive.run(&["cohlog"], is_mount).out;
            assert!(log.contains(&format!("a remark of {id}\n")), "{log}");
        }
    }
    for is_mount in [false, true] {
        let mut echo = hive
            .command(&["cohecho", "-", "/queen/ctl"], is_mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = b"{\"spawn\":\"heartbeat\"}\n{\"kill\":\"none\"}\n{\"spawn\":\"heartbeat\"}\n";
        echo.stdin.take().unwrap().write_all(lines).unwrap();
        let said = Said::of(echo.wait_with_output().unwrap());
        assert_eq!(said.out.lines().count(), 1, "the third line is not sent: {said:?}");
        assert!(said.err.starts_with("cohecho: /queen/ctl: NotFound: line 2: "), "{said:?}");
    }
}

#[test]
fn a_bind_lasts_on_a_mount_and_not_at_a_door() {
    let hive = Hive::start();
    let said = hive.run(&["cohbind", "/queen", "/q"], false);
    assert!(said.out.starts_with("OK BIND ") && said.err.contains("on a mount"), "{said:?}");
    assert_eq!(hive.run(&["cohls", "/q"], false).status, Some(1));
    let said = hive.run(&["cohbind", "/queen", "/q"], true);
    assert!(said.out.starts_with("OK BIND ") && said.err.is_empty(), "{said:?}");
    hive.run(&["cohls", "/q"], true).is(&hive.run(&["cohls", "/queen"], true).out, "", 0);
    assert!(hive.path("n/q/ctl").exists());
    let said = hive.run(&["cohmnt", "log", "/log2"], true);
    assert!(said.out.starts_with("OK MOUNT "), "{said:?}");
    hive.run(&["cohls", "/log2"], true).is("queen.log\n", "", 0);
    let ns = hive.run(&["cohns", "-w", "bind /shard /shadow"], false);
    assert!(ns.out.lines().any(|line| line == "bind /shard /shadow"), "{ns:?}");
}

#[test]
fn tail_follows_several_files_through_the_death_of_a_server() {
    let hive = Hive::start();
    for is_mount in [false, true] {
        let spawned = hive.run(&["cohspawn", "heartbeat", "ticks=100000", "period_ms=50"], is_mount);
        let id = spawned.out.split("id=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let id = id.unwrap_or_else(|| panic!("{spawned:?}")).to_owned();
        let telemetry = format!("/worker/{id}/telemetry");
        let line = ["cohtail", "-f", "--interval-ms", "250", "/log/queen.log", &telemetry];
        let tail = Running::start(hive.command(&line, is_mount));
        tail.until("==> /log/queen.log <==");
        tail.until(&format!("==> {telemetry} <=="));
        tail.until("heartbeat");
        let first = format!("first line for {id}");
        hive.run(&["cohecho", &first, "/log/queen.log"], is_mount).is("", "", 0);
        tail.until(&first);
        let kill = Command::new(program("coh")).args(["kill", "log", "--run"]).arg(hive.path("run")).output();
        assert!(kill.unwrap().status.success());
        let second = format!("second line for {id}");
        let end = Instant::now() + Duration::from_secs(10);
        while hive.run(&["cohecho", &second, "/log/queen.log"], is_mount).status != Some(0) {
            assert!(Instant::now() < end, "the log server did not come back");
            std::thread::sleep(Duration::from_millis(20));
        }
        let between = tail.until(&second);
        assert!(!between.iter().any(|line| line.contains(&first)), "shown twice: {between:#?}");
        hive.run(&["cohkill", &id], is_mount);
    }
}

#[test]
fn usage_is_2_and_a_reader_that_goes_is_no_failure() {
    let hive = Hive::start();
    for line in [
        &["cohcat"][..],
        &["cohls", "-z"],
        &["cohtail", "--interval-ms", "1", "/log/queen.log"],
        &["cohcat", "--door", "nonsense", "/x"],
        &["cohspawn", "heartbeat", "ticks"],
        &["cohls", "--ns", "/n", "--door", "unix!/d"],
    ] {
        assert_eq!(hive.run(line, false).status, Some(2), "{line:?}");
    }
    // On a mount a role cannot be chosen.
    assert_eq!(hive.run(&["cohls", "--role", "observer"], true).status, Some(2));
    let record = "x".repeat(1000);
    for _ in 0..100 {
        hive.run(&["cohecho", &record, "/log/queen.log"], true).is("", "", 0);
    }
    for is_mount in [false, true] {
        let mut cat = hive
            .command(&["cohcat", "/log/queen.log"], is_mount)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(cat.stdout.take());
        Said::of(cat.wait_with_output().unwrap()).is("", "", 0);
        // What cannot be written is a failure.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let said = hive.command(&["cohcat", "/log/queen.log"], is_mount).stdout(full).output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&said.stderr).contains("standard output: "));
    }
    let nobody = hive.command(&["cohls"], false).env("COH_RUN", hive.path("none")).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("start one with: coh up"));
}

#[test]
fn ping_names_every_server_of_the_name_space() {
    let hive = Hive::start();
    for is_mount in [false, true] {
        let said = hive.run(&["cohping", "-c", "3", "--json"], is_mount);
        assert_eq!((said.err.as_str(), said.status), ("", Some(0)));
        for server in ["door", "proc", "queen", "worker", "log"] {
            assert!(said.out.contains(&format!("\"server\":\"{server}\",\"count\":3")), "{}", said.out);
        }
    }
}
