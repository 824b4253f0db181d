//! Commands: of `/policy/ctl`, of `/actions/queue`, and policy's own.

use crate::action::Wish;
use crate::rule::{self, MANIFEST, Rule};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use authority::{Refused, bounds};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `/policy/ctl`.
pub const POLICY: &str = "/policy/ctl";
/// `/actions/queue`.
pub const ACTIONS: &str = "/actions/queue";
/// No file: policy's own commands are recorded under this name.
pub const SYSTEM: &str = "/policy/system";

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Of [`POLICY`].
    Policy(PolicyCtl),
    /// Of [`ACTIONS`].
    Action(Wish),
    /// Of [`SYSTEM`].
    System(System),
}

/// A command of `/policy/ctl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum PolicyCtl {
    /// Other rules hold from now on.
    Apply(Apply),
    /// Those of an earlier set do.
    Rollback(Rollback),
}

/// Other rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The set's name.
    pub id: String,
    /// All of its rules.
    pub rules: Vec<Rule>,
    /// Their digest, so that what was looked at is what is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An earlier set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Its name; `manifest` for the manifest's.
    pub to: String,
}

/// What happens without an operator's command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum System {
    /// A write passes on an approval.
    Consume(Consume),
    /// A write does not pass: for the record alone.
    Refuse(Refuse),
    /// An approval's time is over.
    Expire(String),
}

/// A write passes on an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consume {
    /// The approval.
    pub id: String,
    /// The file.
    pub target: String,
    /// Who writes, `role:subject`.
    pub by: String,
}

/// A write does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// The file.
    pub target: String,
    /// Who writes, `role:subject`.
    pub by: String,
    /// The rule, or the approval that was used again.
    pub on: String,
    /// Why.
    pub reason: String,
}

/// One command of the journal, or one that is on its way there.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its number; 0 while it is not durable.
    pub seq: u64,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub ts_ms: u64,
    /// The command.
    pub command: &'a Command,
}

/// Reads one line that was written to `path`. A refusal names the verb that it is about.
pub fn parse(path: &str, line: &str) -> Result<Command, (&'static str, Refused)> {
    let command = match path {
        POLICY => Command::Policy(read(line)?),
        ACTIONS => Command::Action(read(line)?),
        SYSTEM => Command::System(read(line)?),
        _ => return Err(("CTL", Refused::invalid(format!("{path} takes no commands")))),
    };
    command.check().map_err(|refused| (command.verb(), refused))?;
    Ok(command)
}

/// Verbs by their key.
const VERBS: [(&str, &str); 2] = [("apply", "APPLY"), ("rollback", "ROLLBACK")];

fn read<T: DeserializeOwned>(line: &str) -> Result<T, (&'static str, Refused)> {
    let value = json::parse(line).map_err(|error| ("CTL", Refused::invalid(error.0)))?;
    let Some(pairs) = value.object() else {
        let detail = format!("{} found; an object is wanted", value.kind());
        return Err(("CTL", Refused::invalid(detail)));
    };
    let first = pairs.first().map_or("", |(key, _)| key.as_str());
    let verb = match VERBS.iter().find(|(key, _)| *key == first) {
        Some((_, verb)) => *verb,
        None => match value.get("decision").and_then(json::Value::text) {
            Some("approve") => "APPROVE",
            Some("deny") => "DENY",
            _ => "CTL",
        },
    };
    value.into_type().map_err(|error| (verb, Refused::invalid(error.0)))
}

impl Command {
    /// The file that takes it.
    pub fn path(&self) -> &'static str {
        match self {
            Command::Policy(_) => POLICY,
            Command::Action(_) => ACTIONS,
            Command::System(_) => SYSTEM,
        }
    }

    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            Command::Policy(PolicyCtl::Apply(_)) => "APPLY",
            Command::Policy(PolicyCtl::Rollback(_)) => "ROLLBACK",
            Command::Action(wish) => wish.verb(),
            Command::System(System::Consume(_)) => "CONSUME",
            Command::System(System::Refuse(_)) => "REFUSE",
            Command::System(System::Expire(_)) => "EXPIRE",
        }
    }

    /// What kind of record it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Command::Policy(_) | Command::Action(_) => "ctl",
            Command::System(System::Consume(_) | System::Refuse(_)) => "gate",
            Command::System(System::Expire(_)) => "system",
        }
    }

    /// Its one written form, an object: [`parse`] with [`Command::path`] gives the same command again.
    pub fn to_json(&self) -> String {
        match self {
            Command::Policy(ctl) => json::to_string(ctl),
            Command::Action(wish) => json::to_string(wish),
            Command::System(system) => json::to_string(system),
        }
    }

    fn check(&self) -> Result<(), Refused> {
        match self {
            Command::Policy(PolicyCtl::Apply(Apply { id, rules, sha256 })) => {
                bounds::name("id", id)?;
                if id == MANIFEST {
                    return Err(Refused::invalid("id: that is the name of the manifest's rules"));
                }
                rule::check(rules)?;
                match sha256 {
                    Some(said) if *said != rule::digest(rules) => {
                        let is = rule::digest(rules);
                        Err(Refused::invalid(format!("sha256: {said} found; the rules have {is}")))
                    }
                    _ => Ok(()),
                }
            }
            Command::Policy(PolicyCtl::Rollback(Rollback { to })) => bounds::name("to", to),
            Command::Action(wish) => wish.check(),
            Command::System(System::Consume(Consume { id, target, by })) => {
                bounds::name("id", id)?;
                bounds::path("target", target)?;
                bounds::reason("by", by)
            }
            Command::System(System::Refuse(Refuse { target, by, on, reason })) => {
                bounds::path("target", target)?;
                bounds::reason("by", by)?;
                bounds::name("on", on)?;
                bounds::reason("reason", reason)
            }
            Command::System(System::Expire(id)) => bounds::name("expire", id),
        }
    }
}
