//! Threads for operations, so that one that waits keeps none of the others waiting.

use crate::hive::DEADLINE;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

/// Operations under way at once; more wait their turn.
const THREADS_MAX: usize = 256;
/// A thread with nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
}

/// A pool that grows and shrinks.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    shared: Arc<(Mutex<Queue>, Condvar)>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` on a thread of the pool. It is told when it must have ended; the time in the queue counts.
    pub(crate) fn run(&self, job: impl FnOnce(Instant) + Send + 'static) {
        let until = Instant::now() + DEADLINE;
        let mut queue = self.lock();
        queue.jobs.push_back(Box::new(move || job(until)));
        if queue.idle < queue.jobs.len() && queue.threads < THREADS_MAX {
            let pool = self.clone();
            let spawned = std::thread::Builder::new().stack_size(256 << 10).spawn(move || pool.work());
            // Without a thread more, those that are there get to it.
            queue.threads += usize::from(spawned.is_ok());
        }
        drop(queue);
        self.shared.1.notify_one();
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.lock();
                continue;
            }
            queue.idle += 1;
            let (next, waited) =
                self.shared.1.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = next;
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}
