//! What has to be said in assembly: the first instructions of each core, the memory management unit, the
//! caches, the firmware, and the jump.
// Every block here talks to the core itself; nothing of it can be said in safe Rust.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};

use loader::table::MAIR;

// The head is what boot programs take for a Linux image: a branch, where to be loaded (16 MiB above the
// start of memory), how large it is, and a magic word. x0 is the device tree.
global_asm!(
    r#"
    .section .text.head, "ax"
    .global _start
_start:
    b       1f
    .word   0
    .quad   0x1000000
    .quad   __image_bytes
    .quad   0x2
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
1:  mov     x19, x0
    bl      to_el1
    ldr     x1, =__stack_end
    mov     sp, x1
    ldr     x1, =__bss_start
    ldr     x2, =__bss_end
2:  cmp     x1, x2
    b.hs    3f
    str     xzr, [x1], #8
    b       2b
3:  mov     x0, x19
    bl      start
4:  wfe
    b       4b

    // The firmware starts another core here with its number in x0.
    .global secondary_start
secondary_start:
    mov     x19, x0
    bl      to_el1
    ldr     x1, =__stack_end
    sub     x1, x1, x19, lsl #14
    mov     sp, x1
    mov     x0, x19
    bl      secondary
5:  wfe
    b       5b

    // Leaves EL2, if that is where the core is, and lets EL1 use floating point.
to_el1:
    msr     daifset, #0xf
    mrs     x1, CurrentEL
    cmp     x1, #8
    b.ne    6f
    mov     x1, #(1 << 31)
    msr     hcr_el2, x1
    mov     x1, #3
    msr     cnthctl_el2, x1
    msr     cntvoff_el2, xzr
    mov     x1, #0x33ff
    msr     cptr_el2, x1
    mov     x1, #0xf
    msr     S3_4_C12_C9_5, x1
    ldr     x1, =0x30d00800
    msr     sctlr_el1, x1
    mov     x1, #0x3c5
    msr     spsr_el2, x1
    adr     x1, 6f
    msr     elr_el2, x1
    isb
    eret
6:  mov     x1, #(3 << 20)
    msr     cpacr_el1, x1
    isb
    ret

    .section .bss.stack, "aw", %nobits
    .balign 16
    .space  0x10000
__stack_end:
"#
);

/// How the firmware is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduit {
    Hvc,
    Smc,
}

/// Starts a core (PSCI 5.1.4); 0 is success.
pub(crate) fn cpu_on(conduit: Conduit, core: u64, number: u64) -> i64 {
    const CPU_ON: u64 = 0xc400_0003;
    unsafe extern "C" {
        fn secondary_start();
    }
    let entry = secondary_start as *const () as u64;
    let result: i64;
    // SAFETY: the call follows the SMC calling convention, whose clobbers are declared; the core that it
    // starts runs on a stack of its own.
    unsafe {
        match conduit {
            Conduit::Hvc => asm!("hvc #0", inlateout("x0") CPU_ON => result, in("x1") core, in("x2") entry,
                in("x3") number, clobber_abi("C")),
            Conduit::Smc => asm!("smc #0", inlateout("x0") CPU_ON => result, in("x1") core, in("x2") entry,
                in("x3") number, clobber_abi("C")),
        }
    }
    result
}

/// The core's own address in the machine, without the bits that are not its address.
pub(crate) fn own_address() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) value) };
    value & 0xff_00ff_ffff
}

/// Turns the memory management unit and the caches on, with these roots for the two halves.
///
/// # Safety
/// The tables map the loader where it lies, and the rest of what it touches.
pub(crate) unsafe fn enable_mmu(lower: u64, upper: u64) {
    // SAFETY: the caller promised the tables; the order of barriers is the architecture's.
    unsafe {
        let features: u64;
        asm!("mrs {}, id_aa64mmfr0_el1", out(reg) features);
        let control = loader::table::translation_control(features);
        asm!(
            "msr mair_el1, {mair}",
            "msr tcr_el1, {control}",
            "msr ttbr0_el1, {lower}",
            "msr ttbr1_el1, {upper}",
            "isb",
            "tlbi vmalle1",
            "ic iallu",
            "dsb nsh",
            "isb",
            "mrs {scratch}, sctlr_el1",
            "orr {scratch}, {scratch}, {on}",
            "msr sctlr_el1, {scratch}",
            "isb",
            mair = in(reg) MAIR,
            control = in(reg) control,
            lower = in(reg) lower,
            upper = in(reg) upper,
            // M, C and I.
            on = in(reg) 1u64 | 1 << 2 | 1 << 12,
            scratch = out(reg) _,
        );
    }
}

/// Writes `[from, to)` back to memory, for cores whose caches are off, and for instruction fetches.
pub(crate) fn clean(from: u64, to: u64) {
    const LINE: u64 = 64;
    let mut at = from & !(LINE - 1);
    while at < to {
        // SAFETY: cleaning changes no value.
        unsafe { asm!("dc civac, {}", in(reg) at) };
        at += LINE;
    }
    // SAFETY: barriers, and forgetting instructions.
    unsafe { asm!("dsb sy", "ic ialluis", "dsb sy", "isb") };
}

/// The six words that the kernel is entered with.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Handover {
    pub(crate) user_start: u64,
    pub(crate) user_end: u64,
    pub(crate) user_offset: u64,
    pub(crate) user_entry: u64,
    pub(crate) tree: u64,
    pub(crate) tree_bytes: u64,
}

/// Enters the kernel as core `number`.
///
/// # Safety
/// The kernel is mapped at `entry` and everything that the words name is in place.
pub(crate) unsafe fn enter(entry: u64, words: &Handover, number: u64) -> ! {
    // SAFETY: the caller's promise; nothing returns.
    unsafe {
        asm!(
            "msr tpidr_el1, {number}",
            "isb",
            "br {entry}",
            number = in(reg) number,
            entry = in(reg) entry,
            in("x0") words.user_start,
            in("x1") words.user_end,
            in("x2") words.user_offset,
            in("x3") words.user_entry,
            in("x4") words.tree,
            in("x5") words.tree_bytes,
            options(noreturn),
        )
    }
}

/// Stays here for ever.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: waits.
        unsafe { asm!("wfe") };
    }
}
