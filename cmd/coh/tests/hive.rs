//! `coh` as its user meets it, with stand-ins for the servers.
#![allow(clippy::unwrap_used, clippy::panic)] // Test code outside of test functions.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The servers of the manifest that ships, in its order.
fn servers() -> Vec<String> {
    let hive = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sys/hive.toml")).unwrap();
    let names = hive.lines().filter_map(|line| line.strip_prefix("[servers.")?.strip_suffix(']'));
    names.map(String::from).collect()
}

/// A directory with all programs, and places for one hive.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let coh = Path::new(env!("CARGO_BIN_EXE_coh"));
        let stand_in = coh.parent().unwrap().join("examples/stand-in");
        let bin = dir.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(dir.path().join("data")).unwrap();
        fs::copy(coh, bin.join("coh")).unwrap();
        for server in servers() {
            let program = match server.as_str() {
                "door" => "ninedoor".into(),
                "console" => "consoled".into(),
                name => format!("{name}fs"),
            };
            fs::copy(&stand_in, bin.join(program)).unwrap();
        }
        fs::copy(&stand_in, bin.join("worker-heart")).unwrap();
        Bench { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn coh(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/coh"));
        command.arg(verb).args(args).arg("--run").arg(self.path("run"));
        if verb == "up" && !args.contains(&"--manifest") {
            let hive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sys/hive.toml");
            command.arg("--manifest").arg(hive);
        }
        if verb == "up" {
            command.arg("--data").arg(self.path("data"));
        }
        command.env("COH_TICKET", "secret").stdin(Stdio::null());
        command
    }

    fn say(&self, verb: &str, args: &[&str]) -> Output {
        self.coh(verb, args).output().unwrap()
    }

    fn up(&self, args: &[&str]) -> Hive<'_> {
        let mut child = self.coh("up", args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        Hive { bench: self, child, ready }
    }

    fn status(&self) -> String {
        text(&self.say("status", &[]).stdout)
    }

    /// A field of a server's line.
    fn field(&self, server: &str, key: &str) -> String {
        let status = self.status();
        let line = status.lines().find(|line| line.starts_with(&format!("{server} "))).unwrap_or("");
        let field = line.split(' ').find_map(|field| field.strip_prefix(&format!("{key}=")));
        field.unwrap_or("").to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("data/log")).unwrap_or_default()
    }

    fn pids(&self) -> Vec<i32> {
        let words = |line: &str| line.split(' ').find_map(|f| f.strip_prefix("pid=")?.parse().ok());
        self.status().lines().filter_map(words).collect()
    }
}

struct Hive<'b> {
    bench: &'b Bench,
    child: Child,
    ready: String,
}

impl Hive<'_> {
    fn wait(mut self) -> (i32, String) {
        let output = std::mem::replace(&mut self.child, spent()).wait_with_output().unwrap();
        (output.status.code().unwrap_or(-1), text(&output.stderr))
    }

    fn down(self) {
        let down = self.bench.say("down", &[]);
        assert!(down.status.success(), "{}", text(&down.stderr));
        assert_eq!(self.wait().0, 0);
    }
}

/// A hive of a test that failed does not outlive it.
impl Drop for Hive<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spent() -> Child {
    Command::new("true").spawn().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "it never came to hold: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn signal(pid: i32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_hive_comes_up_says_so_and_leaves_nothing() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    let door = bench.path("run/door");
    let start = format!("ready door=unix!{} servers={} boot_ms=", door.display(), servers().len());
    assert!(hive.ready.starts_with(&start), "{}", hive.ready);
    assert!(hive.ready.trim_end()[start.len()..].parse::<u64>().is_ok());

    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("run"), mode("data"), mode("run/srv")), (0o700, 0o700, 0o700));
    assert_eq!(
        (mode("data/issuer.key"), mode("run/manifest.cbor"), mode("run/srv/log")),
        (0o600, 0o600, 0o600)
    );
    let status = bench.status();
    assert!(status.starts_with("hive name=hive pid="), "{status}");
    assert!(status.contains(" state=ONLINE "), "{status}");
    for server in &servers() {
        assert_eq!(
            (bench.field(server, "state"), bench.field(server, "restarts")),
            ("up".into(), "0".into())
        );
    }
    until("the log has the boot", || bench.log().contains("init ready door="));

    let pids = bench.pids();
    assert_eq!(pids.len(), servers().len() + 1);
    hive.down();
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(
        !bench.path("run").exists(),
        "{:?}",
        fs::read_dir(bench.path("run")).unwrap().collect::<Vec<_>>()
    );
    assert!(bench.log().contains("init closing reason=\"coh down\""));
}

#[test]
fn the_programs_of_a_hive_have_a_clean_environment() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    let env = fs::read_to_string(bench.path("data/log.env")).unwrap();
    assert!(env.lines().all(|line| line.starts_with("PATH=") || line.starts_with("HOME=")), "{env}");
    hive.down();
}

#[test]
fn a_second_hive_on_a_run_directory_is_refused_with_the_firsts_pid() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    for args in [&[][..], &["-d"][..]] {
        let second = bench.say("up", args);
        assert_eq!(second.status.code(), Some(1));
        let said = text(&second.stderr);
        let run = bench.path("run");
        let run = run.display();
        assert!(
            said.starts_with(&format!(
                "coh up: {run}: already in use by pid {} (coh up, since ",
                hive.child.id()
            )),
            "{said}"
        );
        assert!(said.trim_end().ends_with(&format!("stop it with: coh down --run {run}")), "{said}");
    }
    assert_eq!(bench.field("log", "state"), "up");
    hive.down();
}

#[test]
fn a_killed_server_is_back_within_a_second_and_again() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    for server in &servers() {
        for round in 1..=2 {
            let start = Instant::now();
            let kill = bench.say("kill", &[server]);
            assert!(kill.status.success(), "{}", text(&kill.stderr));
            // Its death first: until init has seen that, the dead one counts as up.
            until("it has died", || bench.field(server, "restarts") == round.to_string());
            until("another is up", || bench.field(server, "state") == "up");
            assert!(start.elapsed() < Duration::from_secs(1));
        }
    }
    until("the log says so", || bench.log().contains("init server=door up pid="));
    assert!(bench.log().contains("status=\"signal 9\" restart_in_ms=100"), "{}", bench.log());
    hive.down();
}

#[test]
fn five_deaths_in_a_minute_degrade_the_hive_and_it_says_why() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    for round in 0..5 {
        until("it is up", || bench.field("proc", "state") == "up");
        signal(bench.field("proc", "pid").parse().unwrap(), "ABRT");
        until("it was seen", || bench.field("proc", "restarts") == (round + 1).to_string());
    }
    assert!(bench.status().contains(" state=DEGRADED "), "{}", bench.status());
    let why = "init DEGRADED server=proc deaths=5 window_s=60 last=\"signal 6\"";
    until("the log says why", || bench.log().contains(why));
    let log = bench.log();
    for wait in [100, 200, 400, 800, 1600] {
        assert!(log.contains(&format!("restart_in_ms={wait}\n")), "{log}");
    }
    // Waiting for its next start, it does not hold up the end.
    hive.down();
}

#[test]
fn a_signal_ends_the_hive_in_order() {
    for name in ["TERM", "INT"] {
        let bench = Bench::new();
        let hive = bench.up(&[]);
        let pids = bench.pids();
        signal(hive.child.id() as i32, name);
        assert_eq!(hive.wait().0, 0);
        assert!(!pids.iter().any(|pid| is_alive(*pid)));
        assert!(!bench.path("run").exists());
    }
}

#[test]
fn a_server_that_does_not_listen_to_term_is_killed() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    let pid: i32 = bench.field("queen", "pid").parse().unwrap();
    assert!(bench.say("kill", &["queen", "--signal", "STOP"]).status.success());
    let start = Instant::now();
    hive.down();
    assert!(!is_alive(pid));
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&start.elapsed()));
}

#[test]
fn a_killed_init_takes_everything_with_it_and_the_next_one_starts() {
    let bench = Bench::new();
    let mut hive = bench.up(&[]);
    start_worker(&bench, "worker-1", "");
    let pids = bench.pids();
    assert_eq!(pids.len(), servers().len() + 2);
    hive.child.kill().unwrap();
    hive.child.wait().unwrap();
    let next = bench.up(&[]);
    assert!(next.ready.starts_with("ready "), "{}", next.ready);
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    next.down();
    assert!(!bench.path("run").exists());
}

#[test]
fn what_is_left_of_an_init_that_is_killed_while_it_is_to_end_is_cleared() {
    let bench = Bench::new();
    let mut hive = bench.up(&[]);
    signal(hive.child.id() as i32, "STOP");
    let down = bench.coh("down", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It waits by now, or finds the dead one.
    std::thread::sleep(Duration::from_millis(200));
    hive.child.kill().unwrap();
    hive.child.wait().unwrap();
    let down = down.wait_with_output().unwrap();
    assert!(down.status.success(), "{}", text(&down.stderr));
    assert!(!bench.path("run/srv").exists());
}

#[test]
fn a_detached_start_that_fails_says_why_though_its_log_is_empty() {
    let bench = Bench::new();
    // Longer than a socket's path may be.
    let run = bench.path(&"r".repeat(120));
    let up = || {
        let hive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sys/hive.toml");
        let mut command = Command::new(bench.path("bin/coh"));
        command.args(["up", "-d", "--manifest"]).arg(hive).arg("--data").arg(bench.path("data"));
        command.arg("--run").arg(&run).output().unwrap()
    };
    // The first makes keys, and says so.
    for _ in 0..2 {
        let failed = up();
        assert_eq!(failed.status.code(), Some(1));
        assert!(text(&failed.stderr).contains("/srv/init: "), "{}", text(&failed.stderr));
    }
}

#[test]
fn detached_it_is_ready_when_the_command_returns() {
    let bench = Bench::new();
    let up = bench.say("up", &["-d"]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    assert!(text(&up.stdout).starts_with("ready door="));
    assert!(text(&up.stderr).contains("made an issuer key"), "{}", text(&up.stderr));
    assert_eq!(bench.field("door", "state"), "up");
    assert!(bench.say("down", &[]).status.success());
    let left: Vec<_> = fs::read_dir(bench.path("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["coh.log"]);
    let again = bench.say("up", &["-d"]);
    assert!(again.status.success() && again.stderr.is_empty(), "{}", text(&again.stderr));
    assert!(bench.say("down", &[]).status.success());
}

#[test]
fn a_server_that_fails_ends_the_boot_with_a_sentence() {
    let bench = Bench::new();
    fs::write(bench.path("data/queen.fail"), "").unwrap();
    let program = bench.path("bin/queenfs");
    let sentence = format!("coh up: queen ({}) ended before it answered: exit 1\n", program.display());
    let (code, said) = bench.up(&[]).wait();
    assert_eq!(code, 1);
    assert!(said.contains("queen: told to fail\n") && said.ends_with(&sentence), "{said}");
    let detached = bench.say("up", &["-d"]);
    assert_eq!(detached.status.code(), Some(1));
    assert!(text(&detached.stderr).contains("ended before it answered"), "{}", text(&detached.stderr));
    assert!(!bench.path("run/srv").exists() && !bench.path("run/lock").exists());
}

#[test]
fn a_server_that_never_answers_is_killed_and_started_again() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    fs::write(bench.path("data/proc.mute"), "").unwrap();
    assert!(bench.say("kill", &["proc"]).status.success());
    until("it is starting", || bench.field("proc", "state") == "starting");
    let pid: i32 = bench.field("proc", "pid").parse().unwrap();
    fs::remove_file(bench.path("data/proc.mute")).unwrap();
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(9));
    until("another is up", || bench.field("proc", "state") == "up");
    assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&start.elapsed()));
    assert!(!is_alive(pid));
    let killed = format!("init server=proc killed pid={pid} reason=no-answer");
    until("the log says so", || bench.log().contains(&killed));
    assert_eq!(bench.log().matches(&killed).count(), 1);
    assert_eq!(bench.field("proc", "restarts"), "2");
    hive.down();
}

#[test]
fn a_hive_whose_server_never_answers_does_not_come_up() {
    let bench = Bench::new();
    fs::write(bench.path("data/worker.mute"), "").unwrap();
    let (code, said) = bench.up(&[]).wait();
    assert_eq!(code, 1);
    assert!(said.contains("coh up: worker (pid ") && said.ends_with(") does not answer\n"), "{said}");
}

#[test]
fn a_status_is_json_where_that_is_asked_for() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    let status = text(&bench.say("status", &["--json"]).stdout);
    let lines: Vec<serde_json::Value> =
        status.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), servers().len() + 1);
    assert_eq!((&lines[0]["name"], &lines[0]["state"]), (&"hive".into(), &"ONLINE".into()));
    assert_eq!((&lines[1]["name"], &lines[1]["restarts"]), (&"log".into(), &0.into()));
    hive.down();
}

#[test]
fn a_missing_program_is_named() {
    let bench = Bench::new();
    fs::remove_file(bench.path("bin/procfs")).unwrap();
    let (code, said) = bench.up(&[]).wait();
    assert_eq!(code, 1);
    assert!(said.contains("bin/procfs: No such file or directory"), "{said}");
}

/// Starts a worker through init's ctl, as the queen does; returns where its configuration went.
fn start_worker(bench: &Bench, id: &str, more: &str) -> PathBuf {
    let file = bench.path(id);
    let config = format!("{{\"file\":{:?},\"ticket\":\"coh1.secret\"{more}}}", file.to_str().unwrap());
    let line =
        format!("{{\"start\":{{\"worker\":\"{id}\",\"program\":\"worker-heart\",\"config\":{config}}}}}");
    command(bench, &line).unwrap_or_else(|errno| panic!("{line}: errno {errno}"));
    until("the worker has its configuration", || {
        fs::read_to_string(&file).is_ok_and(|told| told.ends_with('\n'))
    });
    assert_eq!(fs::read_to_string(&file).unwrap().lines().next(), Some(&config[..]));
    file
}

/// One command to init's ctl, over its socket; the errno where it is refused.
fn command(bench: &Bench, line: &str) -> Result<(), u32> {
    use ninep::wire::{self, MSIZE_MAX, NOFID, NOTAG, Names, Rmsg, Tmsg, VERSION};
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(bench.path("run/srv/init")).unwrap();
    let mut out = Vec::new();
    Tmsg::Version { msize: MSIZE_MAX, version: VERSION }.encode(NOTAG, &mut out);
    Tmsg::Attach { fid: 0, afid: NOFID, uname: "server:queen", aname: "", n_uname: 0 }.encode(1, &mut out);
    Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&["ctl"][..]) }.encode(2, &mut out);
    Tmsg::Lopen { fid: 1, flags: 1 }.encode(3, &mut out);
    Tmsg::Write { fid: 1, offset: 0, data: line.as_bytes() }.encode(4, &mut out);
    stream.write_all(&out).unwrap();
    loop {
        let mut frame = vec![0; 4];
        stream.read_exact(&mut frame).unwrap();
        let size = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        frame.resize(size, 0);
        stream.read_exact(&mut frame[4..]).unwrap();
        match wire::decode_r(&frame).unwrap() {
            (4, Rmsg::Lerror { ecode, .. }) => return Err(ecode),
            (4, _) => return Ok(()),
            _ => {}
        }
    }
}

#[test]
fn a_worker_has_its_configuration_from_its_input_alone() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    let file = start_worker(&bench, "worker-1", "");
    let told = fs::read_to_string(file).unwrap();
    assert_eq!(told.lines().nth(1), Some(&*format!("[{:?}]", bench.path("bin/worker-heart"))));
    let status = bench.status();
    assert!(status.lines().last().unwrap().ends_with(" state=running program=worker-heart"), "{status}");
    assert!(status.lines().last().unwrap().starts_with("worker-1 pid="), "{status}");

    command(&bench, "{\"stop\":{\"worker\":\"worker-1\"}}").unwrap();
    let events = || fs::read_to_string(bench.path("data/events")).unwrap_or_default();
    until("the queen knows", || {
        events().contains(r#"{"exited":{"worker":"worker-1","status":"signal 15"}}"#)
    });
    start_worker(&bench, "worker-2", ",\"quit\":true");
    until("the queen knows", || events().contains(r#"{"exited":{"worker":"worker-2","status":"exit 3"}}"#));
    assert!(!bench.log().contains("secret"));
    hive.down();
}

#[test]
fn commands_that_cannot_be_are_refused_and_change_nothing() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    start_worker(&bench, "worker-1", "");
    let before = bench.pids();
    let again = "{\"start\":{\"worker\":\"worker-1\",\"program\":\"worker-heart\",\"config\":{}}}";
    assert_eq!(command(&bench, again), Ok(()), "who has not heard the answer asks again");
    for (line, errno) in [
        ("{\"start\":{\"worker\":\"worker-2\",\"program\":\"/bin/sh\",\"config\":{}}}", 22),
        ("{\"start\":{\"worker\":\"worker-2\",\"program\":\"worker-gpu\",\"config\":{}}}", 22),
        ("{\"start\":{\"worker\":\"../x\",\"program\":\"worker-heart\",\"config\":{}}}", 22),
        ("{\"start\":{\"worker\":\"worker-2\",\"program\":\"worker-heart\"}}", 22),
        ("{\"stop\":{\"worker\":\"worker-9\"}}", 2),
        ("{\"kill\":{\"server\":\"nobody\"}}", 2),
        ("{\"kill\":{\"server\":\"log\",\"signal\":\"FROWN\"}}", 22),
        ("{\"kill\":{\"server\":\"log\",\"extra\":1}}", 22),
        ("{\"kill\":{\"server\":\"log\",\"server\":\"proc\"}}", 22),
        ("{\"down\":{}} x", 22),
        ("{\"down\":{\"now\":true}}", 22),
        ("down", 22),
    ] {
        assert_eq!(command(&bench, line), Err(errno), "{line}");
    }
    assert_eq!(bench.pids(), before);
    hive.down();
}

#[test]
fn an_idle_hive_uses_no_processor() {
    let bench = Bench::new();
    let hive = bench.up(&[]);
    start_worker(&bench, "worker-1", "");
    let ticks = || -> Vec<u64> {
        let of = |pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let rest = stat.rsplit_once(") ").unwrap().1;
            rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
        };
        let mut pids = bench.pids();
        // Asking init costs it something.
        pids.retain(|pid| *pid != hive.child.id() as i32);
        pids.iter().map(of).collect()
    };
    let switches = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect::<Vec<_>>()
    };
    std::thread::sleep(Duration::from_millis(200));
    let (before, init) = (ticks(), switches(hive.child.id() as i32));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(hive.child.id() as i32), init, "init woke, and nothing had happened");
    assert_eq!(ticks(), before);
    hive.down();
}

#[test]
fn a_compiled_manifest_starts_the_same_hive() {
    let bench = Bench::new();
    let first = bench.up(&["--listen", "tcp!127.0.0.1!5640"]);
    let cbor = bench.path("hive.cbor");
    fs::copy(bench.path("run/manifest.cbor"), &cbor).unwrap();
    let print = |status: String| status.split_once(" manifest=").unwrap().1[..12].to_owned();
    let fingerprint = print(bench.status());
    first.down();
    let second = bench.up(&["--manifest", cbor.to_str().unwrap()]);
    assert_eq!(print(bench.status()), fingerprint);
    second.down();
    fs::write(&cbor, "not a manifest").unwrap();
    let refused = bench.say("up", &["--manifest", cbor.to_str().unwrap()]);
    assert!(text(&refused.stderr).contains("compile it again with coh-rtc"), "{}", text(&refused.stderr));
}

#[test]
fn options_that_cannot_be_are_refused_in_a_sentence() {
    let bench = Bench::new();
    for (args, says) in [
        (&["--listen", "udp!x!1"][..], "coh up: udp!x!1: udp found; unix or tcp allowed"),
        (&["--manifest", "/nowhere.toml"][..], "/nowhere.toml: No such file or directory"),
        (&["--mount", "/dev/null/x"][..], "/dev/null/x: "),
    ] {
        let output = bench.say("up", args);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    assert!(!bench.path("run/lock").exists() && !bench.path("run/srv").exists());
}

#[test]
fn without_a_hive_each_command_says_how_to_start_one() {
    let bench = Bench::new();
    for (verb, args) in [("status", &[][..]), ("kill", &["log"][..])] {
        let output = bench.say(verb, args);
        assert_eq!(output.status.code(), Some(1));
        let run = bench.path("run");
        let run = run.display();
        let sentence =
            format!("coh {verb}: {run}: no hive is running here; start one with: coh up --run {run}\n");
        assert_eq!(text(&output.stderr), sentence);
    }
    let down = bench.say("down", &[]);
    assert!(down.status.success() && text(&down.stderr).contains("no hive is running here"));
    assert_eq!(bench.say("fly", &[]).status.code(), Some(2));
}
