//! Whether a process still comes round to the end of its turn, by the ticks that the pump itself came to: a host
//! that gives the machine little time, or none for a while, keeps the pump from its ticks as well.

/// A process that has been busy with one turn for so many ticks will be for ever.
pub const STUCK_TICKS: u32 = 2000;
/// A process that has been busy with one turn for so long shares its core by the kernel's tick.
const LONG_MS: u64 = 20;

/// What was seen of a process's turns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    turns: u64,
    since_ms: u64,
    /// The tick at which it was looked at last, and the ticks at which it was busy with this turn.
    tick: u64,
    busy: u32,
}

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It sleeps, or was elsewhere when it was looked at last.
    Well,
    /// It is at one turn for long.
    Busy,
    /// It will never come round.
    Stuck,
}

impl Watch {
    /// A process that begins now.
    #[must_use]
    pub const fn new(now_ms: u64) -> Self {
        Self { turns: 0, since_ms: now_ms, tick: 0, busy: 0 }
    }

    /// Looks at it, at the pump's tick number `tick`: whether it sleeps, and a number that changes with its turns.
    pub fn look(&mut self, now_ms: u64, tick: u64, sleeps: bool, turns: u64) -> Seen {
        if sleeps || turns != self.turns {
            *self = Self { turns, since_ms: now_ms, tick, busy: 0 };
            return Seen::Well;
        }
        // However many ticks have passed since: the pump has come to one.
        self.busy += u32::from(tick != self.tick);
        self.tick = tick;
        if self.busy > STUCK_TICKS {
            Seen::Stuck
        } else if now_ms.saturating_sub(self.since_ms) > LONG_MS {
            Seen::Busy
        } else {
            Seen::Well
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_over_all_those_ticks_is_stuck() {
        let mut watch = Watch::new(0);
        let mut look = |tick| watch.look(5 * tick, tick, false, 2);
        // The first look tells that a turn has begun.
        assert_eq!([1, 2, 3, 4, 5].map(&mut look), [Seen::Well; 5]);
        let ticks = u64::from(STUCK_TICKS);
        assert!((6..=1 + ticks).all(|tick| look(tick) == Seen::Busy));
        assert_eq!(look(2 + ticks), Seen::Stuck);
    }

    #[test]
    fn a_machine_that_stood_still_for_an_hour_counts_one_tick() {
        let mut watch = Watch::new(0);
        watch.look(5, 1, false, 2);
        for hour in 1..=u64::from(STUCK_TICKS) {
            assert_eq!(watch.look(hour * 3_600_000, hour * 720_000, false, 2), Seen::Busy);
        }
        assert_eq!(watch.look(u64::MAX, u64::MAX, false, 2), Seen::Stuck);
    }

    #[test]
    fn looks_within_one_tick_count_once_and_a_new_turn_begins_anew() {
        let mut watch = Watch::new(0);
        for look in 0..3 * u64::from(STUCK_TICKS) {
            assert_ne!(watch.look(look, 7, false, 2), Seen::Stuck);
        }
        for tick in 8..8 + u64::from(STUCK_TICKS) - 1 {
            assert_ne!(watch.look(tick, tick, false, 2), Seen::Stuck);
        }
        assert_eq!(watch.look(90_000, 90_000, false, 3), Seen::Well);
        assert_eq!(watch.look(90_001, 90_001, true, 3), Seen::Well);
        assert_eq!(watch.look(90_100, 90_100, false, 3), Seen::Busy);
    }
}
