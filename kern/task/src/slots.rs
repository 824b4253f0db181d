//! The capabilities of a process: all of them.

/// Slots of a process's CSpace, as a power of two.
pub const BITS: u64 = 5;
/// The endpoint at the root task for its faults, badged with the process's number.
pub const FAULT: u64 = 1;

/// The notification that wakes the other end of a channel.
#[must_use]
pub const fn notify(channel: usize) -> u64 {
    8 + channel as u64
}

/// The notification that this process sleeps on; each channel sets the bit of its number.
pub const WAIT: u64 = 2;
