//! workerfs: each worker's telemetry, under `/worker/<id>` and `/shard/<hh>/worker/<id>`.
//! Guarantees: a record acknowledged is readable until the ring laps it or the worker is gone; all
//! rings together stay within the manifest's budget. Forgets a worker when the queen says so.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod counts;
mod cursors;
mod orders;
mod start;
mod workers;

use authority::Phase;
use counts::Counts;
pub use cursors::{CONSUMERS_MAX, Cursors};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, File, Key, Now, Op, Request, Service, Start, Tree, Who};
use orders::{Add, command};
use ring::Stream;
use rt::prelude::*;
pub use start::main;
pub use workers::{Config, Workers};

/// Worker keys are their numbers here; a shard directory's key is its label, apart from those.
const SHARD: Key = 1 << 39;

/// The tree:
///
/// ```text
/// <id>/                      telemetry  append-only: one record a write
///                            cursor     the sequence that a consumer has handled
///                            status     one line
/// [shard]/<hh>/worker/<id>/  the same directories, by shard
/// [ctl]/{ctl,left}           add, drop and phase, from the queen only; ticks that are left
/// ```
///
/// What was taken is reported to the server of `/proc/ingest`, where there is one, under the name
/// `reports`.
pub fn tree(config: Config, cursors: Cursors, reports: Option<&'static str>) -> Tree<Fs> {
    let ctl_line = 512;
    let by_shard = Dir::new().dir("worker", Dir::new().each(list_shard, find_in_shard, worker_dir()));
    let shards = Dir::new().each(
        |fs: &Fs, _, f| {
            fs.workers.shards().for_each(|shard| f(&ns::ShardLabel::of(shard), SHARD | Key::from(shard)))
        },
        |fs: &Fs, _, name| {
            let shard = ns::ShardLabel::parse(name)?;
            fs.workers.shards().any(|other| other == shard).then_some(SHARD | Key::from(shard))
        },
        by_shard,
    );
    let main = Dir::new().each(
        |fs: &Fs, _, f| {
            let workers = fs.workers.iter().filter(|_| fs.workers.has_alias());
            workers.for_each(|(key, worker)| f(&worker.id, key));
        },
        |fs: &Fs, _, name| fs.workers.find(name).filter(|_| fs.workers.has_alias()),
        worker_dir(),
    );
    let workers = Workers::new(config, cursors);
    let counts = reports.map(Counts::new);
    Tree::new(Fs { workers, takes_telemetry: true, counts, outbox: Vec::new(), ask_ms: None }, main)
        .root("shard", shards)
        .internal("ctl", Dir::new().orders("ctl", 0o600, ctl_line, command).text("left", left))
}

fn worker_dir() -> Dir<Fs> {
    Dir::new()
        .with("telemetry", File::append_with(0o622, telemetry, append).starting(start))
        .value("cursor", cursor, handled)
        .text("status", |fs: &Fs, call, out| fs.workers.status(call.key, out).ok_or_else(gone))
}

fn list_shard(fs: &Fs, shard: Key, f: &mut dyn FnMut(&str, Key)) {
    let shard = (shard & 0xff) as u8;
    fs.workers
        .iter()
        .filter(|(_, worker)| worker.shard == shard)
        .for_each(|(key, worker)| f(&worker.id, key));
}

fn find_in_shard(fs: &Fs, shard: Key, name: &str) -> Option<Key> {
    let key = fs.workers.find(name)?;
    (Key::from(fs.workers.get(key)?.shard) == shard & 0xff).then_some(key)
}

fn telemetry<'f>(fs: &'f mut Fs, call: &Call) -> Result<&'f mut dyn Stream, Refusal> {
    fs.workers.ring(call.key).map(|ring| ring as &mut dyn Stream).ok_or_else(gone)
}

fn start(fs: &mut Fs, call: &Call) -> Result<Start, Refusal> {
    let (start, line) = fs.workers.start(call.key, &consumer(call.who)).ok_or_else(gone)?;
    fs.outbox.extend(line.map(Request::log));
    Ok(start)
}

/// Whose cursor it is: one role and subject has one of each worker.
fn consumer(who: &Who) -> String {
    if who.subject.is_empty() { who.role.clone() } else { format!("{}:{}", who.role, who.subject) }
}

fn cursor(fs: &Fs, call: &Call, out: &mut String) -> Result<(), Refusal> {
    let handled = fs.workers.cursor(call.key, &consumer(call.who)).unwrap_or(0);
    out.push_str(&format!("{handled}\n"));
    Ok(())
}

fn handled(fs: &mut Fs, call: &Call, text: &str) -> Result<(), Refusal> {
    let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let sequence = text.parse().ok().filter(|_| is_number);
    let sequence = sequence.ok_or_else(|| Refusal::new(Word::Invalid, "a record's sequence is wanted"))?;
    fs.workers.handled(call.key, &consumer(call.who), sequence)
}

fn append(fs: &mut Fs, call: &Call, record: &[u8]) -> Result<(), Refusal> {
    let taken = if fs.takes_telemetry {
        fs.workers.append(call.key, record).map(|last| last.map(String::from))
    } else {
        Err(Refusal::new(Word::Busy, "the hive's state takes no telemetry; see /proc/lifecycle"))
    };
    if let Some(counts) = &mut fs.counts {
        match &taken {
            // The call's time is when its bytes came; requests before it may have taken a while.
            Ok(_) => counts.took(record.len(), rt::now().mono_ms.saturating_sub(call.now.mono_ms), call.now),
            Err(refusal) if matches!(refusal.word, Word::Busy | Word::Quota) => counts.refused(call.now),
            Err(_) => {}
        }
    }
    if let Some(id) = taken? {
        // The last tick: the queen ends a worker that has had its ticks.
        fs.outbox.push(to_queen(format!("{{\"spent\":{{\"worker\":\"{id}\",\"what\":\"ticks\"}}}}\n")));
    }
    Ok(())
}

fn left(fs: &Fs, _: &Call, out: &mut String) -> Result<(), Refusal> {
    for (_, worker) in fs.workers.iter() {
        if let Some(ticks) = worker.ticks_left {
            out.push_str(&format!("{} {ticks}\n", worker.id));
        }
    }
    Ok(())
}

fn gone() -> Refusal {
    Refusal::new(Word::Revoked, "the worker is gone")
}

fn to_queen(line: String) -> Request {
    Request { id: 0, server: "queen", root: "in", path: "events".into(), op: Op::Write(line.into_bytes()) }
}

/// The workers, and what is to be said about them.
pub struct Fs {
    /// The rings.
    pub workers: Workers,
    /// Whether the lifecycle allows telemetry: asked for at the start, told by the queen when she begins
    /// and at every change.
    takes_telemetry: bool,
    counts: Option<Counts>,
    outbox: Vec<Request>,
    ask_ms: Option<u64>,
}

/// The request for the queen's list of workers.
const LIST: u64 = 1;
/// The report of what was taken.
const REPORT: u64 = 2;
/// The request for the lifecycle's state.
const STATE: u64 = 3;
/// How long to wait between tries.
const ASK_AGAIN_MS: u64 = 100;

impl Service for Fs {
    fn start(&mut self, now: Now) {
        self.ask_ms = Some(now.mono_ms);
        if let Some(counts) = &mut self.counts {
            counts.begin(now);
        }
    }

    fn deadline_ms(&self) -> Option<u64> {
        let report = self.counts.as_ref().and_then(Counts::report_at);
        [self.ask_ms, report].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now) {
        if self.ask_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            let path = "workers".into();
            self.outbox.push(Request { id: LIST, server: "queen", root: "in", path, op: Op::Read });
            let (root, path) = ("lifecycle", "state".into());
            self.outbox.push(Request { id: STATE, server: "queen", root, path, op: Op::Read });
        }
        if let Some(counts) = &mut self.counts {
            self.outbox.extend(counts.report(REPORT, now));
        }
    }

    fn sync(&mut self, _: &Call) -> Result<(), Refusal> {
        self.workers.sync()
    }

    /// Who holds a file or a directory of a worker that is gone is told so, whatever it asks.
    fn gone(&self, key: Key) -> Option<Refusal> {
        (key != 0 && key & SHARD == 0 && self.workers.get(key).is_none()).then(gone)
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        if id == REPORT {
            return self.counts.iter_mut().for_each(|counts| counts.reported(answer.is_ok(), now));
        }
        let Ok(list) = answer else {
            self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS);
            return;
        };
        if id == STATE {
            let phase = Phase::shown(&String::from_utf8_lossy(&list));
            self.takes_telemetry = phase.is_none_or(Phase::allows_telemetry);
            return;
        }
        for line in String::from_utf8_lossy(&list).lines() {
            let added = json::from_str(line)
                .map_err(|error| Refusal::new(Word::Invalid, error.to_string()))
                .and_then(|add: Add| self.add(&add));
            if let Err(refusal) = added {
                self.outbox.push(Request::log(format!("worker cannot restore {line}: {refusal}")));
            }
        }
        if let Err(refusal) = self.workers.forget_others() {
            self.outbox.push(Request::log(format!("worker cannot forget cursors: {refusal}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ninep::srv::Verdict;

    const CONFIG: Config = Config {
        ring_bytes: 4096,
        record_bytes: 64,
        budget_bytes: 8192,
        shard_bits: 8,
        alias: true,
        part: 0,
        parts: 1,
        frames: false,
    };

    #[test]
    fn telemetry_is_taken_as_the_lifecycle_allows() {
        let mut fs = tree(CONFIG, Cursors::new(), None).state;
        let who = ninep::srv::Who::from_uname("server:queen", 0);
        let mut call = Call { key: 0, who: &who, now: Now::default(), token: Default::default() };
        command(&mut fs, &call, r#"{"add":{"id":"worker-1","role":"worker-heartbeat"}}"#);
        call.key = fs.workers.find("worker-1").unwrap();
        assert!(Phase::shown("state=BOOTING\n").is_some_and(|phase| !phase.allows_telemetry()));
        assert!(Phase::shown("state=WHAT\n").is_none() && Phase::shown("ONLINE").is_none());
        for (phase, takes) in [
            ("QUIESCED", false),
            ("DRAINING", true),
            ("BOOTING", false),
            ("DEGRADED", true),
            ("OFFLINE", false),
            ("ONLINE", true),
        ] {
            let line = format!("{{\"phase\":\"{phase}\"}}");
            assert_eq!(command(&mut fs, &call, &line), Verdict::Ack("OK PHASE".into()));
            let said = append(&mut fs, &call, b"x").map_err(|refusal| refusal.word);
            assert_eq!(said, if takes { Ok(()) } else { Err(Word::Busy) }, "{phase}");
        }
    }

    #[test]
    fn a_command_of_another_shape_changes_nothing() {
        let mut fs = tree(CONFIG, Cursors::new(), None).state;
        let who = ninep::srv::Who::from_uname("server:queen", 0);
        let call = Call { key: 0, who: &who, now: Now::default(), token: Default::default() };
        for line in [
            r#"{"add":["worker-1","worker-heartbeat",5]}"#,
            r#"{"add":{"id":"worker-1","role":"worker-heartbeat","ticks":null}}"#,
            r#"{"add":{"id":"worker-1","id":"worker-1","role":"worker-heartbeat"}}"#,
            r#"{"add":{"id":"worker-1","role":"worker-heartbeat","ticks":99999999999999999999}}"#,
            r#"["drop",{"id":"worker-1"}]"#,
        ] {
            let verdict = command(&mut fs, &call, line);
            assert!(
                matches!(&verdict, Verdict::Refuse { refusal, .. } if refusal.word == Word::Invalid),
                "{line}: {verdict:?}"
            );
            assert_eq!(fs.workers.iter().count(), 0);
        }
    }
}
