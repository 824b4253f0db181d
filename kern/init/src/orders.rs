//! The commands of init's ctl, one JSON object a line.

use crate::state::Init;
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
    /// Ends a server, which is then started again.
    Kill(Kill),
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
}

pub(crate) fn run(init: &mut Init, _: &Call, line: &str) -> Verdict {
    let (verb, answer) = match serde_json::from_str(line) {
        // The line may hold a ticket: the parser's own words do not repeat it.
        Err(error) => {
            let what = format!("not a command at column {}: start, stop or kill, as JSON", error.column());
            ("CTL", Err(Refusal::new(Word::Invalid, what)))
        }
        Ok(Command::Start(Start { worker, program, config })) => {
            ("START", init.start_worker(&worker, &program, config.get()))
        }
        Ok(Command::Stop(Stop { worker })) => ("STOP", init.stop_worker(&worker)),
        Ok(Command::Kill(Kill { server })) => ("KILL", init.kill(&server)),
    };
    match answer {
        Ok(fields) => Verdict::Ack(format!("OK {verb} {fields}")),
        Err(refusal) => Verdict::Refuse { verb: verb.into(), refusal },
    }
}
