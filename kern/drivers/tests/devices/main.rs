//! Drivers against simulated devices: registers, rings, and a cache that devices do not look into.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blk;
mod i6300esb;
mod memory;
mod net;
mod pci;
mod rtl8139;
mod virtio;
