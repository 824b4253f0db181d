//! The commands of init's ctl, one JSON object a line.

use crate::Init;
use alloc::format;
use alloc::string::String;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Command<'a> {
    /// Starts a worker; `config` reaches it as one line.
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

pub(crate) fn run<I: Init>(init: &mut I, call: &Call, line: &str) -> Verdict {
    let now = call.now;
    let (verb, answer) = match serde_json::from_str(line) {
        // The line may hold a ticket: the parser's own words do not repeat it.
        Err(error) => {
            let what =
                format!("not a command at column {}: start, stop, kill or down, as JSON", error.column());
            ("CTL", Err(Refusal::new(Word::Invalid, what)))
        }
        Ok(Command::Start(Start { worker, program, config })) => {
            let started = match is_plain(&worker) {
                true => init.start_worker(&worker, &program, config.get(), now),
                false => Err(Refusal::new(Word::Invalid, "a worker's id is 1..64 of [a-z0-9-]")),
            };
            ("START", started)
        }
        Ok(Command::Stop(Stop { worker })) => ("STOP", init.stop_worker(&worker, now)),
        Ok(Command::Kill(Kill { server, signal })) => {
            ("KILL", init.kill(&server, signal.as_deref().unwrap_or("KILL"), now))
        }
        Ok(Command::Down(Down {})) => ("DOWN", init.down(now)),
    };
    match answer {
        Ok(fields) if fields.is_empty() => Verdict::Ack(format!("OK {verb}")),
        Ok(fields) => Verdict::Ack(format!("OK {verb} {fields}")),
        Err(refusal) => Verdict::Refuse { verb: verb.into(), refusal },
    }
}

/// Ids go into paths and log lines.
fn is_plain(id: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !id.is_empty() && id.len() <= 64 && id.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn a_worker_has_a_plain_id() {
        assert!(is_plain("worker-17") && is_plain(&"a".repeat(64)));
        assert!(!is_plain("") && !is_plain(&"a".repeat(65)) && !is_plain("../x") && !is_plain("Worker"));
    }
}
