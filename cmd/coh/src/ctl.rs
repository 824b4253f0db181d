//! Init's files, and the commands of its ctl.

use crate::init::Init;
use crate::program;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, Tree, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// Longest command: a ticket of 2048 bytes and what goes with it.
const LINE_MAX: usize = 6144;

/// Commands, one JSON object a line.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Command<'a> {
    /// Starts a worker; `config` reaches it as one line on its standard input.
    #[serde(borrow)]
    Start(Start<'a>),
    /// Ends a worker.
    Stop(Stop),
    /// Sends a signal to a server.
    Kill(Kill),
    /// Ends the hive.
    Down(Down),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start<'a> {
    worker: String,
    program: String,
    #[serde(borrow)]
    config: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    worker: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    server: String,
    signal: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Down {}

/// The tree of `RUN/srv/init`, which no client of the door reaches:
///
/// ```text
/// hive      one line: pid, state, door, mount, manifest
/// status    a line per server
/// boot      the story of the boot; its last line is boot_ms=…
/// workers   a line per worker process
/// ctl       start, stop, kill, down
/// ```
pub(crate) fn tree(init: Init) -> Tree<Init> {
    let main = Dir::new()
        .text("hive", |init: &Init, _, out| done(writeln!(out, "{}", init.hive())))
        .text("status", |init: &Init, _, out| {
            init.server_lines().try_for_each(|line| done(writeln!(out, "{line}")))
        })
        .text("boot", |init: &Init, _, out| done(out.write_str(init.story())))
        .text("workers", |init: &Init, _, out| {
            init.worker_lines().try_for_each(|line| done(writeln!(out, "{line}")))
        })
        .orders("ctl", 0o600, LINE_MAX, run);
    Tree::new(init, main)
}

/// Writing to a string does not fail.
fn done(_: std::fmt::Result) -> Result<(), Refusal> {
    Ok(())
}

fn run(init: &mut Init, call: &Call, line: &str) -> Verdict {
    let refuse = |verb: &str, refusal| Verdict::Refuse { verb: verb.into(), refusal };
    let command = match serde_json::from_str(line) {
        Ok(command) => command,
        // The line may hold a ticket: the parser's own words do not repeat it.
        Err(error) => return refuse("CTL", Refusal::new(Word::Invalid, shape(&error))),
    };
    let (verb, answer) = match command {
        Command::Start(Start { worker, program, config }) => {
            ("START", init.start_worker(&worker, &program, config.get(), call.now))
        }
        Command::Stop(Stop { worker }) => ("STOP", init.stop_worker(&worker, call.now)),
        Command::Kill(Kill { server, signal }) => ("KILL", kill(init, &server, signal.as_deref(), call)),
        Command::Down(Down {}) => {
            init.close("coh down", call.now);
            ("DOWN", Ok(String::new()))
        }
    };
    match answer {
        Ok(fields) if fields.is_empty() => Verdict::Ack(format!("OK {verb}")),
        Ok(fields) => Verdict::Ack(format!("OK {verb} {fields}")),
        Err(refusal) => refuse(verb, refusal),
    }
}

fn kill(init: &mut Init, server: &str, name: Option<&str>, call: &Call) -> Result<String, Refusal> {
    let name = name.unwrap_or("KILL");
    let signal = program::signal_named(name).ok_or_else(|| {
        Refusal::new(
            Word::Invalid,
            format!("{name}: no such signal here; KILL TERM INT ABRT SEGV STOP CONT are"),
        )
    })?;
    init.kill(server, name, signal, call.now)
}

fn shape(error: &serde_json::Error) -> String {
    format!("not a command at column {}: start, stop, kill or down, as JSON", error.column())
}
