//! The queen's memory: what is in it, how it is asked, folded, written down and compared.

use crate::Config;
use crate::command::{Action, Command, Entry};
use crate::dedupe::{Dedupe, First};
use crate::export::Exports;
use crate::gone::Run;
use crate::lease::Leases;
use crate::lifecycle::{Lifecycle, Phase};
use crate::refused::{Refused, Word};
use crate::root::{Cut, Root};
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::workers::{End, Revocations, Worker, Workers};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What must now be done, by whoever can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give the worker a directory, a ticket and a process.
    Start(Worker),
    /// Take all three away, and close the sessions of its ticket.
    Stop {
        /// Who.
        worker: Worker,
        /// Why.
        end: End,
    },
    /// Close the sessions of a ticket.
    Revoke {
        /// 32 hex digits.
        ticket: String,
        /// Why.
        reason: String,
    },
    /// A worker may make so many requests from now on.
    Ops {
        /// Whose ticket.
        ticket: String,
        /// How many.
        ops: u64,
    },
    /// Change the name space of the session that asked.
    Bind {
        /// What.
        from: String,
        /// Where.
        to: String,
    },
    /// The same, with a server.
    Mount {
        /// What.
        service: String,
        /// Where.
        at: String,
    },
    /// There are other export jobs than before.
    Exports,
    /// The lifecycle has another state.
    Phase(Phase),
    /// The queen is cut off for this reason, or to be reached; it may be as before.
    Root(Option<Cut>),
    /// A line for people, without its time.
    Log(String),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `OK SPAWN id=worker-3`, without its number.
    pub ack: String,
    /// In order.
    pub effects: Vec<Effect>,
    /// The command had been carried out before, under this number (0: it is not durable yet). Then
    /// nothing has changed and there is nothing to record.
    pub first: Option<u64>,
}

impl Outcome {
    /// The whole acknowledgement of a command that is durable as `seq`: `OK SPAWN id=worker-3 seq=118`.
    pub fn line(&self, seq: u64) -> String {
        match self.first {
            None => format!("{} seq={seq}", self.ack),
            Some(first) => format!("{} seq={first} dup=1", self.ack),
        }
    }
}

/// The queen's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    #[serde(skip)]
    pub(crate) config: Config,
    /// Bounds do not hold for what was accepted under earlier ones.
    #[serde(skip)]
    pub(crate) is_recorded: bool,
    /// As the latest boot has recorded them; the manifest's before the first.
    #[serde(default)]
    pub(crate) settings: Settings,
    /// The latest time of any command.
    pub(crate) now_ms: u64,
    /// What tells this boot from others; empty before the first.
    pub(crate) boot: String,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) root: Root,
    pub(crate) workers: Workers,
    pub(crate) revocations: Revocations,
    pub(crate) leases: Leases,
    pub(crate) schedule: Schedule,
    pub(crate) exports: Exports,
    pub(crate) dedupe: Dedupe,
}

impl State {
    /// Nothing has happened yet.
    pub fn new(config: Config) -> State {
        State {
            settings: Settings::from(&config),
            config,
            is_recorded: false,
            now_ms: 0,
            boot: String::new(),
            lifecycle: Lifecycle::default(),
            root: Root::default(),
            workers: Workers::default(),
            revocations: Revocations::default(),
            leases: Leases::default(),
            schedule: Schedule::default(),
            exports: Exports::default(),
            dedupe: Dedupe::default(),
        }
    }

    /// Carries out one command. A refused one changes nothing.
    pub fn apply(&mut self, entry: &Entry) -> Result<Outcome, Refused> {
        if let Some(outcome) = self.repeated(entry.command)? {
            return Ok(outcome);
        }
        self.admits(entry)?;
        let ts_ms = entry.ts_ms.max(self.now_ms);
        let was_cut = self.cut();
        let outcome = self.act(entry, ts_ms)?;
        self.now_ms = ts_ms;
        if was_cut.is_some() != self.cut().is_some() {
            self.root.cut_ms = self.cut().map(|_| ts_ms);
        }
        if let Some(envelope) = &entry.command.envelope {
            let cmd = entry.command.action.to_json();
            self.dedupe.remember(envelope, &cmd, &outcome.ack, entry.seq, self.settings.dedupe_entries);
        }
        Ok(outcome)
    }

    /// Carries out a command of the journal: it was within the bounds of its time, whatever the
    /// manifest says now.
    pub fn fold(&mut self, entry: &Entry) -> Result<Outcome, Refused> {
        self.is_recorded = true;
        let outcome = self.apply(entry);
        self.is_recorded = false;
        outcome
    }

    /// The first answer to a command that comes again in its envelope.
    pub fn repeated(&self, command: &Command) -> Result<Option<Outcome>, Refused> {
        let Some(envelope) = &command.envelope else { return Ok(None) };
        let first = self.dedupe.find(envelope, &command.action.to_json())?;
        Ok(first.map(|First { ack, seq, .. }| Outcome {
            ack: ack.clone(),
            effects: Vec::new(),
            first: Some(*seq),
        }))
    }

    /// Whether the state lets a command in at all, whatever it comes to then.
    fn admits(&self, entry: &Entry) -> Result<(), Refused> {
        let Command { envelope, action } = entry.command;
        let is_system = matches!(action, Action::System(_));
        if entry.role.starts_with("worker-")
            && let Some(cut) = self.cut()
        {
            return Err(Refused::new(Word::Cut, format!("cut_reason={}", cut.word())));
        }
        let wants = self.config.needs_envelope && !self.is_recorded;
        if wants && envelope.is_none() && matches!(action, Action::Queen(_)) {
            return Err(Refused::invalid("this hive takes commands in envelopes, queen-ctl/v1, only"));
        }
        let is_work = action.is_work();
        if is_work && !self.lifecycle.phase.allows_work() && !(self.is_recorded && is_system) {
            return Err(Refused::new(Word::Busy, format!("state={}", self.lifecycle.phase.name())));
        }
        Ok(())
    }

    // What it is asked.

    /// The state of the hive.
    pub fn phase(&self) -> Phase {
        self.lifecycle.phase
    }

    /// Why the hive is in its state, and since when.
    pub fn phase_since(&self) -> (&str, u64) {
        (&self.lifecycle.reason, self.lifecycle.since_ms)
    }

    /// Required servers that are missing, as far as is known.
    pub fn missing(&self) -> Option<&[String]> {
        self.lifecycle.missing.as_deref()
    }

    /// What tells this boot from others; empty before the first.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Why the queen is not to be reached, if she is not.
    pub fn cut(&self) -> Option<Cut> {
        self.root.cut(self.lifecycle.phase)
    }

    /// Is this reason known to hold, be it the first or not?
    pub fn is_cut_by(&self, cut: Cut) -> bool {
        cut == Cut::LifecycleOffline && self.lifecycle.phase == Phase::Offline || self.root.holds(cut)
    }

    /// When she was last: now, unless cut.
    pub fn last_seen_ms(&self, now_ms: u64) -> u64 {
        self.root.cut_ms.unwrap_or(now_ms)
    }

    /// The latest time of any command.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Workers that are alive, in the order of their numbers.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.alive.values()
    }

    /// The worker with that name.
    pub fn worker(&self, id: &str) -> Option<&Worker> {
        self.workers.number(id).ok().and_then(|number| self.workers.alive.get(&number))
    }

    /// The worker of a ticket.
    pub fn by_ticket(&self, ticket: &str) -> Option<&Worker> {
        self.workers().find(|worker| worker.ticket == ticket)
    }

    /// The name in the ids of workers' tickets.
    pub fn hive(&self) -> &str {
        &self.settings.hive
    }

    /// The numbers of the workers that have ended.
    pub fn ended(&self) -> Vec<Run> {
        self.workers.ended()
    }

    /// Tickets that were revoked by command, and the reasons.
    pub fn revoked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.revocations.iter()
    }

    /// Leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Jobs.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Export windows.
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// Envelopes that have been carried out.
    pub fn dedupe(&self) -> &Dedupe {
        &self.dedupe
    }

    /// The bounds in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Numbers up to this one were given by an authority whose memory is lost.
    pub fn skip_workers(&mut self, highest: u64) {
        self.workers.skip(highest);
    }

    // How it is written down.

    /// All of it, but for the bounds, as JSON: the same state gives the same bytes.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }

    /// What [`State::to_json`] wrote.
    pub fn from_json(config: Config, text: &str) -> Result<State, String> {
        let mut state: State = serde_json::from_str(text).map_err(|error| error.to_string())?;
        state.config = config;
        Ok(state)
    }

    /// sha256 of [`State::to_json`].
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_json().as_bytes()).into()
    }

    /// A bound, as far as it holds for this command.
    pub(crate) fn most(&self, bound: usize) -> usize {
        if self.is_recorded { usize::MAX } else { bound }
    }
}
