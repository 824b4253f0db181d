//! A device's registers.
// The one kind of unsafe code is the access to them, below.
#![allow(unsafe_code)]

use core::ptr::NonNull;

/// A window of registers, by byte offset.
pub trait Registers {
    /// Reads the register at `offset`, which may change the device.
    fn read(&mut self, offset: usize) -> u32;

    /// Writes the register at `offset`.
    fn write(&mut self, offset: usize, value: u32);
}

/// A window that has registers of 8 and 16 bits too.
pub trait Narrow: Registers {
    /// Reads 8 bits at `offset`.
    fn read_u8(&mut self, offset: usize) -> u8;

    /// Writes 8 bits at `offset`.
    fn write_u8(&mut self, offset: usize, value: u8);

    /// Reads 16 bits at `offset`.
    fn read_u16(&mut self, offset: usize) -> u16;

    /// Writes 16 bits at `offset`.
    fn write_u16(&mut self, offset: usize, value: u16);
}

/// Registers in mapped memory.
#[derive(Debug)]
pub struct Mmio {
    base: NonNull<u32>,
    bytes: usize,
}

impl Mmio {
    /// The registers in `[base, base + bytes)`.
    ///
    /// # Safety
    /// That range is mapped as a device's memory for as long as the value lives, and nothing else accesses it.
    #[must_use]
    pub unsafe fn new(base: NonNull<u32>, bytes: usize) -> Self {
        Self { base, bytes }
    }

    fn register<T>(&self, offset: usize) -> NonNull<T> {
        let is_inside = offset.is_multiple_of(size_of::<T>()) && offset + size_of::<T>() <= self.bytes;
        assert!(is_inside, "no register at {offset:#x}");
        // SAFETY: within the window, as was just asserted.
        unsafe { self.base.byte_add(offset).cast() }
    }
}

impl Registers for Mmio {
    fn read(&mut self, offset: usize) -> u32 {
        // SAFETY: `new`'s caller promised the window.
        unsafe { self.register::<u32>(offset).read_volatile() }
    }

    fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: `new`'s caller promised the window.
        unsafe { self.register::<u32>(offset).write_volatile(value) }
    }
}

impl Narrow for Mmio {
    fn read_u8(&mut self, offset: usize) -> u8 {
        // SAFETY: `new`'s caller promised the window.
        unsafe { self.register::<u8>(offset).read_volatile() }
    }

    fn write_u8(&mut self, offset: usize, value: u8) {
        // SAFETY: as above.
        unsafe { self.register::<u8>(offset).write_volatile(value) }
    }

    fn read_u16(&mut self, offset: usize) -> u16 {
        // SAFETY: as above.
        unsafe { self.register::<u16>(offset).read_volatile() }
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        // SAFETY: as above.
        unsafe { self.register::<u16>(offset).write_volatile(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_bytes() {
        let mut memory = [0u32; 4];
        let base = NonNull::new(memory.as_mut_ptr()).unwrap();
        // SAFETY: the array is ordinary memory that outlives the value.
        let mut registers = unsafe { Mmio::new(base, 16) };
        registers.write(12, 7);
        assert_eq!(registers.read(12), 7);
        assert_eq!(memory, [0, 0, 0, 7]);
    }

    #[test]
    #[should_panic(expected = "no register at 0x10")]
    fn the_window_has_an_end() {
        let mut memory = [0u32; 4];
        let base = NonNull::new(memory.as_mut_ptr()).unwrap();
        // SAFETY: the array is ordinary memory that outlives the value.
        let mut registers = unsafe { Mmio::new(base, 16) };
        registers.read(16);
    }
}
