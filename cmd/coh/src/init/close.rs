//! The end of a hive, in order.

use super::{GRACE_MS, Init, Kept, Phase, State};
use crate::program;
use ninep::srv::{Now, Service as _};
use rustix::process::Signal;
use std::collections::BTreeSet;

impl Init {
    /// Ends everything: the mount, the workers, the servers in reverse. Asked again, it hurries.
    pub(crate) fn close(&mut self, why: &str, now: Now) {
        match self.phase {
            Phase::Closed => {}
            Phase::Closing { .. } => {
                self.phase = Phase::Closing { kill_ms: now.mono_ms };
                self.tick(now);
            }
            _ => {
                self.note(&format!("closing reason={why:?}"));
                let servers = self.plan.servers.len();
                let pids =
                    |kept: &[Kept]| kept.iter().filter_map(|kept| kept.state.pid()).collect::<Vec<_>>();
                self.waves.push_back(pids(&self.kept[servers..]));
                let workers = self.workers.values().map(|worker| worker.pid);
                let workers: BTreeSet<i32> = workers.chain(self.pools.pids()).collect();
                self.waves.push_back(workers.into_iter().collect());
                self.waves
                    .extend(self.kept[..servers].iter().rev().map(|kept| Vec::from_iter(kept.state.pid())));
                for kept in &mut self.kept {
                    if matches!(kept.state, State::Waiting { .. }) {
                        kept.state = State::Absent;
                    }
                }
                self.phase = Phase::Closing { kill_ms: u64::MAX };
                self.next_wave(now);
            }
        }
    }

    pub(super) fn next_wave(&mut self, now: Now) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        while self.wave.is_empty() {
            let Some(wave) = self.waves.pop_front() else {
                self.phase = Phase::Closed;
                return;
            };
            self.wave = wave.into_iter().filter(|pid| self.is_child(*pid)).collect();
            self.wave.iter().for_each(|pid| program::signal(*pid, Signal::TERM));
            self.phase = Phase::Closing { kill_ms: now.mono_ms + GRACE_MS };
        }
    }

    fn is_child(&self, pid: i32) -> bool {
        self.kept.iter().any(|kept| kept.state.pid() == Some(pid))
            || self.workers.values().any(|worker| worker.pid == pid)
            || self.pools.has(pid)
    }
}
