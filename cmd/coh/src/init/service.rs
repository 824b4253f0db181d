//! What happens when: init as the loop drives it.

use super::{ANSWER_MS, ASK_MS, ASKED, Init, LIFECYCLE, Phase, State, journal};
use crate::program;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Now, Request, Service};
use rustix::process::Signal;

impl Service for Init {
    fn start(&mut self, now: Now) {
        for i in 0..self.plan.servers.len() {
            if self.failure.is_none() {
                self.launch(i, now);
            }
        }
    }

    fn tick(&mut self, now: Now) {
        for i in 0..self.kept.len() {
            if matches!(self.kept[i].state, State::Waiting { at_ms } if at_ms <= now.mono_ms) {
                self.launch(i, now);
            }
            self.ask(i, now);
            let kept = &mut self.kept[i];
            if kept.is_degraded && !kept.restarts.is_degraded(now.mono_ms) {
                kept.is_degraded = false;
                let line = format!("recovered server={}", kept.name);
                self.note(&line);
            }
        }
        self.ask_readers(now);
        self.ask_queen(now);
        for worker in self.workers.values_mut() {
            if worker.kill_ms.is_some_and(|at| at <= now.mono_ms) {
                worker.kill_ms = Some(u64::MAX);
                program::signal(worker.pid, Signal::KILL);
            }
        }
        self.pools.tick(now);
        match self.phase {
            Phase::Closing { kill_ms } if kill_ms <= now.mono_ms => {
                self.wave.iter().for_each(|pid| program::signal(*pid, Signal::KILL));
                self.phase = Phase::Closing { kill_ms: u64::MAX };
            }
            Phase::Door { .. } if now.mono_ms >= self.started.mono_ms + 2 * ANSWER_MS => {
                self.fail(format!("{} does not let its queen in", self.plan.door), now);
            }
            _ => {}
        }
    }

    fn deadline_ms(&self) -> Option<u64> {
        let kept = self.kept.iter().flat_map(|kept| {
            let at = match kept.state {
                State::Waiting { at_ms } => Some(at_ms),
                State::Starting { since_ms, ask_ms, .. } => {
                    Some(ask_ms.map_or(since_ms + ANSWER_MS, |at| at.min(since_ms + ANSWER_MS)))
                }
                State::Absent | State::Up { .. } => None,
            };
            let recovers = kept.restarts.recovers_ms().filter(|_| kept.is_degraded);
            [at, recovers].into_iter().flatten()
        });
        let phase = match self.phase {
            Phase::Closing { kill_ms } => Some(kill_ms),
            Phase::Journal { since_ms } => self.readers_ms(since_ms),
            Phase::Queen { since_ms, ask_ms } => Some(ask_ms.unwrap_or(u64::MAX).min(since_ms + ANSWER_MS)),
            Phase::Door { ask_ms } => Some(ask_ms.min(self.started.mono_ms + 2 * ANSWER_MS)),
            _ => None,
        };
        let workers = self.workers.values().filter_map(|worker| worker.kill_ms);
        kept.chain(phase).chain(workers).chain(self.pools.deadline_ms()).filter(|at| *at != u64::MAX).min()
    }

    fn outbox(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        if id == LIFECYCLE {
            let said = answer.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
            let said = said.as_ref().map(|said| said.trim()).map_err(|refusal| refusal.word);
            return self.queen_answered(said, now);
        }
        if let Some(i) = id.checked_sub(journal::READ) {
            return self.reader_answered(i as usize, answer.map(drop), now);
        }
        let Some(i) = id.checked_sub(ASKED).map(|i| i as usize).filter(|i| *i < self.kept.len()) else {
            return;
        };
        match answer {
            Err(refusal) if refusal.word == Word::Busy => {
                if let State::Starting { ask_ms, .. } = &mut self.kept[i].state {
                    *ask_ms = Some(now.mono_ms + ASK_MS);
                }
            }
            // Any other answer is one: it is there and speaks the protocol.
            _ => self.up(i, now),
        }
    }
}
