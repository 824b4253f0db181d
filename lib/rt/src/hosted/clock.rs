//! The clock and the source of randomness: the only places that ask the machine for either.

use ninep::srv::Now;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time now. The monotonic part counts from the machine's start.
pub fn now() -> Now {
    let mono = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let mono_ms = mono.tv_sec as u64 * 1000 + mono.tv_nsec as u64 / 1_000_000;
    // A clock before 1970 counts as 1970: tickets are then not yet expired, and nothing panics.
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    Now { mono_ms, wall_ms }
}

/// Fills `out` with bytes that nobody can guess.
pub fn entropy(out: &mut [u8]) -> io::Result<()> {
    getrandom::fill(out).map_err(|error| io::Error::other(error.to_string()))
}
