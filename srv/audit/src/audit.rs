//! The journal's state: batches in, made durable together; replay and snapshots in between.

use crate::fold::{Folds, Part};
use crate::replay::{Range, Replay};
use crate::secrets::Secrets;
use crate::snapshots::Snapshots;
use crate::view::{Chain, Decisions, is_decision};
use crate::{Config, Store};
use core::cell::RefCell;
use journal::{Entry, Fault, Health, Kind, Opened, PublicKeys, Refused, concealed, entries};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Now, Op, Request, Service, Token, Verdict};
use rt::HashMap;
use rt::prelude::*;
use serde_json::value::RawValue;

/// How long a disk that has refused is left alone.
const HEAL_MS: u64 = 100;
/// How long sessions that begin and end wait to share a commit: nobody is held up by their records.
const LINGER_MS: u64 = 10;
/// Records in a batch whose sender has more of them waiting, which are not to be held up either.
const MANY: usize = 16;
/// Different things that were said about damage.
const SAID_MAX: usize = 64;

/// The journal.
pub struct Audit {
    pub(crate) chain: Chain,
    pub(crate) decisions: Decisions,
    pub(crate) keys: PublicKeys,
    pub(crate) segment_bytes: u64,
    folds: Folds,
    secrets: Secrets,
    fingerprint: String,
    opened: Opened,
    now: Now,
    /// Batches that wait for the disk: whose, and the first seq and length.
    waiting: Vec<(Token, u64, usize)>,
    /// Seqs of decisions among them.
    decided: Vec<u64>,
    /// When the next commit is due.
    due_ms: Option<u64>,
    heal_ms: u64,
    is_in_trouble: bool,
    snapshots: Snapshots,
    replay: Option<Replay>,
    /// What came of the last one.
    replayed: String,
    asked: HashMap<u64, Part>,
    next_id: u64,
    outbox: Vec<Request>,
    completions: Vec<(Token, Verdict)>,
    /// Damage that was found by a reader.
    found: RefCell<Vec<String>>,
    said: RefCell<Vec<String>>,
}

/// A line for the hive's log.
pub(crate) fn say(line: String) -> Request {
    Request::log(line)
}

impl Audit {
    /// Opens the journal: reads and verifies all that is retained.
    pub fn open(config: Config) -> Result<Audit, rt::BootError> {
        let mut decisions = Decisions::new(config.decisions_bytes);
        let mut line = Vec::new();
        let look = |record: &journal::Record<'_>, bytes: &[u8]| {
            line.clear();
            line.extend_from_slice(bytes);
            line.push(b'\n');
            decisions.push(record.seq, &line);
        };
        let Config { files, store: options, key, keys, .. } = config;
        let (store, opened) = Store::open(files, options, key, keys.clone(), is_decision, look)
            .map_err(|error| rt::BootError(error.to_string()))?;
        Ok(Audit {
            chain: Chain { store },
            decisions,
            keys,
            segment_bytes: options.segment_bytes,
            folds: config.folds,
            secrets: config.secrets,
            fingerprint: config.fingerprint,
            opened,
            now: Now::default(),
            waiting: Vec::new(),
            decided: Vec::new(),
            due_ms: None,
            heal_ms: 0,
            is_in_trouble: false,
            snapshots: Snapshots::default(),
            replay: None,
            replayed: "idle".into(),
            asked: HashMap::new(),
            next_id: 1,
            outbox: Vec::new(),
            completions: Vec::new(),
            found: RefCell::new(Vec::new()),
            said: RefCell::new(Vec::new()),
        })
    }

    /// Says a thing about damage in the log, the first time that it is found.
    pub(crate) fn say_once(&self, line: String) {
        let mut said = self.said.borrow_mut();
        if said.len() < SAID_MAX && !said.contains(&line) {
            said.push(line.clone());
            self.found.borrow_mut().push(line);
        }
    }

    /// One line of `append`: a batch, durable or refused as a whole.
    pub(crate) fn append(&mut self, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        match self.stage(line, call.now) {
            Ok((first, n)) => {
                self.waiting.push((call.token, first, n));
                Verdict::Later
            }
            Err(refusal) => refuse("APPEND", refusal),
        }
    }

    fn stage(&mut self, line: &str, now: Now) -> Result<(u64, usize), Refusal> {
        let invalid = |what: String| Refusal::new(Word::Invalid, what);
        let mut batch = entries(line).map_err(|error| invalid(error.to_string()))?;
        if let Some(entry) = batch.iter().find(|entry| entry.kind == Kind::Checkpoint) {
            return Err(invalid(format!("a {} is not a server's to append", entry.kind.word())));
        }
        let hidden: Vec<Option<Box<RawValue>>> = batch
            .iter()
            .map(|entry| {
                let secret = self.secrets.has(&entry.path).then(|| concealed(entry.cmd))?;
                RawValue::from_string(secret).ok()
            })
            .collect();
        for (entry, hidden) in batch.iter_mut().zip(&hidden) {
            if let Some(hidden) = hidden {
                entry.cmd = hidden;
            }
        }
        self.put(&batch, now)
    }

    fn put(&mut self, batch: &[Entry<'_>], now: Now) -> Result<(u64, usize), Refusal> {
        let store = &mut self.chain.store;
        if matches!(store.health(), Health::Trouble(_)) && now.mono_ms >= self.heal_ms {
            self.heal_ms = now.mono_ms + HEAL_MS;
            store.heal();
        }
        let first = match store.stage(batch, now.wall_ms) {
            Ok(first) => first,
            Err(Refused::Invalid(error)) => return Err(Refusal::new(Word::Invalid, error.to_string())),
            Err(Refused::Busy(why)) => {
                self.trouble(&why);
                return Err(Refusal::new(Word::Busy, why));
            }
        };
        let is_session = |entry: &Entry<'_>| matches!(entry.kind, Kind::Attach | Kind::Detach);
        let is_patient = batch.len() < MANY && batch.iter().all(is_session);
        let due_ms = now.mono_ms + if is_patient { LINGER_MS } else { 0 };
        self.due_ms = Some(self.due_ms.map_or(due_ms, |at| at.min(due_ms)));
        let decided = (first..).zip(batch).filter(|(_, entry)| is_decision(entry.kind));
        self.decided.extend(decided.map(|(seq, _)| seq));
        Ok((first, batch.len()))
    }

    /// Said when it begins, and when it is over.
    fn trouble(&mut self, why: &str) {
        if !core::mem::replace(&mut self.is_in_trouble, true) {
            self.outbox.push(say(format!("audit takes no records: {why}")));
        }
    }

    /// Makes durable what waits, and tells who waits.
    fn commit(&mut self) {
        self.due_ms = None;
        let outcome = self.chain.store.commit();
        let waiting = core::mem::take(&mut self.waiting);
        let decided = core::mem::take(&mut self.decided);
        match outcome {
            Ok(()) => {
                if core::mem::take(&mut self.is_in_trouble) {
                    self.outbox.push(say("audit takes records again".into()));
                }
                for seq in decided {
                    if let Ok(line) = self.chain.store.from(seq, 1) {
                        self.decisions.push(seq, &line);
                    }
                }
                self.completions.extend(
                    waiting.into_iter().map(|(token, first, n)| {
                        (token, Verdict::Ack(format!("OK APPEND seq={first} n={n}")))
                    }),
                );
            }
            Err(why) => {
                self.trouble(&why);
                let refusal = Refusal::new(Word::Busy, why);
                let told = waiting.into_iter().map(|(token, ..)| (token, refuse("APPEND", refusal.clone())));
                self.completions.extend(told);
            }
        }
    }

    /// What the journal records about itself.
    fn boot(&mut self, now: Now) {
        let torn = self.opened.torn.map_or(0, |(_, bytes)| bytes);
        let cmd = format!(r#"{{"manifest":"{}","torn_bytes":{torn}}}"#, self.fingerprint);
        let Ok(cmd) = RawValue::from_string(cmd) else { return };
        let entry = Entry {
            ts_ms: now.wall_ms,
            kind: Kind::Boot,
            role: "server".into(),
            subject: "audit".into(),
            ticket: "".into(),
            session: 0,
            path: "/audit/journal".into(),
            cmd: &cmd,
            ack: "OK BOOT".into(),
        };
        if self.put(&[entry], now).is_ok() {
            self.commit();
        }
    }

    /// One line of `/replay/ctl`.
    pub(crate) fn replay(&mut self, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        if self.replay.is_some() {
            return refuse("REPLAY", Refusal::new(Word::Busy, "one is running; see /replay/status"));
        }
        let range = match Range::read(line, &self.chain.store) {
            Ok(range) => range,
            Err(refusal) => return refuse("REPLAY", refusal),
        };
        match Replay::new(range, &self.chain.store, &self.folds) {
            Ok(replay) => self.replay = Some(replay),
            Err(why) => return refuse("REPLAY", Refusal::new(Word::Busy, why)),
        }
        for part in self.folds.live.clone() {
            self.next_id += 1;
            self.asked.insert(self.next_id, part);
            let (server, path) = (part.server(), "hash".into());
            self.outbox.push(Request { id: self.next_id, server, root: "in", path, op: Op::Read });
        }
        Verdict::Ack(format!("OK REPLAY from={} to={}", range.from, range.to))
    }

    /// `idle`, `running at=…`, `ok …` or `diverged …`.
    pub(crate) fn replay_status(&self) -> String {
        self.replay.as_ref().map_or_else(|| self.replayed.clone(), Replay::status)
    }

    fn replay_step(&mut self) {
        let Some(outcome) = self.replay.as_mut().and_then(|replay| replay.step(&self.chain.store)) else {
            return;
        };
        self.replay = None;
        self.outbox.push(say(format!("audit replay: {outcome}")));
        self.replayed = outcome;
    }

    fn is_busy(&self) -> bool {
        self.snapshots.wants(&self.chain.store) || self.replay.as_ref().is_some_and(|replay| !replay.waits())
    }

    fn tell_start(&mut self) {
        let Opened { records, torn, broken } = &self.opened;
        if let Some((seq, bytes)) = torn {
            self.outbox.push(say(format!("audit cut off a torn write: seq={seq} bytes={bytes}")));
        }
        let line = match broken {
            Some(fault) => damage(fault, *records),
            None => format!("audit journal is whole: records={records}"),
        };
        self.outbox.push(say(line));
    }
}

fn damage(fault: &Fault, records: u64) -> String {
    format!(
        "audit journal is damaged: {fault}; records={records} before it are served, and nothing is taken: \
         see journal(5)"
    )
}

fn refuse(verb: &str, refusal: Refusal) -> Verdict {
    Verdict::Refuse { verb: verb.into(), refusal }
}

impl Service for Audit {
    fn start(&mut self, now: Now) {
        self.now = now;
        self.tell_start();
        self.boot(now);
    }

    fn deadline_ms(&self) -> Option<u64> {
        if self.is_busy() { Some(self.now.mono_ms) } else { self.due_ms }
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        self.replay_step();
        self.snapshots.step(&mut self.chain.store, &self.folds, &mut self.outbox);
    }

    fn outbox(&mut self) -> Vec<Request> {
        self.outbox.extend(self.found.borrow_mut().drain(..).map(say));
        core::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        self.now = now;
        let Some(part) = self.asked.remove(&id) else { return };
        let said = answer.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(replay) = &mut self.replay {
            replay.live(part, said.as_deref());
        }
    }

    /// All that has come in this turn of the loop shares one commit.
    fn completions(&mut self) -> Vec<(Token, Verdict)> {
        if self.due_ms.is_some_and(|at| at <= self.now.mono_ms) {
            self.commit();
        }
        core::mem::take(&mut self.completions)
    }
}
