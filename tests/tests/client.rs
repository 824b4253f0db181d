//! What every command does as a client: the hive's policy, and conversations in files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tests::{Hive, program};

/// Every command that finds a hive, with what it can be asked without a worker or a lease.
const COMMANDS: [&[&str]; 29] = [
    &["cohls", "-lR", "/proc/tests"],
    &["cohcat", "/proc/version", "/proc/limits", "/none"],
    &["cohtail", "-n", "3", "/log/queen.log"],
    &["cohecho", "a remark", "/log/queen.log"],
    &["cohstat", "/queen/ctl", "/worker"],
    &["cohns"],
    &["cohbind", "/proc", "/p"],
    &["cohmnt", "log", "/l"],
    &["cohspawn", "heartbeat", "ticks=1"],
    &["cohkill", "worker-1"],
    &["cohps"],
    &["cohlife"],
    &["cohlease", "ls"],
    &["cohlease", "release", "lease-1"],
    &["cohsched", "ls"],
    &["cohexport", "ls"],
    &["cohpolicy", "show"],
    &["cohapprove", "a-1", "/x"],
    &["cohdeny", "a-2", "/x"],
    &["cohlog", "-n", "2"],
    &["cohpush", "Cargo.toml", "--device", "d"],
    &["cohpull", "none", "-o", "none"],
    &["cohaudit"],
    &["cohverify"],
    &["cohreplay"],
    &["cohping", "-c", "2", "/proc"],
    &["cohticket", "revoke", "00"],
    &["cohtest", "--mode", "negative", "--json"],
    &["cohsh", "--script", "/dev/null"],
];

fn command(words: &[&str], options: &[&str], run: &Path) -> Command {
    let mut command = Command::new(program(words[0]));
    // Behind its first word everything is cohecho's text; cohticket's options are its verbs'.
    match words[0] {
        "cohecho" => command.args(options).args(&words[1..]),
        _ => command.args(&words[1..]).args(options),
    };
    command.env("COH_RUN", run).stdin(Stdio::null());
    for name in ["COH_NS", "COH_DOOR", "COH_TICKET", "COH_TICKET_FILE", "COH_CLIENT"] {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The hive's own policy, changed, in another file.
fn policy(hive: &Hive, from: &str, to: &str) -> std::path::PathBuf {
    let text = fs::read_to_string(hive.path("run/client.toml")).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(hive.path("other.toml"), text.replace(from, to)).unwrap();
    hive.path("other.toml")
}

#[test]
fn every_command_stops_where_the_policy_is_another_manifest_s() {
    let hive = Hive::mounted();
    let (run, other) = (hive.path("run"), policy(&hive, "manifest = \"", "manifest = \"00"));
    for words in COMMANDS {
        let output = command(words, &[], &run).env("COH_CLIENT", &other).output().unwrap();
        let why = said(&output);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {why}");
        assert!(
            why.contains("this hive runs the manifest ") && why.contains("other.toml is of 00"),
            "{words:?}: {why}"
        );
    }
    let mut mount = command(&["cohcat", "/proc/version"], &[], &run);
    let output = mount.env("COH_CLIENT", &other).env("COH_NS", hive.path("n")).output().unwrap();
    assert!(said(&output).contains("this hive runs the manifest ") && output.stdout.is_empty());
    let dir = hive.path("m");
    let mut mount = command(&["coh-mount", dir.to_str().unwrap()], &[], &run);
    let output = mount.env("COH_CLIENT", &other).output().unwrap();
    assert!(output.status.code() == Some(1) && said(&output).contains("this hive runs the manifest "));
    // The one beside the door is loaded by itself.
    fs::write(run.join("client.toml"), "frog = 1").unwrap();
    for words in COMMANDS {
        let output = command(words, &[], &run).output().unwrap();
        let why = said(&output);
        assert!(
            output.status.code() == Some(1) && why.contains("client.toml: the client policy: "),
            "{words:?}: {why}"
        );
    }
}

#[test]
fn a_read_waits_for_a_door_that_is_being_started_again() {
    let hive = Hive::start(&[]);
    let patient = policy(&hive, "retry_attempts = 3", "retry_attempts = 10");
    for _ in 0..3 {
        hive.print("coh", &["kill", "door"]);
        let mut cat = command(&["cohcat", "/proc/lifecycle/state"], &[], &hive.path("run"));
        let output = cat.env("COH_CLIENT", &patient).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn every_conversation_plays_again_without_a_hive() {
    let hive = Hive::start(&[]);
    let (run, nowhere) = (hive.path("run"), hive.path("nowhere"));
    let mut recorded = Vec::new();
    for (i, words) in COMMANDS.iter().enumerate() {
        let trace = hive.path(&format!("{i}.trace")).display().to_string();
        let output = command(words, &["--record-trace", &trace], &run).output().unwrap();
        recorded.push((words, trace, output));
    }
    hive.coh(&["down"]);
    for (words, trace, recorded) in &recorded {
        // A shell's lines are in its trace.
        let words: &[&str] = if words[0] == "cohsh" { &words[..1] } else { words };
        let played = command(words, &["--replay-trace", trace], &nowhere).output().unwrap();
        assert_eq!(played.status, recorded.status, "{words:?}: {}{}", said(recorded), said(&played));
        // What is measured is measured anew, and says where.
        if words[0] != "cohping" {
            let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!((text(&played), said(&played)), (text(recorded), said(recorded)), "{words:?}");
        }
    }
    // Other arguments are another conversation.
    let (_, trace, _) = &recorded[1];
    let other = command(&["cohcat", "/proc/boot"], &["--replay-trace", trace], &nowhere).output().unwrap();
    assert!(other.status.code() == Some(1) && said(&other).contains("sends other bytes"), "{}", said(&other));
    let fewer = command(&["cohcat", "/proc/version"], &["--replay-trace", trace], &nowhere).output().unwrap();
    assert!(
        fewer.status.code() == Some(1) && said(&fewer).contains("the recording goes on"),
        "{}",
        said(&fewer)
    );
}

#[test]
fn a_trace_that_was_cut_or_changed_is_refused_before_anything_happens() {
    let hive = Hive::start(&[]);
    let (run, trace) = (hive.path("run"), hive.path("x.trace"));
    let (name, words) = (trace.to_str().unwrap(), &["cohcat", "/proc/version"][..]);
    let output = command(words, &["--record-trace", name], &run).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let whole = fs::read(&trace).unwrap();
    let flipped =
        |at: usize| whole.iter().enumerate().map(|(i, b)| if i == at { b ^ 4 } else { *b }).collect();
    let (middle, last) = (whole.len() / 2, whole.len() - 1);
    for bytes in [
        Vec::new(),
        whole[..middle].to_vec(),
        whole[..last].to_vec(),
        flipped(3),
        flipped(middle),
        flipped(last),
    ] {
        fs::write(&trace, bytes).unwrap();
        let output = command(words, &["--replay-trace", name], &run).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", said(&output));
        assert!(said(&output).contains("the trace: "), "{}", said(&output));
    }
    for (options, why) in
        [(&["--record-trace", "/none/x"][..], "/none/x"), (&["--replay-trace", "/none/x"], "/none/x")]
    {
        let output = command(words, options, &run).output().unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains(why), "{}", said(&output));
    }
    for options in
        [&["--record-trace", "x", "--ns", "/n"][..], &["--replay-trace", name, "--door", "unix!/d"]]
    {
        assert_eq!(command(words, options, &run).output().unwrap().status.code(), Some(2));
    }
    let on_a_mount = command(words, &["--record-trace", name], &run).env("COH_NS", "/n").output().unwrap();
    assert!(
        on_a_mount.status.code() == Some(2) && said(&on_a_mount).contains("COH_NS"),
        "{}",
        said(&on_a_mount)
    );
}

#[test]
fn what_is_ended_by_a_signal_is_recorded_until_then() {
    let hive = Hive::start(&[]);
    let trace = hive.path("tail.trace").display().to_string();
    let words = ["cohtail", "-f", "-n", "1", "--interval-ms", "250", "/log/queen.log"];
    let mut tail = command(&words, &["--record-trace", &trace], &hive.path("run"));
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    hive.print("cohecho", &["a last word", "/log/queen.log"]);
    let shown: Vec<String> = lines.by_ref().take_while(|line| !line.contains("a last word")).collect();
    let interrupted = Command::new("kill").args(["-INT", &tail.id().to_string()]).status().unwrap();
    assert!(interrupted.success() && !tail.wait().unwrap().success());
    let played = command(&words, &["--replay-trace", &trace], &hive.path("nowhere")).output().unwrap();
    let text = String::from_utf8_lossy(&played.stdout).into_owned();
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all[0], first);
    assert!(all.len() >= shown.len() + 2 && text.contains("a last word"), "{text}");
    assert!(said(&played).contains("the recording ends here"), "{}", said(&played));
}

#[test]
fn a_ticket_is_in_no_trace() {
    let hive = Hive::start(&[]);
    let minted =
        hive.program("cohticket", &["mint", "--role", "observer", "--subject", "eye", "--ttl", "1h"]);
    assert!(minted.status.success(), "{}", said(&minted));
    fs::write(hive.path("ticket"), &minted.stdout).unwrap();
    let ticket = String::from_utf8(minted.stdout).unwrap();
    let (trace, file) =
        (hive.path("t.trace").display().to_string(), hive.path("ticket").display().to_string());
    let words = ["cohcat", "/proc/version"];
    let door = format!("unix!{}", hive.door().display());
    let options = ["--door", &door, "--ticket", &file, "--record-trace", &trace];
    let recorded = command(&words, &options, &hive.path("nowhere")).output().unwrap();
    assert!(recorded.status.success(), "{}", said(&recorded));
    let bytes = fs::read(&trace).unwrap();
    assert!(!bytes.windows(20).any(|window| window == &ticket.trim().as_bytes()[10..30]));
    let played = command(&words, &["--replay-trace", &trace], &hive.path("nowhere")).output().unwrap();
    assert_eq!((played.stdout, played.status.code()), (recorded.stdout, Some(0)));
}

#[test]
fn shells_complete_what_the_programs_take() {
    let bash = Command::new(program("coh")).args(["completion", "bash"]).output().unwrap();
    assert!(bash.status.success(), "{}", said(&bash));
    let text = String::from_utf8(bash.stdout).unwrap();
    for name in
        ["_coh()", "_cohls()", "_cohtail()", "_cohsh()", "_cohbench()", "_coh__mount()", "--record-trace"]
    {
        assert!(text.contains(name), "{name}");
    }
    for shell in ["zsh", "fish"] {
        let output = Command::new(program("cohcat")).args(["--completion", shell]).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains("replay-trace")
        );
    }
    assert_eq!(
        Command::new(program("coh")).args(["completion", "sh"]).output().unwrap().status.code(),
        Some(2)
    );
}

#[test]
fn pools_are_as_large_as_the_policy_has_them() {
    let hive = Hive::start(&[]);
    let sessions = |command: &mut Command| {
        let output = command.args(["--seconds", "0.05"]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split(" single_per_s=").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let run = hive.path("run");
    let shipped = sessions(&mut command(&["cohbench", "pool"], &[], &run));
    assert_eq!(shipped, ["pool control sessions=2 in_flight=32", "pool telemetry sessions=4 in_flight=32"]);
    let wide = policy(&hive, "pool_control = 2", "pool_control = 5");
    let wide = sessions(command(&["cohbench", "pool"], &[], &run).env("COH_CLIENT", wide));
    assert_eq!(wide[0], "pool control sessions=5 in_flight=30");
    let too_many = command(&["cohbench", "pool", "--conns", "33"], &[], &run).output().unwrap();
    assert_eq!(too_many.status.code(), Some(2));
}
