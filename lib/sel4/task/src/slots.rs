//! The capabilities of a process: all of them.

/// Slots of a process's CSpace, as a power of two.
pub const BITS: u64 = 6;
/// The endpoint at the root task for its faults, badged with the process's number.
pub const FAULT: u64 = 1;
/// The notification that this process sleeps on.
pub const WAIT: u64 = 2;
/// The root task's notification, badged with the process's bit: it has something to report.
pub const ROOT: u64 = 3;

/// The notification that wakes the other end of a channel.
#[must_use]
pub const fn notify(channel: usize) -> u64 {
    8 + channel as u64
}

/// The frame of a device's memory, for the kernel's cache operations on it.
pub const DMA: u64 = 48;

/// One of a device's interrupt lines; its signal sets the bit of its number at [`WAIT`].
#[must_use]
pub const fn interrupt(line: usize) -> u64 {
    49 + line as u64
}
