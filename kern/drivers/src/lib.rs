//! Device drivers over kern/hal: the PL011 serial line, a tick made of a timer's alarms, the virtio network
//! card and disk, the RTL8139 network card, the 6300ESB watchdog and the PCI bus they are on.
//! Guarantees: a driver never waits for its device longer than its documented bound, and takes nothing that
//! the device says on trust. Maps no memory and knows no kernel.
#![no_std]
#![forbid(unsafe_code)]

mod clock;
pub mod i6300esb;
pub mod pci;
mod pl011;
pub mod rtl8139;
mod tick;
mod virtio;
mod virtio_blk;
mod virtio_net;
mod virtqueue;

pub use clock::seconds;
pub use i6300esb::Watchdog;
pub use pl011::Pl011;
pub use rtl8139::Rtl8139;
pub use tick::Tick;
pub use virtio::WINDOW as VIRTIO_WINDOW;
pub use virtio_blk::VirtioBlk;
pub use virtio_net::VirtioNet;
