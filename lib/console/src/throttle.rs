//! Back-off for those who fail to get in: three failures within a minute lock a peer out, and longer each
//! time (spec 10.1). The caller says what time it is, and who.

use heapless::Vec;

/// Failures that lock.
pub const FAILURES: usize = 3;
/// Within which time.
pub const WITHIN_MS: u64 = 60_000;
/// The first lock.
pub const LOCK_MS: u64 = 90_000;
/// The longest.
pub const LOCK_MAX_MS: u64 = 3_600_000;
/// Quiet after a lock for which the next one is again as long as the first.
const FORGET_MS: u64 = 2 * LOCK_MAX_MS;

/// What is known of one peer's failures.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    failed_ms: Vec<u64, FAILURES>,
    locked_until_ms: u64,
    lock_ms: u64,
}

impl Throttle {
    /// Nothing is held against the peer.
    pub const fn new() -> Throttle {
        Throttle { failed_ms: Vec::new(), locked_until_ms: 0, lock_ms: 0 }
    }

    /// Until when the peer is locked out, if it is.
    pub fn locked_until(&self, now_ms: u64) -> Option<u64> {
        (now_ms < self.locked_until_ms).then_some(self.locked_until_ms)
    }

    /// Counts a failure; for how long it locks, if it does. Attempts during a lock are not to be counted.
    pub fn fail(&mut self, now_ms: u64) -> Option<u64> {
        self.failed_ms.retain(|at| now_ms.saturating_sub(*at) < WITHIN_MS);
        if self.failed_ms.len() + 1 < FAILURES {
            // There is room for one less than lock.
            let _ = self.failed_ms.push(now_ms);
            return None;
        }
        self.failed_ms.clear();
        let is_repeat = self.lock_ms > 0 && now_ms.saturating_sub(self.locked_until_ms) < FORGET_MS;
        self.lock_ms = if is_repeat { (self.lock_ms * 2).min(LOCK_MAX_MS) } else { LOCK_MS };
        self.locked_until_ms = now_ms.saturating_add(self.lock_ms);
        Some(self.lock_ms)
    }

    /// May this be forgotten, so that another peer's takes its place?
    pub fn is_idle(&self, now_ms: u64) -> bool {
        let is_old = self.failed_ms.iter().all(|at| now_ms.saturating_sub(*at) >= WITHIN_MS);
        is_old && (self.lock_ms == 0 || now_ms.saturating_sub(self.locked_until_ms) >= FORGET_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_failure_within_a_minute_locks() {
        let mut throttle = Throttle::new();
        assert_eq!(throttle.fail(1000), None);
        assert_eq!(throttle.fail(30_000), None);
        assert_eq!(throttle.fail(60_999), Some(LOCK_MS));
        assert_eq!(throttle.locked_until(60_999), Some(150_999));
        assert_eq!(throttle.locked_until(150_998), Some(150_999));
        assert_eq!(throttle.locked_until(150_999), None);
    }

    #[test]
    fn failures_further_apart_do_not_lock() {
        let mut throttle = Throttle::new();
        for i in 0..100 {
            assert_eq!(throttle.fail(i * 30_001), None, "{i}");
        }
    }

    #[test]
    fn each_lock_is_twice_the_last_up_to_an_hour() {
        let mut throttle = Throttle::new();
        let mut now = 0;
        let mut next = || {
            let lock = (0..3).find_map(|_| throttle.fail(now)).unwrap();
            now += lock;
            lock / 1000
        };
        assert_eq!([next(), next(), next(), next(), next(), next()], [90, 180, 360, 720, 1440, 2880]);
        assert_eq!([next(), next()], [3600, 3600]);
    }

    #[test]
    fn a_long_quiet_is_forgiven() {
        let mut throttle = Throttle::new();
        assert_eq!((0..3).find_map(|_| throttle.fail(0)), Some(LOCK_MS));
        assert!(!throttle.is_idle(LOCK_MS));
        let later = LOCK_MS + FORGET_MS;
        assert!(throttle.is_idle(later));
        assert_eq!((0..3).find_map(|_| throttle.fail(later)), Some(LOCK_MS));
    }
}
