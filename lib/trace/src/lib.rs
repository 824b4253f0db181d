//! Trace events: what a server does inside, for whoever has asked to see it (`/trace`).
//! Guarantees: an event that is off costs one branch and allocates nothing; events that wait for the
//! server's loop are bounded, and what was lost is counted. Recorded sessions are [`mod@file`]'s. Pure: no
//! input or output, no clock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod file;
mod filter;
mod queue;

pub use filter::{Cat, Filter, Level, filter, is_on, set};
pub use queue::{Event, TEXT_MAX, WAITING_MAX, emit, is_any_waiting, take};

/// Emits an event if its category and level are on: `trace!(Ninep, Debug, "walk {path}")`. The text is
/// made only then.
#[macro_export]
macro_rules! trace {
    ($cat:ident, $level:ident, $($text:tt)+) => {
        if $crate::is_on($crate::Cat::$cat, $crate::Level::$level) {
            $crate::emit($crate::Cat::$cat, $crate::Level::$level, ::core::format_args!($($text)+));
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// The filter is the process's: what is about it is one test.
    #[test]
    fn only_what_is_on_is_made_and_kept_and_not_without_bound() {
        let mut made = 0;
        let mut text = || {
            made += 1;
            made
        };
        trace!(Boot, Error, "{}", text());
        set(Filter::parse("info", &["boot"]).unwrap());
        trace!(Boot, Info, "{}", text());
        trace!(Boot, Debug, "{}", text());
        trace!(Ninep, Error, "{}", text());
        let (events, lost) = take();
        assert_eq!((events.len(), lost), (1, 0));
        assert_eq!((events[0].cat, events[0].level, &*events[0].text), (Cat::Boot, Level::Info, "1"));
        assert_eq!(made, 1, "what is off is not made");

        (0..WAITING_MAX + 3).for_each(|i| trace!(Boot, Info, "{i}"));
        let (events, lost) = take();
        assert_eq!((events.len(), lost), (WAITING_MAX, 3));
        trace!(Boot, Info, "{}", "x".repeat(10 * TEXT_MAX));
        assert!(take().0[0].text.len() <= TEXT_MAX);

        trace!(Boot, Info, "the last");
        set(Filter::default());
        trace!(Boot, Error, "off");
        assert!(is_any_waiting(), "what was emitted before is not kept for a later filter");
        assert_eq!(take().0.len(), 1);
        assert!(!is_any_waiting() && take().0.is_empty());
        assert_eq!(filter(), Filter::default());
    }

    #[test]
    fn a_filter_is_written_as_it_is_read() {
        let filter = Filter::parse("debug", &["ninep", "boot"]).unwrap();
        assert_eq!(filter.to_string(), "level=debug cats=boot,ninep");
        assert_eq!(Filter::parse("loud", &["boot"]), None);
        assert_eq!(Filter::parse("debug", &["boots"]), None);
        assert_eq!(Filter::parse("off", &[]).unwrap(), Filter::default());
        assert_eq!(Filter::default().to_string(), "level=off cats=");
    }
}
