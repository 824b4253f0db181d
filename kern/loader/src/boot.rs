//! The boot story: tables, pieces, cores, jump.
// Physical memory is named by its addresses here, before anything owns it; each block says what it relies on.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use fdt::Fdt;
use loader::place::{Cargo, tree_bytes};
use loader::table::{self, BLOCK, ENTRIES, GIB};

use crate::machine::{self, Conduit, Handover};
use crate::serial::say;

/// A program, flat: `bytes` go to `phys`, the rest of `size` is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) bytes: &'static [u8],
    pub(crate) virt: u64,
    pub(crate) phys: u64,
    pub(crate) size: u64,
    pub(crate) entry: u64,
}

include!(concat!(env!("OUT_DIR"), "/pieces.rs"));

/// Cores that the kernel waits for.
const CORES: u64 = sel4::kernel::config::MAX_NUM_NODES;

#[repr(C, align(4096))]
struct Table([u64; ENTRIES]);

/// Roots of both halves, one level below each, and the kernel's blocks. Written by the first core before
/// there is a second.
static mut TABLES: [Table; 5] = [const { Table([0; ENTRIES]) }; 5];
/// What the other cores need, written before they start.
static HANDOVER: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

unsafe extern "C" {
    static __image_start: u8;
    static __loader_end: u8;
}

fn table(index: usize) -> u64 {
    (&raw const TABLES) as u64 + 4096 * index as u64
}

/// Fills the tables: all low memory where it lies, and the kernel in the upper half.
fn map() {
    // SAFETY: only the first core is up, and nothing else refers to the tables yet.
    let tables = unsafe { &mut *(&raw mut TABLES) };
    let [lower, upper, low, high, kernel] = tables;
    lower.0[0] = table::next(table(2));
    low.0[0] = table::device(0);
    for gib in 1..ENTRIES.min(64) {
        low.0[gib] = table::memory(gib as u64 * GIB);
    }
    upper.0[table::index(KERNEL.virt, 0)] = table::next(table(3));
    high.0[table::index(KERNEL.virt, 1)] = table::next(table(4));
    let blocks = KERNEL.size.div_ceil(BLOCK);
    for block in 0..blocks {
        let first = table::index(KERNEL.virt, 2);
        kernel.0[first + block as usize] = table::memory(KERNEL.phys + block * BLOCK);
    }
}

/// Where the first core goes after its first instructions.
#[unsafe(no_mangle)]
extern "C" fn start(tree: *const u32) -> ! {
    map();
    // SAFETY: `map` made the tables, and they map everything that follows.
    unsafe { machine::enable_mmu(table(0), table(1)) };
    machine::clean(table(0), table(5));
    say!("cohesix {} manifest {}", env!("CARGO_PKG_VERSION"), env!("COHESIX_MANIFEST"));
    match load(tree) {
        Ok(words) => {
            // SAFETY: `load` put everything where the words say.
            unsafe { machine::enter(KERNEL.entry, &words, 0) }
        }
        Err(why) => {
            say!("stopped: {why}");
            machine::halt()
        }
    }
}

fn load(tree: *const u32) -> Result<Handover, &'static str> {
    // SAFETY: the boot protocol has the device tree there; a null or foreign one fails the check.
    let header = unsafe { tree.cast::<[u32; 10]>().as_ref() }.ok_or("no device tree in x0")?;
    let bytes = tree_bytes(header).ok_or("what x0 points at is not a device tree")?;
    // SAFETY: the header says how long it is.
    let tree_data = unsafe { core::slice::from_raw_parts(tree.cast::<u8>(), bytes as usize) };
    let machine = Machine::read(tree.cast())?;

    let cargo = Cargo {
        kernel: (KERNEL.phys, KERNEL.phys + KERNEL.size),
        loader: ((&raw const __image_start) as u64, (&raw const __loader_end) as u64),
        root: ROOT.size,
        bundle: BUNDLE.len() as u64,
        tree: u64::from(bytes),
        ram: machine.ram,
    };
    let plan =
        cargo.plan().map_err(|_| "kernel, loader and user image do not fit into memory beside each other")?;
    if KERNEL.virt % BLOCK != KERNEL.phys % BLOCK || !KERNEL.phys.is_multiple_of(BLOCK) {
        return Err("the kernel is not linked to 2 MiB blocks");
    }
    let there = tree as u64;
    if there < plan.user_end && plan.tree < there + u64::from(bytes) {
        return Err("the boot program put the device tree where the user image goes");
    }
    put(KERNEL.bytes, KERNEL.phys, KERNEL.phys + KERNEL.size);
    put(ROOT.bytes, plan.root, plan.bundle);
    put(BUNDLE, plan.bundle, plan.user_end);
    put(tree_data, plan.tree, plan.root);
    // SAFETY: the copy's second word is its length, which is now shorter.
    unsafe { (plan.tree as *mut u32).add(1).write(bytes.to_be()) };
    machine::clean(plan.tree, plan.tree + 8);

    let words = Handover {
        user_start: plan.root,
        user_end: plan.user_end,
        user_offset: plan.root.wrapping_sub(ROOT.virt),
        user_entry: ROOT.entry,
        tree: plan.tree,
        tree_bytes: plan.root - plan.tree,
    };
    machine.start_others(&words)?;
    Ok(words)
}

/// Copies `bytes` to `[from, to)` and zeroes the rest.
fn put(bytes: &[u8], from: u64, to: u64) {
    // SAFETY: the plan keeps these ranges apart from the loader, the device tree and each other, and they are
    // in memory that nothing has been given yet.
    unsafe {
        let target = from as *mut u8;
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        core::ptr::write_bytes(target.add(bytes.len()), 0, (to - from) as usize - bytes.len());
    }
    machine::clean(from, to);
}

/// What the loader asks of the device tree.
struct Machine {
    ram: (u64, u64),
    conduit: Conduit,
    cores: [u64; CORES as usize],
}

impl Machine {
    fn read(tree: *const u8) -> Result<Self, &'static str> {
        // SAFETY: `tree_bytes` has seen a device tree there.
        let tree = unsafe { Fdt::from_ptr(tree) }.map_err(|_| "the device tree cannot be read")?;
        let memory = tree.memory().regions().next().ok_or("the device tree names no memory")?;
        let start = memory.starting_address as u64;
        let ram = (start, start + memory.size.unwrap_or(0) as u64);
        let method = tree.find_node("/psci").and_then(|node| node.property("method")?.as_str());
        let conduit = if method == Some("smc") { Conduit::Smc } else { Conduit::Hvc };
        let mut cores = [0; CORES as usize];
        let mut found = 0;
        for (place, cpu) in cores.iter_mut().zip(tree.cpus()) {
            *place = cpu.ids().first() as u64;
            found += 1;
        }
        if found < CORES {
            return Err("the kernel waits for more cores than the machine has; run it with as many as \
                        KernelMaxNumNodes, or build the kernel with fewer");
        }
        if cores[0] != machine::own_address() {
            return Err("the first core is not the device tree's first");
        }
        Ok(Self { ram, conduit, cores })
    }

    fn start_others(&self, words: &Handover) -> Result<(), &'static str> {
        let values = [
            words.user_start,
            words.user_end,
            words.user_offset,
            words.user_entry,
            words.tree,
            words.tree_bytes,
        ];
        for (place, value) in HANDOVER.iter().zip(values) {
            place.store(value, Ordering::Relaxed);
        }
        // The others start with their caches off.
        machine::clean((&raw const HANDOVER) as u64, (&raw const HANDOVER) as u64 + 48);
        for (number, &core) in self.cores.iter().enumerate().skip(1) {
            if machine::cpu_on(self.conduit, core, number as u64) != 0 {
                return Err("the firmware does not start a core");
            }
        }
        Ok(())
    }
}

/// Where the other cores go after their first instructions.
#[unsafe(no_mangle)]
extern "C" fn secondary(number: u64) -> ! {
    // SAFETY: the first core made the tables and wrote them back.
    unsafe { machine::enable_mmu(table(0), table(1)) };
    let [user_start, user_end, user_offset, user_entry, tree, tree_bytes] =
        HANDOVER.each_ref().map(|word| word.load(Ordering::Relaxed));
    let words = Handover { user_start, user_end, user_offset, user_entry, tree, tree_bytes };
    // SAFETY: the first core put everything in place before it started this one.
    unsafe { machine::enter(KERNEL.entry, &words, number) }
}

#[panic_handler]
fn panic(why: &core::panic::PanicInfo) -> ! {
    say!("stopped: {why}");
    machine::halt()
}
