//! The hive's states, folded from records in a shadow that touches nothing live.

use core::fmt::Write as _;
use journal::{Entry, Kind, Record};
use manifest::Manifest;
use rt::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bounds and defaults, from the manifest, and which states are live.
#[derive(Clone)]
pub(crate) struct Folds {
    authority: authority::Config,
    policy: policy::Config,
    /// Whose servers can be asked for their hash.
    pub(crate) live: Vec<Part>,
}

impl Folds {
    pub(crate) fn from_manifest(manifest: &Manifest) -> Folds {
        let is_live = |part: &Part| manifest.server(part.server()).is_some();
        Folds {
            authority: manifest.into(),
            policy: manifest.into(),
            live: Part::ALL.into_iter().filter(is_live).collect(),
        }
    }
}

#[cfg(test)]
impl Default for Folds {
    fn default() -> Folds {
        let (authority, policy) = (authority::Config::default(), policy::Config::default());
        Folds { authority, policy, live: vec![Part::Authority] }
    }
}

/// The states after the records before `next`.
#[derive(Clone)]
pub(crate) struct Shadow {
    pub(crate) next: u64,
    ts_ms: u64,
    authority: authority::State,
    policy: policy::State,
}

/// A record does not come to what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diverged {
    pub(crate) seq: u64,
    /// What was recorded.
    pub(crate) want: String,
    /// What it comes to.
    pub(crate) got: String,
}

/// Whose command a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Authority,
    Policy,
}

impl Part {
    pub(crate) const ALL: [Part; 2] = [Part::Authority, Part::Policy];

    fn of(entry: &Entry<'_>) -> Option<Part> {
        if !matches!(entry.kind, Kind::Ctl | Kind::System | Kind::Gate) {
            return None;
        }
        match entry.path.split('/').nth(1) {
            Some("queen") if entry.kind != Kind::Gate && authority::owns(&entry.path) => {
                Some(Part::Authority)
            }
            Some("policy" | "actions") => Some(Part::Policy),
            _ => None,
        }
    }

    /// The server that has it live.
    pub(crate) fn server(self) -> &'static str {
        match self {
            Part::Authority => "queen",
            Part::Policy => "policy",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot<'a> {
    seq: u64,
    ts_ms: u64,
    #[serde(borrow)]
    authority: &'a RawValue,
    #[serde(borrow)]
    policy: &'a RawValue,
}

impl Shadow {
    /// Before the first record.
    pub(crate) fn new(folds: &Folds) -> Shadow {
        Shadow {
            next: 1,
            ts_ms: 0,
            authority: authority::State::new(folds.authority.clone()),
            policy: policy::State::new(folds.policy.clone()),
        }
    }

    /// What [`Shadow::to_json`] wrote.
    pub(crate) fn from_json(folds: &Folds, text: &str) -> Result<Shadow, String> {
        let Snapshot { seq, ts_ms, authority, policy } =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Shadow {
            next: seq + 1,
            ts_ms,
            authority: authority::State::from_json(folds.authority.clone(), authority.get())?,
            policy: policy::State::from_json(folds.policy.clone(), policy.get())?,
        })
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        let Shadow { next, ts_ms, authority, policy } = self;
        let (seq, authority, policy) = (next - 1, authority.to_json(), policy.to_json());
        format!(r#"{{"seq":{seq},"ts_ms":{ts_ms},"authority":{authority},"policy":{policy}}}"#)
    }

    /// Takes the next record; the acknowledgement, where it is a command of a state.
    pub(crate) fn take<'r>(&mut self, record: &'r Record<'_>) -> Result<Option<&'r str>, Diverged> {
        let diverged = |got: String| {
            let want = record.entry.ack.to_string();
            Err(Diverged { seq: record.seq, want, got })
        };
        if record.seq != self.next {
            return diverged(format!("seq={}", self.next));
        }
        let entry = &record.entry;
        let part = Part::of(entry);
        let outcome = match part {
            Some(Part::Authority) => self.authority(record),
            Some(Part::Policy) => self.policy(record),
            None => Ok(entry.ack.to_string()),
        };
        match outcome {
            Ok(ack) if ack == entry.ack => {}
            Ok(other) | Err(other) => return diverged(other),
        }
        self.next += 1;
        self.ts_ms = self.ts_ms.max(entry.ts_ms);
        Ok(part.map(|_| &*entry.ack))
    }

    fn authority(&mut self, record: &Record<'_>) -> Result<String, String> {
        let Record { seq, entry, .. } = record;
        let command = authority::parse(&entry.path, entry.cmd.get())
            .map_err(|(verb, refused)| format!("ERR {verb} {}", refused.detail))?;
        let outcome = self.authority.fold(&authority::Entry {
            seq: *seq,
            ts_ms: entry.ts_ms,
            role: &entry.role,
            subject: &entry.subject,
            ticket: &entry.ticket,
            session: entry.session,
            command: &command,
        });
        outcome.map(|outcome| outcome.ack).map_err(|refused| refused.detail)
    }

    fn policy(&mut self, record: &Record<'_>) -> Result<String, String> {
        let Record { seq, entry, .. } = record;
        let command = policy::parse(&entry.path, entry.cmd.get())
            .map_err(|(verb, refused)| format!("ERR {verb} {}", refused.detail))?;
        let entry = policy::Entry { seq: *seq, ts_ms: entry.ts_ms, command: &command };
        self.policy.fold(&entry).map_err(|refused| refused.detail)
    }

    /// The sha256 of one state.
    pub(crate) fn hash(&self, part: Part) -> String {
        let hash = match part {
            Part::Authority => self.authority.hash(),
            Part::Policy => self.policy.hash(),
        };
        hex(&hash)
    }

    /// What names all states together: the sha256 of a line for each.
    pub(crate) fn hashes(&self) -> String {
        let mut lines = String::new();
        for part in Part::ALL {
            let _ = writeln!(lines, "{} {}", part.server(), self.hash(part));
        }
        journal::Hash::of(lines.as_bytes()).to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
