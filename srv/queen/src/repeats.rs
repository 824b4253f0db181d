//! Commands that came again in their envelopes, for `queen.log`: what was decided about them is nowhere
//! else, since nothing is journaled. So many a second are told one by one, the rest are counted.

use crate::queen::Queen;
use authority::{Command, Outcome, Quoted};
use ninep::srv::{Entry, Request};
use rt::prelude::*;

/// Lines in a second.
const LINES_PER_S: u32 = 20;

/// How many were told in the second under way.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    until_ms: u64,
    told: u32,
    untold: u64,
}

impl Repeats {
    /// May one more be told now? Says how many were not, once their second is over.
    fn take(&mut self, now_ms: u64) -> (bool, Option<u64>) {
        let mut before = None;
        if now_ms >= self.until_ms {
            let untold = core::mem::take(&mut self.untold);
            before = (untold > 0).then_some(untold);
            *self = Repeats { until_ms: now_ms + 1000, ..Repeats::default() };
        }
        let is_room = self.told < LINES_PER_S;
        self.told += u32::from(is_room);
        self.untold += u64::from(!is_room);
        (is_room, before)
    }
}

impl Queen {
    pub(crate) fn say_repeated(&mut self, it: &Entry<Command>, first: &Outcome) {
        let Some(envelope) = &it.command.envelope else { return };
        let (is_room, untold) = self.repeats.take(it.ts_ms);
        if let Some(n) = untold {
            self.outbox.push(Request::log(format!("queen {n} more repeated commands were not logged")));
        }
        if is_room {
            let (id, key) = (Quoted(&envelope.id), Quoted(&envelope.idempotency_key));
            let (seq, verb) = (first.first.unwrap_or(0), it.command.verb());
            let line = format!("queen duplicate {verb} id={id} key={key} of seq={seq}, not done again");
            self.outbox.push(Request::log(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_counted_and_told_later() {
        let mut repeats = Repeats::default();
        assert!((0..20).all(|_| repeats.take(5000) == (true, None)));
        assert_eq!(repeats.take(5999), (false, None));
        assert_eq!(repeats.take(5999), (false, None));
        assert_eq!(repeats.take(6000), (true, Some(2)));
        assert_eq!(repeats.take(6001), (true, None));
    }
}
