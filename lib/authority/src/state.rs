//! The fold: commands and what the system reports, one after the other.

use crate::Config;
use crate::command::{Budget, Command, Kind, Spawn};
use crate::workers::{End, Worker};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// Words of refusals that this part gives; the protocol has their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Malformed, or against a rule of the language.
    Invalid,
    /// There is no such worker, ticket or service.
    NotFound,
    /// A bound is reached.
    Quota,
}

/// Why a command was refused. It has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The word.
    pub word: Word,
    /// What was found: `key=value` fields, or a sentence.
    pub detail: String,
}

/// What must now be done, by whoever can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give the worker a directory, a ticket and a process.
    Start(Worker),
    /// Take all three away.
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
    /// A line for people, without its time.
    Log(String),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `OK SPAWN id=worker-3 seq=118`.
    pub ack: String,
    /// In order.
    pub effects: Vec<Effect>,
}

/// The queen's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    config: Config,
    seq: u64,
    next_worker: u64,
    defaults: Budget,
    /// By number, so that worker-10 comes behind worker-9.
    workers: BTreeMap<u64, Worker>,
    revoked: VecDeque<(String, String)>,
}

impl State {
    /// Nothing has happened yet.
    pub fn new(config: Config) -> State {
        State {
            config,
            seq: 0,
            next_worker: 1,
            defaults: Budget::default(),
            workers: BTreeMap::new(),
            revoked: VecDeque::new(),
        }
    }

    /// Commands and events that have taken effect.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Workers that are alive, in the order of their numbers.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Revoked tickets and the reasons, oldest first.
    pub fn revoked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.revoked.iter().map(|(id, reason)| (id.as_str(), reason.as_str()))
    }

    /// The next end by time, in milliseconds since the Unix epoch.
    pub fn next_end_ms(&self) -> Option<u64> {
        self.workers.values().map(|worker| worker.until_ms).min()
    }

    /// Numbers up to this one were given by an authority that is gone.
    pub fn skip_workers(&mut self, highest: u64) {
        self.next_worker = self.next_worker.max(highest.saturating_add(1));
    }

    /// Carries out one command. `ticket` is a fresh ticket id, used by a spawn.
    pub fn apply(&mut self, command: &Command, ticket: &str, now_ms: u64) -> Result<Outcome, Refused> {
        match command {
            Command::Spawn(spawn) => self.spawn(spawn, ticket, now_ms),
            Command::Kill(id) => {
                let number = self.number(id)?;
                let effects = self.end(number, End::Killed);
                Ok(self.done(command, format!("id={id}"), effects))
            }
            Command::Budget { worker: None, budget } => {
                self.defaults.ttl_s = budget.ttl_s.or(self.defaults.ttl_s);
                self.defaults.ops = budget.ops.or(self.defaults.ops);
                Ok(self.done(command, String::new(), Vec::new()))
            }
            Command::Budget { worker: Some(id), budget } => {
                let number = self.number(id)?;
                let mut effects = Vec::new();
                if let Some(worker) = self.workers.get_mut(&number) {
                    if let Some(ttl_s) = budget.ttl_s {
                        worker.until_ms = now_ms.saturating_add(ttl_s.saturating_mul(1000));
                    }
                    if let Some(ops) = budget.ops {
                        worker.ops = ops;
                        effects.push(Effect::Ops { ticket: worker.ticket.clone(), ops });
                    }
                }
                Ok(self.done(command, format!("id={id}"), effects))
            }
            Command::Bind { from, to } => {
                let effect = Effect::Bind { from: from.clone(), to: to.clone() };
                Ok(self.done(command, format!("from={from} to={to}"), vec![effect]))
            }
            Command::Mount { service, at } => {
                let effect = Effect::Mount { service: service.clone(), at: at.clone() };
                Ok(self.done(command, format!("service={service} at={at}"), vec![effect]))
            }
            Command::Revoke(id) => {
                if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
                    let detail = "a ticket's id is 32 hex digits; cohticket show prints it".into();
                    return Err(Refused { word: Word::Invalid, detail });
                }
                let number = self.workers.iter().find(|(_, w)| w.ticket == *id).map(|(n, _)| *n);
                let effects = match number {
                    Some(number) => self.end(number, End::Revoked),
                    None => self.revoke(id, "by command"),
                };
                Ok(self.done(command, format!("id={id}"), effects))
            }
        }
    }

    fn spawn(&mut self, spawn: &Spawn, ticket: &str, now_ms: u64) -> Result<Outcome, Refused> {
        let kind = spawn.kind;
        if kind != Kind::Heartbeat {
            let detail = format!("this hive has no {} server", kind.word());
            return Err(Refused { word: Word::NotFound, detail });
        }
        let (alive, most) = (self.workers.len(), self.config.max_workers);
        if alive >= most {
            let detail = format!(
                "{alive} of {most} workers are running; kill one or raise queen.max_workers in sys/hive.toml"
            );
            return Err(Refused { word: Word::Quota, detail });
        }
        let ttl_s = spawn.budget.ttl_s.or(self.defaults.ttl_s).unwrap_or(self.config.ttl_s);
        let worker = Worker {
            id: format!("worker-{}", self.next_worker),
            kind,
            ticket: ticket.to_string(),
            ticks: spawn.ticks.unwrap_or(self.config.ticks),
            period_ms: spawn.period_ms.unwrap_or(self.config.period_ms),
            ops: spawn.budget.ops.or(self.defaults.ops).unwrap_or(self.config.ops),
            until_ms: now_ms.saturating_add(ttl_s.saturating_mul(1000)),
        };
        self.workers.insert(self.next_worker, worker.clone());
        self.next_worker += 1;
        let id = worker.id.clone();
        let seq = self.seq + 1;
        let log = Effect::Log(format!("seq={seq} queen spawned {id} role={}", kind.word()));
        Ok(self.done(&Command::Spawn(*spawn), format!("id={id}"), vec![Effect::Start(worker), log]))
    }

    fn done(&mut self, command: &Command, fields: String, effects: Vec<Effect>) -> Outcome {
        self.seq += 1;
        let space = if fields.is_empty() { "" } else { " " };
        Outcome { ack: format!("OK {}{space}{fields} seq={}", command.verb(), self.seq), effects }
    }

    /// The system reports that a worker has come to its end; nothing if it is not alive.
    pub fn ended(&mut self, id: &str, end: End) -> Vec<Effect> {
        match self.number(id) {
            Ok(number) => {
                let effects = self.end(number, end);
                self.seq += 1;
                effects
            }
            Err(_) => Vec::new(),
        }
    }

    /// The worker of a ticket.
    pub fn by_ticket(&self, ticket: &str) -> Option<&Worker> {
        self.workers.values().find(|worker| worker.ticket == ticket)
    }

    /// Ends the workers whose time is over.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Effect> {
        let late: Vec<String> =
            self.workers.values().filter(|w| w.until_ms <= now_ms).map(|w| w.id.clone()).collect();
        late.iter().flat_map(|id| self.ended(id, End::Ttl)).collect()
    }

    fn end(&mut self, number: u64, end: End) -> Vec<Effect> {
        let Some(worker) = self.workers.remove(&number) else { return Vec::new() };
        let seq = self.seq + 1;
        let log = Effect::Log(format!("seq={seq} queen revoked {} reason={end}", worker.id));
        let mut effects = self.revoke(&worker.ticket, &end.to_string());
        effects.push(Effect::Stop { worker, end });
        effects.push(log);
        effects
    }

    fn revoke(&mut self, ticket: &str, reason: &str) -> Vec<Effect> {
        if !self.revoked.iter().any(|(id, _)| id == ticket) {
            if self.revoked.len() >= self.config.max_revoked {
                self.revoked.pop_front();
            }
            self.revoked.push_back((ticket.to_string(), reason.to_string()));
        }
        vec![Effect::Revoke { ticket: ticket.to_string(), reason: reason.to_string() }]
    }

    fn number(&self, id: &str) -> Result<u64, Refused> {
        self.workers
            .iter()
            .find(|(_, worker)| worker.id == id)
            .map(|(number, _)| *number)
            .ok_or_else(|| Refused { word: Word::NotFound, detail: format!("id={id}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const TICKET: &str = "00112233445566778899aabbccddeeff";

    fn state() -> State {
        let config = Config { max_workers: 2, max_revoked: 2, ticks: 0, period_ms: 1000, ttl_s: 60, ops: 0 };
        State::new(config)
    }

    fn run(state: &mut State, line: &str, now_ms: u64) -> Result<String, Refused> {
        state.apply(&parse(line).expect(line), TICKET, now_ms).map(|outcome| outcome.ack)
    }

    #[test]
    fn ids_and_sequence_numbers_come_in_order() {
        let mut state = state();
        assert_eq!(run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap(), "OK SPAWN id=worker-1 seq=1");
        assert_eq!(run(&mut state, r#"{"kill":"worker-1"}"#, 0).unwrap(), "OK KILL id=worker-1 seq=2");
        assert_eq!(run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap(), "OK SPAWN id=worker-2 seq=3");
        assert_eq!(run(&mut state, r#"{"budget":{"ops":5}}"#, 0).unwrap(), "OK BUDGET seq=4");
    }

    #[test]
    fn a_refused_command_changes_nothing() {
        let mut state = state();
        run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap();
        run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap();
        let before = state.clone();
        for (line, word) in [
            (r#"{"spawn":"heartbeat"}"#, Word::Quota),
            (r#"{"kill":"worker-9"}"#, Word::NotFound),
            (r#"{"budget":{"worker":"worker-9","ops":5}}"#, Word::NotFound),
            (r#"{"revoke":"abc"}"#, Word::Invalid),
        ] {
            assert_eq!(run(&mut state, line, 1).unwrap_err().word, word, "{line}");
            assert_eq!(state, before);
        }
    }

    #[test]
    fn a_worker_ends_at_its_time_and_not_before() {
        let mut state = state();
        run(&mut state, r#"{"spawn":"heartbeat","budget":{"ttl_s":10}}"#, 5000).unwrap();
        assert_eq!(state.next_end_ms(), Some(15_000));
        assert!(state.expire(14_999).is_empty());
        let effects = state.expire(15_000);
        assert!(effects.contains(&Effect::Log("seq=2 queen revoked worker-1 reason=ttl-spent".into())));
        assert_eq!(state.workers().count(), 0);
        assert_eq!(state.revoked().collect::<Vec<_>>(), [(TICKET, "ttl-spent")]);
    }

    #[test]
    fn a_worker_ends_once() {
        let mut state = state();
        run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap();
        assert!(!state.ended("worker-1", End::Ticks).is_empty());
        assert!(state.ended("worker-1", End::Exited("exit 0".into())).is_empty());
    }

    #[test]
    fn the_default_budget_is_for_later_spawns() {
        let mut state = state();
        run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap();
        run(&mut state, r#"{"budget":{"ttl_s":5,"ops":7}}"#, 0).unwrap();
        run(&mut state, r#"{"spawn":"heartbeat"}"#, 0).unwrap();
        let budgets: Vec<_> = state.workers().map(|w| (w.until_ms, w.ops)).collect();
        assert_eq!(budgets, [(60_000, 0), (5000, 7)]);
    }

    #[test]
    fn the_same_commands_give_the_same_state() {
        let script = [
            r#"{"spawn":"heartbeat","ticks":3}"#,
            r#"{"budget":{"worker":"worker-1","ttl_s":9}}"#,
            r#"{"kill":"worker-1"}"#,
            r#"{"spawn":"heartbeat"}"#,
        ];
        let fold = || {
            let mut state = state();
            let acks: Vec<_> = script.iter().map(|line| run(&mut state, line, 7)).collect();
            (acks, state)
        };
        assert_eq!(fold(), fold());
    }
}
