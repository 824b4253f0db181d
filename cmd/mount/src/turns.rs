//! Turns: of the session's 32 requests under way, one server's operations have at most half, so that those
//! who wait for a silent one leave room for all others.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Operations on one server at once.
const MAX: usize = 16;

/// Who is at it.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<HashMap<String, usize>>,
    given_back: Condvar,
}

/// One operation's turn; given back when it goes.
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    server: String,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn at `server`, unless it takes too long or there `is_no_use` in one any more.
    pub(crate) fn take(
        &self,
        server: String,
        until: Instant,
        is_no_use: impl Fn() -> bool,
    ) -> Option<Turn<'_>> {
        let mut taken = self.lock();
        loop {
            let count = taken.entry(server.clone()).or_default();
            if *count < MAX {
                *count += 1;
                return Some(Turn { turns: self, server });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || is_no_use() {
                return None;
            }
            taken = self.given_back.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.lock();
        if let Some(count) = taken.get_mut(&self.server) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.server);
            }
        }
        drop(taken);
        self.turns.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_servers_waiters_leave_room_for_others() {
        let turns = Turns::default();
        let now = Instant::now();
        let held: Vec<_> = (0..MAX).map(|_| turns.take("proc".into(), now, || false).unwrap()).collect();
        assert!(turns.take("proc".into(), now, || false).is_none(), "no time");
        let later = now + Duration::from_secs(60);
        assert!(turns.take("proc".into(), later, || true).is_none(), "no use");
        assert!(turns.take("log".into(), now, || false).is_some());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.take("proc".into(), later, || false).is_some());
            drop(held);
            assert!(waits.join().unwrap());
        });
        assert!(turns.lock().is_empty());
    }
}
