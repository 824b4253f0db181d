//! Device drivers over kern/hal: the PL011 serial line, and a tick made of a timer's alarms.
//! Guarantees: a driver never waits for its device longer than its documented bound, and takes nothing that
//! the device says on trust. Maps no memory and knows no kernel.
#![no_std]
#![forbid(unsafe_code)]

mod pl011;
mod tick;

pub use pl011::Pl011;
pub use tick::Tick;
