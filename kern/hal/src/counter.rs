//! The core's generic timer (Arm ARM D12): the physical counter and its alarm, from user level.
// Writes system registers, which safe Rust cannot name.
#![allow(unsafe_code)]

use core::arch::asm;

use crate::Timer;

/// The physical timer of the core that the thread runs on. The kernel must have exported it.
#[derive(Debug)]
pub struct PhysicalTimer(());

const ENABLE: u64 = 1;

impl PhysicalTimer {
    /// The timer, of which a core has one.
    ///
    /// # Safety
    /// The kernel exported the physical timer to user level, and nobody else sets its alarm.
    #[must_use]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl Timer for PhysicalTimer {
    fn now(&self) -> u64 {
        sel4::counter::now()
    }

    fn frequency(&self) -> u64 {
        sel4::counter::frequency()
    }

    fn alarm(&mut self, at: u64) {
        // SAFETY: exported, as `new`'s caller promised; only this value sets the alarm.
        unsafe {
            asm!("msr cntp_cval_el0, {}", "msr cntp_ctl_el0, {}", "isb", in(reg) at, in(reg) ENABLE,
                options(nomem, nostack));
        }
    }

    fn quiet(&mut self) {
        // SAFETY: as above.
        unsafe { asm!("msr cntp_ctl_el0, xzr", "isb", options(nomem, nostack)) };
    }
}
