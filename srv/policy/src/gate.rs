//! The gate: servers ask of many writes at once, in order; what consumes an approval is answered when
//! that is in the journal.

use crate::server::Policy;
use core::fmt::Write as _;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Now, Op, Request, Token, Verdict};
use policy::{Command, Consume, Gate, Refuse, System};
use rt::HashMap;
use rt::prelude::*;
use serde::Deserialize;

/// How long a question waits for the journal.
const WAIT_MS: u64 = 3000;
/// How long an answer that there is no rule may be remembered by who asked: a change of the rules is
/// acknowledged when all such answers are out of date.
const LEASE_MS: u64 = 200;
/// The queen's control file, and the id of what she is told; the answer is of no use.
const QUEEN: &str = "/queen/ctl";
const TOLD: u64 = 1;
/// Questions that may wait at once.
const WAITING_MAX: usize = 1024;

/// One write.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    path: String,
    role: String,
    subject: String,
    #[serde(rename = "ticket")]
    _ticket: String,
    #[serde(rename = "session")]
    _session: u32,
    /// Is an approval to be consumed, should one be needed?
    take: bool,
    /// Is nobody writing yet? Then a refusal is no news.
    #[serde(default)]
    ahead: bool,
}

/// A line of questions that is not answered yet.
struct Batch {
    token: Token,
    words: Vec<String>,
    /// Answers that wait for the journal.
    left: usize,
    until_ms: u64,
}

/// All that wait.
#[derive(Default)]
pub(crate) struct Questions {
    /// Lines that came before the journal was read, or while rules change: whose, which, until when.
    held: Vec<(Token, Vec<Question>, u64)>,
    /// Until when answers are remembered; None: earlier lives may have given some.
    leased_ms: Option<u64>,
    /// Changes of the rules that wait for this, and their acknowledgements.
    changes: Vec<(Token, String)>,
    next: u64,
    batches: HashMap<u64, Batch>,
    /// Approvals on their way to the journal, and whose answer each is.
    taken: HashMap<String, (u64, usize)>,
}

impl Questions {
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let held = self.held.iter().map(|(.., until_ms)| *until_ms);
        let change = self.leased_ms.filter(|_| !self.changes.is_empty());
        self.batches.values().map(|batch| batch.until_ms).chain(held).chain(change).min()
    }
}

impl Policy {
    /// One line of `gate`: a JSON array; the answer has a word for each element.
    ///
    /// `pass`: there is no rule for it. `gated`: it needs an approval, and was not to take one.
    /// `approved:ID`: it passes on that one. `policy`: there is none. `permission`: a rule denies it.
    pub(crate) fn gate(&mut self, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        let questions = json::parse(line).and_then(json::Value::into_type::<Vec<Question>>);
        let questions = match questions {
            Ok(questions) if !questions.is_empty() => questions,
            Ok(_) => return refuse(Word::Invalid, "no question".into()),
            Err(error) => return refuse(Word::Invalid, error.0),
        };
        if self.questions.batches.len() + self.questions.held.len() >= WAITING_MAX {
            return refuse(Word::Busy, format!("{WAITING_MAX} questions wait"));
        }
        if !self.is_open || self.is_changing() {
            self.questions.held.push((call.token, questions, call.now.mono_ms + WAIT_MS));
            return Verdict::Later;
        }
        self.decide(call.token, questions)
    }

    /// Rules are on their way to the journal: what holds is not known.
    fn is_changing(&self) -> bool {
        self.ahead.generation() != self.state.generation()
    }

    /// Other rules hold from now on. Whose change it was hears so when nobody remembers the old ones.
    pub(crate) fn changed(&mut self, token: Option<Token>, ack: &str) -> Verdict {
        if !self.is_changing() {
            self.release();
        }
        if self.config.has_queen {
            let holds = self.denies_queen();
            let event = format!("{{\"cut\":{{\"reason\":\"policy_denied\",\"holds\":{holds}}}}}\n");
            let op = Op::Write(event.into_bytes());
            // A queen who is away asks when she is back.
            let told = Request { id: TOLD, server: "queen", root: "in", path: "events".into(), op };
            self.outbox.push(told);
        }
        let leased_ms = *self.questions.leased_ms.get_or_insert(self.now.mono_ms + LEASE_MS);
        match token {
            Some(token) if leased_ms > self.now.mono_ms => {
                self.questions.changes.push((token, ack.to_string()));
                Verdict::Later
            }
            _ => Verdict::Ack(ack.to_string()),
        }
    }

    /// Is nobody let through to the queen, whatever is approved?
    pub(crate) fn denies_queen(&self) -> bool {
        matches!(self.state.gate(QUEEN, self.state.now_ms(), &|_| false), Gate::Denied(_))
    }

    /// The journal is known, and takes records.
    pub(crate) fn open(&mut self, now: Now) {
        self.is_open = true;
        self.now = now;
        self.questions.leased_ms.get_or_insert(now.mono_ms + LEASE_MS);
        self.release();
    }

    fn release(&mut self) {
        for (token, questions, _) in core::mem::take(&mut self.questions.held) {
            match self.decide(token, questions) {
                Verdict::Later => {}
                verdict => self.completions.push((token, verdict)),
            }
        }
    }

    fn decide(&mut self, token: Token, questions: Vec<Question>) -> Verdict {
        let number = self.questions.next;
        self.questions.next += 1;
        let mut words = Vec::with_capacity(questions.len());
        let mut left = 0;
        for question in questions {
            let taken = &self.questions.taken;
            let gate = self.ahead.gate(&question.path, self.now.wall_ms, &|id| taken.contains_key(id));
            words.push(match (gate, question.take && !question.ahead) {
                (Gate::Pass, _) => "pass".to_string(),
                (Gate::Denied(_), _) if question.ahead => "permission".to_string(),
                (Gate::Denied(rule), _) => {
                    self.refused(&question, rule, "permission");
                    "permission".to_string()
                }
                (Gate::Consume(_) | Gate::NeedsApproval(_), false) => "gated".to_string(),
                (Gate::NeedsApproval(rule), true) => {
                    self.refused(&question, rule, "policy");
                    "policy".to_string()
                }
                (Gate::Consume(id), true) => {
                    self.questions.taken.insert(id.clone(), (number, words.len()));
                    left += 1;
                    let by = by(&question);
                    let word = format!("approved:{id}");
                    self.report(System::Consume(Consume { id, target: question.path, by }));
                    word
                }
            });
        }
        let batch = Batch { token, words, left, until_ms: self.now.mono_ms + WAIT_MS };
        if left == 0 {
            return Verdict::Ack(self.answer(&batch));
        }
        self.questions.batches.insert(number, batch);
        Verdict::Later
    }

    fn answer(&mut self, batch: &Batch) -> String {
        self.questions.leased_ms = Some(self.now.mono_ms + LEASE_MS);
        let words = batch.words.iter().enumerate().fold(String::new(), |mut out, (i, word)| {
            // Writing to a string does not fail.
            let _ = write!(out, " {i}={word}");
            out
        });
        format!("OK GATE{words} gen={} lease_ms={LEASE_MS}", self.state.generation())
    }

    fn refused(&mut self, question: &Question, rule: String, reason: &str) {
        let (target, by) = (question.path.clone(), by(question));
        self.report(System::Refuse(Refuse { target, by, on: rule, reason: reason.into() }));
    }

    /// An approval is consumed, or could not be.
    pub(crate) fn taken(&mut self, id: &str, is_consumed: bool) {
        let Some((number, i)) = self.questions.taken.remove(id) else { return };
        let Some(batch) = self.questions.batches.get_mut(&number) else { return };
        batch.left -= 1;
        if let (false, Some(word)) = (is_consumed, batch.words.get_mut(i)) {
            *word = "policy".into();
        }
        if batch.left == 0
            && let Some(batch) = self.questions.batches.remove(&number)
        {
            let answer = self.answer(&batch);
            self.completions.push((batch.token, Verdict::Ack(answer)));
        }
    }

    /// What waits will not become durable: none of it is answered with a pass.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
        self.reported.clear();
        self.questions.taken.clear();
        for (_, batch) in self.questions.batches.drain() {
            let verdict = refuse(Word::Busy, "the journal is away".into());
            self.completions.push((batch.token, verdict));
        }
    }

    /// Acknowledges what has waited for long enough.
    pub(crate) fn forgotten(&mut self, now: Now) {
        if self.questions.leased_ms.is_some_and(|at| at <= now.mono_ms) {
            let changes = self.questions.changes.drain(..);
            self.completions.extend(changes.map(|(token, ack)| (token, Verdict::Ack(ack))));
        }
    }

    /// Ends questions that have waited for too long, and takes back what is not yet on its way.
    pub(crate) fn give_up(&mut self, now: Now) {
        let late = self.questions.held.extract_if(.., |(.., until_ms)| *until_ms <= now.mono_ms);
        let late: Vec<Token> = late.map(|(token, ..)| token).collect();
        for token in late {
            self.completions.push((token, refuse(Word::Busy, "the journal is away".into())));
        }
        let late: Vec<u64> = self
            .questions
            .batches
            .iter()
            .filter(|(_, b)| b.until_ms <= now.mono_ms)
            .map(|(n, _)| *n)
            .collect();
        for number in late {
            let Some(batch) = self.questions.batches.remove(&number) else { continue };
            self.questions.taken.retain(|_, (other, _)| *other != number);
            self.completions.push((batch.token, refuse(Word::Busy, "the journal does not answer".into())));
        }
        let taken = &self.questions.taken;
        self.reported.retain(|command| match command {
            Command::System(System::Consume(Consume { id, .. })) => taken.contains_key(id),
            _ => true,
        });
    }
}

fn by(question: &Question) -> String {
    let Question { role, subject, .. } = question;
    if subject.is_empty() { role.clone() } else { format!("{role}:{subject}") }
}

fn refuse(word: Word, detail: String) -> Verdict {
    Verdict::Refuse { verb: "GATE".into(), refusal: Refusal::new(word, detail) }
}
