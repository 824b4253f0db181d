//! Where things lie in a process's address space. Between any two of them is memory that is not mapped.

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The program, from here up to [`IMAGE_END`] at most.
pub const IMAGE: u64 = 0x40_0000;
/// Past the program.
pub const IMAGE_END: u64 = 0x1000_0000;
/// The configuration page, read only.
pub const CONFIG: u64 = 0x5000_0000;
/// The IPC buffer's page.
pub const IPC_BUFFER: u64 = 0x5010_0000;
/// The first channel's rings.
const CHANNELS: u64 = 0x6000_0000;
/// The end of the stack, which grows down.
pub const STACK_END: u64 = 0x7000_0000;
/// Bytes of the stack.
pub const STACK_BYTES: u64 = 64 << 10;

/// Pages of one ring.
pub const RING_PAGES: u64 = (size_of::<crate::Ring>() as u64).div_ceil(PAGE);
/// Most channels of a process.
pub const CHANNELS_MAX: usize = 8;

/// Where a channel's ring lies: the one that the process `writes`, or the one it reads.
#[must_use]
pub const fn ring(channel: usize, writes: bool) -> u64 {
    const STRIDE: u64 = 1 << 20;
    CHANNELS + (2 * channel as u64 + !writes as u64) * STRIDE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_on_anything_else() {
        let mut ranges = vec![
            (IMAGE, IMAGE_END),
            (CONFIG, CONFIG + PAGE),
            (IPC_BUFFER, IPC_BUFFER + PAGE),
            (STACK_END - STACK_BYTES, STACK_END),
        ];
        for channel in 0..CHANNELS_MAX {
            for writes in [true, false] {
                let start = ring(channel, writes);
                ranges.push((start, start + RING_PAGES * PAGE));
            }
        }
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            assert!(pair[0].1 < pair[1].0, "{pair:x?}");
        }
    }
}
