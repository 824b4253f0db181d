//! The root task's bookkeeping, apart from the kernel it keeps books of: memory and slots.
//! Guarantees: nothing is given out twice, and never more than the boot info named. Makes no system call and
//! has no heap.
#![no_std]
#![forbid(unsafe_code)]

pub mod memory;
