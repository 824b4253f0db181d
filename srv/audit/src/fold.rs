//! The hive's states, folded from records in a shadow that touches nothing live.

use authority::{Command, State};
use journal::{Entry, Kind, Record};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// The states after the records before `next`.
#[derive(Clone)]
pub(crate) struct Shadow {
    pub(crate) next: u64,
    ts_ms: u64,
    authority: State,
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
}

impl Part {
    pub(crate) const ALL: [Part; 1] = [Part::Authority];

    fn of(entry: &Entry<'_>) -> Option<Part> {
        let is_command = matches!(entry.kind, Kind::Ctl | Kind::System);
        (is_command && entry.path.starts_with("/queen/")).then_some(Part::Authority)
    }

    /// The server that has it live.
    pub(crate) fn server(self) -> &'static str {
        match self {
            Part::Authority => "queen",
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
}

impl Shadow {
    /// Before the first record.
    pub(crate) fn new(config: &authority::Config) -> Shadow {
        Shadow { next: 1, ts_ms: 0, authority: State::new(config.clone()) }
    }

    /// What [`Shadow::to_json`] wrote.
    pub(crate) fn from_json(config: &authority::Config, text: &str) -> Result<Shadow, String> {
        let snapshot: Snapshot<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let authority = State::from_json(config.clone(), snapshot.authority.get())?;
        Ok(Shadow { next: snapshot.seq + 1, ts_ms: snapshot.ts_ms, authority })
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        let (seq, ts_ms) = (self.next - 1, self.ts_ms);
        format!(r#"{{"seq":{seq},"ts_ms":{ts_ms},"authority":{}}}"#, self.authority.to_json())
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
        if Part::of(entry).is_some() {
            match self.authority(record) {
                Ok(ack) if ack == entry.ack => {}
                Ok(other) | Err(other) => return diverged(other),
            }
        }
        self.next += 1;
        self.ts_ms = self.ts_ms.max(entry.ts_ms);
        Ok(Part::of(entry).map(|_| &*entry.ack))
    }

    fn authority(&mut self, record: &Record<'_>) -> Result<String, String> {
        let entry = &record.entry;
        let command: Command = authority::parse(&entry.path, entry.cmd.get())
            .map_err(|(verb, refused)| format!("ERR {verb} {refused:?}"))?;
        let entry = authority::Entry {
            seq: record.seq,
            ts_ms: entry.ts_ms,
            role: &entry.role,
            subject: &entry.subject,
            ticket: &entry.ticket,
            session: entry.session,
            command: &command,
        };
        let outcome = self.authority.fold(&entry).map_err(|refused| format!("{refused:?}"))?;
        Ok(outcome.ack)
    }

    /// The sha256 of one state.
    pub(crate) fn hash(&self, part: Part) -> String {
        let hash = match part {
            Part::Authority => self.authority.hash(),
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
