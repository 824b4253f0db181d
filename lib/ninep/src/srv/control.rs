//! The way of a control write: parsed, checked, let through the gate, staged, journaled, applied,
//! acknowledged, in this order (spec 4, 6). A [`super::Dir::ctl`] cannot leave one out. Sans-IO: asks
//! the gate and the journal by [`Request`]s, many commands in one.

use super::service::{Now, Op, Request};
use super::tree::{Call, Token, Verdict, Who};
use crate::refusal::{Refusal, Word};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

/// One command on its way, as the state sees it.
#[derive(Debug)]
pub struct Entry<'a, C> {
    /// Its place in the journal; 0 while it is not durable.
    pub seq: u64,
    /// When, in milliseconds since the Unix epoch; never less than the entry's before.
    pub ts_ms: u64,
    /// Who asks.
    pub who: &'a Who,
    /// What.
    pub command: &'a C,
}

/// What a command comes to, before it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staged {
    /// A new one: its `cmd` as JSON, and its acknowledgement without the sequence number.
    New {
        /// What the journal keeps of it.
        cmd: String,
        /// `OK SPAWN id=worker-3`.
        ack: String,
    },
    /// It has been carried out before: the whole acknowledgement, `… seq=118 dup=1`.
    Again(String),
    /// The same is on its way just now.
    Wait,
}

/// A state whose control writes are journaled. It is kept twice: `ahead` has seen all that is on its way,
/// `settled` only what is durable; readers see `settled`.
pub trait Ledger {
    /// A parsed line.
    type Command;

    /// Reads one line of the ctl file `path`; changes nothing. The refusal comes with its verb.
    fn parse(&self, path: &str, line: &str) -> Result<Self::Command, (String, Refusal)>;
    /// The verb of its acknowledgement.
    fn verb(command: &Self::Command) -> &str;
    /// Would it be carried out? Asked before an approval is consumed for it.
    fn check(&self, entry: &Entry<Self::Command>) -> Result<(), Refusal>;
    /// Carries it out in `ahead`. A refusal has changed nothing.
    fn stage(&mut self, entry: &Entry<Self::Command>) -> Result<Staged, Refusal>;
    /// It is durable: carries it out in `settled`, and its effects in the world. `ack` is the whole line;
    /// [`Verdict::Later`] where the effects must be there first.
    fn commit(&mut self, entry: &Entry<Self::Command>, ack: &str, token: Option<Token>) -> Verdict;
    /// What is ahead has not become durable: `ahead` is `settled` again.
    fn roll_back(&mut self);
    /// Takes the newest snapshot; returns the first sequence number behind it.
    fn restore(&mut self, snapshot: &str) -> Result<u64, String>;
    /// Takes one record of the journal, a whole line; returns its sequence number.
    fn replay(&mut self, line: &str) -> Result<u64, String>;
    /// All of the journal has been taken: the world is brought in step with it.
    fn is_restored(&mut self, now: Now);
    /// The commands that time calls for, and when it does next.
    fn due(&mut self, ts_ms: u64) -> (Vec<Self::Command>, Option<u64>);
    /// The ctl path under which the journal keeps such a command.
    fn due_path(&self) -> &'static str;
}

/// Whom the pipeline asks, and its bounds.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The server that keeps the journal; without one, commands are numbered here and forgotten.
    pub audit: Option<&'static str>,
    /// The server that has the rules; without one, nothing is gated.
    pub policy: Option<&'static str>,
    /// Commands that may be on their way at once.
    pub pending: usize,
}

/// The most bytes of records in one append: they must fit one message with room for its headers.
const BATCH_BYTES: usize = 7 << 10;
/// How long to leave a journal alone that is away.
const RETRY_MS: u64 = 50;
/// How long a command waits to learn whether it has become durable.
const DOUBT_MS: u64 = 5000;
/// Ids of the pipeline's requests have this bit, those of the state have not.
pub(super) const ID_BIT: u64 = 1 << 63;

struct Pending<C> {
    token: Option<Token>,
    path: &'static str,
    who: Who,
    command: C,
    /// The gate has let it through.
    has_passed: bool,
    ts_ms: u64,
    /// The record's text between the braces, without seq and prev; empty for a duplicate that waits.
    body: String,
    ack: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The journal has not been read yet.
    Snapshot,
    /// Records are being read: at the start, and after the journal was away.
    Reading,
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Waiting(u64),
}

/// The pipeline behind an engine's ctl files, whatever its state's commands are.
pub(super) trait Pipeline<S> {
    fn start(&mut self, state: &mut S, now: Now);
    fn submit(&mut self, state: &mut S, path: &'static str, call: &Call, line: &str) -> Verdict;
    fn tick(&mut self, state: &mut S, now: Now);
    fn deadline_ms(&self) -> Option<u64>;
    fn outbox(&mut self, now: Now) -> Vec<Request>;
    fn reply(&mut self, state: &mut S, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now);
    fn verdicts(&mut self) -> Vec<(Token, Verdict)>;
}

pub(super) struct Control<S: Ledger> {
    journal: Journal,
    phase: Phase,
    /// Commands before the gate, in order, and how many of the first the question that is out is about.
    gate: VecDeque<Pending<S::Command>>,
    gate_asked: usize,
    gate_id: Asked,
    /// Staged commands, in order, and how many of the first are in the append that is out.
    staged: VecDeque<Pending<S::Command>>,
    sent: usize,
    append_id: Asked,
    read_id: Asked,
    /// Of a snapshot or of records: they may come again in part.
    next_seq: u64,
    next_id: u64,
    /// The wall clock is looked at once; then time goes on as the monotonic clock does.
    anchor: Option<Now>,
    last_ts: u64,
    retry_ms: Option<u64>,
    doubt_ms: Option<u64>,
    due_ms: Option<u64>,
    now: Now,
    out: Vec<Request>,
    verdicts: Vec<(Token, Verdict)>,
}

impl<S: Ledger> Control<S> {
    pub(super) fn new(journal: Journal) -> Self {
        Control {
            journal,
            phase: Phase::Snapshot,
            gate: VecDeque::new(),
            gate_asked: 0,
            gate_id: Asked::Nothing,
            staged: VecDeque::new(),
            sent: 0,
            append_id: Asked::Nothing,
            read_id: Asked::Nothing,
            next_seq: 1,
            next_id: ID_BIT,
            anchor: None,
            last_ts: 0,
            retry_ms: None,
            doubt_ms: None,
            due_ms: None,
            now: Now::default(),
            out: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// The time of the next record: never back, and not moved by who sets the clock.
    fn time(&mut self) -> u64 {
        let last = self.last_ts;
        let now = self.now;
        let anchor = self.anchor.get_or_insert(Now { mono_ms: now.mono_ms, wall_ms: now.wall_ms.max(last) });
        let ts = anchor.wall_ms + now.mono_ms.saturating_sub(anchor.mono_ms);
        self.last_ts = last.max(ts);
        self.last_ts
    }

    /// The monotonic time of a record's time.
    fn mono_of(&self, ts_ms: u64) -> u64 {
        self.anchor.map_or(0, |anchor| anchor.mono_ms + ts_ms.saturating_sub(anchor.wall_ms))
    }

    fn ask(&mut self, server: &'static str, path: String, op: Op) -> Asked {
        self.next_id += 1;
        self.out.push(Request { id: self.next_id, server, root: "in", path, op });
        Asked::Waiting(self.next_id)
    }

    fn refuse(&mut self, pending: &Pending<S::Command>, refusal: Refusal) {
        let Some(token) = pending.token else { return };
        let verb = S::verb(&pending.command).to_string();
        self.verdicts.push((token, Verdict::Refuse { verb, refusal }));
    }

    /// Nothing new is taken until the journal has been read.
    fn is_away(&self) -> Refusal {
        let detail = match self.phase {
            Phase::Snapshot => "the journal is being read",
            _ => "the journal is away",
        };
        Refusal::new(Word::Busy, detail)
    }

    /// Stages what is through the gate, or asks it.
    fn advance(&mut self, state: &mut S) {
        if self.phase != Phase::Open {
            return;
        }
        if self.gate_id == Asked::Nothing {
            while self.gate.front().is_some_and(|pending| pending.has_passed) {
                let Some(pending) = self.gate.pop_front() else { break };
                self.stage(state, pending);
            }
            self.ask_gate();
        }
        self.append(state);
    }

    fn ask_gate(&mut self) {
        let (Some(policy), false) = (self.journal.policy, self.gate.is_empty()) else { return };
        let mut line = String::from("[");
        self.gate_asked = 0;
        for pending in &self.gate {
            if pending.has_passed || line.len() > BATCH_BYTES {
                break;
            }
            line.push_str(if self.gate_asked == 0 { "{" } else { ",{" });
            field(&mut line, "path", pending.path);
            line.push(',');
            name(&mut line, &pending.who);
            line.push_str(",\"take\":false}");
            self.gate_asked += 1;
        }
        line.push_str("]\n");
        self.gate_id = self.ask(policy, "gate".into(), Op::Write(line.into_bytes()));
    }
}
