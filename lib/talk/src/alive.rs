//! Keep-alive: a client that has said nothing for long pings, and the answers to its pings are nobody's.
//! Knows no clock: the time is the caller's, in milliseconds.

/// When to ping, and which PONG answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    after_ms: u64,
    said_ms: u64,
    pings: usize,
}

impl KeepAlive {
    /// Pings after so long a silence of ours.
    pub(crate) fn new(after_ms: u64, now_ms: u64) -> KeepAlive {
        KeepAlive { after_ms, said_ms: now_ms, pings: 0 }
    }

    /// Something was said.
    pub(crate) fn said(&mut self, now_ms: u64) {
        self.said_ms = now_ms;
    }

    /// Is a ping due? Then it is being said.
    pub(crate) fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = self.left_ms(now_ms) == 0;
        if is_due {
            self.said(now_ms);
            self.pings += 1;
        }
        is_due
    }

    /// How long until one is.
    pub(crate) fn left_ms(&self, now_ms: u64) -> u64 {
        self.after_ms.saturating_sub(now_ms.saturating_sub(self.said_ms))
    }

    /// A PONG has come: is it ours, and not for the user?
    pub(crate) fn takes_pong(&mut self) -> bool {
        let is_ours = self.pings > 0;
        self.pings -= usize::from(is_ours);
        is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_due_after_the_silence_and_once() {
        let mut alive = KeepAlive::new(15_000, 100);
        assert!(!alive.is_due(15_099));
        assert_eq!(alive.left_ms(15_099), 1);
        assert!(alive.is_due(15_100));
        assert!(!alive.is_due(15_101));
        assert!(alive.is_due(30_100));
    }

    #[test]
    fn what_the_user_says_puts_it_off() {
        let mut alive = KeepAlive::new(15_000, 0);
        alive.said(14_000);
        assert!(!alive.is_due(28_999));
        assert!(alive.is_due(29_000));
    }

    #[test]
    fn as_many_pongs_are_ours_as_pings_were() {
        let mut alive = KeepAlive::new(1, 0);
        assert!(!alive.takes_pong());
        assert!(alive.is_due(1) && alive.is_due(2));
        assert!(alive.takes_pong() && alive.takes_pong() && !alive.takes_pong());
    }
}
