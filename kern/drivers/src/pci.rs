//! The first PCI bus through its configuration space in memory (PCI Express 5.0, 7.2.2, "ECAM").

use hal::{Fault, Narrow, Registers};

/// Bytes of the configuration space of one bus.
pub const BUS_BYTES: usize = DEVICES << DEVICE_SHIFT;

const DEVICES: usize = 32;
const DEVICE_SHIFT: usize = 15;
const COMMAND: usize = 0x04;
const BAR: usize = 0x10;
const BARS: usize = 6;
const PIN: usize = 0x3c;
const NOBODY: u32 = 0xffff_ffff;
const USES_MEMORY: u32 = 1 << 1;
const IS_MASTER: u32 = 1 << 2;
const NO_INTERRUPT: u32 = 1 << 10;
const IS_PORT: u32 = 1;
const IS_64_BIT: u32 = 2 << 1;

/// The bus.
#[derive(Debug)]
pub struct Pci<C> {
    config: C,
}

/// A device's first function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its device's number on the bus.
    pub device: usize,
    /// Vendor in the lower half, device in the upper.
    pub id: u32,
}

impl<C: Registers> Pci<C> {
    /// The bus whose configuration space these registers are.
    pub const fn new(config: C) -> Self {
        Self { config }
    }

    /// What is on it, in order.
    pub fn functions(&mut self) -> impl Iterator<Item = Function> {
        (0..DEVICES).filter_map(|device| {
            let id = self.config.read(device << DEVICE_SHIFT);
            (id != NOBODY && id != 0).then_some(Function { device, id })
        })
    }

    /// Finds a device by vendor and device.
    ///
    /// # Errors
    /// If it is not there.
    pub fn find(&mut self, vendor: u16, device: u16) -> Result<Function, Fault> {
        let id = u32::from(device) << 16 | u32::from(vendor);
        self.functions().find(|function| function.id == id).ok_or(Fault::Absent)
    }

    fn read(&mut self, function: Function, register: usize) -> u32 {
        self.config.read(function.device << DEVICE_SHIFT | register)
    }

    fn write(&mut self, function: Function, register: usize, value: u32) {
        self.config.write(function.device << DEVICE_SHIFT | register, value);
    }

    /// Places the registers of a function that are in memory at `address`, where there are `room` bytes for
    /// them, and lets it use memory. Its other registers are left without a place. Returns their size.
    ///
    /// # Errors
    /// If it has none in memory, or they do not fit there.
    pub fn place(&mut self, function: Function, address: u32, room: u32) -> Result<u32, Fault> {
        let command = self.read(function, COMMAND) & 0xffff & !(USES_MEMORY | IS_MASTER | NO_INTERRUPT);
        // Off while its addresses are being measured.
        self.write(function, COMMAND, command);
        for bar in 0..BARS {
            let register = BAR + 4 * bar;
            let kind = self.read(function, register);
            self.write(function, register, u32::MAX);
            let mask = self.read(function, register);
            self.write(function, register, kind);
            if mask == 0 || kind & IS_PORT != 0 {
                continue;
            }
            let bytes = (!(mask & !0xf)).wrapping_add(1);
            let fits = bytes.is_power_of_two() && bytes <= room && address.is_multiple_of(bytes);
            if !fits {
                return Err(Fault::Absent);
            }
            self.write(function, register, address);
            if kind & IS_64_BIT != 0 && bar + 1 < BARS {
                self.write(function, register + 4, 0);
            }
            if self.read(function, register) & !0xf != address {
                return Err(Fault::Lied);
            }
            self.write(function, COMMAND, command | USES_MEMORY | IS_MASTER);
            return Ok(bytes);
        }
        Err(Fault::Absent)
    }

    /// Which of the bus's four interrupt lines the function uses: each device is wired one further.
    pub fn line(&mut self, function: Function) -> Option<usize> {
        let pin = (self.read(function, PIN) >> 8 & 0xff) as usize;
        (1..=4).contains(&pin).then(|| (function.device + pin - 1) % 4)
    }
}

impl<C: Narrow> Pci<C> {
    /// Writes 8 bits of a function's own registers in the configuration space.
    pub(crate) fn write_u8(&mut self, function: Function, register: usize, value: u8) {
        self.config.write_u8(function.device << DEVICE_SHIFT | register, value);
    }

    /// Writes 16 bits of a function's own registers there.
    pub(crate) fn write_u16(&mut self, function: Function, register: usize, value: u16) {
        self.config.write_u16(function.device << DEVICE_SHIFT | register, value);
    }
}
