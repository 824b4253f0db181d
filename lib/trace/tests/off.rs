//! What an event costs that nobody wants to see.

use std::hint::black_box;
use trace::{Cat, Filter, Level, WAITING_MAX, set, take, trace};

const EVENTS: u64 = 1_000_000;

/// So many events, and what was allocated for them.
fn emit() -> (u64, u64) {
    let path = black_box(String::from("/queen/ctl"));
    let counted = allocation_counter::measure(|| {
        for n in 0..EVENTS {
            trace!(Ninep, Debug, "path={path} tag={} bytes={}", n % 32, format!("{n}"));
        }
    });
    (counted.count_total, counted.bytes_total)
}

#[test]
fn a_million_events_that_are_off_allocate_nothing_and_those_that_are_on_no_more_than_may_wait() {
    assert_eq!(emit(), (0, 0));
    // Another category, and a level below.
    set(Filter::parse("debug", &["boot", "control"]).unwrap_or_default());
    assert_eq!(emit(), (0, 0));
    set(Filter::parse("info", &["ninep"]).unwrap_or_default());
    assert_eq!(emit(), (0, 0));
    assert!(take().0.is_empty());
    set(Filter::parse("debug", &["ninep"]).unwrap_or_default());
    assert!(emit().0 >= WAITING_MAX as u64);
    let (events, lost) = take();
    assert_eq!((events.len(), lost), (WAITING_MAX, EVENTS - WAITING_MAX as u64));
}

#[test]
fn a_kind_of_event_is_let_through_as_its_level_says() {
    let levels = [("off", 0), ("error", 1), ("info", 2), ("debug", 3)];
    for (word, most) in levels {
        let Some(filter) = Filter::parse(word, &["session"]) else { panic!("{word}") };
        for (level, at) in [(Level::Error, 1), (Level::Info, 2), (Level::Debug, 3)] {
            assert_eq!(filter.passes(Cat::Session, level), at <= most, "{word} {at}");
            assert!(!filter.passes(Cat::Peer, level) && !filter.passes(Cat::Control, level));
        }
    }
}
