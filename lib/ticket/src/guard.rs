//! Who is kept out: revoked tickets, and peers that failed too often.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};

/// Revoked tickets and the reasons, bounded: beyond the bound the oldest is forgotten.
#[derive(Debug, Clone)]
pub struct Revocations {
    reasons: BTreeMap<String, String>,
    order: VecDeque<String>,
    max: usize,
}

impl Revocations {
    /// Room for `max`.
    pub fn new(max: usize) -> Revocations {
        Revocations { reasons: BTreeMap::new(), order: VecDeque::new(), max: max.max(1) }
    }

    /// A ticket is revoked.
    pub fn add(&mut self, id: &str, reason: &str) {
        if self.reasons.contains_key(id) {
            return;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.reasons.remove(&oldest);
        }
        self.reasons.insert(id.to_string(), reason.to_string());
        self.order.push_back(id.to_string());
    }

    /// Why a ticket was revoked; None: it was not.
    pub fn reason(&self, id: &str) -> Option<&str> {
        self.reasons.get(id).map(String::as_str)
    }
}

/// This many failures …
const FAILURES: u32 = 3;
/// … within this time …
const WINDOW_MS: u64 = 60_000;
/// … keep a peer out for this long (spec 3.2).
const LOCK_MS: u64 = 90_000;
/// Peers that are remembered.
const PEERS_MAX: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Peer {
    failures: u32,
    first_ms: u64,
    locked_until_ms: u64,
}

/// Counts failed attaches by peer. Times are monotonic milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    peers: BTreeMap<String, Peer>,
}

impl Throttle {
    /// Nobody has failed yet.
    pub fn new() -> Throttle {
        Throttle::default()
    }

    /// May this peer try? Else the milliseconds to wait.
    pub fn check(&mut self, peer: &str, now_ms: u64) -> Result<(), u64> {
        match self.peers.get(peer) {
            Some(it) if it.locked_until_ms > now_ms => Err(it.locked_until_ms - now_ms),
            _ => Ok(()),
        }
    }

    /// It has tried and failed.
    pub fn fail(&mut self, peer: &str, now_ms: u64) {
        if !self.peers.contains_key(peer) && self.peers.len() >= PEERS_MAX {
            self.forget(now_ms);
        }
        let new = Peer { failures: 0, first_ms: now_ms, locked_until_ms: 0 };
        let it = self.peers.entry(peer.to_string()).or_insert(new);
        if now_ms.saturating_sub(it.first_ms) >= WINDOW_MS {
            *it = new;
        }
        it.failures += 1;
        if it.failures >= FAILURES {
            *it = Peer { failures: 0, first_ms: now_ms, locked_until_ms: now_ms + LOCK_MS };
        }
    }

    /// Makes room: first of those whose time is over, then of the one that failed longest ago; of one that
    /// is kept out only where all are.
    fn forget(&mut self, now_ms: u64) {
        self.peers
            .retain(|_, it| it.locked_until_ms > now_ms || now_ms.saturating_sub(it.first_ms) < WINDOW_MS);
        if self.peers.len() >= PEERS_MAX
            && let Some(oldest) = self
                .peers
                .iter()
                .min_by_key(|(_, it)| (it.locked_until_ms > now_ms, it.first_ms))
                .map(|(peer, _)| peer.clone())
        {
            self.peers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_failure_in_a_minute_locks_for_ninety_seconds() {
        let mut throttle = Throttle::new();
        throttle.fail("a", 0);
        throttle.fail("a", 1000);
        assert_eq!(throttle.check("a", 2000), Ok(()));
        throttle.fail("a", 59_999);
        assert_eq!(throttle.check("a", 60_000), Err(89_999));
        assert_eq!(throttle.check("b", 60_000), Ok(()));
        assert_eq!(throttle.check("a", 149_999), Ok(()));
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let mut throttle = Throttle::new();
        for i in 0..10 {
            throttle.fail("a", i * 60_000);
            assert_eq!(throttle.check("a", i * 60_000), Ok(()));
        }
    }

    #[test]
    fn a_million_peers_take_bounded_room() {
        let mut throttle = Throttle::new();
        for i in 0..20_000u64 {
            throttle.fail(&i.to_string(), 1);
        }
        assert!(throttle.peers.len() <= PEERS_MAX);
    }

    #[test]
    fn a_peer_that_is_kept_out_is_not_forgotten_for_others() {
        let mut throttle = Throttle::new();
        (0..3).for_each(|_| throttle.fail("a", 0));
        for i in 0..20_000u64 {
            throttle.fail(&i.to_string(), 1);
        }
        assert!(throttle.check("a", 2).is_err());
    }

    #[test]
    fn revocations_forget_the_oldest() {
        let mut revoked = Revocations::new(2);
        for id in ["a", "b", "a", "c"] {
            revoked.add(id, "why");
        }
        assert_eq!(
            [revoked.reason("a"), revoked.reason("b"), revoked.reason("c")],
            [None, Some("why"), Some("why")]
        );
    }
}
