//! Where things lie in a process's address space. Between any two of them is memory that it cannot write.

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes of a large page, of which programs and their memory are made.
pub const LARGE: u64 = 2 << 20;
/// The program's code, and what it only reads.
pub const TEXT: u64 = 0x40_0000;
/// Most bytes of it.
pub const TEXT_MAX: u64 = 2 * LARGE;
/// What it writes: the stack, then its data, then the heap.
pub const DATA: u64 = TEXT + TEXT_MAX;
/// Bytes of the stack, which grows down towards memory that cannot be written.
pub const STACK_BYTES: u64 = 256 << 10;
/// The stack's end, and the first address of data.
pub const STACK_END: u64 = DATA + STACK_BYTES;
/// Most bytes of what a process writes.
pub const DATA_MAX: u64 = 256 << 20;
/// What it writes and finds again in its next life.
pub const KEEP: u64 = 0x2000_0000;
/// Most bytes of it.
pub const KEEP_MAX: u64 = 256 << 20;
/// The configuration page, read only.
pub const CONFIG: u64 = 0x5000_0000;
/// The IPC buffer's page.
pub const IPC_BUFFER: u64 = 0x5001_0000;
/// The page on which the process tells the root task how it is.
pub const REPORT: u64 = 0x5002_0000;
/// The page that says who lives, read only, the same for all.
pub const LIVES: u64 = 0x5003_0000;
/// The manifest, read only, the same for all.
pub const MANIFEST: u64 = 0x5004_0000;
/// Most bytes of it.
pub const MANIFEST_MAX: u64 = 64 << 10;
/// The boot log, for init only.
pub const STORY: u64 = 0x5006_0000;
/// Most bytes of it.
pub const STORY_MAX: u64 = 8 << 10;
/// A device's registers, for the process that has the device: a page, and after it the PCI bus's configuration.
pub const REGISTERS: u64 = 0x5100_0000;
/// The PCI bus's configuration space: a large page.
pub const PCI: u64 = 0x5120_0000;
/// The memory that the device reads and writes: a large page.
pub const DMA: u64 = 0x5140_0000;
/// The first channel's rings.
const CHANNELS: u64 = 0x6000_0000;

/// Pages of one ring.
pub const RING_PAGES: u64 = (size_of::<crate::Ring>() as u64).div_ceil(PAGE);
/// Most channels of a process.
pub const CHANNELS_MAX: usize = 32;

/// Where a channel's ring lies: the one that the process `writes`, or the one it reads.
#[must_use]
pub const fn ring(channel: usize, writes: bool) -> u64 {
    const STRIDE: u64 = 32 << 10;
    CHANNELS + (2 * channel as u64 + !writes as u64) * STRIDE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_on_anything_else() {
        let mut ranges = vec![
            (TEXT, TEXT + TEXT_MAX - 1),
            (DATA, DATA + DATA_MAX),
            (KEEP, KEEP + KEEP_MAX),
            (CONFIG, CONFIG + PAGE),
            (IPC_BUFFER, IPC_BUFFER + PAGE),
            (REPORT, REPORT + PAGE),
            (LIVES, LIVES + PAGE),
            (MANIFEST, MANIFEST + MANIFEST_MAX),
            (STORY, STORY + STORY_MAX),
            (REGISTERS, REGISTERS + PAGE),
            (PCI, PCI + LARGE - 1),
            (DMA, DMA + LARGE),
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
        assert_eq!([TEXT, KEEP, CHANNELS, PCI, DMA].map(|at| at % LARGE), [0; 5]);
    }
}
