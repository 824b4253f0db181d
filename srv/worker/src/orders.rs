//! The queen's orders: workers come and go, and the lifecycle has another state.

use crate::Fs;
use authority::Phase;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Verdict};
use rt::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Add(Add),
    Drop(Drop),
    /// The hive's lifecycle has another state.
    Phase(Phase),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    id: String,
    role: String,
    #[serde(default)]
    ticks: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    id: String,
}

impl Fs {
    pub(crate) fn add(&mut self, add: &Add) -> Result<(), Refusal> {
        self.workers.add(&add.id, &add.role, add.ticks)
    }
}

pub(crate) fn command(fs: &mut Fs, _: &Call, line: &str) -> Verdict {
    let (verb, done) = match json::from_str(line) {
        Err(error) => ("CTL", Err(Refusal::new(Word::Invalid, error.to_string()))),
        Ok(Command::Add(add)) => ("ADD", fs.add(&add)),
        Ok(Command::Drop(drop)) => ("DROP", fs.workers.drop(&drop.id)),
        Ok(Command::Phase(phase)) => {
            fs.takes_telemetry = phase.allows_telemetry();
            ("PHASE", Ok(()))
        }
    };
    match done {
        Ok(()) => Verdict::Ack(format!("OK {verb}")),
        Err(refusal) => Verdict::Refuse { verb: verb.into(), refusal },
    }
}
