//! Page table entries of the loader's own address space (Arm ARM D8): 4 KiB granule, 48 bits.
//!
//! The kernel keeps the memory attributes and the translation control that it is entered with, and its own
//! page tables name attributes by the same indices; so both are chosen to suit it.

/// Entries of a table.
pub const ENTRIES: usize = 512;
/// Bytes that one entry of the second level maps.
pub const GIB: u64 = 1 << 30;
/// Bytes that one entry of the third level maps.
pub const BLOCK: u64 = 2 << 20;

/// Strongly ordered; then two weaker kinds of device; not cached; cached; cached through.
pub const MAIR: u64 = 0x04 << 8 | 0x0c << 16 | 0x44 << 24 | 0xff << 32 | 0xaa << 40;
const DEVICE: u64 = 0;
const CACHED: u64 = 4;

const PRESENT: u64 = 1;
const TABLE: u64 = 1 << 1;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;

/// Both halves of 48 bits, walks cached and inner shareable, 4 KiB granule in both, 16 bits of ASID, and as
/// much physical memory as the core says it can address (`ID_AA64MMFR0_EL1`).
#[must_use]
pub const fn translation_control(memory_features: u64) -> u64 {
    const SIZE: u64 = 16;
    const WALKS: u64 = 1 << 8 | 1 << 10 | 3 << 12;
    const UPPER_4K: u64 = 2 << 30;
    const ASID16: u64 = 1 << 36;
    let physical = memory_features & 0x7;
    // 48 bits is all that a 4 KiB granule reaches without extensions.
    let physical = if physical > 5 { 5 } else { physical };
    SIZE | SIZE << 16 | WALKS | WALKS << 16 | UPPER_4K | physical << 32 | ASID16
}

/// An entry that leads to the next level at `address`.
#[must_use]
pub const fn next(address: u64) -> u64 {
    address | TABLE | PRESENT
}

/// An entry that maps cached memory at `address`.
#[must_use]
pub const fn memory(address: u64) -> u64 {
    address | ACCESSED | INNER_SHAREABLE | CACHED << 2 | PRESENT
}

/// An entry that maps registers at `address`.
#[must_use]
pub const fn device(address: u64) -> u64 {
    address | ACCESSED | DEVICE << 2 | PRESENT
}

/// Which entry of the level maps `address`; level 0 is the root.
#[must_use]
pub const fn index(address: u64, level: u32) -> usize {
    (address >> (39 - 9 * level)) as usize % ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_in_the_upper_half_is_found() {
        let kernel = 0xffff_ff80_4000_0000;
        assert_eq!((index(kernel, 0), index(kernel, 1), index(kernel, 2)), (511, 1, 0));
        assert_eq!((index(0x4120_0000, 0), index(0x4120_0000, 1), index(0x4120_0000, 2)), (0, 1, 9));
    }

    #[test]
    fn control_says_what_the_kernel_expects() {
        let control = translation_control(0x1124);
        assert_eq!(control & 0x3f, 16);
        assert_eq!(control >> 16 & 0x3f, 16);
        assert_eq!(control >> 30 & 3, 2);
        assert_eq!(control >> 32 & 7, 4);
        assert_eq!(translation_control(6) >> 32 & 7, 5);
    }

    #[test]
    fn attributes_have_their_indices() {
        assert_eq!(MAIR >> (8 * CACHED) & 0xff, 0xff);
        assert_eq!(MAIR >> (8 * DEVICE) & 0xff, 0);
        assert_eq!(memory(GIB) >> 2 & 7, CACHED);
    }
}
