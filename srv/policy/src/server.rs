//! The policy server: what it knows, and which questions wait.

use crate::config::Config;
use crate::gate::Questions;
use alloc::collections::VecDeque;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Now, Request, Service, Token, Verdict};
use policy::{Command, POLICY, PolicyCtl, SYSTEM, State, System, parse};
use rt::prelude::*;

/// Sessions whose request for a preflight is kept.
const REQUESTS_MAX: usize = 64;
/// Refusals that wait to be recorded; more are told to the log alone.
const REPORTS_MAX: usize = 256;

/// Rules, approvals, and what is under way.
pub struct Policy {
    /// With all commands that are on their way to the journal.
    pub(crate) ahead: State,
    /// With those that are there: what readers see.
    pub(crate) state: State,
    /// The last record that is in it.
    pub(crate) seq: u64,
    pub(crate) config: Config,
    /// All of the journal is known, and it takes records.
    pub(crate) is_open: bool,
    pub(crate) now: Now,
    pub(crate) questions: Questions,
    pub(crate) reported: Vec<Command>,
    pub(crate) outbox: Vec<Request>,
    pub(crate) completions: Vec<(Token, Verdict)>,
    /// Commands to be looked at, by session, oldest first.
    requests: VecDeque<(u32, String, PolicyCtl)>,
}

impl Policy {
    pub(crate) fn new(config: Config) -> Policy {
        let state = State::new(config.policy.clone());
        Policy {
            ahead: state.clone(),
            state,
            seq: 0,
            config,
            is_open: false,
            now: Now::default(),
            questions: Questions::default(),
            reported: Vec::new(),
            outbox: Vec::new(),
            completions: Vec::new(),
            requests: VecDeque::new(),
        }
    }

    /// Has something recorded, if it is what a replay could read.
    pub(crate) fn report(&mut self, system: System) {
        let command = Command::System(system);
        let is_sound = parse(SYSTEM, &command.to_json()).is_ok();
        let is_needed = matches!(command, Command::System(System::Consume(_)));
        if is_sound && (is_needed || self.reported.len() < REPORTS_MAX) {
            self.reported.push(command);
        } else {
            self.outbox.push(Request::log(format!("policy does not record {}", command.to_json())));
        }
    }

    /// `preflight/req`: a command of ctl that is not given.
    pub(crate) fn set_request(&mut self, call: &Call, text: &str) -> Result<(), Refusal> {
        if text.len() > self.config.ctl_line_bytes {
            let detail = format!("{} bytes; {} allowed", text.len(), self.config.ctl_line_bytes);
            return Err(Refusal::new(Word::TooBig, detail));
        }
        let ctl = match parse(POLICY, text.trim()) {
            Ok(Command::Policy(ctl)) => ctl,
            Ok(_) => return Err(Word::Invalid.into()),
            Err((_, refused)) => return Err(refused.into()),
        };
        self.state.diff(&ctl)?;
        let session = call.who.session;
        self.requests.retain(|(other, ..)| *other != session);
        if self.requests.len() >= REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back((session, text.trim().to_string(), ctl));
        Ok(())
    }

    /// The session's own request.
    pub(crate) fn request(&self, session: u32) -> Option<(&str, &PolicyCtl)> {
        let mut all = self.requests.iter();
        all.find(|(other, ..)| *other == session).map(|(_, text, ctl)| (text.as_str(), ctl))
    }
}

impl Service for Policy {
    fn deadline_ms(&self) -> Option<u64> {
        self.questions.deadline_ms()
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        self.forgotten(now);
        self.give_up(now);
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.outbox)
    }

    fn completions(&mut self) -> Vec<(Token, Verdict)> {
        core::mem::take(&mut self.completions)
    }
}
