//! A virtio device in memory-mapped form: its registers, and its side of the queues.

use std::cell::RefCell;
use std::rc::Rc;

use hal::Registers;

use crate::memory::Memory;

/// A queue as the driver placed it.
#[derive(Clone, Default)]
pub(crate) struct Placed {
    size: u32,
    descriptors: u64,
    driver: u64,
    device: u64,
    is_ready: bool,
    seen: u16,
    pub(crate) used: u16,
}

/// The device.
pub(crate) struct Device {
    memory: Memory,
    kind: u32,
    version: u32,
    pub(crate) features: u64,
    pub(crate) accepted: u64,
    pub(crate) config: Vec<u8>,
    pub(crate) status: u32,
    pub(crate) interrupt: u32,
    pub(crate) queue_most: u32,
    /// A reset that does not end.
    pub(crate) is_stuck: bool,
    half: u32,
    selected: usize,
    pub(crate) queues: Vec<Placed>,
    pub(crate) notified: Vec<u32>,
}

/// A descriptor: address, bytes, whether the device writes.
pub(crate) type Descriptor = (u64, u32, bool);

pub(crate) const VERSION_1: u64 = 1 << 32;

/// A handle of the device, for the driver and for the test.
#[derive(Clone)]
pub(crate) struct Handle(pub(crate) Rc<RefCell<Device>>);

impl Handle {
    pub(crate) fn new(memory: &Memory, kind: u32, is_legacy: bool, features: u64, config: &[u8]) -> Self {
        Self(Rc::new(RefCell::new(Device {
            memory: memory.clone(),
            kind,
            version: if is_legacy { 1 } else { 2 },
            features: if is_legacy { features } else { features | VERSION_1 },
            accepted: 0,
            config: config.to_vec(),
            status: 0,
            interrupt: 0,
            queue_most: 256,
            is_stuck: false,
            half: 0,
            selected: 0,
            queues: vec![Placed::default(); 2],
            notified: Vec::new(),
        })))
    }

    /// The next chain of a queue that the driver has published.
    pub(crate) fn pop(&self, queue: usize) -> Option<(u16, Vec<Descriptor>)> {
        let mut device = self.0.borrow_mut();
        assert_eq!(device.status & 4, 4, "the driver does not run");
        let memory = device.memory.clone();
        let placed = &mut device.queues[queue];
        let size = placed.size as u16;
        assert!(placed.is_ready);
        let published = memory.device_u16(placed.driver + 2);
        if published == placed.seen {
            return None;
        }
        assert!(published.wrapping_sub(placed.seen) <= size, "the driver's ring is overrun");
        let head = memory.device_u16(placed.driver + 4 + 2 * u64::from(placed.seen % size));
        placed.seen = placed.seen.wrapping_add(1);
        let mut chain = Vec::new();
        let mut id = head;
        loop {
            assert!(id < size && chain.len() < usize::from(size), "a chain without end");
            let at = placed.descriptors + 16 * u64::from(id);
            let flags = memory.device_u16(at + 12);
            chain.push((memory.device_u64(at), memory.device_u32(at + 8), flags & 2 != 0));
            if flags & 1 == 0 {
                return Some((head, chain));
            }
            id = memory.device_u16(at + 14);
        }
    }

    /// Returns anything, true or not.
    pub(crate) fn push(&self, queue: usize, id: u32, bytes: u32) {
        let mut device = self.0.borrow_mut();
        let memory = device.memory.clone();
        let placed = &mut device.queues[queue];
        let at = placed.device + 4 + 8 * u64::from(placed.used % placed.size as u16);
        memory.device_store(at, &id.to_le_bytes());
        memory.device_store(at + 4, &bytes.to_le_bytes());
        placed.used = placed.used.wrapping_add(1);
        memory.device_store(placed.device + 2, &placed.used.to_le_bytes());
        device.interrupt |= 1;
    }

    /// Claims that so many entries were returned.
    pub(crate) fn claim(&self, queue: usize, used: u16) {
        let mut device = self.0.borrow_mut();
        let memory = device.memory.clone();
        device.queues[queue].used = used;
        memory.device_store(device.queues[queue].device + 2, &used.to_le_bytes());
    }

    pub(crate) fn memory(&self) -> Memory {
        self.0.borrow().memory.clone()
    }
}

impl Registers for Handle {
    fn read(&mut self, offset: usize) -> u32 {
        let device = self.0.borrow();
        let is_legacy = device.version == 1;
        match offset {
            0x000 => 0x7472_6976,
            0x004 => device.version,
            0x008 => device.kind,
            0x010 => (device.features >> (32 * device.half)) as u32,
            0x034 => device.queue_most,
            0x040 if is_legacy => device.queues[device.selected].is_ready.into(),
            0x044 if !is_legacy => device.queues[device.selected].is_ready.into(),
            0x060 => device.interrupt,
            0x070 => device.status,
            0x100.. => {
                let at = offset - 0x100;
                let byte = |n: usize| device.config.get(at + n).copied().unwrap_or(0);
                u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
            }
            other => panic!("reads {other:#x}"),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let mut device = self.0.borrow_mut();
        let is_legacy = device.version == 1;
        let selected = device.selected;
        let set = |address: &mut u64, high: bool| {
            *address = if high { *address & 0xffff_ffff | u64::from(value) << 32 } else { value.into() };
        };
        match offset {
            0x014 | 0x024 => device.half = value,
            0x020 if device.half == 0 => device.accepted = value.into(),
            0x020 => device.accepted |= u64::from(value) << 32,
            0x028 if is_legacy => assert_eq!(value, 4096),
            0x030 => device.selected = value as usize,
            0x038 => device.queues[selected].size = value,
            0x03c if is_legacy => assert_eq!(value, 4096),
            0x040 if is_legacy => {
                let placed = &mut device.queues[selected];
                placed.descriptors = u64::from(value) * 4096;
                placed.driver = placed.descriptors + 16 * u64::from(placed.size);
                placed.device = (placed.driver + 6 + 2 * u64::from(placed.size)).next_multiple_of(4096);
                placed.is_ready = true;
            }
            0x044 if !is_legacy => device.queues[selected].is_ready = value == 1,
            0x050 => device.notified.push(value),
            0x064 => device.interrupt &= !value,
            0x070 if value == 0 && !device.is_stuck => {
                device.status = 0;
                device.interrupt = 0;
                device.queues.fill(Placed::default());
            }
            0x070 if value == 0 => device.status = 1,
            0x070 => {
                let beyond = device.accepted & !device.features;
                // Features that it does not have are not agreed upon.
                device.status = if beyond == 0 { value } else { value & !8 };
            }
            0x080 | 0x084 if !is_legacy => set(&mut device.queues[selected].descriptors, offset & 4 != 0),
            0x090 | 0x094 if !is_legacy => set(&mut device.queues[selected].driver, offset & 4 != 0),
            0x0a0 | 0x0a4 if !is_legacy => set(&mut device.queues[selected].device, offset & 4 != 0),
            other => panic!("writes {other:#x}"),
        }
    }
}
