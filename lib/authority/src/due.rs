//! What time calls for: the queen's own commands, each to be recorded and applied like any other.

use crate::command::Command;
use crate::state::State;
use crate::system::{Ended, System, Transition};
use crate::workers::End;
use alloc::vec::Vec;

/// So many at once; the rest is still due afterwards.
const BATCH: usize = 256;

impl State {
    /// What is to happen by now. To be asked again until it is empty: one thing leads to another.
    pub fn due(&self, now_ms: u64) -> Vec<Command> {
        if self.boot.is_empty() {
            return Vec::new();
        }
        let now_ms = now_ms.max(self.now_ms);
        let mut due = Vec::new();
        if let Some((to, reason)) = self.lifecycle.automatic(&self.config.automatic, now_ms) {
            due.push(System::Transition(Transition { to, reason }));
        }
        // Leases before their workers, whose ends would release them.
        let leases = self.leases.active.values().filter(|lease| lease.expires_ms <= now_ms);
        due.extend(leases.map(|lease| System::Expire(lease.id.clone())));
        let workers = self.workers.alive.values().filter(|worker| worker.until_ms <= now_ms);
        due.extend(workers.map(|w| System::End(Ended { worker: w.id.clone(), why: End::Ttl })));
        let windows = self.exports.windows().filter(|window| window.until_ms <= now_ms);
        due.extend(windows.map(|window| System::Shut(window.id.clone())));
        due.extend(self.schedule.late(now_ms).map(|job| System::Lapse(job.wish.id.clone())));
        // What ends makes room: jobs start when all else is done.
        if due.is_empty()
            && self.lifecycle.phase.allows_work()
            && let Some(job) =
                self.schedule.startable(&self.leases, &self.config.lease, &self.settings, now_ms)
        {
            due.push(System::Start(job.wish.id.clone()));
        }
        due.truncate(BATCH);
        due.into_iter().map(Command::system).collect()
    }

    /// When [`State::due`] has something next, if nothing else happens before.
    pub fn next_due_ms(&self) -> Option<u64> {
        if self.boot.is_empty() {
            return None;
        }
        let workers = self.workers.alive.values().map(|worker| worker.until_ms).min();
        let leases = self.leases.active.values().map(|lease| lease.expires_ms).min();
        let windows = self.exports.windows().map(|window| window.until_ms).min();
        let jobs = self.schedule.next_ms(self.now_ms);
        let boot = self.lifecycle.next_ms(&self.config.automatic);
        [workers, leases, windows, jobs, boot].into_iter().flatten().min()
    }
}
