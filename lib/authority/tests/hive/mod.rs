//! A state, and commands to it, with what the tests hold every one of them to.
#![allow(dead_code, clippy::panic, reason = "each test file uses its part")]

use authority::lease::Resource;
use authority::{Command, Config, Effect, Entry, Outcome, Refused, SYSTEM, State, parse};

pub(crate) const TICKET: &str = "00112233445566778899aabbccddeeff";

pub(crate) struct Hive {
    pub(crate) state: State,
    pub(crate) now_ms: u64,
    pub(crate) seq: u64,
    pub(crate) role: &'static str,
    pub(crate) journal: Vec<Command>,
}

pub(crate) fn entry<'a>(seq: u64, ts_ms: u64, role: &'a str, command: &'a Command) -> Entry<'a> {
    Entry { seq, ts_ms, role, subject: "", ticket: "", session: 7, command }
}

/// One GPU of 8192 MiB and four streams.
pub(crate) fn with_gpu() -> Config {
    let mut config = Config::default();
    config.lease.resources = vec![Resource { id: "GPU-0".into(), mem_mb: 8192, streams: 4 }];
    config
}

impl Hive {
    pub(crate) fn new(config: Config) -> Hive {
        Hive { state: State::new(config), now_ms: 1000, seq: 0, role: "queen", journal: Vec::new() }
    }

    pub(crate) fn online() -> Hive {
        Hive::online_with(Config::default())
    }

    pub(crate) fn online_with(config: Config) -> Hive {
        let mut hive = Hive::new(config);
        hive.ok(SYSTEM, r#"{"boot":{"id":"1"}}"#);
        hive.ok(SYSTEM, r#"{"servers":{"missing":[]}}"#);
        hive.pass(hive.now_ms);
        hive
    }

    pub(crate) fn run(&mut self, path: &str, line: &str) -> Result<Outcome, Refused> {
        let command = parse(path, line).map_err(|(_, refused)| refused)?;
        self.apply(command)
    }

    pub(crate) fn apply(&mut self, command: Command) -> Result<Outcome, Refused> {
        let before = self.state.clone();
        let outcome = self.state.apply(&entry(self.seq + 1, self.now_ms, self.role, &command));
        match &outcome {
            Ok(outcome) if outcome.first.is_none() => {
                self.seq += 1;
                self.journal.push(command);
            }
            _ => assert_eq!(self.state, before),
        }
        outcome
    }

    pub(crate) fn ok(&mut self, path: &str, line: &str) -> String {
        self.run(path, line).unwrap_or_else(|refused| panic!("{line}: {refused:?}")).ack
    }

    pub(crate) fn refused(&mut self, path: &str, line: &str) -> Refused {
        match self.run(path, line) {
            Ok(outcome) => panic!("{line}: {}", outcome.ack),
            Err(refused) => refused,
        }
    }

    /// Time goes on to `now_ms`, and what is due happens.
    pub(crate) fn pass(&mut self, now_ms: u64) -> Vec<Effect> {
        self.pass_recording(now_ms, &mut Vec::new())
    }

    /// The same; times and acknowledgements are kept.
    pub(crate) fn pass_recording(&mut self, now_ms: u64, recorded: &mut Vec<(u64, String)>) -> Vec<Effect> {
        self.now_ms = now_ms;
        let mut effects = Vec::new();
        for _ in 0..1000 {
            let due = self.state.due(now_ms);
            if due.is_empty() {
                return effects;
            }
            for command in due {
                let said = format!("{command:?}");
                let outcome = self.apply(command).unwrap_or_else(|r| panic!("{said}: {r:?}"));
                recorded.push((now_ms, outcome.ack));
                effects.extend(outcome.effects);
            }
        }
        panic!("what is due has no end: {:?}", self.state.due(now_ms));
    }
}
