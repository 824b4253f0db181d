//! Init of the seL4 image, as its files show it: which servers there are and answer, which workers run in which
//! places, and how the boot went. It starts and stops nothing itself: orders go to the root task, which has the
//! capabilities.
//! Guarantees: a worker has a place of its own or is refused; what a process was told does not outlive it here.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(target_os = "none")]
mod process;
mod state;

#[cfg(target_os = "none")]
pub use process::main;
pub use state::{Hive, Init, Order};
