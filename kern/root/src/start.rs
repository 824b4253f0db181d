//! The first instructions, and the last: entry, stack, panic.
// The entry point is assembly; the allocator is one that never gives.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;

// The kernel enters with the boot info's address in x0 and no stack.
global_asm!(
    r#"
    .global _start
_start:
    ldr     x1, =__stack_end
    mov     sp, x1
    bl      root_start
1:  b       1b

    .section .bss.stack, "aw", %nobits
    .balign 4096
    .global __stack_guard
__stack_guard:
    .space  0x1000
    .space  0x80000
__stack_end:
"#
);

unsafe extern "C" {
    static __image_start: u8;
    static __stack_guard: u8;
}

/// Takes the page below the stack away, so that a stack that grows too far is a fault and not a riddle.
pub(crate) fn guard_stack(boot: &sel4::BootInfo) -> Result<(), sel4::Error> {
    let pages = ((&raw const __stack_guard) as u64 - (&raw const __image_start) as u64) / crate::space::PAGE;
    sel4::Frame(boot.image_frames().start + pages).unmap()
}

/// No heap: the crates below that could use one are asked for nothing that does.
struct NoHeap;

// SAFETY: a null pointer is how an allocator says that there is nothing.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;

#[unsafe(no_mangle)]
extern "C" fn root_start(boot: *const u8) -> ! {
    // SAFETY: the kernel enters with the boot info's address, once.
    let boot = unsafe { sel4::BootInfo::at(boot) };
    // SAFETY: the kernel mapped the first thread's buffer there, and nobody else knows of it.
    unsafe { sel4::sys::set_ipc_buffer(boot.ipc_buffer()) };
    crate::run(boot)
}

#[panic_handler]
fn panic(why: &core::panic::PanicInfo) -> ! {
    use core::fmt::Write as _;
    let _ = writeln!(crate::output::Kernel, "[root] stopped: {why}");
    loop {
        let _ = sel4::Tcb::OWN.suspend();
    }
}
