//! workerfs: each worker's telemetry, under `/worker/<id>` and `/shard/<hh>/worker/<id>`.
//! Guarantees: a record acknowledged is readable until the ring laps it or the worker is gone; all
//! rings together stay within the manifest's budget. Forgets a worker when the queen says so.
#![forbid(unsafe_code)]

mod workers;

use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, Key, Now, Op, Request, Service, Tree, Verdict};
use ring::Stream;
use serde::Deserialize;
pub use workers::{Config, Workers};

/// Worker keys are their numbers here; a shard directory's key is its label, apart from those.
const SHARD: Key = 1 << 39;

/// The tree:
///
/// ```text
/// <id>/                      telemetry  append-only: one record a write
///                            status     one line
/// [shard]/<hh>/worker/<id>/  the same directories, by shard
/// [ctl]/{ctl,left}           add, drop and phase, from the queen only; ticks that are left
/// ```
pub fn tree(config: Config) -> Tree<Fs> {
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
        |fs: &Fs, _, f| fs.workers.iter().for_each(|(key, worker)| f(&worker.id, key)),
        |fs: &Fs, _, name| fs.workers.find(name),
        worker_dir(),
    );
    let workers = Workers::new(config);
    Tree::new(Fs { workers, takes_telemetry: true, outbox: Vec::new(), ask_ms: None }, main)
        .root("shard", shards)
        .internal("ctl", Dir::new().orders("ctl", 0o600, ctl_line, command).text("left", left))
}

fn worker_dir() -> Dir<Fs> {
    Dir::new()
        .append_with("telemetry", 0o622, telemetry, append)
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

fn append(fs: &mut Fs, call: &Call, record: &[u8]) -> Result<(), Refusal> {
    if !fs.takes_telemetry {
        return Err(Refusal::new(Word::Busy, "the hive's state takes no telemetry; see /proc/lifecycle"));
    }
    if let Some(id) = fs.workers.append(call.key, record)? {
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
    /// Whether the lifecycle allows telemetry; the queen says so when she begins, and at every change.
    takes_telemetry: bool,
    outbox: Vec<Request>,
    ask_ms: Option<u64>,
}

/// The request for the queen's list of workers, and how long to wait between tries.
const LIST: u64 = 1;
const ASK_AGAIN_MS: u64 = 100;

impl Service for Fs {
    fn start(&mut self, now: Now) {
        self.ask_ms = Some(now.mono_ms);
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.ask_ms
    }

    fn tick(&mut self, _: Now) {
        if self.ask_ms.take().is_some() {
            let path = "workers".into();
            self.outbox.push(Request { id: LIST, server: "queen", root: "in", path, op: Op::Read });
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, _: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        let Ok(list) = answer else {
            self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS);
            return;
        };
        for line in String::from_utf8_lossy(&list).lines() {
            let added = json::from_str(line)
                .map_err(|error| Refusal::new(Word::Invalid, error.to_string()))
                .and_then(|add: Add| self.add(&add));
            if let Err(refusal) = added {
                self.outbox.push(Request::log(format!("worker cannot restore {line}: {refusal}")));
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Add(Add),
    Drop(Drop),
    /// The hive's lifecycle has another state.
    Phase(Phase),
}

/// The states of the lifecycle.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Phase {
    Booting,
    Degraded,
    Online,
    Draining,
    Quiesced,
    Offline,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    id: String,
    role: String,
    #[serde(default)]
    ticks: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    id: String,
}

impl Fs {
    fn add(&mut self, add: &Add) -> Result<(), Refusal> {
        self.workers.add(&add.id, &add.role, add.ticks)
    }
}

fn command(fs: &mut Fs, _: &Call, line: &str) -> Verdict {
    let (verb, done) = match json::from_str(line) {
        Err(error) => ("CTL", Err(Refusal::new(Word::Invalid, error.to_string()))),
        Ok(Command::Add(add)) => ("ADD", fs.add(&add)),
        Ok(Command::Drop(drop)) => ("DROP", fs.workers.drop(&drop.id)),
        Ok(Command::Phase(phase)) => {
            let takes = matches!(phase, Phase::Online | Phase::Degraded | Phase::Draining);
            fs.takes_telemetry = takes;
            ("PHASE", Ok(()))
        }
    };
    match done {
        Ok(()) => Verdict::Ack(format!("OK {verb}")),
        Err(refusal) => Verdict::Refuse { verb: verb.into(), refusal },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_taken_as_the_lifecycle_allows() {
        let config = Config { ring_bytes: 4096, record_bytes: 64, budget_bytes: 8192, shard_bits: 8 };
        let mut fs = tree(config).state;
        let who = ninep::srv::Who::from_uname("server:queen", 0);
        let mut call = Call { key: 0, who: &who, now: Now::default(), token: Default::default() };
        command(&mut fs, &call, r#"{"add":{"id":"worker-1","role":"worker-heartbeat"}}"#);
        call.key = fs.workers.find("worker-1").unwrap();
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
        let config = Config { ring_bytes: 4096, record_bytes: 64, budget_bytes: 8192, shard_bits: 8 };
        let mut fs = tree(config).state;
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
