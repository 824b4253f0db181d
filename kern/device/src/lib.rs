//! The device that a process of the image has, if it has one: registers, memory, interrupt lines.
//! Guarantees: a device is given out once, and its memory changes hands by the kernel's own cache operations.
//! It drives none: kern/drivers does. On a host it is empty.
#![no_std]
#![cfg(target_os = "none")]
// The registers and the memory are mapped; that makes pointers of addresses.
#![allow(unsafe_code)]

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hal::{Cache, DmaMemory, Mmio};
use sel4::{Frame, Irq};

use task::config::{Device, LINES_MAX};
use task::{config, place, slots};

/// What [`take`] gives.
#[derive(Debug)]
pub struct Granted {
    /// Which it is.
    pub kind: Device,
    /// A page of its registers.
    pub registers: NonNull<u32>,
    /// The PCI bus's configuration, where it is on one.
    pub pci: Option<Mmio>,
    /// The memory that it reads and writes.
    pub memory: DmaMemory<Kernel>,
    /// Its interrupt lines.
    pub lines: Lines,
}

/// The process's device; nothing where it has none. To be asked once.
#[must_use]
pub fn take() -> Option<Granted> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    if IS_TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    let config = config();
    let pci = || {
        let base = NonNull::new(place::PCI as *mut u32)?;
        // SAFETY: mapped there by the root task where the device is on the bus, for this process alone; nothing
        // else here makes a pointer of it.
        Some(unsafe { Mmio::new(base, place::LARGE as usize) })
    };
    let pci = match config.device {
        Device::None => return None,
        Device::Rtl8139 => pci(),
        Device::VirtioNet | Device::VirtioBlk => None,
    };
    let base = NonNull::new(place::DMA as *mut u8)?;
    // SAFETY: mapped there by the root task, for this process and its device alone.
    let memory = unsafe { DmaMemory::new(base, place::LARGE as usize, config.dma_bus, Kernel::default()) };
    let mut lines = Lines { count: (config.lines as usize).min(LINES_MAX) };
    // One that came in an earlier life of this process, or between two, is masked still.
    lines.rearm(u64::MAX);
    Some(Granted {
        kind: config.device,
        registers: NonNull::new(place::REGISTERS as *mut u32)?,
        pci,
        memory,
        lines,
    })
}

/// The device's interrupt lines; each is masked from the time it comes.
#[derive(Debug)]
pub struct Lines {
    count: usize,
}

impl Lines {
    /// Lets those come again whose bits [`sleep_with_device`](task::sleep_with_device) returned.
    pub fn rearm(&mut self, came: u64) {
        for line in (0..self.count).filter(|line| came >> line & 1 == 1) {
            let done = Irq(slots::interrupt(line)).acknowledge();
            assert!(done.is_ok(), "the kernel does not know interrupt line {line}");
        }
    }
}

/// The kernel's cache operations on the device's memory (seL4 manual 10.3: Page Clean and Invalidate Data).
#[derive(Debug, Default)]
pub struct Kernel(());

static CLEANED: AtomicU64 = AtomicU64::new(0);
static INVALIDATED: AtomicU64 = AtomicU64::new(0);

/// How often memory was cleaned for the device, and how often invalidated.
#[must_use]
pub fn hand_overs() -> (u64, u64) {
    (CLEANED.load(Ordering::Relaxed), INVALIDATED.load(Ordering::Relaxed))
}

impl Cache for Kernel {
    fn clean(&mut self, bytes: Range<usize>) {
        CLEANED.fetch_add(1, Ordering::Relaxed);
        // Refused only for bytes that are not of the page, and those are the driver's to know.
        let done = Frame(slots::DMA).clean(bytes.start as u64, bytes.end as u64);
        assert!(done.is_ok(), "the kernel does not clean {bytes:x?}");
    }

    fn invalidate(&mut self, bytes: Range<usize>) {
        INVALIDATED.fetch_add(1, Ordering::Relaxed);
        let done = Frame(slots::DMA).invalidate(bytes.start as u64, bytes.end as u64);
        assert!(done.is_ok(), "the kernel does not invalidate {bytes:x?}");
    }
}
