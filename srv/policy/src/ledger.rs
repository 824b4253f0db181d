//! Policy's commands' way through the journal: twice folded, once ahead of it and once behind.

use crate::server::Policy;
use authority::Quoted;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Entry, Ledger, Mark, Now, Request, Staged, Token, Verdict};
use policy::{
    ACTIONS, Apply, Choice, Command, Consume, POLICY, PolicyCtl, Refuse, SYSTEM, State, System, Wish,
};
use rt::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

/// `{"seq":N,"authority":{…},"policy":{…}}`: of the newest snapshot, or `{"seq":0}`.
#[derive(Deserialize)]
struct Snapshot<'a> {
    seq: u64,
    #[serde(borrow)]
    policy: Option<&'a RawValue>,
}

fn entry<'a>(entry: &Entry<'a, Command>) -> policy::Entry<'a> {
    policy::Entry { seq: entry.seq, ts_ms: entry.ts_ms, command: entry.command }
}

impl Ledger for Policy {
    type Command = Command;

    fn parse(&self, path: &str, line: &str) -> Result<Command, (String, Refusal)> {
        policy::parse(path, line).map_err(|(verb, refused)| (verb.to_string(), refused.into()))
    }

    fn verb(command: &Command) -> &str {
        command.verb()
    }

    fn check(&self, it: &Entry<Command>) -> Result<(), Refusal> {
        self.ahead.clone().apply(&entry(it)).map(drop).map_err(Refusal::from)
    }

    fn stage(&mut self, it: &Entry<Command>) -> Result<Staged, Refusal> {
        match self.ahead.apply(&entry(it)) {
            Ok(ack) => Ok(Staged::New { cmd: it.command.to_json(), ack }),
            Err(refused) => {
                let refusal = Refusal::from(refused);
                self.not_staged(it, &refusal);
                Err(refusal)
            }
        }
    }

    fn commit(&mut self, it: &Entry<Command>, ack: &str, token: Option<Token>) -> Verdict {
        if let Err(refused) = self.state.fold(&entry(it)) {
            // Better no gate than one that has forgotten what it let through.
            unreachable!("taken ahead of the journal, refused behind it: {refused:?}");
        }
        self.seq = it.seq;
        let line = said(it.command);
        if !line.is_empty() {
            self.outbox.push(Request::log(format!("seq={} policy {line}", it.seq)));
        }
        if let Command::System(System::Consume(Consume { id, .. })) = it.command {
            self.taken(id, true);
        }
        match it.command {
            Command::Policy(_) => self.changed(token, ack),
            _ => Verdict::Ack(ack.to_string()),
        }
    }

    fn roll_back(&mut self) {
        self.ahead = self.state.clone();
        self.close();
    }

    fn restore(&mut self, snapshot: &str) -> Result<Mark, String> {
        let read: Snapshot = serde_json::from_str(snapshot).map_err(|error| error.to_string())?;
        if let Some(state) = read.policy {
            self.state = State::from_json(self.config.policy.clone(), state.get())?;
        }
        self.seq = read.seq;
        Ok(Mark { seq: read.seq, ts_ms: self.state.now_ms() })
    }

    fn replay(&mut self, line: &str) -> Result<Mark, String> {
        let record = journal::Record::parse(line.as_bytes()).map_err(|error| error.to_string())?;
        let it = &record.entry;
        let is_ours = matches!(it.kind, journal::Kind::Ctl | journal::Kind::System | journal::Kind::Gate)
            && [POLICY, ACTIONS, SYSTEM].contains(&&*it.path);
        if is_ours {
            let at = |what: &str| format!("seq={}: {what}", record.seq);
            let command =
                policy::parse(&it.path, it.cmd.get()).map_err(|(_, refused)| at(&refused.detail))?;
            let entry = policy::Entry { seq: record.seq, ts_ms: it.ts_ms, command: &command };
            let ack = self.state.fold(&entry).map_err(|refused| at(&refused.detail))?;
            if ack != it.ack {
                return Err(at(&format!("{:?} is recorded, {ack:?} comes out", it.ack)));
            }
        }
        self.seq = record.seq;
        Ok(Mark { seq: record.seq, ts_ms: it.ts_ms })
    }

    fn is_restored(&mut self, now: Now) {
        self.ahead = self.state.clone();
        self.open(now);
    }

    fn due(&mut self, ts_ms: u64) -> (Vec<Command>, Option<u64>) {
        (self.ahead.due(ts_ms), self.ahead.next_due_ms())
    }

    fn reported(&mut self) -> Vec<Command> {
        core::mem::take(&mut self.reported)
    }

    fn kind(command: &Command) -> &'static str {
        command.kind()
    }

    fn system_path(&self) -> &'static str {
        SYSTEM
    }
}

impl Policy {
    /// A command was refused: an approval that cannot be consumed is told to who waits for it, one that
    /// is used again goes on record.
    fn not_staged(&mut self, it: &Entry<Command>, refusal: &Refusal) {
        match it.command {
            Command::System(System::Consume(Consume { id, .. })) => self.taken(id, false),
            Command::Action(Wish { id, .. }) if refusal.word != Word::Busy => {
                let (role, subject) = (&it.who.role, &it.who.subject);
                let by = if subject.is_empty() { role.clone() } else { format!("{role}:{subject}") };
                let reason = refusal.word.reason().to_string();
                let (target, on) = (ACTIONS.to_string(), id.clone());
                self.report(System::Refuse(Refuse { target, by, on, reason }));
            }
            _ => {}
        }
    }
}

/// What the log says of a command.
fn said(command: &Command) -> String {
    match command {
        Command::Policy(PolicyCtl::Apply(Apply { id, rules, .. })) => {
            format!("applied {id} rules={}", rules.len())
        }
        Command::Policy(PolicyCtl::Rollback(rollback)) => format!("rolled back to {}", rollback.to),
        Command::Action(Wish { id, target, decision, .. }) => {
            let word = if *decision == Choice::Approve { "approved" } else { "denied" };
            format!("{word} {id} target={}", Quoted(target))
        }
        Command::System(System::Consume(Consume { id, target, by })) => {
            format!("consumed {id} target={} by={}", Quoted(target), Quoted(by))
        }
        // The door says it.
        Command::System(System::Refuse(_)) => String::new(),
        Command::System(System::Expire(id)) => format!("expired {id}"),
    }
}
