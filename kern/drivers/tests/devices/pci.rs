//! The PCI bus.

use std::collections::BTreeMap;

use drivers::pci::{Function, Pci};
use hal::{Fault, Registers};

/// A device: its registers that can be written, with which bits, and the rest.
#[derive(Default)]
struct Device {
    values: BTreeMap<usize, u32>,
    masks: BTreeMap<usize, u32>,
}

#[derive(Default)]
struct Bus {
    devices: BTreeMap<usize, Device>,
}

impl Registers for &mut Bus {
    fn read(&mut self, offset: usize) -> u32 {
        let Some(device) = self.devices.get(&(offset >> 15)) else { return u32::MAX };
        device.values.get(&(offset & 0x7fff)).copied().unwrap_or(0)
    }

    fn write(&mut self, offset: usize, value: u32) {
        let Some(device) = self.devices.get_mut(&(offset >> 15)) else { return };
        let register = offset & 0x7fff;
        let mask = device.masks.get(&register).copied().unwrap_or(0);
        let fixed = device.values.get(&register).copied().unwrap_or(0) & !mask;
        device.values.insert(register, value & mask | fixed);
    }
}

/// A card with 256 bytes of ports, then 256 bytes of memory, at pin A.
fn card() -> Device {
    Device {
        values: [(0, 0x8139_10ec), (0x10, 1), (0x14, 0), (0x3c, 1 << 8)].into(),
        masks: [(4, 0xffff), (0x10, 0xffff_ff00), (0x14, 0xffff_ff00)].into(),
    }
}

fn bus() -> Bus {
    let bridge = Device { values: [(0, 0x0008_1b36)].into(), masks: BTreeMap::new() };
    Bus { devices: [(0, bridge), (2, card())].into() }
}

#[test]
fn a_device_is_found_placed_and_let_at_memory() {
    let mut bus = bus();
    let mut pci = Pci::new(&mut bus);
    assert_eq!(pci.functions().count(), 2);
    let card = pci.find(0x10ec, 0x8139).unwrap();
    assert_eq!(card, Function { device: 2, id: 0x8139_10ec });
    assert_eq!(pci.place(card, 0x1000_0000, 4096), Ok(256));
    assert_eq!(pci.line(card), Some(2));
    assert_eq!(pci.find(0x10ec, 0x8168), Err(Fault::Absent));
    let values = &bus.devices[&2].values;
    assert_eq!((values[&0x14], values[&0x10], values[&4]), (0x1000_0000, 1, 6));
}

#[test]
fn what_does_not_fit_or_does_not_hold_its_address_is_refused() {
    let mut bus = bus();
    let mut pci = Pci::new(&mut bus);
    let function = pci.find(0x10ec, 0x8139).unwrap();
    assert_eq!(pci.place(function, 0x1000_0000, 128), Err(Fault::Absent));
    assert_eq!(pci.place(function, 0x1000_0080, 4096), Err(Fault::Absent));
    let bridge = pci.find(0x1b36, 0x0008).unwrap();
    assert_eq!(pci.place(bridge, 0x1000_0000, 4096), Err(Fault::Absent));
    // It claims a size that is none.
    bus.devices.get_mut(&2).unwrap().masks.insert(0x14, 0xffff_0f00);
    assert_eq!(Pci::new(&mut bus).place(function, 0x1000_0000, 4096), Err(Fault::Absent));
}
