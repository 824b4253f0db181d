//! Devices and who has them: registers, interrupt lines and a piece of memory, to one process each and to nobody
//! else. Where they are is the board's: QEMU's `virt`.

use root_task::topology::Topology;
use sel4::kernel::object;
use sel4::{CNode, Frame, Irq, Memory, Notification, Rights};
use task::config::{Device, LINES_MAX};
use task::{place, slots};

use crate::process::Process;
use crate::pump::Pump;
use crate::space::{Failed, Store};

/// The page of the first eight virtio slots, and the interrupt line of the first; the others follow.
const VIRTIO: u64 = 0x0a00_0000;
const VIRTIO_LINE: u64 = 48;
/// Slots on one page: a device that is to be alone on its page is put into the first of them.
const SLOTS_PER_PAGE: u64 = 8;
/// The configuration space of the first PCI bus, and the place for the registers of what is on it.
pub(crate) const PCI: u64 = 0x40_1000_0000;
pub(crate) const PCI_REGISTERS: u64 = 0x1000_0000;
/// The bus's four interrupt lines.
const PCI_LINES: [u64; 4] = [35, 36, 37, 38];

/// Where a device is.
struct Wiring {
    registers: u64,
    pci: Option<u64>,
    lines: heapless::Vec<u64, LINES_MAX>,
}

fn wiring(device: Device) -> Option<Wiring> {
    let virtio = |page: u64| Wiring {
        registers: VIRTIO + page * place::PAGE,
        pci: None,
        lines: [VIRTIO_LINE + page * SLOTS_PER_PAGE].into_iter().collect(),
    };
    Some(match device {
        Device::None => return None,
        Device::VirtioNet => virtio(0),
        Device::VirtioBlk => virtio(1),
        Device::Rtl8139 => {
            Wiring { registers: PCI_REGISTERS, pci: Some(PCI), lines: PCI_LINES.into_iter().collect() }
        }
    })
}

impl Pump {
    /// Gives the devices that the topology names to who it says.
    pub(crate) fn give_devices(&mut self, topology: Topology<'_>) -> Result<(), Failed> {
        for (name, device) in topology.devices() {
            let Some(wiring) = wiring(device) else { continue };
            let process = self.processes.iter_mut().find(|process| process.name == name);
            let process = process.ok_or(Failed::Process("a device's owner is no process"))?;
            give(&mut self.store, process, device, &wiring)?;
        }
        Ok(())
    }
}

fn give(store: &mut Store, process: &mut Process, device: Device, wiring: &Wiring) -> Result<(), Failed> {
    const DEPTH: u8 = slots::BITS as u8;
    let (cnode, vspace) = process.spaces();
    let registers = Frame(store.device_page(wiring.registers, object::ARM_SMALL_PAGE)?);
    store.map(registers, vspace, place::REGISTERS, Rights::READ_WRITE, Memory::Device)?;
    if let Some(pci) = wiring.pci {
        let configuration = Frame(store.device_page(pci, object::ARM_LARGE_PAGE)?);
        store.map(configuration, vspace, place::PCI, Rights::READ_WRITE, Memory::Device)?;
    }
    let memory = Frame(store.make(object::ARM_LARGE_PAGE, 0)?);
    store.map(memory, vspace, place::DMA, Rights::READ_WRITE, Memory::Data)?;
    let bus = memory.address()?;
    // The capability that has mapped it is the one that the kernel's cache operations go by.
    cnode.move_from(slots::DMA, DEPTH, CNode::OWN, memory.0)?;
    for (line, number) in wiring.lines.iter().enumerate() {
        let signal = store.slots.take(1)?;
        CNode::OWN.mint_from(signal, 64, CNode::OWN, process.bell().0, Rights::WRITE, 1 << line)?;
        let slot = store.slots.take(1)?;
        let irq = Irq::claim(*number, false, 0, CNode::OWN, slot)?;
        irq.notify(Notification(signal))?;
        irq.acknowledge()?;
        cnode.copy_from(slots::interrupt(line), DEPTH, CNode::OWN, slot, Rights::ALL)?;
    }
    let config = process.config();
    config.device = device;
    config.lines = wiring.lines.len() as u32;
    config.dma_bus = bus;
    Ok(())
}
