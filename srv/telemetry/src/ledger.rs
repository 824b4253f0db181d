//! The commands of a device's `ctl`, and their way through the journal. What they do is on the disk and
//! not in a fold: the journal is read again for new segments that it has and the disk has not.

use crate::Telemetry;
use crate::devices::{Devices, is_device_name};
use crate::store::{segment_name, segment_number};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Entry, Key, Ledger, Mark, Now, Request, Staged, Token, Verdict, mark_of};
use rt::prelude::*;
use serde::{Deserialize, Serialize};

/// Where devices are in the hive, and the file of each that takes commands.
pub(crate) const ROOT: &str = "/queen/telemetry/";
const CTL: &str = "/ctl";

/// A command, and to which device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    device: String,
    action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    New { mime: String },
    Seal { artefact: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    new: What,
    #[serde(default = "plain")]
    mime: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Segment,
}

fn plain() -> String {
    "text/plain".into()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    seal: String,
}

impl Command {
    /// One line of the `ctl` at `path`.
    fn parse(path: &str, line: &str) -> Result<Command, (&'static str, Refusal)> {
        let invalid = |detail: String| Refusal::new(Word::Invalid, detail);
        let device = device_of(path).ok_or_else(|| ("CTL", invalid(format!("{path} takes no commands"))))?;
        let value = json::parse(line).map_err(|error| ("CTL", invalid(error.to_string())))?;
        if value.object().is_none() {
            return Err(("CTL", invalid(format!("{} found; an object is wanted", value.kind()))));
        }
        let verb = match (value.get("new"), value.get("seal")) {
            (Some(_), None) => "NEW",
            (None, Some(_)) => "SEAL",
            _ => return Err(("CTL", invalid("one of new, seal is wanted".into()))),
        };
        let refused = |error: json::Error| (verb, invalid(error.to_string()));
        let action = if verb == "NEW" {
            let New { new: What::Segment, mime } = value.into_type().map_err(refused)?;
            Action::New { mime }
        } else {
            let Seal { seal } = value.into_type().map_err(refused)?;
            if !artefact::is_name(&seal) {
                return Err((verb, invalid("seal: 1..128 of a-z A-Z 0-9 - _ ., no dot first".into())));
            }
            Action::Seal { artefact: seal }
        };
        Ok(Command { device: device.into(), action })
    }

    fn to_json(&self) -> String {
        match &self.action {
            Action::New { mime } => json::to_string(&New { new: What::Segment, mime: mime.clone() }),
            Action::Seal { artefact } => json::to_string(&Seal { seal: artefact.clone() }),
        }
    }
}

/// The hive's path of a device's `ctl`.
pub(crate) fn path_of(devices: &Devices, key: Key) -> Option<String> {
    Some(format!("{ROOT}{}{CTL}", devices.name(key)?))
}

fn device_of(path: &str) -> Option<&str> {
    path.strip_prefix(ROOT)?.strip_suffix(CTL).filter(|name| is_device_name(name))
}

/// The acknowledgement: from the devices as they are, behind what is on its way.
fn ack(devices: &Devices, command: &Command) -> Result<String, Refusal> {
    let Command { device, action } = command;
    match action {
        Action::New { mime } => {
            let number = devices.may_have_new(device, mime)?;
            Ok(format!("OK NEW seg={}", segment_name(number)))
        }
        Action::Seal { artefact } => Ok(format!("OK SEAL {}", devices.seal(device, artefact)?)),
    }
}

/// The number of the segment that `OK NEW seg=seg-000007` tells of.
fn number_in(ack: &str) -> Option<u64> {
    segment_number(ack.split(' ').find_map(|field| field.strip_prefix("seg="))?)
}

impl Telemetry {
    /// Segments are made when telemetry comes in; a manifest is checked at any time.
    fn may(&self, command: &Command) -> Result<(), Refusal> {
        match command.action {
            Action::New { .. } => self.lets_in(),
            Action::Seal { .. } => Ok(()),
        }
    }
}

impl Ledger for Telemetry {
    type Command = Command;

    fn parse(&self, path: &str, line: &str) -> Result<Command, (String, Refusal)> {
        Command::parse(path, line).map_err(|(verb, refusal)| (verb.to_string(), refusal))
    }

    fn verb(command: &Command) -> &str {
        match command.action {
            Action::New { .. } => "NEW",
            Action::Seal { .. } => "SEAL",
        }
    }

    fn check(&self, it: &Entry<Command>) -> Result<(), Refusal> {
        self.may(it.command)?;
        ack(&self.devices, it.command).map(drop)
    }

    fn stage(&mut self, it: &Entry<Command>) -> Result<Staged, Refusal> {
        self.may(it.command)?;
        let ack = ack(&self.devices, it.command)?;
        if let Action::New { .. } = it.command.action {
            self.devices.expect_new(&it.command.device);
        }
        Ok(Staged::New { cmd: it.command.to_json(), ack })
    }

    fn commit(&mut self, it: &Entry<Command>, ack: &str, _: Option<Token>) -> Verdict {
        let Command { device, action } = it.command;
        if let (Action::New { mime }, Some(number)) = (action, number_in(ack)) {
            self.devices.forget_new(Some(device));
            let made = self.devices.new_segment(device, number, mime);
            self.wrote(self.now);
            if let Err(refusal) = made {
                self.outbox.push(Request::log(format!("telemetry device={device} {}", refusal.detail)));
                return Verdict::Refuse { verb: "NEW".into(), refusal };
            }
        }
        Verdict::Ack(ack.to_string())
    }

    fn roll_back(&mut self) {
        self.devices.forget_new(None);
    }

    fn restore(&mut self, snapshot: &str) -> Result<Mark, String> {
        mark_of(snapshot).ok_or_else(|| "the snapshot has no seq".into())
    }

    fn replay(&mut self, line: &str) -> Result<Mark, String> {
        let mark = mark_of(line).ok_or("a record has no seq")?;
        if !line.contains(ROOT) {
            return Ok(mark);
        }
        let record = journal::Record::parse(line.as_bytes()).map_err(|error| error.to_string())?;
        let it = &record.entry;
        if it.kind == journal::Kind::Ctl
            && device_of(&it.path).is_some()
            && let Ok(Command { device, action: Action::New { mime } }) =
                Command::parse(&it.path, it.cmd.get())
            && let Some(number) = number_in(&it.ack)
        {
            // One that cannot be made now is as if it had been, and been evicted.
            if let Err(refusal) = self.devices.new_segment(&device, number, &mime) {
                self.outbox.push(Request::log(format!("telemetry device={device} {}", refusal.detail)));
            }
            self.wrote(self.now);
        }
        Ok(mark)
    }

    fn is_restored(&mut self, now: Now) {
        self.now = now;
    }

    fn due(&mut self, _: u64) -> (Vec<Command>, Option<u64>) {
        (Vec::new(), None)
    }

    fn system_path(&self) -> &'static str {
        "/queen/telemetry"
    }
}
