//! When a process that has ended is started again (manifest(5), restart).

use heapless::Deque;

use crate::topology::Restart;

/// Ends that are remembered.
const REMEMBERED: usize = 32;

/// What a process has been through lately.
#[derive(Debug, Clone, Default)]
pub struct Restarts {
    ends_ms: Deque<u64, REMEMBERED>,
    /// How often it has been started again.
    pub count: u64,
}

impl Restarts {
    /// It has ended; when it is to be started again, or None: it has ended too often.
    pub fn ended(&mut self, bounds: &Restart, now_ms: u64) -> Option<u64> {
        while self.ends_ms.front().is_some_and(|at| now_ms - at.min(&now_ms) > bounds.window_ms) {
            self.ends_ms.pop_front();
        }
        if self.ends_ms.is_full() {
            self.ends_ms.pop_front();
        }
        let _ = self.ends_ms.push_back(now_ms);
        let ends = self.ends_ms.len() as u64;
        if ends > bounds.deaths.min(REMEMBERED as u64 - 1) {
            return None;
        }
        self.count += 1;
        let doubled = bounds.backoff_ms.saturating_mul(1 << (ends - 1).min(20));
        Some(now_ms.saturating_add(doubled.min(bounds.backoff_max_ms)))
    }

    /// Ends within the window.
    #[must_use]
    pub fn recent(&self) -> u64 {
        self.ends_ms.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Restart = Restart { backoff_ms: 100, backoff_max_ms: 300, deaths: 4, window_ms: 60_000 };

    #[test]
    fn waits_double_up_to_their_bound_and_then_it_stays_down() {
        let mut restarts = Restarts::default();
        let waits = [0, 1, 2, 3].map(|now| restarts.ended(&BOUNDS, now).map(|at| at - now));
        assert_eq!(waits, [Some(100), Some(200), Some(300), Some(300)]);
        assert_eq!(restarts.ended(&BOUNDS, 4), None);
        assert_eq!(restarts.count, 4);
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut restarts = Restarts::default();
        for n in 0..20 {
            assert_eq!(restarts.ended(&BOUNDS, n * 60_001), Some(n * 60_001 + 100));
        }
        assert_eq!((restarts.recent(), restarts.count), (1, 20));
    }
}
