//! The workers and their rings. Has never heard of 9P, but for the words of its refusals.

use crate::cursors::Cursors;
use alloc::collections::BTreeMap;
use core::fmt::Write;
use frame::Frame;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Key, Start};
use ring::{Ring, Stream};
use rt::HashMap;
use rt::prelude::*;

/// Sizes, from the manifest's `[telemetry]`.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bytes of one ring.
    pub ring_bytes: usize,
    /// Bytes of one record.
    pub record_bytes: usize,
    /// Bytes of all rings together.
    pub budget_bytes: usize,
    /// Bits of a shard label.
    pub shard_bits: u8,
    /// Whether `<id>` is there beside `[shard]/<hh>/worker/<id>`.
    pub alias: bool,
    /// Which of how many processes this is: it owns as many of the shards.
    pub part: u32,
    /// Processes that the shards are split over.
    pub parts: u32,
    /// Whether a record is a `telemetry-frame/v1`; else it is any bytes.
    pub frames: bool,
}

impl Config {
    /// The manifest's for one of `telemetry.worker_servers` processes: each has its share of the budget.
    pub fn from_manifest(telemetry: &manifest::Telemetry, part: u32) -> Config {
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let parts = telemetry.worker_servers.max(1);
        Config {
            ring_bytes: size(telemetry.ring_bytes),
            record_bytes: telemetry.record_bytes as usize,
            budget_bytes: size(telemetry.budget_bytes / u64::from(parts)),
            shard_bits: telemetry.shard_bits,
            alias: telemetry.worker_alias,
            part,
            parts,
            frames: telemetry.frame_schema == manifest::FrameSchema::Cbor,
        }
    }
}

/// One worker.
#[derive(Debug)]
pub struct Worker {
    /// `worker-3`.
    pub id: String,
    /// `worker-heartbeat`.
    pub role: String,
    /// Its shard's number.
    pub shard: u8,
    /// Records it may still append; None: any number.
    pub ticks_left: Option<u64>,
    ring: Ring,
}

/// Above it a key says which process it is of.
const PART_BIT: u32 = 31;

/// All workers, by a key that is never used again.
#[derive(Debug)]
pub struct Workers {
    config: Config,
    workers: BTreeMap<Key, Worker>,
    keys: HashMap<String, Key>,
    /// Shards that have workers, and how many.
    shards: BTreeMap<u8, usize>,
    /// Memory that rings hold beyond `ring_bytes` each, for records' lengths: of the budget that no ring
    /// may come to need.
    beyond: usize,
    next: Key,
    cursors: Cursors,
}

impl Workers {
    /// None yet.
    pub fn new(config: Config, cursors: Cursors) -> Workers {
        let (workers, keys, shards) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
        // Keys of different processes differ: clients take files for one where their numbers are.
        let next = Key::from(config.part) << PART_BIT | 1;
        Workers { config, workers, keys, shards, beyond: 0, next, cursors }
    }

    /// Is the worker's shard one of this process's?
    pub fn owns(&self, id: &str) -> bool {
        ns::shard_part(self.shard_of(id), self.config.shard_bits, self.config.parts) == self.config.part
    }

    fn shard_of(&self, id: &str) -> u8 {
        ns::ShardLabel::parse(&ns::shard_label(id, self.config.shard_bits)).unwrap_or(0)
    }

    /// A new worker with an empty ring; one that is known stays as it is. Quota where the rings
    /// together could outgrow the budget.
    pub fn add(&mut self, id: &str, role: &str, ticks: Option<u64>) -> Result<(), Refusal> {
        if self.keys.contains_key(id) {
            return Ok(());
        }
        ns::check_name(id).map_err(|why| Refusal::new(Word::Invalid, format!("{id:?}: {why}")))?;
        let rings = (self.workers.len() + 1).saturating_mul(self.config.ring_bytes);
        if rings > self.config.budget_bytes {
            let detail = format!(
                "{} rings of {} bytes are the budget; raise telemetry.budget_bytes",
                self.workers.len(),
                self.config.ring_bytes
            );
            return Err(Refusal::new(Word::Quota, detail));
        }
        if rings + self.beyond > self.config.budget_bytes {
            // A newcomer's ring goes before others' lengths.
            for worker in self.workers.values_mut() {
                worker.ring.trim(self.config.ring_bytes);
            }
            self.beyond = 0;
        }
        let shard = self.shard_of(id);
        if !self.owns(id) {
            let detail = format!("{id} is of shard {}, another process's", ns::ShardLabel::of(shard));
            return Err(Refusal::new(Word::Invalid, detail));
        }
        // Records that consumers have handled are not counted again: a cursor stays where it is.
        let ring = Ring::after(self.config.ring_bytes, self.cursors.furthest(id));
        let worker = Worker { id: id.into(), role: role.into(), shard, ticks_left: ticks, ring };
        self.workers.insert(self.next, worker);
        self.keys.insert(id.into(), self.next);
        *self.shards.entry(shard).or_default() += 1;
        self.next += 1;
        Ok(())
    }

    /// Ends a worker's directory.
    pub fn drop(&mut self, id: &str) -> Result<(), Refusal> {
        let key = self.keys.remove(id).ok_or_else(|| Refusal::new(Word::NotFound, format!("id={id}")))?;
        let worker = self.workers.remove(&key);
        self.beyond -= worker.as_ref().map_or(0, |worker| beyond(&worker.ring, &self.config));
        if let Some(worker) = worker
            && let Some(others) = self.shards.get_mut(&worker.shard)
        {
            *others -= 1;
            if *others == 0 {
                self.shards.remove(&worker.shard);
            }
        }
        self.cursors.forget(id)
    }

    /// Forgets cursors of workers that are not here: they ended while this process was away.
    pub fn forget_others(&mut self) -> Result<(), Refusal> {
        let gone: Vec<String> =
            self.cursors.workers().filter(|id| !self.keys.contains_key(*id)).map(String::from).collect();
        gone.iter().try_for_each(|id| self.cursors.forget(id))
    }

    /// Appends a record. Where it was the worker's last, says whose it was.
    pub fn append(&mut self, key: Key, record: &[u8]) -> Result<Option<&str>, Refusal> {
        if record.len() > self.config.record_bytes {
            let detail = format!("{} bytes; records have at most {}", record.len(), self.config.record_bytes);
            return Err(Refusal::new(Word::TooBig, detail));
        }
        let rings = self.workers.len() * self.config.ring_bytes;
        let worker =
            self.workers.get_mut(&key).ok_or_else(|| Refusal::new(Word::Revoked, "the worker is gone"))?;
        if worker.ticks_left == Some(0) {
            return Err(Refusal::new(Word::Quota, "the worker's ticks are spent"));
        }
        if self.config.frames {
            check_frame(worker, record)?;
        }
        if record.len() > self.config.ring_bytes {
            return Err(Refusal::new(Word::TooBig, "larger than the ring"));
        }
        let before = beyond(&worker.ring, &self.config);
        let spare = self.config.budget_bytes - rings - self.beyond;
        let most = self.config.ring_bytes + before + spare;
        let appended = worker.ring.append_within(record, most);
        self.beyond = self.beyond - before + beyond(&worker.ring, &self.config);
        appended.map_err(|_| Refusal::new(Word::TooBig, "larger than the ring with its length"))?;
        if let Some(left) = &mut worker.ticks_left {
            *left -= 1;
        }
        Ok((worker.ticks_left == Some(0)).then_some(&worker.id))
    }

    /// What a consumer has handled of a worker's records.
    pub fn cursor(&self, key: Key, consumer: &str) -> Option<u64> {
        self.cursors.get(&self.workers.get(&key)?.id, consumer)
    }

    /// A consumer has handled the records up to a sequence. Invalid backwards, and past the newest.
    pub fn handled(&mut self, key: Key, consumer: &str, sequence: u64) -> Result<(), Refusal> {
        let worker =
            self.workers.get(&key).ok_or_else(|| Refusal::new(Word::Revoked, "the worker is gone"))?;
        let newest = worker.ring.records();
        if sequence > newest {
            return Err(Refusal::new(Word::Invalid, format!("{sequence}; the newest record is {newest}")));
        }
        self.cursors.set(&worker.id, consumer, sequence)
    }

    /// Where a consumer's open begins: after what it has handled. The line, where there is one, is for
    /// the log: the ring has passed the cursor, and nobody has said so before.
    pub fn start(&mut self, key: Key, consumer: &str) -> Option<(Start, Option<String>)> {
        let worker = self.workers.get(&key)?;
        let base = worker.ring.base();
        let Some(handled) = self.cursors.get(&worker.id, consumer) else {
            return Some((Start { at: base, passed: None }, None));
        };
        let Ok(at) = worker.ring.offset_of(handled.saturating_add(1)) else {
            let first = worker.ring.first();
            let passed = Refusal::new(Word::Revoked, format!("first={first} is retained"));
            let line = format!(
                "worker cursor passed id={} consumer={consumer} cursor={handled} first={first}",
                worker.id
            );
            let line = self.cursors.tell(&worker.id, consumer).then_some(line);
            return Some((Start { at: base, passed: Some(passed) }, line));
        };
        Some((Start { at, passed: None }, None))
    }

    /// What was said of cursors outlives the machine.
    pub fn sync(&self) -> Result<(), Refusal> {
        self.cursors.sync()
    }

    /// Whether `<id>` is there beside the shard's path.
    pub fn has_alias(&self) -> bool {
        self.config.alias
    }

    /// A worker's ring.
    pub fn ring(&mut self, key: Key) -> Option<&mut Ring> {
        self.workers.get_mut(&key).map(|worker| &mut worker.ring)
    }

    /// A worker.
    pub fn get(&self, key: Key) -> Option<&Worker> {
        self.workers.get(&key)
    }

    /// The key of a worker.
    pub fn find(&self, id: &str) -> Option<Key> {
        self.keys.get(id).copied()
    }

    /// Every worker.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Worker)> {
        self.workers.iter().map(|(key, worker)| (*key, worker))
    }

    /// Shards that have a worker.
    pub fn shards(&self) -> impl Iterator<Item = u8> {
        self.shards.keys().copied()
    }

    /// The line of `status`.
    pub fn status(&self, key: Key, out: &mut String) -> Option<()> {
        let worker = self.workers.get(&key)?;
        let ring = &worker.ring;
        let state = if worker.ticks_left == Some(0) { "spent" } else { "running" };
        let ticks = worker.ticks_left.map_or("unlimited".into(), |left| left.to_string());
        writeln!(
            out,
            "state={state} role={} records={} bytes={} base={} end={} ticks_left={ticks}",
            worker.role,
            ring.records(),
            ring.end() - ring.base(),
            ring.base(),
            ring.end(),
        )
        .ok()
    }
}

/// Memory that a ring holds beyond its bytes.
fn beyond(ring: &Ring, config: &Config) -> usize {
    ring.memory().saturating_sub(config.ring_bytes)
}

/// A record is one frame and nothing else, and it is its worker's.
fn check_frame(worker: &Worker, record: &[u8]) -> Result<(), Refusal> {
    let invalid =
        |what: String| Err(Refusal::new(Word::Invalid, format!("a telemetry-frame/v1 is wanted: {what}")));
    match Frame::decode(record) {
        Err(malformed) => invalid(malformed.to_string()),
        Ok((_, used)) if used != record.len() => {
            invalid(format!("{} bytes after the frame", record.len() - used))
        }
        Ok((frame, _)) if frame.worker_id != worker.id => {
            invalid(format!("its worker_id is not {}", worker.id))
        }
        Ok((frame, _)) if frame.role != worker.role => invalid(format!("its role is not {}", worker.role)),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_last_tick_is_taken_and_the_next_refused() {
        let mut workers = Workers::new(CONFIG, Cursors::new());
        workers.add("worker-1", "worker-heartbeat", Some(2)).unwrap();
        let key = workers.find("worker-1").unwrap();
        assert_eq!(workers.append(key, b"heartbeat 1\n"), Ok(None));
        assert_eq!(workers.append(key, b"heartbeat 2\n"), Ok(Some("worker-1")));
        assert_eq!(workers.append(key, b"heartbeat 3\n").unwrap_err().word, Word::Quota);
        let mut status = String::new();
        workers.status(key, &mut status).unwrap();
        assert_eq!(
            status,
            "state=spent role=worker-heartbeat records=2 bytes=24 base=0 end=24 ticks_left=0\n"
        );
    }

    #[test]
    fn the_budget_bounds_the_rings() {
        let mut workers = Workers::new(CONFIG, Cursors::new());
        workers.add("a", "r", None).unwrap();
        workers.add("b", "r", None).unwrap();
        assert_eq!(workers.add("c", "r", None).unwrap_err().word, Word::Quota);
        workers.drop("a").unwrap();
        assert_eq!(workers.add("c", "r", None), Ok(()));
    }

    #[test]
    fn all_memory_of_the_rings_is_within_the_budget() {
        let config = Config { budget_bytes: 3 * 4096 + 500, ..CONFIG };
        let mut workers = Workers::new(config, Cursors::new());
        let held = |workers: &Workers| workers.iter().map(|(_, worker)| worker.ring.memory()).sum::<usize>();
        for (round, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let added = workers.add(id, "r", None).map_err(|refusal| refusal.word);
            assert_eq!(added, if round < 3 { Ok(()) } else { Err(Word::Quota) });
            assert!(held(&workers) <= config.budget_bytes);
            let keys: Vec<Key> = workers.iter().map(|(key, _)| key).collect();
            for n in 0..12_000 {
                let (key, length) = (keys[n % keys.len()], 1 + n / 3000 % 2 * 40);
                assert_eq!(workers.append(key, &vec![b'x'; length]), Ok(None));
                assert!(held(&workers) <= config.budget_bytes, "{} at {n}", held(&workers));
            }
            let each = workers.iter().map(|(_, worker)| worker.ring.end() - worker.ring.base());
            assert!(each.min() > Some(3400), "each has most of its bytes");
        }
        workers.drop("a").unwrap();
        workers.add("d", "r", None).unwrap();
        assert!(held(&workers) <= config.budget_bytes);
    }

    #[test]
    fn a_dropped_worker_is_gone_for_those_who_hold_it() {
        let mut workers = Workers::new(CONFIG, Cursors::new());
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        workers.drop("a").unwrap();
        workers.add("a", "r", None).unwrap();
        assert_eq!(workers.append(key, b"x").unwrap_err().word, Word::Revoked);
        assert_eq!(workers.drop("b").unwrap_err().word, Word::NotFound);
    }

    #[test]
    fn a_record_beyond_the_bound_is_too_big() {
        let mut workers = Workers::new(CONFIG, Cursors::new());
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        assert_eq!(workers.append(key, &[0; 65]).unwrap_err().word, Word::TooBig);
    }

    #[test]
    fn a_frame_is_its_workers_and_alone() {
        let config = Config { record_bytes: 4096, frames: true, ..CONFIG };
        let mut workers = Workers::new(config, Cursors::new());
        workers.add("a", "worker-gpu", None).unwrap();
        let key = workers.find("a").unwrap();
        let encoded = |worker_id, role| {
            let mut out = Vec::new();
            Frame { worker_id, role, seq: 1, emitted_ms: 7, payload: b"x" }.encode(&mut out);
            out
        };
        let frame = encoded("a", "worker-gpu");
        assert_eq!(workers.append(key, &frame), Ok(None));
        for record in [
            b"heartbeat 1\n".to_vec(),
            [&frame[..], b"\n"].concat(),
            [&frame[..], &frame].concat(),
            frame[1..].to_vec(),
            encoded("b", "worker-gpu"),
            encoded("a", "worker-bus"),
        ] {
            assert_eq!(workers.append(key, &record).unwrap_err().word, Word::Invalid);
        }
        assert_eq!(workers.get(key).unwrap().ring.records(), 1);
    }

    #[test]
    fn a_cursor_that_the_ring_has_passed_is_told_of_once() {
        let mut workers = Workers::new(CONFIG, Cursors::new());
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        assert_eq!(workers.handled(key, "queen", 1).unwrap_err().word, Word::Invalid);
        (0..10).for_each(|_| drop(workers.append(key, &[b'x'; 64])));
        workers.handled(key, "queen", 4).unwrap();
        let start = |workers: &mut Workers| workers.start(key, "queen").unwrap();
        assert_eq!(start(&mut workers), (Start { at: 4 * 64, passed: None }, None));
        // Ten times around.
        (0..640).for_each(|_| drop(workers.append(key, &[b'y'; 64])));
        let (at, line) = start(&mut workers);
        assert_eq!(at.passed, Some(Refusal::new(Word::Revoked, "first=587 is retained")));
        assert_eq!(at.at, workers.ring(key).unwrap().base());
        assert_eq!(line.as_deref(), Some("worker cursor passed id=a consumer=queen cursor=4 first=587"));
        assert_eq!(start(&mut workers), (at, None));
        let other = workers.start(key, "queen:two").unwrap();
        assert_eq!(other.0.passed, None, "another consumer has no cursor to be passed");
    }

    #[test]
    fn sequences_go_on_after_the_furthest_cursor_that_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut workers = Workers::new(CONFIG, Cursors::open(dir.path()).unwrap().0);
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        (0..9).for_each(|_| drop(workers.append(key, b"old")));
        workers.handled(key, "queen", 7).unwrap();
        workers.handled(key, "queen:slow", 2).unwrap();
        drop(workers);
        let mut workers = Workers::new(CONFIG, Cursors::open(dir.path()).unwrap().0);
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        workers.append(key, b"new").unwrap();
        assert_eq!(workers.cursor(key, "queen"), Some(7));
        assert_eq!(workers.start(key, "queen").unwrap().0, Start { at: 0, passed: None });
        let slow = workers.start(key, "queen:slow").unwrap().0;
        assert_eq!(slow.passed, Some(Refusal::new(Word::Revoked, "first=8 is retained")));
        workers.handled(key, "queen", 8).unwrap();
        assert_eq!(workers.start(key, "queen").unwrap().0.at, 3);
    }
}
