//! A regular tick made of a timer's alarms. Late ticks are counted, not piled up.

use hal::Timer;

/// Ticks of `period` counts.
#[derive(Debug)]
pub struct Tick<T> {
    timer: T,
    period: u64,
    next: u64,
}

impl<T: Timer> Tick<T> {
    /// Starts ticking every `period_ms`, from now.
    pub fn start(mut timer: T, period_ms: u64) -> Self {
        let period = (timer.frequency() * period_ms / 1000).max(1);
        let next = timer.now() + period;
        timer.alarm(next);
        Self { timer, period, next }
    }

    /// Sets the next alarm after one has come; returns how many ticks have passed, 0 if it came early.
    pub fn passed(&mut self) -> u64 {
        let now = self.timer.now();
        let ticks = if now < self.next { 0 } else { (now - self.next) / self.period + 1 };
        self.next += ticks * self.period;
        self.timer.alarm(self.next);
        ticks
    }

    /// Sets the next alarm to the first tick at or after `at_ms`, and not before the next one.
    pub fn sleep_until(&mut self, at_ms: u64) {
        let (frequency, now) = (self.timer.frequency(), self.timer.now());
        let at = (at_ms / 1000).saturating_mul(frequency).saturating_add(at_ms % 1000 * frequency / 1000);
        let ticks = at.max(now.saturating_add(1)).saturating_sub(self.next).div_ceil(self.period);
        let alarm = self.next.saturating_add(ticks.saturating_mul(self.period));
        self.timer.alarm(alarm);
    }

    /// Milliseconds since the machine was reset.
    pub fn now_ms(&self) -> u64 {
        hal::milliseconds(self.timer.now(), self.timer.frequency())
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    struct Simulated<'a> {
        now: &'a Cell<u64>,
        alarm: &'a Cell<u64>,
    }

    impl Timer for Simulated<'_> {
        fn now(&self) -> u64 {
            self.now.get()
        }

        fn frequency(&self) -> u64 {
            1000
        }

        fn alarm(&mut self, at: u64) {
            self.alarm.set(at);
        }

        fn quiet(&mut self) {
            self.alarm.set(u64::MAX);
        }
    }

    #[test]
    fn a_tick_may_be_slept_through_and_is_counted_later() {
        let (now, alarm) = (Cell::new(100), Cell::new(0));
        let mut tick = Tick::start(Simulated { now: &now, alarm: &alarm }, 5);
        tick.sleep_until(131);
        assert_eq!(alarm.get(), 135);
        now.set(135);
        assert_eq!(tick.passed(), 7);
        tick.sleep_until(20);
        assert_eq!(alarm.get(), 140);
        tick.sleep_until(u64::MAX);
        assert!(alarm.get() > 1 << 50);
    }

    #[test]
    fn late_ticks_are_counted_and_the_beat_is_kept() {
        let (now, alarm) = (Cell::new(100), Cell::new(0));
        let mut tick = Tick::start(Simulated { now: &now, alarm: &alarm }, 5);
        assert_eq!(alarm.get(), 105);
        now.set(106);
        assert_eq!((tick.passed(), alarm.get()), (1, 110));
        now.set(107);
        assert_eq!((tick.passed(), alarm.get()), (0, 110));
        now.set(127);
        assert_eq!((tick.passed(), alarm.get()), (4, 130));
        assert_eq!(tick.now_ms(), 127);
    }
}
