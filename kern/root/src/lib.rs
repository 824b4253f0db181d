//! The root task's bookkeeping, apart from the kernel it keeps books of: memory, slots, the bundle, programs.
//! Guarantees: nothing is given out twice, and never more than the boot info named; what the bundle holds is
//! checked before it is used. Makes no system call and has no heap.
#![no_std]
#![forbid(unsafe_code)]

pub mod bootargs;
pub mod bundle;
pub mod memory;
pub mod program;
pub mod restart;
pub mod topology;
pub mod watch;
