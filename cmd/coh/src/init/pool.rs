//! Pools: processes that run many workers each, told of them line by line on their standard input.

use crate::program::{Process, Program};
use ninep::refusal::{Refusal, Word};
use ninep::srv::Now;
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// Between two attempts at a pool that takes no line.
const RETRY_MS: u64 = 50;

/// One process a program.
#[derive(Default)]
pub(super) struct Pools {
    of: BTreeMap<String, Pool>,
}

struct Pool {
    process: Process,
    /// Workers that it is yet to be told to end; they are no longer init's, so there are never more than
    /// there were workers.
    stops: VecDeque<String>,
    retry_ms: Option<u64>,
}

impl Pools {
    /// Hands a worker's configuration to its program's pool, which is started if need be; says its pid.
    pub(super) fn start(&mut self, name: &str, program: &Program, config: &str) -> Result<i32, Refusal> {
        let pool = match self.of.get_mut(name) {
            Some(pool) => pool,
            None => {
                let process = program.start(None).map_err(|trouble| Refusal::new(Word::Busy, trouble.0))?;
                let pool = Pool { process, stops: VecDeque::new(), retry_ms: None };
                self.of.entry(name.into()).or_insert(pool)
            }
        };
        pool.process.say(&format!("{{\"start\":{config}}}")).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Refusal::new(Word::TooBig, "the worker's configuration"),
            _ => Refusal::new(Word::Busy, format!("{name} --pool takes no worker: {error}")),
        })?;
        Ok(pool.process.pid)
    }

    /// Has a worker ended, now or when the pool takes lines again.
    pub(super) fn stop(&mut self, name: &str, worker: &str, now: Now) {
        if let Some(pool) = self.of.get_mut(name) {
            pool.stops.push_back(worker.into());
            pool.flush(now);
        }
    }

    /// The processes, those that wait for workers too.
    pub(super) fn pids(&self) -> impl Iterator<Item = i32> {
        self.of.values().map(|pool| pool.process.pid)
    }

    /// Is this one of the processes?
    pub(super) fn has(&self, pid: i32) -> bool {
        self.of.values().any(|pool| pool.process.pid == pid)
    }

    /// A child has ended. The next worker of its program starts another.
    pub(super) fn reaped(&mut self, pid: i32) {
        self.of.retain(|_, pool| pool.process.pid != pid);
    }

    pub(super) fn tick(&mut self, now: Now) {
        for pool in self.of.values_mut() {
            if pool.retry_ms.is_some_and(|at| at <= now.mono_ms) {
                pool.flush(now);
            }
        }
    }

    pub(super) fn deadline_ms(&self) -> impl Iterator<Item = u64> {
        self.of.values().filter_map(|pool| pool.retry_ms)
    }
}

impl Pool {
    fn flush(&mut self, now: Now) {
        self.retry_ms = None;
        while let Some(worker) = self.stops.front() {
            match self.process.say(&format!("{{\"stop\":{{\"worker\":{worker:?}}}}}")) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_ms = Some(now.mono_ms + RETRY_MS);
                    return;
                }
                // A pool that is gone has ended its workers itself.
                _ => drop(self.stops.pop_front()),
            }
        }
    }
}
