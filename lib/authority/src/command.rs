//! Commands: which file takes which, reading one, and its one written form, which the journal keeps.

use crate::bounds::{self, COUNT_MAX, within};
use crate::ctl::{self, Ctl};
use crate::dedupe::Envelope;
use crate::export::ExportCtl;
use crate::lease::LeaseCtl;
use crate::lifecycle::Order;
use crate::refused::Refused;
use crate::schedule::ScheduleCtl;
use crate::system::System;
use alloc::format;
use alloc::string::String;
use json::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `/queen/ctl`.
pub const QUEEN: &str = "/queen/ctl";
/// `/queen/lifecycle/ctl`.
pub const LIFECYCLE: &str = "/queen/lifecycle/ctl";
/// `/queen/lease/ctl`.
pub const LEASE: &str = "/queen/lease/ctl";
/// `/queen/schedule/ctl`.
pub const SCHEDULE: &str = "/queen/schedule/ctl";
/// `/queen/export/ctl`.
pub const EXPORT: &str = "/queen/export/ctl";
/// No file: the queen's own commands are recorded under this name.
pub const SYSTEM: &str = "/queen/system";
/// Does the authority take commands of that path? Other servers journal theirs below `/queen` too.
pub fn owns(path: &str) -> bool {
    [QUEEN, LIFECYCLE, LEASE, SCHEDULE, EXPORT, SYSTEM].contains(&path)
}

/// The schema of an envelope.
const ENVELOPE: &str = "queen-ctl/v1";

/// A command, and the envelope that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Only commands of [`QUEEN`] may have one.
    pub envelope: Option<Envelope>,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Of [`QUEEN`].
    Queen(Ctl),
    /// Of [`LIFECYCLE`].
    Lifecycle(Order),
    /// Of [`LEASE`].
    Lease(LeaseCtl),
    /// Of [`SCHEDULE`].
    Schedule(ScheduleCtl),
    /// Of [`EXPORT`].
    Export(ExportCtl),
    /// Of [`SYSTEM`].
    System(System),
}

/// One command of the journal, or one that is on its way there.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its number; 0 while it is not durable.
    pub seq: u64,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub ts_ms: u64,
    /// Who gave it: the role, empty for the queen's own.
    pub role: &'a str,
    /// And the subject.
    pub subject: &'a str,
    /// And the ticket's id.
    pub ticket: &'a str,
    /// In which session.
    pub session: u32,
    /// The command.
    pub command: &'a Command,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enveloped<C> {
    schema: String,
    id: String,
    idempotency_key: String,
    issued_unix_ms: u64,
    cmd: C,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifecycle {
    lifecycle: Order,
}

/// Reads one line that was written to `path`. A refusal names the verb that it is about, `CTL` where the
/// line has none.
pub fn parse(path: &str, line: &str) -> Result<Command, (&'static str, Refused)> {
    let bare = |action| Command { envelope: None, action };
    if path == LIFECYCLE && !line.trim_start().starts_with('{') {
        return Order::read(line.trim())
            .map(|order| bare(Action::Lifecycle(order)))
            .map_err(|refused| ("CTL", refused));
    }
    let value = json::parse(line).map_err(|error| ("CTL", Refused::invalid(error.0)))?;
    if value.object().is_none() {
        let detail = format!("{} found; an object is wanted", value.kind());
        return Err(("CTL", Refused::invalid(detail)));
    }
    match path {
        QUEEN if value.get("schema").is_some() => enveloped(value),
        QUEEN => {
            let verb = ctl::verb(&value);
            ctl::read(value).map(|ctl| bare(Action::Queen(ctl))).map_err(|refused| (verb, refused))
        }
        LIFECYCLE => read(value, &[]).map(|Lifecycle { lifecycle }| bare(Action::Lifecycle(lifecycle))),
        LEASE => checked(read(value, LEASE_VERBS)?, LeaseCtl::check, LeaseCtl::verb)
            .map(|c| bare(Action::Lease(c))),
        SCHEDULE => checked(read(value, SCHEDULE_VERBS)?, ScheduleCtl::check, ScheduleCtl::verb)
            .map(|c| bare(Action::Schedule(c))),
        EXPORT => checked(read(value, EXPORT_VERBS)?, ExportCtl::check, ExportCtl::verb)
            .map(|c| bare(Action::Export(c))),
        SYSTEM => checked(read(value, &[])?, System::check, System::verb).map(|c| bare(Action::System(c))),
        _ => Err(("CTL", Refused::invalid(format!("{path} takes no commands")))),
    }
}

type Verbs = [(&'static str, &'static str)];
const LEASE_VERBS: &Verbs = &[
    ("grant", "GRANT"),
    ("renew", "RENEW"),
    ("release", "RELEASE"),
    ("preempt", "PREEMPT"),
    ("quota", "QUOTA"),
];
const SCHEDULE_VERBS: &Verbs =
    &[("enqueue", "ENQUEUE"), ("cancel", "CANCEL"), ("reprioritise", "REPRIORITISE")];
const EXPORT_VERBS: &Verbs = &[("open", "OPEN"), ("close", "CLOSE"), ("job", "JOB")];

fn read<T: DeserializeOwned>(value: Value, verbs: &Verbs) -> Result<T, (&'static str, Refused)> {
    let first = value.object().and_then(|pairs| pairs.first()).map_or("", |(key, _)| key.as_str());
    let verb = verbs.iter().find(|(key, _)| *key == first).map_or("CTL", |(_, verb)| verb);
    value.into_type().map_err(|error| (verb, Refused::invalid(error.0)))
}

fn checked<T>(
    command: T,
    check: impl Fn(&T) -> Result<(), Refused>,
    verb: impl Fn(&T) -> &'static str,
) -> Result<T, (&'static str, Refused)> {
    match check(&command) {
        Ok(()) => Ok(command),
        Err(refused) => Err((verb(&command), refused)),
    }
}

fn enveloped(value: Value) -> Result<Command, (&'static str, Refused)> {
    let verb = value.get("cmd").map_or("CTL", ctl::verb);
    let said = |refused| (verb, refused);
    let Enveloped { schema, id, idempotency_key, issued_unix_ms, cmd } =
        value.into_type::<Enveloped<Value>>().map_err(|error| said(Refused::invalid(error.0)))?;
    if schema != ENVELOPE {
        return Err(said(Refused::invalid(format!("schema: {schema:?} found; {ENVELOPE} allowed"))));
    }
    bounds::key("id", &id).map_err(said)?;
    bounds::key("idempotency_key", &idempotency_key).map_err(said)?;
    within("issued_unix_ms", issued_unix_ms, 0, COUNT_MAX).map_err(said)?;
    if cmd.object().is_none() {
        return Err(said(Refused::invalid(format!("cmd: {} found; an object is wanted", cmd.kind()))));
    }
    let action = Action::Queen(ctl::read(cmd).map_err(said)?);
    Ok(Command { envelope: Some(Envelope { id, idempotency_key, issued_unix_ms }), action })
}

impl Command {
    /// One of the queen's own.
    pub fn system(system: System) -> Command {
        Command { envelope: None, action: Action::System(system) }
    }

    /// The file that takes it.
    pub fn path(&self) -> &'static str {
        match &self.action {
            Action::Queen(_) => QUEEN,
            Action::Lifecycle(_) => LIFECYCLE,
            Action::Lease(_) => LEASE,
            Action::Schedule(_) => SCHEDULE,
            Action::Export(_) => EXPORT,
            Action::System(_) => SYSTEM,
        }
    }

    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match &self.action {
            Action::Queen(ctl) => ctl.verb(),
            Action::Lifecycle(order) => order.verb(),
            Action::Lease(ctl) => ctl.verb(),
            Action::Schedule(ctl) => ctl.verb(),
            Action::Export(ctl) => ctl.verb(),
            Action::System(system) => system.verb(),
        }
    }

    /// Its one written form, an object: [`parse`] with [`Command::path`] gives the same command again.
    pub fn to_json(&self) -> String {
        let cmd = self.action.to_json();
        match &self.envelope {
            None => cmd,
            Some(Envelope { id, idempotency_key, issued_unix_ms }) => format!(
                "{{\"schema\":\"{ENVELOPE}\",\"id\":{},\"idempotency_key\":{},\
                 \"issued_unix_ms\":{issued_unix_ms},\"cmd\":{cmd}}}",
                json::to_string(id),
                json::to_string(idempotency_key)
            ),
        }
    }
}

impl Action {
    pub(crate) fn to_json(&self) -> String {
        match self {
            Action::Queen(ctl) => ctl.to_json(),
            Action::Lifecycle(lifecycle) => json::to_string(&Lifecycle { lifecycle: *lifecycle }),
            Action::Lease(ctl) => json::to_string(ctl),
            Action::Schedule(ctl) => json::to_string(ctl),
            Action::Export(ctl) => json::to_string(ctl),
            Action::System(system) => json::to_string(system),
        }
    }
}

impl Serialize for Command {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = json::parse(&self.to_json()).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}
