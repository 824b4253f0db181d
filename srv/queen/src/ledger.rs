//! Her commands' way through the journal: twice folded, once ahead of it and once behind.

use crate::effects::{bind, mount};
use crate::flow::to_door;
use crate::queen::Queen;
use authority::{Action, Command, Ctl, SYSTEM, State};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Entry, Ledger, Mark, Now, Request, Staged, Token, Verdict, Who};
use rt::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

/// `{"seq":N,"authority":{…},"policy":{…}}`: of the newest snapshot, or `{"seq":0}`.
#[derive(Deserialize)]
struct Snapshot<'a> {
    seq: u64,
    #[serde(borrow)]
    authority: Option<&'a RawValue>,
}

fn entry<'a>(entry: &Entry<'a, Command>) -> authority::Entry<'a> {
    authority::Entry {
        seq: entry.seq,
        ts_ms: entry.ts_ms,
        role: &entry.who.role,
        subject: &entry.who.subject,
        ticket: &entry.who.ticket,
        session: entry.who.session,
        command: entry.command,
    }
}

impl Ledger for Queen {
    type Command = Command;

    fn parse(&self, path: &str, line: &str) -> Result<Command, (String, Refusal)> {
        let command =
            authority::parse(path, line).map_err(|(verb, refused)| (verb.to_string(), refused.into()))?;
        if !self.is_in_step {
            let refusal = Refusal::new(Word::Busy, "the queen is starting");
            return Err((command.verb().to_string(), refusal));
        }
        Ok(command)
    }

    fn verb(command: &Command) -> &str {
        command.verb()
    }

    /// Whether a name space can be changed so is for the door to say: it alone has them.
    fn ask_first(&self, who: &Who, command: &Command) -> Option<Request> {
        let order = match &command.action {
            Action::Queen(Ctl::Bind { from, to }) => bind(who.session, from, to),
            Action::Queen(Ctl::Mount { service, at }) => mount(who.session, service, at),
            _ => return None,
        };
        // One that has been carried out is answered as it was then.
        let is_new = matches!(self.state.repeated(command), Ok(None));
        is_new.then(|| to_door(format!("{{\"try\":{order}}}")))
    }

    fn check(&self, it: &Entry<Command>) -> Result<(), Refusal> {
        self.ahead.clone().apply(&entry(it)).map(drop).map_err(Refusal::from)
    }

    fn is_repeated(&self, command: &Command) -> bool {
        matches!(self.ahead.repeated(command), Ok(Some(_)))
    }

    fn stage(&mut self, it: &Entry<Command>) -> Result<Staged, Refusal> {
        if let Some(first) = self.state.repeated(it.command).map_err(Refusal::from)? {
            self.say_repeated(it, &first);
            return Ok(Staged::Again(first.line(0)));
        }
        let outcome = self.ahead.apply(&entry(it)).map_err(Refusal::from)?;
        if outcome.first.is_some() {
            return Ok(Staged::Wait);
        }
        Ok(Staged::New { cmd: it.command.to_json(), ack: outcome.ack })
    }

    fn commit(&mut self, it: &Entry<Command>, ack: &str, token: Option<Token>) -> Verdict {
        let outcome = match self.state.fold(&entry(it)) {
            Ok(outcome) => outcome,
            // Better no queen than one who has forgotten what she said.
            Err(refused) => unreachable!("taken ahead of the journal, refused behind it: {refused:?}"),
        };
        self.seq = it.seq;
        let mut flow = self.flow(outcome.effects, Some(it.who.session));
        if flow.stages.is_empty() && flow.failed.is_none() {
            return Verdict::Ack(ack.to_string());
        }
        flow.waits = token.map(|token| (token, it.command.verb(), ack.to_string()));
        self.begin(flow);
        Verdict::Later
    }

    fn roll_back(&mut self) {
        self.ahead = self.state.clone();
    }

    fn restore(&mut self, snapshot: &str) -> Result<Mark, String> {
        let read: Snapshot = serde_json::from_str(snapshot).map_err(|error| error.to_string())?;
        if let Some(state) = read.authority {
            self.state = State::from_json(self.config.authority.clone(), state.get())?;
        }
        self.seq = read.seq;
        Ok(Mark { seq: read.seq, ts_ms: self.state.now_ms() })
    }

    fn replay(&mut self, line: &str) -> Result<Mark, String> {
        let record = journal::Record::parse(line.as_bytes()).map_err(|error| error.to_string())?;
        let it = &record.entry;
        let is_ours =
            matches!(it.kind, journal::Kind::Ctl | journal::Kind::System) && authority::owns(&it.path);
        if is_ours {
            let at = |what: &str| format!("seq={}: {what}", record.seq);
            let command =
                authority::parse(&it.path, it.cmd.get()).map_err(|(_, refused)| at(&refused.detail))?;
            let entry = authority::Entry {
                seq: record.seq,
                ts_ms: it.ts_ms,
                role: &it.role,
                subject: &it.subject,
                ticket: &it.ticket,
                session: it.session,
                command: &command,
            };
            let outcome = self.state.fold(&entry).map_err(|refused| at(&refused.detail))?;
            if outcome.ack != it.ack {
                return Err(at(&format!("{:?} is recorded, {:?} comes out", it.ack, outcome.ack)));
            }
        }
        self.seq = record.seq;
        Ok(Mark { seq: record.seq, ts_ms: it.ts_ms })
    }

    fn is_restored(&mut self, now: Now) {
        self.ahead = self.state.clone();
        self.now = now;
        self.ask_ms = Some(now.mono_ms);
    }

    fn due(&mut self, ts_ms: u64) -> (Vec<Command>, Option<u64>) {
        (self.ahead.due(ts_ms), self.ahead.next_due_ms())
    }

    fn reported(&mut self) -> Vec<Command> {
        core::mem::take(&mut self.reported)
    }

    fn system_path(&self) -> &'static str {
        SYSTEM
    }
}
