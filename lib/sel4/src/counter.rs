//! The core's physical counter (Arm ARM D12.1), which the kernel exports to user level; lib/sel4-gen refuses one
//! that does not.
// Reading a system register is what safe Rust cannot name.
#![allow(unsafe_code)]

/// Counts since the machine was reset.
#[cfg(target_os = "none")]
#[must_use]
pub fn now() -> u64 {
    let value: u64;
    // SAFETY: exported; the barrier keeps the read in its place.
    unsafe { core::arch::asm!("isb", "mrs {}, cntpct_el0", out(reg) value, options(nomem, nostack)) };
    value
}

/// Counts a second.
#[cfg(target_os = "none")]
#[must_use]
pub fn frequency() -> u64 {
    let value: u64;
    // SAFETY: exported.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack)) };
    value.max(1)
}

/// `counts` of a counter in whole milliseconds.
#[must_use]
pub fn milliseconds(counts: u64, frequency: u64) -> u64 {
    // Seconds apart, or a long uptime would overflow.
    let (seconds, rest) = (counts / frequency, counts % frequency);
    seconds * 1000 + rest * 1000 / frequency
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_century_is_still_counted() {
        assert_eq!(milliseconds(62_500, 62_500_000), 1);
        assert_eq!(milliseconds(62_499, 62_500_000), 0);
        let century_s = 100 * 365 * 86_400;
        assert_eq!(milliseconds(century_s * 1_000_000_000, 1_000_000_000), century_s * 1000);
    }
}
