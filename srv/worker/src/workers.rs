//! The workers and their rings. Has never heard of 9P, but for the words of its refusals.

use ninep::refusal::{Refusal, Word};
use ninep::srv::Key;
use ring::{Ring, Stream};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

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
}

impl Config {
    /// The manifest's.
    pub fn from_manifest(telemetry: &manifest::Telemetry) -> Config {
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Config {
            ring_bytes: size(telemetry.ring_bytes),
            record_bytes: telemetry.record_bytes as usize,
            budget_bytes: size(telemetry.budget_bytes),
            shard_bits: telemetry.shard_bits,
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

/// All workers, by a key that is never used again.
#[derive(Debug)]
pub struct Workers {
    config: Config,
    workers: BTreeMap<Key, Worker>,
    keys: HashMap<String, Key>,
    shards: BTreeSet<u8>,
    next: Key,
}

impl Workers {
    /// None yet.
    pub fn new(config: Config) -> Workers {
        Workers { config, workers: BTreeMap::new(), keys: HashMap::new(), shards: BTreeSet::new(), next: 1 }
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
        let shard = ns::ShardLabel::parse(&ns::shard_label(id, self.config.shard_bits)).unwrap_or(0);
        let ring = Ring::new(self.config.ring_bytes);
        let worker = Worker { id: id.into(), role: role.into(), shard, ticks_left: ticks, ring };
        self.workers.insert(self.next, worker);
        self.keys.insert(id.into(), self.next);
        self.shards.insert(shard);
        self.next += 1;
        Ok(())
    }

    /// Ends a worker's directory.
    pub fn drop(&mut self, id: &str) -> Result<(), Refusal> {
        let key = self.keys.remove(id).ok_or_else(|| Refusal::new(Word::NotFound, format!("id={id}")))?;
        if let Some(worker) = self.workers.remove(&key)
            && !self.workers.values().any(|other| other.shard == worker.shard)
        {
            self.shards.remove(&worker.shard);
        }
        Ok(())
    }

    /// Appends a record. Where it was the worker's last, says whose it was.
    pub fn append(&mut self, key: Key, record: &[u8]) -> Result<Option<&str>, Refusal> {
        if record.len() > self.config.record_bytes {
            let detail = format!("{} bytes; records have at most {}", record.len(), self.config.record_bytes);
            return Err(Refusal::new(Word::TooBig, detail));
        }
        let worker =
            self.workers.get_mut(&key).ok_or_else(|| Refusal::new(Word::Revoked, "the worker is gone"))?;
        if worker.ticks_left == Some(0) {
            return Err(Refusal::new(Word::Quota, "the worker's ticks are spent"));
        }
        worker.ring.append(record).map_err(|_| Refusal::new(Word::TooBig, "larger than the ring"))?;
        if let Some(left) = &mut worker.ticks_left {
            *left -= 1;
        }
        Ok((worker.ticks_left == Some(0)).then_some(&worker.id))
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
        self.shards.iter().copied()
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

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config { ring_bytes: 4096, record_bytes: 64, budget_bytes: 8192, shard_bits: 8 };

    #[test]
    fn the_last_tick_is_taken_and_the_next_refused() {
        let mut workers = Workers::new(CONFIG);
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
        let mut workers = Workers::new(CONFIG);
        workers.add("a", "r", None).unwrap();
        workers.add("b", "r", None).unwrap();
        assert_eq!(workers.add("c", "r", None).unwrap_err().word, Word::Quota);
        workers.drop("a").unwrap();
        assert_eq!(workers.add("c", "r", None), Ok(()));
    }

    #[test]
    fn a_dropped_worker_is_gone_for_those_who_hold_it() {
        let mut workers = Workers::new(CONFIG);
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        workers.drop("a").unwrap();
        workers.add("a", "r", None).unwrap();
        assert_eq!(workers.append(key, b"x").unwrap_err().word, Word::Revoked);
        assert_eq!(workers.drop("b").unwrap_err().word, Word::NotFound);
    }

    #[test]
    fn a_record_beyond_the_bound_is_too_big() {
        let mut workers = Workers::new(CONFIG);
        workers.add("a", "r", None).unwrap();
        let key = workers.find("a").unwrap();
        assert_eq!(workers.append(key, &[0; 65]).unwrap_err().word, Word::TooBig);
    }
}
