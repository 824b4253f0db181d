//! wrong: a process that does what none may, one thing at each start. tests/sel4 puts it into an image to see
//! that each ends in a fault of its own, and that nobody else notices.
#![cfg_attr(target_os = "none", no_std, no_main)]
// It reads, writes and traps where it must not: that is what it is for.
#![cfg_attr(target_os = "none", allow(unsafe_code))]

#[cfg(target_os = "none")]
task::process!(bare::main);

#[cfg(target_os = "none")]
mod bare {
    extern crate alloc;
    use alloc::vec;
    use core::arch::asm;

    use task::{fail, place, slots};

    /// A capability slot that is empty.
    const NOTHING: u64 = 61;
    /// A system call that no kernel has.
    const STRAY: i64 = -1000;

    pub(crate) fn main() -> ! {
        match task::starts() {
            // SAFETY: none; the process's own code is not writable, and the kernel says so.
            0 => unsafe {
                asm!("str xzr, [{}]", in(reg) place::TEXT);
            },
            // SAFETY: none; the kernel makes a fault of it.
            1 => unsafe {
                asm!("svc #0", in("x7") STRAY, lateout("x0") _, lateout("x1") _);
            },
            2 => {
                let Some((_, mut channel)) = task::channels().next() else { fail(format_args!("")) };
                while channel.conversation().is_none() {
                    task::sleep(None);
                }
                // SAFETY: the ring is mapped there, writable, and its first word is the index that this end
                // publishes.
                unsafe { (place::ring(0, true) as *mut u32).write_volatile(u32::MAX) };
                sel4::Notification(slots::notify(0)).signal();
                loop {
                    core::hint::spin_loop();
                }
            }
            3 => drop(sel4::sys::receive(NOTHING)),
            4 => loop {
                core::hint::spin_loop();
            },
            _ => {
                let _all = vec![1u8; 64 << 20];
            }
        }
        fail(format_args!("still here"))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("wrong: runs on seL4 only, in tests/sel4");
}
