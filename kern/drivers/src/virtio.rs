//! A virtio device behind registers in memory (virtio 1.2, 4.2), modern or legacy.

use hal::{Dma, Fault, Registers};

use crate::virtqueue::Queue;

const MAGIC: usize = 0x000;
const VERSION: usize = 0x004;
const DEVICE: usize = 0x008;
const FEATURES: usize = 0x010;
const FEATURES_HALF: usize = 0x014;
const ACCEPT: usize = 0x020;
const ACCEPT_HALF: usize = 0x024;
const LEGACY_PAGE: usize = 0x028;
const QUEUE: usize = 0x030;
const QUEUE_MOST: usize = 0x034;
const QUEUE_SIZE: usize = 0x038;
const LEGACY_ALIGN: usize = 0x03c;
const LEGACY_QUEUE: usize = 0x040;
const QUEUE_READY: usize = 0x044;
const NOTIFY: usize = 0x050;
const INTERRUPT: usize = 0x060;
const INTERRUPT_ACK: usize = 0x064;
const STATUS: usize = 0x070;
const DESCRIPTORS: usize = 0x080;
const DRIVER_RING: usize = 0x090;
const DEVICE_RING: usize = 0x0a0;
const CONFIG: usize = 0x100;

/// Bytes of a device's registers.
pub const WINDOW: usize = 0x200;

const IS_VIRTIO: u32 = u32::from_le_bytes(*b"virt");
const PAGE: u32 = 4096;
/// Reads of the status until a reset must be over.
const PATIENCE: u32 = 1000;

const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 64;

/// The device is one of virtio 1, not legacy.
const VERSION_1: u64 = 1 << 32;
/// The interrupt is about a queue.
pub(crate) const QUEUES: u32 = 1;
/// The interrupt is about the configuration.
pub(crate) const CHANGED: u32 = 2;

/// A device's registers, taken over.
#[derive(Debug)]
pub(crate) struct Virtio<R> {
    registers: R,
    pub(crate) is_legacy: bool,
    /// What it can and we take.
    pub(crate) features: u64,
}

impl<R: Registers> Virtio<R> {
    /// Finds the device of `kind` behind the registers; [`Virtio::begin`] comes next.
    pub(crate) fn find(mut registers: R, kind: u32) -> Result<Self, Fault> {
        let version = registers.read(VERSION);
        if registers.read(MAGIC) != IS_VIRTIO || registers.read(DEVICE) != kind || !matches!(version, 1 | 2) {
            return Err(Fault::Absent);
        }
        Ok(Self { registers, is_legacy: version == 1, features: 0 })
    }

    /// Resets the device and agrees with it on features: those of `wanted` that it has.
    pub(crate) fn begin(&mut self, wanted: u64) -> Result<(), Fault> {
        let registers = &mut self.registers;
        registers.write(STATUS, 0);
        if (0..PATIENCE).all(|_| registers.read(STATUS) != 0) {
            return Err(Fault::Reset);
        }
        registers.write(STATUS, ACKNOWLEDGE);
        registers.write(STATUS, ACKNOWLEDGE | DRIVER);
        let mut offered = 0;
        for half in [1, 0] {
            registers.write(FEATURES_HALF, half);
            offered = offered << 32 | u64::from(registers.read(FEATURES));
        }
        let must = if self.is_legacy { 0 } else { VERSION_1 };
        if offered & must != must {
            return Err(Fault::Absent);
        }
        // A legacy device has 32 of them.
        let known = if self.is_legacy { u64::from(u32::MAX) } else { u64::MAX };
        self.features = offered & (wanted | must) & known;
        for (half, bits) in [(0, self.features), (1, self.features >> 32)] {
            registers.write(ACCEPT_HALF, half);
            registers.write(ACCEPT, bits as u32);
        }
        if self.is_legacy {
            registers.write(LEGACY_PAGE, PAGE);
            return Ok(());
        }
        registers.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        if registers.read(STATUS) & FEATURES_OK == 0 {
            return Err(Fault::Absent);
        }
        Ok(())
    }

    /// Tells the device where queue `number` is.
    pub(crate) fn place<const N: usize>(
        &mut self,
        number: u32,
        queue: &Queue<N>,
        dma: &impl Dma,
    ) -> Result<(), Fault> {
        let registers = &mut self.registers;
        registers.write(QUEUE, number);
        let is_in_use = registers.read(if self.is_legacy { LEGACY_QUEUE } else { QUEUE_READY }) != 0;
        if is_in_use || (registers.read(QUEUE_MOST) as usize) < N {
            return Err(Fault::Absent);
        }
        registers.write(QUEUE_SIZE, N as u32);
        let at = queue.addresses(dma);
        if self.is_legacy {
            let page = u32::try_from(at.descriptors / u64::from(PAGE)).map_err(|_| Fault::Absent)?;
            registers.write(LEGACY_ALIGN, PAGE);
            registers.write(LEGACY_QUEUE, page);
            return Ok(());
        }
        for (register, address) in
            [(DESCRIPTORS, at.descriptors), (DRIVER_RING, at.driver), (DEVICE_RING, at.device)]
        {
            registers.write(register, address as u32);
            registers.write(register + 4, (address >> 32) as u32);
        }
        registers.write(QUEUE_READY, 1);
        Ok(())
    }

    /// The device may work from now on.
    pub(crate) fn go(&mut self) {
        let agreed = if self.is_legacy { 0 } else { FEATURES_OK };
        self.registers.write(STATUS, ACKNOWLEDGE | DRIVER | agreed | DRIVER_OK);
    }

    /// Queue `number` has something for it.
    pub(crate) fn notify(&mut self, number: u32) {
        self.registers.write(NOTIFY, number);
    }

    /// What the interrupt was about, which quiets it.
    pub(crate) fn acknowledge(&mut self) -> Result<u32, Fault> {
        let bits = self.registers.read(INTERRUPT) & (QUEUES | CHANGED);
        if bits != 0 {
            self.registers.write(INTERRUPT_ACK, bits);
        }
        if bits & CHANGED != 0 && self.registers.read(STATUS) & NEEDS_RESET != 0 {
            return Err(Fault::Reset);
        }
        Ok(bits)
    }

    /// A word of the device's configuration.
    pub(crate) fn config(&mut self, offset: usize) -> u32 {
        self.registers.read(CONFIG + offset)
    }
}
