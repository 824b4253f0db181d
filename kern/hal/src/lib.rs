//! The only way to a device: its registers, the memory it shares with a driver, and what a UART, a timer, a
//! network card and a disk do.
//! Guarantees: a driver written against these traits runs unchanged on the machine and, on a host, against
//! a simulated device. Knows no device.
#![no_std]

#[cfg(target_os = "none")]
mod counter;
mod device;
mod dma;
mod registers;

#[cfg(target_os = "none")]
pub use counter::PhysicalTimer;
pub use device::{Block, Done, FRAME_MAX, Fault, Nic, Request, SECTOR};
pub use dma::{Cache, Dma, DmaMemory};
pub use registers::{Mmio, Narrow, Registers};
pub use sel4::counter::milliseconds;

/// A window of 32-bit registers lies behind [`Registers`]; a serial line behind this.
pub trait Uart {
    /// Queues one byte, or says that the device has no room now.
    fn put(&mut self, byte: u8) -> bool;

    /// Takes one received byte, if there is one. A byte with a line error is not one.
    fn get(&mut self) -> Option<u8>;

    /// Quiets the device's interrupt after [`Uart::get`] has taken everything.
    fn acknowledge(&mut self);
}

/// A counter that never stops, and one alarm.
pub trait Timer {
    /// Counts since the machine was reset.
    fn now(&self) -> u64;

    /// Counts a second.
    fn frequency(&self) -> u64;

    /// Raises the interrupt when the counter reaches `at`; quiets one that is raised.
    fn alarm(&mut self, at: u64);

    /// No interrupt any more.
    fn quiet(&mut self);
}
