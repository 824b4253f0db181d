//! The command of `ctl`, and its way through the journal: who has looked into the hive's inside, and when,
//! is on record. The filter itself is not kept: a server that starts anew tells nothing until it is asked.

use crate::Trace;
use json::Value;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Entry, Ledger, Mark, Now, Staged, Token, Verdict, mark_of};
use rt::prelude::*;
use serde::{Deserialize, Serialize};

/// The hive's path of the file.
pub(crate) const CTL: &str = "/trace/ctl";
const VERB: &str = "SET";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    set: Set,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    level: String,
    cats: Vec<String>,
}

/// A filter, and how it was asked for.
pub struct Command {
    filter: trace::Filter,
    line: Line,
}

impl Ledger for Trace {
    type Command = Command;

    fn parse(&self, _: &str, line: &str) -> Result<Command, (String, Refusal)> {
        let refuse = |detail: String| (VERB.to_string(), Refusal::new(Word::Invalid, detail));
        let value: Value = json::parse(line).map_err(|error| refuse(error.to_string()))?;
        if value.object().is_none() {
            return Err(refuse(format!("{} found; an object is wanted", value.kind())));
        }
        let line: Line = value.into_type().map_err(|error: json::Error| refuse(error.to_string()))?;
        let names: Vec<&str> = line.set.cats.iter().map(String::as_str).collect();
        match trace::Filter::parse(&line.set.level, &names) {
            Some(filter) => Ok(Command { filter, line }),
            None => Err(refuse(
                "levels are off, error, info, debug; cats boot, ninep, session, control, peer".into(),
            )),
        }
    }

    fn verb(_: &Command) -> &str {
        VERB
    }

    fn check(&self, _: &Entry<Command>) -> Result<(), Refusal> {
        Ok(())
    }

    fn stage(&mut self, it: &Entry<Command>) -> Result<Staged, Refusal> {
        let Command { filter, line } = it.command;
        Ok(Staged::New { cmd: json::to_string(line), ack: format!("OK {VERB} {filter}") })
    }

    fn commit(&mut self, it: &Entry<Command>, ack: &str, _: Option<Token>) -> Verdict {
        self.set(it.command.filter);
        Verdict::Ack(ack.to_string())
    }

    fn roll_back(&mut self) {}

    fn restore(&mut self, snapshot: &str) -> Result<Mark, String> {
        mark_of(snapshot).ok_or_else(|| "the snapshot has no seq".into())
    }

    fn replay(&mut self, line: &str) -> Result<Mark, String> {
        mark_of(line).ok_or_else(|| "a record has no seq".into())
    }

    fn is_restored(&mut self, _: Now) {}

    fn due(&mut self, _: u64) -> (Vec<Command>, Option<u64>) {
        (Vec::new(), None)
    }

    fn system_path(&self) -> &'static str {
        CTL
    }
}
