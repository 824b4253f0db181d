//! When a program that died is started again (spec 13.1). Pure: deaths and times in, times out.

use std::collections::VecDeque;

/// A program that lived for this long has earned the first wait again.
const STEADY_MS: u64 = 60_000;

/// One program's deaths.
#[derive(Debug, Clone)]
pub(crate) struct Restarts {
    policy: manifest::Restart,
    next_wait_ms: u64,
    started_ms: u64,
    /// Times of the deaths in the window, oldest first.
    deaths: VecDeque<u64>,
    /// All starts but the first.
    pub(crate) count: u64,
}

/// Why a program died, as far as the wait is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// By itself, or by somebody's signal.
    Crash,
    /// By `coh kill`: a drill, which does not make the wait longer.
    Drill,
}

impl Restarts {
    pub(crate) fn new(policy: &manifest::Restart) -> Self {
        Restarts {
            policy: policy.clone(),
            next_wait_ms: policy.backoff_ms,
            started_ms: 0,
            deaths: VecDeque::new(),
            count: 0,
        }
    }

    /// It runs.
    pub(crate) fn started(&mut self, now_ms: u64) {
        self.started_ms = now_ms;
    }

    /// It died; returns when to start it again.
    pub(crate) fn died(&mut self, death: Death, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(self.started_ms) >= STEADY_MS {
            self.next_wait_ms = self.policy.backoff_ms;
        }
        self.forget(now_ms);
        self.deaths.push_back(now_ms);
        self.count += 1;
        if death == Death::Drill {
            return now_ms + self.policy.backoff_ms;
        }
        let wait = self.next_wait_ms;
        self.next_wait_ms = (wait * 2).min(self.policy.backoff_max_ms);
        now_ms + wait
    }

    /// Deaths within the window.
    pub(crate) fn recent(&mut self, now_ms: u64) -> usize {
        self.forget(now_ms);
        self.deaths.len()
    }

    /// Has it died so often that the hive is degraded?
    pub(crate) fn is_degraded(&mut self, now_ms: u64) -> bool {
        self.recent(now_ms) >= self.policy.deaths as usize
    }

    /// When it is not degraded any more, if it does not die again.
    pub(crate) fn recovers_ms(&self) -> Option<u64> {
        let excess = self.deaths.len().checked_sub(self.policy.deaths as usize)?;
        Some(self.deaths[excess] + self.window_ms())
    }

    fn window_ms(&self) -> u64 {
        u64::from(self.policy.window_s) * 1000
    }

    fn forget(&mut self, now_ms: u64) {
        let window = self.window_ms();
        while self.deaths.front().is_some_and(|at| at + window <= now_ms) {
            self.deaths.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> manifest::Restart {
        manifest::Restart { backoff_ms: 100, backoff_max_ms: 10_000, deaths: 5, window_s: 60 }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut restarts = Restarts::new(&policy());
        let (mut now, mut waits) = (1000, Vec::new());
        for _ in 0..9 {
            restarts.started(now);
            let at = restarts.died(Death::Crash, now);
            waits.push(at - now);
            now = at;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_minute_of_life_earns_the_first_wait_again() {
        let mut restarts = Restarts::new(&policy());
        restarts.started(0);
        assert_eq!(restarts.died(Death::Crash, 10), 110);
        restarts.started(110);
        assert_eq!(restarts.died(Death::Crash, 120), 320);
        restarts.started(320);
        assert_eq!(restarts.died(Death::Crash, 60_320), 60_420);
    }

    #[test]
    fn five_deaths_in_a_minute_degrade_until_the_first_is_a_minute_ago() {
        let mut restarts = Restarts::new(&policy());
        for i in 0..5 {
            assert!(!restarts.is_degraded(i * 1000));
            assert_eq!(restarts.recovers_ms(), None);
            restarts.died(Death::Drill, i * 1000);
        }
        assert!(restarts.is_degraded(4000));
        assert_eq!(restarts.recovers_ms(), Some(60_000));
        assert!(restarts.is_degraded(59_999));
        assert!(!restarts.is_degraded(60_000));
    }

    #[test]
    fn drills_do_not_lengthen_the_wait() {
        let mut restarts = Restarts::new(&policy());
        for i in 0..100 {
            restarts.started(i * 300);
            assert_eq!(restarts.died(Death::Drill, i * 300), i * 300 + 100);
        }
        assert_eq!(restarts.died(Death::Crash, 30_000), 30_100);
    }

    proptest! {
        /// Whatever happens: never before the first wait, never after the longest, and degraded
        /// exactly when a plain count says so.
        #[test]
        fn waits_stay_within_bounds(steps in prop::collection::vec((0u64..90_000, any::<bool>()), 1..200)) {
            let mut restarts = Restarts::new(&policy());
            let (mut now, mut all) = (0u64, Vec::new());
            for (pause, drill) in steps {
                restarts.started(now);
                now += pause;
                let death = if drill { Death::Drill } else { Death::Crash };
                let at = restarts.died(death, now);
                all.push(now);
                prop_assert!((now + 100..=now + 10_000).contains(&at));
                if drill || pause >= STEADY_MS {
                    prop_assert_eq!(at, now + 100);
                }
                let plain = all.iter().filter(|t| **t + 60_000 > now).count();
                prop_assert_eq!(restarts.recent(now), plain);
                prop_assert_eq!(restarts.is_degraded(now), plain >= 5);
                prop_assert_eq!(restarts.recovers_ms().is_some(), plain >= 5);
                now = at;
            }
        }
    }
}
