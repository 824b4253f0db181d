//! Before the gate: asking the policy server of many commands at once, and what holds while it is away.

use super::Ledger;
use super::pipe::{BATCH_BYTES, Control, Out, Pending, RETRY_MS};
use super::record::{name, number_of, text, value_of};
use crate::refusal::{Refusal, Word};
use crate::srv::service::Op;
use crate::srv::tree::Who;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How long a command waits for a gate that is away: its server is back within a second.
pub(super) const GATE_MS: u64 = 1000;
/// How long the gate may take, and where it has an approval journaled.
const ANSWER_MS: u64 = 2000;
/// The same for commands to files without a rule, for which the journal can be asked instead.
const SOON_MS: u64 = 200;
const TAKE_MS: u64 = 4000;
/// When a gate that could not be asked ahead of commands is asked again.
const AHEAD_AGAIN_MS: u64 = 500;
/// The ctl file whose records change rules.
const RULES: &str = "\"path\":\"/policy/ctl\"";

/// Files whose rules are remembered.
const RULES_MAX: usize = 1024;

/// How far a command has come at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Is there a rule for it?
    Unknown,
    /// There is, and the command is valid: an approval is to be taken for it.
    Takes,
    Passed,
}

/// What the gate has said of the rules. While it is away, a ctl file without one is open still, once the
/// journal has shown that no rule has come since.
#[derive(Default)]
pub(super) struct Rules {
    /// The generation of what is known.
    generation: String,
    has_rule: BTreeMap<String, bool>,
    /// The last record before the question that is out, and when it was asked.
    asked: (u64, u64),
    /// The last record before the last question that was answered.
    known_seq: u64,
    /// Until when nobody has other rules acknowledged.
    leased_ms: u64,
    /// The question to the journal.
    pub(super) out: Out,
    /// A question that the gate has left without an answer for too long, and when it was asked: until there is
    /// one, only what has no other way waits for it.
    pub(super) late: Out,
    late_ms: u64,
    /// Files that the question to the gate is about, where it is ahead of any command.
    ahead: Vec<&'static str>,
    /// When it is asked so next.
    ahead_ms: u64,
}

impl Rules {
    fn are_none(&self, path: &str) -> bool {
        self.has_rule.get(path) == Some(&false)
    }

    /// Files of `paths` of which nothing is known, as far as there is room to remember more.
    fn unknown<'p>(&self, paths: &'p [&'static str]) -> impl Iterator<Item = &'static str> + use<'_, 'p> {
        let room = RULES_MAX.saturating_sub(self.has_rule.len());
        paths.iter().copied().filter(|path| !self.has_rule.contains_key(*path)).take(room)
    }

    /// The gate has answered: what it said before of other generations is out of date.
    fn hear(&mut self, said: &str) {
        let generation = value_of(said, "gen").unwrap_or_default();
        if self.generation != generation {
            self.generation = generation.to_string();
            self.has_rule.clear();
        }
        let (seq, asked_ms) = self.asked;
        self.known_seq = seq;
        let lease_ms = value_of(said, "lease_ms").and_then(|n| n.parse().ok()).unwrap_or(0);
        self.leased_ms = asked_ms.saturating_add(lease_ms);
    }

    /// Whether there is a rule for a file. Of more than so many nothing is known: they wait for the gate.
    fn learn(&mut self, path: &str, has_rule: bool) {
        if let Some(known) = self.has_rule.get_mut(path) {
            *known = has_rule;
        } else if self.has_rule.len() < RULES_MAX {
            self.has_rule.insert(path.to_string(), has_rule);
        }
    }
}

/// A question about files that nobody writes to yet.
fn ahead(paths: &[&str]) -> Op {
    let mut line = String::new();
    for path in paths {
        line.push_str(if line.is_empty() { "[{" } else { ",{" });
        text(&mut line, "path", path);
        line.push(',');
        name(&mut line, &Who::default());
        line.push_str(",\"take\":false,\"ahead\":true}");
    }
    line.push_str("]\n");
    Op::Write(line.into_bytes())
}

impl<S: Ledger> Control<S> {
    pub(super) fn through_gate(&mut self, state: &mut S) {
        let Some(policy) = self.journal.policy else {
            while let Some(pending) = self.gate.pop_front() {
                self.stage(state, pending);
            }
            return;
        };
        if self.gate_out.is_some() || self.gate_retry_ms.is_some() || self.rules.out.is_some() {
            return;
        }
        let is_leased = self.now.mono_ms < self.rules.leased_ms;
        let passes = |pending: &Pending<_>, this: &Self| {
            pending.gate == Gate::Passed || is_leased && this.has_no_rule(pending)
        };
        while self.gate.front().is_some_and(|pending| passes(pending, self)) {
            let Some(pending) = self.gate.pop_front() else { break };
            self.stage(state, pending);
        }
        if self.gate.is_empty() {
            return self.ask_ahead(policy);
        }
        if self.rules.late.is_some()
            && self.journal.audit.is_some()
            && self.gate.iter().any(|pending| self.has_no_rule(pending))
        {
            return self.confirm();
        }
        let mut line = String::new();
        self.asked = 0;
        self.rules.ahead.clear();
        for pending in &self.gate {
            // An approval is taken for the first alone: what it stands on is then known.
            if line.len() > BATCH_BYTES || (self.asked > 0 && pending.gate != Gate::Unknown) {
                break;
            }
            line.push_str(if self.asked == 0 { "[{" } else { ",{" });
            text(&mut line, "path", &pending.path);
            line.push(',');
            name(&mut line, &pending.who);
            line.push_str(if pending.gate == Gate::Takes { ",\"take\":true}" } else { ",\"take\":false}" });
            self.asked += 1;
        }
        if self.asked > 0 {
            line.push_str("]\n");
            let takes = self.gate.front().is_some_and(|pending| pending.gate == Gate::Takes);
            let have_no_rule = self.journal.audit.is_some()
                && self.gate.iter().take(self.asked).all(|pending| self.has_no_rule(pending));
            let wait_ms = match (takes, have_no_rule) {
                (true, _) => TAKE_MS,
                (false, true) => SOON_MS,
                (false, false) => ANSWER_MS,
            };
            self.gate_until_ms = Some(self.now.mono_ms + wait_ms);
            self.rules.asked = (self.next_seq.saturating_sub(1), self.now.mono_ms);
            self.gate_out = self.ask(policy, "gate".into(), Op::Write(line.into_bytes()));
        }
    }

    /// Asks about files before anybody writes to them, so that it is known which are open should the gate
    /// be away when somebody does. Nothing is taken for it, and nothing recorded.
    fn ask_ahead(&mut self, policy: &'static str) {
        if self.now.mono_ms < self.rules.ahead_ms || self.rules.late.is_some() {
            return;
        }
        self.rules.ahead = self.rules.unknown(&self.paths).collect();
        if self.rules.ahead.is_empty() {
            return;
        }
        self.asked = 0;
        self.gate_until_ms = Some(self.now.mono_ms + ANSWER_MS);
        self.rules.asked = (self.next_seq.saturating_sub(1), self.now.mono_ms);
        let question = ahead(&self.rules.ahead);
        self.gate_out = self.ask(policy, "gate".into(), question);
    }

    /// When it is asked ahead again, where something is not known.
    pub(super) fn ahead_ms(&self) -> Option<u64> {
        let is_to_be_asked =
            self.journal.policy.is_some() && self.gate_out.is_none() && self.rules.late.is_none();
        let knows = || self.rules.unknown(&self.paths).next().is_none();
        (is_to_be_asked && self.gate.is_empty() && !knows()).then_some(self.rules.ahead_ms)
    }

    /// What the gate has said of files that nobody has written to yet.
    fn told_ahead(&mut self, said: Result<&str, &Refusal>) {
        for (i, path) in core::mem::take(&mut self.rules.ahead).into_iter().enumerate() {
            match said.ok().and_then(|said| value_of(said, &i.to_string())) {
                Some(word @ ("pass" | "gated" | "permission")) => self.rules.learn(path, word != "pass"),
                _ => self.rules.ahead_ms = self.now.mono_ms + AHEAD_AGAIN_MS,
            }
        }
    }

    /// The gate does not answer: what it may say yet comes too late.
    pub(super) fn ungated(&mut self, state: &mut S) {
        self.rules.late = self.gate_out.take();
        self.rules.late_ms = self.rules.asked.1;
        self.gated(state, Err(Refusal::new(Word::Busy, "it does not answer")));
    }

    /// It answers a question that nobody waits for any more: it can be asked again. Where the question has
    /// ended without an answer, another one shows when it can.
    pub(super) fn heard_late(&mut self, answer: &Result<Vec<u8>, Refusal>) {
        let is_silent = answer.is_err() && self.now.mono_ms >= self.rules.late_ms + ANSWER_MS;
        if let (Some(policy), true) = (self.journal.policy, is_silent) {
            self.rules.late_ms = self.now.mono_ms;
            let question = ahead(&[self.paths.first().copied().unwrap_or("/")]);
            self.rules.late = self.ask(policy, "gate".into(), question);
        }
    }

    /// The gate has answered: `OK GATE 0=pass 1=gated 2=approved:a-1 3=policy 4=permission gen=7`.
    pub(super) fn gated(&mut self, state: &mut S, answer: Result<Vec<u8>, Refusal>) {
        self.gate_until_ms = None;
        let said = answer.and_then(|bytes| {
            let said = String::from_utf8(bytes).unwrap_or_default();
            if said.starts_with("OK GATE ") { Ok(said) } else { Err(Word::Busy.into()) }
        });
        if let Ok(said) = &said {
            self.rules.hear(said);
        }
        self.told_ahead(said.as_deref());
        let mut is_to_be_confirmed = false;
        let mut keep = VecDeque::with_capacity(self.gate.len());
        for (i, mut pending) in core::mem::take(&mut self.gate).into_iter().enumerate() {
            if i >= self.asked {
                keep.push_back(pending);
                continue;
            }
            let word = said.as_ref().map(|said| value_of(said, &i.to_string()).unwrap_or_default());
            if let (Ok(word @ ("pass" | "gated" | "permission")), Gate::Unknown) = (word, pending.gate) {
                self.rules.learn(&pending.path, word != "pass");
            }
            let refusal = match word {
                Ok("pass") => {
                    pending.gate = Gate::Passed;
                    None
                }
                Ok("gated") if i == 0 && keep.is_empty() && state.is_repeated(&pending.command) => {
                    pending.gate = Gate::Passed;
                    None
                }
                Ok("gated") if i == 0 && keep.is_empty() => {
                    pending.ts_ms = self.time();
                    pending.gate = Gate::Takes;
                    state.check(&pending.entry(0)).err()
                }
                // Its turn comes when those before it are staged.
                Ok("gated") => None,
                Ok(word) if word.starts_with("approved") => {
                    pending.gate = Gate::Passed;
                    None
                }
                Ok("policy") => {
                    Some(Refusal::new(Word::Policy, format!("{} needs an approval", pending.path)))
                }
                Ok("permission") => {
                    Some(Refusal::new(Word::Permission, format!("a rule denies {}", pending.path)))
                }
                Ok(_) => Some(Refusal::new(Word::Busy, "the policy server's answer is malformed")),
                Err(_) if self.has_no_rule(&pending) && self.journal.audit.is_some() => {
                    is_to_be_confirmed = true;
                    None
                }
                Err(_) if pending.until_ms > self.now.mono_ms => {
                    self.gate_retry_ms = Some(self.now.mono_ms + RETRY_MS);
                    None
                }
                Err(why) => {
                    Some(Refusal::new(Word::Busy, format!("the gate cannot be asked: {}", why.detail)))
                }
            };
            match refusal {
                Some(refusal) => self.refuse(&pending, refusal),
                None => keep.push_back(pending),
            }
        }
        self.gate = keep;
        self.asked = 0;
        if is_to_be_confirmed {
            self.confirm();
        }
    }

    /// Asks the journal whether there are rules that the gate had no time to tell of.
    fn confirm(&mut self) {
        if let (Some(audit), None) = (self.journal.audit, self.rules.out) {
            let path = format!("from/{}", self.rules.known_seq + 1);
            self.rules.out = self.ask(audit, path, Op::Read);
        }
    }

    fn has_no_rule(&self, pending: &Pending<S::Command>) -> bool {
        pending.gate == Gate::Unknown && self.rules.are_none(&pending.path)
    }

    /// The journal's answer: records, of which there may be more, or none.
    pub(super) fn confirmed(&mut self, answer: Result<Vec<u8>, Refusal>) {
        let Ok(Ok(said)) = answer.map(String::from_utf8) else {
            let refusal = Refusal::new(Word::Busy, "the gate and the journal are away");
            let (waits, keep) =
                core::mem::take(&mut self.gate).into_iter().partition(|pending| self.has_no_rule(pending));
            self.gate = keep;
            let waits: VecDeque<_> = waits;
            return waits.iter().for_each(|pending| self.refuse(pending, refusal.clone()));
        };
        if said.lines().any(|line| line.contains(RULES)) {
            self.rules.has_rule.clear();
        } else if let Some(seq) = said.lines().next_back().and_then(number_of) {
            self.rules.known_seq = seq;
            self.confirm();
        } else {
            let mut gate = core::mem::take(&mut self.gate);
            for pending in &mut gate {
                if self.has_no_rule(pending) {
                    pending.gate = Gate::Passed;
                }
            }
            self.gate = gate;
        }
    }
}
