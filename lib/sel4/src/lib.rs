//! seL4's system calls and objects, for the kernel that was found under `$SEL4_PREFIX` at build time.
//! Guarantees: nothing else in the system makes a system call; numbers and layouts are the kernel's own.
//! It allocates nothing and keeps one word: where the IPC buffer is.
//!
//! On a host there is no kernel: there [`IS_PRESENT`] is false and the crate is otherwise nearly empty.
#![no_std]

/// Whether this build has a kernel to call.
pub const IS_PRESENT: bool = cfg!(target_os = "none");

/// Whether the kernel was built with a console that [`debug_put`](sys::debug_put) writes to.
#[cfg(target_os = "none")]
pub const HAS_CONSOLE: bool = cfg!(sel4_printing);

#[cfg(target_os = "none")]
mod boot;
pub mod counter;
#[cfg(target_os = "none")]
pub mod kernel;
#[cfg(target_os = "none")]
mod objects;
#[cfg(target_os = "none")]
pub mod sys;

#[cfg(target_os = "none")]
pub use boot::{BootInfo, Chunk, Region, Untyped as UntypedDescription};
#[cfg(target_os = "none")]
pub use kernel::Error;
#[cfg(target_os = "none")]
pub use objects::*;
#[cfg(target_os = "none")]
pub use sys::{Message, debug_put, yield_now};
