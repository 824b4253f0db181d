//! Objects, pages and devices for this process and its children: the allocator put to work.
// Mapping a device makes a pointer; that is the one unsafe block.
#![allow(unsafe_code)]

use core::fmt;
use core::ptr::NonNull;

use hal::Mmio;
use root_task::memory::{Slots, Spent, Untypeds};
use sel4::kernel::object;
use sel4::{CNode, Error, Frame, Memory, PageTable, Rights, Untyped, VSpace};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Where devices' registers are mapped, clear of the image and the kernel's pages behind it.
const DEVICES: u64 = 0x1000_0000;

/// Why something could not be made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failed {
    /// The books say no.
    Spent(Spent),
    /// The kernel says no.
    Kernel(Error),
    /// A process does not do what it is there for.
    Process(&'static str),
}

impl From<Spent> for Failed {
    fn from(spent: Spent) -> Self {
        Self::Spent(spent)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spent(Spent::Memory) => f.write_str("no memory is left"),
            Self::Spent(Spent::Slots) => f.write_str("no capability slot is left"),
            Self::Spent(Spent::Device) => f.write_str("no such device, or it is taken"),
            Self::Kernel(error) => write!(f, "the kernel says: {error}"),
            Self::Process(what) => f.write_str(what),
        }
    }
}

/// All that is left to give.
pub(crate) struct Store {
    pub(crate) slots: Slots,
    pub(crate) ram: Untypeds,
    pub(crate) devices: Untypeds,
    /// Where the next device goes.
    device_at: u64,
}

impl Store {
    /// Everything that the boot info names.
    pub(crate) fn new(boot: &sel4::BootInfo) -> Self {
        let empty = boot.empty();
        let (mut ram, mut devices) = (Untypeds::new(), Untypeds::new());
        for untyped in boot.untyped() {
            let list = if untyped.is_device { &mut devices } else { &mut ram };
            list.add(untyped.slot, untyped.address, untyped.bits);
        }
        Self { slots: Slots::new(empty.start, empty.end), ram, devices, device_at: DEVICES }
    }

    /// Makes one object; `size_bits` matters for CNodes and untypeds. Returns its slot.
    pub(crate) fn make(&mut self, kind: u64, size_bits: u64) -> Result<u64, Failed> {
        self.make_all(kind, size_bits, 1)
    }

    fn make_all(&mut self, kind: u64, size_bits: u64, count: u64) -> Result<u64, Failed> {
        let bits = u8::try_from(sel4::object_bits(kind, size_bits)).map_err(|_| Spent::Memory)?;
        let untyped = self.ram.take_many(bits, count)?;
        let slot = self.slots.take(count)?;
        Untyped(untyped).retype(kind, size_bits, CNode::OWN, slot, count)?;
        Ok(slot)
    }

    /// Makes `count` objects in slots in a row; returns the first. Asked at once, the kernel is entered once.
    pub(crate) fn make_many(&mut self, kind: u64, count: u64) -> Result<u64, Failed> {
        self.make_all(kind, 0, count)
    }

    /// Another capability of the same object.
    pub(crate) fn copy(&mut self, slot: u64) -> Result<u64, Failed> {
        let copy = self.slots.take(1)?;
        CNode::OWN.copy(copy, slot, Rights::READ_WRITE)?;
        Ok(copy)
    }

    /// Maps a page, making the page tables that are missing.
    pub(crate) fn map(
        &mut self,
        frame: Frame,
        vspace: VSpace,
        address: u64,
        rights: Rights,
        memory: Memory,
    ) -> Result<(), Failed> {
        // Three levels may be missing; the fourth is the VSpace itself.
        for _ in 0..3 {
            match frame.map(vspace, address, rights, memory) {
                Err(Error::FailedLookup) => {
                    let table = PageTable(self.make(object::ARM_PAGE_TABLE, 0)?);
                    table.map(vspace, address)?;
                }
                other => return Ok(other?),
            }
        }
        Ok(frame.map(vspace, address, rights, memory)?)
    }

    /// Makes the page of a kind that is at the physical `address` of a device; returns its slot.
    pub(crate) fn device_page(&mut self, address: u64, kind: u64) -> Result<u64, Failed> {
        let bits = u8::try_from(sel4::object_bits(kind, 0)).map_err(|_| Spent::Device)?;
        let slots = &mut self.slots;
        let untyped = self.devices.carve(address, bits, |slot, bits| {
            let first = slots.take(2)?;
            Untyped(slot).retype(object::UNTYPED, bits.into(), CNode::OWN, first, 2)?;
            Ok::<_, Failed>([first, first + 1])
        })?;
        let slot = self.slots.take(1)?;
        Untyped(untyped).retype(kind, 0, CNode::OWN, slot, 1)?;
        Ok(slot)
    }

    /// Maps the page of registers at the physical `address` into this process.
    pub(crate) fn device(&mut self, address: u64) -> Result<Mmio, Failed> {
        self.device_of(address, object::ARM_SMALL_PAGE)
    }

    /// Maps the page of a kind with the registers at the physical `address` into this process.
    pub(crate) fn device_of(&mut self, address: u64, kind: u64) -> Result<Mmio, Failed> {
        let slot = self.device_page(address, kind)?;
        let bytes = 1u64 << sel4::object_bits(kind, 0);
        let at = self.device_at.next_multiple_of(bytes);
        self.device_at = at + bytes;
        self.map(Frame(slot), VSpace::OWN, at, Rights::READ_WRITE, Memory::Device)?;
        let base = NonNull::new(at as *mut u32).ok_or(Spent::Device)?;
        // SAFETY: the page was just mapped there as a device's, carve gives each page once, and nothing
        // unmaps it.
        Ok(unsafe { Mmio::new(base, bytes as usize) })
    }
}
