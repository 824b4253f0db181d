//! The pipeline itself: what waits where, and what moves it on.

use super::gate::{GATE_MS, Gate, Rules};
use super::record::{number_of, record, value_of};
use super::{Entry, Journal, Ledger, Mark, Staged};
use crate::refusal::{Refusal, Word};
use crate::srv::service::{Now, Op, Request};
use crate::srv::tree::{Call, Token, Verdict, Who};
use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// The most bytes of records in one append: they must fit one message with room for its headers.
pub(super) const BATCH_BYTES: usize = 7 << 10;
/// How long to leave a journal alone that is away.
pub(super) const RETRY_MS: u64 = 50;
/// How long a journal may be away before the log hears of it: at a start every server waits for it.
const SAY_MS: u64 = 1000;
/// How long a command waits to learn whether it has become durable: it is told before its sender, who has
/// waited for the append as well, gives up.
const DOUBT_MS: u64 = 4000;
/// Ids of the pipeline's requests have this bit, those of the state have not.
pub(in crate::srv) const ID_BIT: u64 = 1 << 63;

pub(super) struct Pending<C> {
    pub(super) token: Option<Token>,
    pub(super) path: Cow<'static, str>,
    pub(super) who: Who,
    pub(super) command: C,
    pub(super) gate: Gate,
    /// When it waits for the gate no longer.
    pub(super) until_ms: u64,
    pub(super) ts_ms: u64,
    /// The record's text between the braces, without seq and prev; empty for a duplicate that waits.
    body: String,
    ack: String,
}

impl<C> Pending<C> {
    fn new(token: Option<Token>, path: Cow<'static, str>, who: Who, command: C) -> Self {
        let (body, ack) = (String::new(), String::new());
        Pending { token, path, who, command, gate: Gate::Unknown, until_ms: 0, ts_ms: 0, body, ack }
    }

    pub(super) fn entry(&self, seq: u64) -> Entry<'_, C> {
        Entry { seq, ts_ms: self.ts_ms, who: &self.who, command: &self.command }
    }
}

/// What the pipeline knows of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing yet: the newest snapshot is asked for.
    Snapshot,
    /// Records are read from `next_seq` on: at the start, and after the journal was away.
    Reading,
    /// All of it.
    Open,
}

/// Whether commands are taken, for who asks.
#[derive(Default)]
pub(in crate::srv) struct Opened {
    /// Has all of the journal been read once?
    pub(in crate::srv) is_open: Cell<bool>,
    /// What the journal said when it last refused; empty since it has not.
    why: RefCell<String>,
}

impl Opened {
    /// Why nothing is taken before that.
    pub(in crate::srv) fn refusal(&self) -> Refusal {
        self.refused("the journal is being read", "the journal cannot be read")
    }

    /// `plain`, or `because` and what the journal said.
    fn refused(&self, plain: &'static str, because: &str) -> Refusal {
        match &*self.why.borrow() {
            why if why.is_empty() => Refusal::new(Word::Busy, plain),
            why => Refusal::new(Word::Busy, format!("{because}: {why}")),
        }
    }
}

/// The pipeline behind an engine's ctl files, whatever its state's commands are.
pub(in crate::srv) trait Pipeline<S> {
    fn start(&mut self, state: &mut S, now: Now);
    fn submit(&mut self, state: &mut S, path: Cow<'static, str>, call: &Call, line: &str) -> Verdict;
    fn tick(&mut self, state: &mut S, now: Now);
    fn deadline_ms(&self) -> Option<u64>;
    fn outbox(&mut self) -> Vec<Request>;
    fn reply(&mut self, state: &mut S, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now);
    fn verdicts(&mut self) -> Vec<(Token, Verdict)>;
}

/// The question that is out, of which there is at most one of a kind.
pub(super) type Out = Option<u64>;

pub(in crate::srv) struct Control<S: Ledger> {
    pub(super) journal: Journal,
    /// The hive's paths of the ctl files, but for those in tables.
    pub(super) paths: Vec<&'static str>,
    phase: Phase,
    opened: Rc<Opened>,
    /// Commands that another server is asked about, each with the question's id.
    vetting: Vec<(u64, Pending<S::Command>)>,
    /// Commands before the gate, in order, and how many of the first the question that is out is about.
    pub(super) gate: VecDeque<Pending<S::Command>>,
    pub(super) asked: usize,
    pub(super) gate_out: Out,
    pub(super) gate_retry_ms: Option<u64>,
    pub(super) gate_until_ms: Option<u64>,
    pub(super) rules: Rules,
    /// Staged commands, in order, and how many of the first are in the append that is out, or in doubt.
    staged: VecDeque<Pending<S::Command>>,
    sent: usize,
    append_out: Out,
    read_out: Out,
    /// Records before this one are in `settled`.
    pub(super) next_seq: u64,
    next_id: u64,
    /// The wall clock is looked at once; from there time goes on as the monotonic clock does.
    anchor: Option<Now>,
    last_ts: u64,
    retry_ms: Option<u64>,
    doubt_ms: Option<u64>,
    due_ms: Option<u64>,
    pub(super) now: Now,
    /// What was last said about a journal that cannot be read, and since when it cannot.
    said: String,
    unread_ms: Option<u64>,
    out: Vec<Request>,
    verdicts: Vec<(Token, Verdict)>,
}

impl<S: Ledger> Control<S> {
    pub(in crate::srv) fn new(journal: Journal, paths: Vec<&'static str>) -> Self {
        Control {
            journal,
            paths,
            phase: Phase::Snapshot,
            opened: Rc::default(),
            vetting: Vec::new(),
            gate: VecDeque::new(),
            asked: 0,
            gate_out: None,
            gate_retry_ms: None,
            gate_until_ms: None,
            rules: Rules::default(),
            staged: VecDeque::new(),
            sent: 0,
            append_out: None,
            read_out: None,
            next_seq: 1,
            next_id: ID_BIT,
            anchor: None,
            last_ts: 0,
            retry_ms: None,
            doubt_ms: None,
            due_ms: None,
            now: Now::default(),
            said: String::new(),
            unread_ms: None,
            out: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// For who asks whether commands are taken: they are when this says so.
    pub(in crate::srv) fn opened(&self) -> Rc<Opened> {
        Rc::clone(&self.opened)
    }

    fn because(&self, why: &str) {
        self.opened.why.replace(why.to_string());
    }

    /// All of the journal is known.
    fn open(&mut self, state: &mut S) {
        self.phase = Phase::Open;
        self.opened.is_open.set(true);
        self.time();
        state.is_restored(self.now);
    }

    /// The time of the next record: never back, and not moved by who sets the clock.
    pub(super) fn time(&mut self) -> u64 {
        let (last, now) = (self.last_ts, self.now);
        let anchor = *self.anchor.get_or_insert(Now { wall_ms: now.wall_ms.max(last), ..now });
        let ts = anchor.wall_ms.saturating_add(now.mono_ms.saturating_sub(anchor.mono_ms));
        self.last_ts = last.max(ts);
        self.last_ts
    }

    pub(super) fn ask(&mut self, server: &'static str, path: String, op: Op) -> Out {
        self.next_id += 1;
        self.out.push(Request { id: self.next_id, server, root: "in", path, op });
        Some(self.next_id)
    }

    pub(super) fn refuse(&mut self, pending: &Pending<S::Command>, refusal: Refusal) {
        let Some(token) = pending.token else { return };
        let verb = S::verb(&pending.command).to_string();
        self.verdicts.push((token, Verdict::Refuse { verb, refusal }));
    }

    /// Nothing new is taken until all of the journal is known.
    fn away(&self) -> Refusal {
        match self.anchor {
            None => self.opened.refusal(),
            Some(_) => self.opened.refused("the journal is away", "the journal is away"),
        }
    }

    /// Moves everything on as far as it goes now.
    fn advance(&mut self, state: &mut S) {
        match self.phase {
            Phase::Open => {
                self.through_gate(state);
                self.system(state);
                self.append(state);
            }
            _ if self.read_out.is_none() && self.retry_ms.is_none() => self.read_on(state),
            _ => {}
        }
    }

    pub(super) fn stage(&mut self, state: &mut S, mut pending: Pending<S::Command>) {
        pending.ts_ms = self.time();
        match state.stage(&pending.entry(0)) {
            Ok(Staged::New { cmd, ack }) => {
                let kind = if pending.token.is_some() { "ctl" } else { S::kind(&pending.command) };
                pending.body = record(pending.ts_ms, kind, &pending.who, &pending.path, &cmd, &ack);
                pending.ack = ack;
                self.staged.push_back(pending);
            }
            Ok(Staged::Wait) => self.staged.push_back(pending),
            Ok(Staged::Again(ack)) => self.verdicts.extend(pending.token.map(|t| (t, Verdict::Ack(ack)))),
            Err(refusal) => self.refuse(&pending, refusal),
        }
    }

    fn line_up(&mut self, mut pending: Pending<S::Command>) {
        pending.until_ms = self.now.mono_ms + GATE_MS;
        self.gate.push_back(pending);
    }

    /// The server that was asked about a command has answered.
    fn vetted(&mut self, i: usize, answer: Result<Vec<u8>, Refusal>) {
        let (_, pending) = self.vetting.swap_remove(i);
        match answer {
            Ok(_) => self.line_up(pending),
            Err(refusal) => self.refuse(&pending, refusal),
        }
    }

    /// Stages what the world and the time call for.
    fn system(&mut self, state: &mut S) {
        let mut commands = state.reported();
        if self.due_ms.is_none_or(|at| at <= self.now.mono_ms) {
            let ts = self.time();
            let (due, next) = state.due(ts);
            commands.extend(due);
            let until = |at: u64| self.now.mono_ms.saturating_add(at.saturating_sub(ts).max(1));
            self.due_ms = Some(next.map_or(u64::MAX, until));
        }
        for command in commands {
            let mut pending = Pending::new(None, state.system_path().into(), Who::default(), command);
            pending.gate = Gate::Passed;
            self.stage(state, pending);
        }
    }

    /// Sends what is staged, as much as fits one message. One append is out at a time: what is staged
    /// meanwhile stands on it, and goes together with the next.
    fn append(&mut self, state: &mut S) {
        while self.append_out.is_none() {
            // Duplicates of what is durable by now.
            while self.staged.front().is_some_and(|pending| pending.body.is_empty()) {
                let Some(pending) = self.staged.pop_front() else { break };
                self.stage(state, pending);
            }
            if self.staged.is_empty() {
                return;
            }
            let Some(audit) = self.journal.audit else {
                self.sent = 1;
                let seq = self.next_seq;
                self.durable(state, seq);
                continue;
            };
            let mut line = String::new();
            self.sent = 0;
            for pending in &self.staged {
                if pending.body.is_empty() || (self.sent > 0 && line.len() + pending.body.len() > BATCH_BYTES)
                {
                    break;
                }
                line.push_str(if self.sent == 0 { "[{" } else { ",{" });
                line.push_str(&pending.body);
                line.push('}');
                self.sent += 1;
            }
            line.push_str("]\n");
            self.append_out = self.ask(audit, "append".into(), Op::Write(line.into_bytes()));
        }
    }

    /// The first `sent` of what is staged have the sequence numbers from `first` on.
    fn durable(&mut self, state: &mut S, first: u64) {
        for seq in (first..).take(core::mem::take(&mut self.sent)) {
            let Some(pending) = self.staged.pop_front() else { break };
            self.commit(state, &pending, seq);
        }
    }

    fn commit(&mut self, state: &mut S, pending: &Pending<S::Command>, seq: u64) {
        self.next_seq = seq + 1;
        // A commit may bring forward what time calls for.
        self.due_ms = None;
        let ack = format!("{} seq={seq}", pending.ack);
        trace::trace!(Control, Info, "path={} {ack}", pending.path);
        let verdict = state.commit(&pending.entry(seq), &ack, pending.token);
        if let (Some(token), false) = (pending.token, verdict == Verdict::Later) {
            self.verdicts.push((token, verdict));
        }
    }

    /// The append's answer: `OK APPEND seq=118 n=3`.
    fn appended(&mut self, state: &mut S, answer: Result<Vec<u8>, Refusal>) {
        let said = match answer {
            Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
            Err(why) => {
                self.because(&why.detail);
                String::new()
            }
        };
        let number = |key| value_of(&said, key).and_then(|n| n.parse::<u64>().ok());
        if said.starts_with("OK APPEND ")
            && let (Some(first), Some(n)) = (number("seq"), number("n"))
            && n == self.sent as u64
        {
            self.because("");
            return self.durable(state, first);
        }
        // Whether it is durable shows in the journal itself. What stood on it is taken back.
        state.roll_back();
        let behind = self.staged.split_off(self.sent);
        let refusal = self.lost();
        behind
            .iter()
            .chain(core::mem::take(&mut self.gate).iter())
            .for_each(|p| self.refuse(p, refusal.clone()));
        self.asked = 0;
        self.gate_out = None;
        self.gate_until_ms = None;
        self.phase = Phase::Reading;
        self.doubt_ms = Some(self.now.mono_ms + DOUBT_MS);
        self.retry_ms = None;
    }

    fn lost(&self) -> Refusal {
        const WHAT: &str = "the journal does not take it";
        self.opened.refused(WHAT, WHAT)
    }

    /// Of a command that may have become durable.
    fn in_doubt(&self) -> Refusal {
        const WHAT: &str = "it is not known whether the journal has taken it";
        self.opened.refused(WHAT, WHAT)
    }

    /// Asks for what is not known of the journal.
    fn read_on(&mut self, state: &mut S) {
        let Some(audit) = self.journal.audit else {
            self.open(state);
            return self.advance(state);
        };
        let path = match self.phase {
            Phase::Snapshot => "snapshot".into(),
            _ => format!("from/{}", self.next_seq),
        };
        self.read_out = self.ask(audit, path, Op::Read);
    }

    /// A part of the journal has come.
    fn read(&mut self, state: &mut S, answer: Result<Vec<u8>, Refusal>) -> Result<(), String> {
        let bytes = answer.map_err(|why| why.detail.into_owned())?;
        let said = String::from_utf8(bytes).map_err(|_| "the journal is not UTF-8".to_string())?;
        if self.phase == Phase::Snapshot {
            let mark = state.restore(&said)?;
            self.knows(mark);
            self.phase = Phase::Reading;
            return Ok(());
        }
        if said.is_empty() {
            self.has_read(state);
            return Ok(());
        }
        for line in said.lines() {
            self.take(state, line)?;
        }
        Ok(())
    }

    /// One record: of ours that was in doubt, or one that is news.
    fn take(&mut self, state: &mut S, line: &str) -> Result<(), String> {
        let is_ours = self.staged.front().is_some_and(|pending| {
            let rest = line.split_once(',').map_or("", |(_, rest)| rest);
            !pending.body.is_empty()
                && rest.strip_prefix(&*pending.body).is_some_and(|r| r.starts_with(",\"prev\":"))
        });
        let seq = number_of(line);
        if is_ours
            && let Some(seq) = seq
            && let Some(pending) = self.staged.pop_front()
        {
            self.commit(state, &pending, seq);
            return Ok(());
        }
        let mark = state.replay(line)?;
        self.knows(mark);
        Ok(())
    }

    /// It is tried again in a moment, and said once where that goes on.
    fn unread(&mut self, why: String) {
        self.because(&why);
        self.retry_ms = Some(self.now.mono_ms + RETRY_MS);
        let since = *self.unread_ms.get_or_insert(self.now.mono_ms);
        if self.said != why && self.now.mono_ms >= since + SAY_MS {
            self.out.push(Request::log(format!("the journal cannot be read: {why}")));
            self.said = why;
        }
    }

    fn knows(&mut self, mark: Mark) {
        self.next_seq = mark.seq + 1;
        self.last_ts = self.last_ts.max(mark.ts_ms);
    }

    /// All records are known; what is still in doubt has not become durable.
    fn has_read(&mut self, state: &mut S) {
        let refusal = self.lost();
        core::mem::take(&mut self.staged).iter().for_each(|p| self.refuse(p, refusal.clone()));
        self.sent = 0;
        self.doubt_ms = None;
        state.roll_back();
        self.due_ms = None;
        self.open(state);
    }
}

impl<S: Ledger> Pipeline<S> for Control<S> {
    fn start(&mut self, state: &mut S, now: Now) {
        self.now = now;
        self.advance(state);
    }

    fn submit(&mut self, state: &mut S, path: Cow<'static, str>, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        let command = match state.parse(&path, line) {
            Ok(command) => command,
            // Whoever is not ready says so; why, the journal knows.
            Err((verb, refusal)) if refusal.word == Word::Busy && self.phase != Phase::Open => {
                return Verdict::Refuse { verb, refusal: self.away() };
            }
            Err((verb, refusal)) => return Verdict::Refuse { verb, refusal },
        };
        let full = self.vetting.len() + self.gate.len() + self.staged.len() >= self.journal.pending;
        if full || self.phase != Phase::Open {
            let refusal = match self.phase {
                Phase::Open => {
                    Refusal::new(Word::Busy, format!("{} commands are on their way", self.journal.pending))
                }
                _ => self.away(),
            };
            return Verdict::Refuse { verb: S::verb(&command).to_string(), refusal };
        }
        let pending = Pending::new(Some(call.token), path, call.who.clone(), command);
        match state.ask_first(&pending.who, &pending.command) {
            None => self.line_up(pending),
            Some(request) => {
                self.next_id += 1;
                self.out.push(Request { id: self.next_id, ..request });
                self.vetting.push((self.next_id, pending));
            }
        }
        Verdict::Later
    }

    fn tick(&mut self, state: &mut S, now: Now) {
        self.now = now;
        let is_due = |at: &mut Option<u64>| at.take_if(|at| *at <= now.mono_ms).is_some();
        is_due(&mut self.retry_ms);
        is_due(&mut self.gate_retry_ms);
        if is_due(&mut self.gate_until_ms) {
            self.ungated(state);
        }
        if is_due(&mut self.doubt_ms) {
            let refusal = self.in_doubt();
            core::mem::take(&mut self.staged).iter().for_each(|p| self.refuse(p, refusal.clone()));
            self.sent = 0;
        }
        self.advance(state);
    }

    fn deadline_ms(&self) -> Option<u64> {
        let due = self.due_ms.filter(|at| *at < u64::MAX && self.phase == Phase::Open);
        let ahead = self.ahead_ms().filter(|_| self.phase == Phase::Open);
        [self.retry_ms, self.gate_retry_ms, self.gate_until_ms, self.doubt_ms, due, ahead]
            .into_iter()
            .flatten()
            .min()
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.out)
    }

    fn reply(&mut self, state: &mut S, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        self.now = now;
        let is = |out: &mut Out| out.take_if(|asked| *asked == id).is_some();
        if let Some(i) = self.vetting.iter().position(|(asked, _)| *asked == id) {
            self.vetted(i, answer);
        } else if is(&mut self.gate_out) {
            self.gated(state, answer);
        } else if is(&mut self.rules.late) {
            self.heard_late(&answer);
        } else if is(&mut self.rules.out) {
            self.confirmed(answer);
        } else if is(&mut self.append_out) {
            self.appended(state, answer);
        } else if is(&mut self.read_out) {
            match self.read(state, answer) {
                Ok(()) => {
                    self.unread_ms = None;
                    if self.anchor.is_none() {
                        self.because("");
                    }
                }
                Err(why) => self.unread(why),
            }
        }
        self.advance(state);
    }

    fn verdicts(&mut self) -> Vec<(Token, Verdict)> {
        core::mem::take(&mut self.verdicts)
    }
}
