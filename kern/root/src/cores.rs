//! The kernel's tick, which wakes every core 500 times a second to see whether another thread's turn has come.
//! It is stopped as long as nobody on the core runs for long: a core whose processes sleep then sleeps too.
//!
//! A core needs no tick to hear of another: the kernel interrupts it, and an idle emulated one was seen to read that
//! interrupt 18 us after the other had sent it (median of 90). What can take milliseconds is the kernel's lock. Cores
//! queue for it in order and spin meanwhile, and the next in the queue may be one that the host does not run: each
//! hand-over then takes the rest of a time slice of the host, 4 ms, all of it burnt by those who spin. Of a getattr
//! between two emulated cores on a busy host, 60 of 61 million instructions were that. Ticks on several cores are
//! mostly what makes them meet there, and so are processes that talk to each other from different cores.
//!
//! The kernel at EL1 ticks by the virtual timer. Where it was built to let user level at that timer, a thread
//! on each core says to it what is wanted; elsewhere the tick goes on, and nothing is done here.
// The timer's register, and threads that share this address space.
#![allow(unsafe_code)]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use sel4::kernel::object;
use sel4::{CNode, Frame, Notification, Tcb, VSpace};

use crate::space::{Failed, Store};

const CORES_MAX: usize = 4;
const STACK_BYTES: usize = 4096;
/// Above every process, so that a core that is busy hears it.
const PRIORITY: u64 = 254;

#[repr(C, align(4096))]
struct Stacks([UnsafeCell<[u8; STACK_BYTES]>; CORES_MAX]);

// SAFETY: nothing here reads or writes them; each is one thread's.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks([const { UnsafeCell::new([0; STACK_BYTES]) }; CORES_MAX]);
/// Whether a core is to tick. None is, to begin with: the root task is alone, and cores that tick keep it waiting.
static TICKS: [AtomicBool; CORES_MAX] = [const { AtomicBool::new(false) }; CORES_MAX];

/// The cores, by the notification that their threads wait on; the first is the root task's own.
#[derive(Default)]
pub(crate) struct Cores {
    count: u64,
    bells: heapless::Vec<Notification, CORES_MAX>,
}

impl Cores {
    /// Puts a thread on each core but the first, and stops the ticks of all.
    pub(crate) fn new(store: &mut Store, count: u64) -> Result<Self, Failed> {
        let mut cores = Self { count, bells: heapless::Vec::new() };
        if !cfg!(has_virtual_timer) {
            return Ok(cores);
        }
        set(false);
        for core in 1..count.min(CORES_MAX as u64) {
            let bell = Notification(store.make(object::NOTIFICATION, 0)?);
            let tcb = Tcb(store.make(object::TCB, 0)?);
            // It sends no messages, so it needs no buffer for them; nothing that it does can fault.
            tcb.configure(0, CNode::OWN, 0, VSpace::OWN, 0, Frame(0))?;
            tcb.set_priority(PRIORITY)?;
            tcb.set_affinity(core)?;
            let stack = STACKS.0[core as usize].get() as u64 + STACK_BYTES as u64;
            tcb.start(tend as *const () as u64, stack, [core, bell.0])?;
            let _ = cores.bells.push(bell);
        }
        Ok(cores)
    }

    /// Lets the cores tick whose bit is set, and no others.
    pub(crate) fn tick(&self, wanted: u64) {
        for core in 0..self.count.min(CORES_MAX as u64) {
            let ticks = wanted >> core & 1 == 1;
            if TICKS[core as usize].swap(ticks, Ordering::SeqCst) == ticks {
                continue;
            }
            match core.checked_sub(1) {
                None => set(ticks),
                Some(other) => self.bells.get(other as usize).into_iter().for_each(|bell| bell.signal()),
            }
        }
    }
}

/// What the thread of a core does for ever.
extern "C" fn tend(core: u64, bell: u64) -> ! {
    loop {
        set(TICKS[core as usize].load(Ordering::SeqCst));
        let _ = Notification(bell).wait();
    }
}

/// Starts or stops the tick of the core that this runs on. One that has become due meanwhile comes at once, and
/// from there on the kernel keeps its time.
fn set(ticks: bool) {
    if cfg!(has_virtual_timer) {
        // SAFETY: the kernel exported the register; it only delays what the kernel does at a tick.
        unsafe { asm!("msr cntv_ctl_el0, {}", "isb", in(reg) u64::from(ticks), options(nomem, nostack)) };
    }
}
