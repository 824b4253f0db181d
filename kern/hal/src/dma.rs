//! Memory that a device reads and writes by itself.
// The one kind of unsafe code is the access to that memory, below.
#![allow(unsafe_code)]

use core::ops::Range;
use core::ptr::NonNull;

/// A cache between the program and its memory, which devices do not look into.
pub trait Cache {
    /// What the program wrote to these bytes of the memory is there for the device, and before anything that
    /// is written afterwards.
    fn clean(&mut self, bytes: Range<usize>);

    /// What the device wrote to these bytes is there for the program, in place of what it had seen of them.
    fn invalidate(&mut self, bytes: Range<usize>);
}

/// One piece of memory for a device, by byte offset. Every access copies: the device may write at any time.
pub trait Dma: Cache {
    /// How large it is.
    fn bytes(&self) -> usize;

    /// The address that the device knows `offset` by.
    fn bus(&self, offset: usize) -> u64;

    /// Copies from `offset` on.
    fn load(&self, offset: usize, out: &mut [u8]);

    /// Copies to `offset` on.
    fn store(&mut self, offset: usize, data: &[u8]);

    /// Reads a little-endian word of 16 bits.
    fn load_u16(&self, offset: usize) -> u16 {
        let mut bytes = [0; 2];
        self.load(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Reads a little-endian word of 32 bits.
    fn load_u32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.load(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Mapped memory, with the kernel's cache operations on it.
#[derive(Debug)]
pub struct DmaMemory<C> {
    base: NonNull<u8>,
    bytes: usize,
    bus: u64,
    cache: C,
}

impl<C: Cache> DmaMemory<C> {
    /// The memory in `[base, base + bytes)`, which is contiguous for the device from `bus` on.
    ///
    /// # Safety
    /// That range is mapped writable for as long as the value lives, and nothing else in the program uses it;
    /// `base` is a multiple of 8.
    #[must_use]
    pub unsafe fn new(base: NonNull<u8>, bytes: usize, bus: u64, cache: C) -> Self {
        Self { base, bytes, bus, cache }
    }

    fn at(&self, offset: usize, count: usize) -> NonNull<u8> {
        let fits = offset.checked_add(count).is_some_and(|end| end <= self.bytes);
        assert!(fits, "no {count} bytes of DMA memory at {offset:#x}");
        // SAFETY: within the memory, as was just asserted.
        unsafe { self.base.byte_add(offset) }
    }
}

impl<C: Cache> Cache for DmaMemory<C> {
    fn clean(&mut self, bytes: Range<usize>) {
        self.cache.clean(bytes);
    }

    fn invalidate(&mut self, bytes: Range<usize>) {
        self.cache.invalidate(bytes);
    }
}

impl<C: Cache> Dma for DmaMemory<C> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn bus(&self, offset: usize) -> u64 {
        self.bus + offset as u64
    }

    fn load(&self, offset: usize, out: &mut [u8]) {
        let from = self.at(offset, out.len());
        let (words, rest) = out.as_chunks_mut::<8>();
        let whole = if from.cast::<u64>().is_aligned() { words.len() } else { 0 };
        for (n, word) in words[..whole].iter_mut().enumerate() {
            // SAFETY: `at` checked the range and the address is a multiple of 8.
            *word = unsafe { from.cast::<u64>().add(n).read_volatile() }.to_ne_bytes();
        }
        let bytes = words[whole..].as_flattened_mut().iter_mut().chain(rest);
        for (n, byte) in bytes.enumerate() {
            // SAFETY: `at` checked the range.
            *byte = unsafe { from.add(8 * whole + n).read_volatile() };
        }
    }

    fn store(&mut self, offset: usize, data: &[u8]) {
        let to = self.at(offset, data.len());
        let (words, rest) = data.as_chunks::<8>();
        let whole = if to.cast::<u64>().is_aligned() { words.len() } else { 0 };
        for (n, word) in words[..whole].iter().enumerate() {
            // SAFETY: as in `load`; the value is borrowed for writing.
            unsafe { to.cast::<u64>().add(n).write_volatile(u64::from_ne_bytes(*word)) };
        }
        for (n, byte) in words[whole..].as_flattened().iter().chain(rest).enumerate() {
            // SAFETY: as above.
            unsafe { to.add(8 * whole + n).write_volatile(*byte) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Coherent;

    impl Cache for Coherent {
        fn clean(&mut self, _: Range<usize>) {}

        fn invalidate(&mut self, _: Range<usize>) {}
    }

    #[test]
    fn bytes_go_where_they_belong_at_any_alignment() {
        let mut memory = [0u64; 8];
        let base = NonNull::new(memory.as_mut_ptr().cast()).unwrap();
        // SAFETY: the array outlives the value and is used through it alone.
        let mut dma = unsafe { DmaMemory::new(base, 64, 0x4000, Coherent) };
        let data: [u8; 21] = core::array::from_fn(|n| n as u8 + 1);
        for offset in [0, 1, 8, 13] {
            dma.store(0, &[0; 64]);
            dma.store(offset, &data);
            let (mut out, mut all) = ([0; 21], [0; 64]);
            dma.load(offset, &mut out);
            dma.load(0, &mut all);
            assert_eq!(out, data);
            assert_eq!(all.iter().map(|&byte| u32::from(byte)).sum::<u32>(), 231, "nothing beside it");
        }
        assert_eq!((dma.bus(16), dma.bytes()), (0x4010, 64));
    }

    #[test]
    #[should_panic(expected = "no 2 bytes of DMA memory at 0x3f")]
    fn the_memory_has_an_end() {
        let mut memory = [0u64; 8];
        let base = NonNull::new(memory.as_mut_ptr().cast()).unwrap();
        // SAFETY: as above.
        let dma = unsafe { DmaMemory::new(base, 64, 0, Coherent) };
        dma.load_u16(63);
    }
}
