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

    use sel4::kernel::fault::VM_FAULT;
    use sel4::{CNode, Rights};
    use task::{fail, place, slots};

    /// A capability slot that is empty.
    const NOTHING: u64 = 61;
    /// A system call that no kernel has.
    const STRAY: i64 = -1000;
    /// What the root task tells the first process by.
    const ANOTHERS: u64 = 1 << 62;

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
            // What the kernel would say of a fault: whose it is, the endpoint's badge says.
            5 => drop(sel4::sys::call(slots::FAULT, VM_FAULT, &[place::TEXT, 0x1234, 0, 0])),
            // A badge is put on where a capability is put, and none of its own is a table of them. (Whatever is asked
            // of a bell only rings it, and of the endpoint of its faults is a fault.)
            6 => {
                let own = CNode(slots::WAIT);
                let is_forged = [slots::WAIT, NOTHING].map(|table| {
                    CNode(table).mint_from(NOTHING, 64, own, slots::FAULT, Rights::ALL, ANOTHERS).is_ok()
                });
                fail(format_args!("badges forged: {}", is_forged.iter().filter(|is| **is).count()))
            }
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
