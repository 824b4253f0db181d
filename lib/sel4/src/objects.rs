//! The kernel's objects, each a capability's address with what can be asked of it.
//!
//! All of it is safe Rust: an invocation moves no Rust value. At worst it takes memory or a thread from
//! under the process, whose next step is then a fault. What reads or writes memory by its address is unsafe
//! where it is done.

use crate::kernel::{Error, UserContext, bits, invoke, object};
use crate::sys::{self, Message};

type Result<T = ()> = core::result::Result<T, Error>;

/// The depth that resolves a whole capability address.
const DEPTH: u8 = 64;

/// Rights that a copy keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(u64);

impl Rights {
    /// Write, or send and signal.
    pub const WRITE: Self = Self(1);
    /// Read, or receive and wait.
    pub const READ: Self = Self(2);
    /// Both.
    pub const READ_WRITE: Self = Self(3);
    /// Send capabilities along, and be answered.
    pub const GRANT_REPLY: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Memory not yet made into anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untyped(pub u64);

impl Untyped {
    /// Makes `count` objects of `kind`, with capabilities from `slot` on in `cnode`. `size_bits` matters for
    /// untypeds and CNodes.
    ///
    /// # Errors
    /// If the memory or the slots do not suffice.
    pub fn retype(self, kind: u64, size_bits: u64, cnode: CNode, slot: u64, count: u64) -> Result {
        invoke::untyped_retype(self.0, kind, size_bits, cnode.0, 0, 0, slot, count)
    }
}

/// Bytes of an object of `kind`, as a power of two; `size_bits` is what retype was or will be told.
#[must_use]
pub fn object_bits(kind: u64, size_bits: u64) -> u64 {
    match kind {
        object::UNTYPED => size_bits,
        object::CAP_TABLE => size_bits + bits::SLOT,
        object::TCB => bits::TCB,
        object::ENDPOINT => bits::ENDPOINT,
        object::NOTIFICATION => bits::NOTIFICATION,
        object::ARM_LARGE_PAGE => bits::LARGE_PAGE,
        object::ARM_V_SPACE => bits::V_SPACE,
        object::ARM_PAGE_TABLE => bits::PAGE_TABLE,
        _ => bits::PAGE,
    }
}

/// A table of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CNode(pub u64);

impl CNode {
    /// The first process's.
    pub const OWN: Self = Self(crate::kernel::slot::INIT_THREAD_C_NODE);

    /// The word that makes a CNode of `2^bits` slots resolve whole addresses: a guard of zeros above it.
    #[must_use]
    pub const fn guard(bits: u64) -> u64 {
        (DEPTH as u64 - bits) << crate::kernel::c_node_cap_data_shift::GUARD_SIZE
    }

    /// Copies a capability of this table, keeping `rights`.
    ///
    /// # Errors
    /// If `from` is empty or `to` is taken.
    pub fn copy(self, to: u64, from: u64, rights: Rights) -> Result {
        self.copy_from(to, DEPTH, self, from, rights)
    }

    /// Copies from another table; `depth` is how many bits of `to` this table resolves.
    ///
    /// # Errors
    /// As for [`CNode::copy`].
    pub fn copy_from(self, to: u64, depth: u8, source: Self, from: u64, rights: Rights) -> Result {
        invoke::c_node_copy(self.0, to, depth, source.0, from, DEPTH, rights.0)
    }

    /// Copies a capability out of another table, of which `from` is a slot of `depth` bits.
    ///
    /// # Errors
    /// As for [`CNode::copy`].
    pub fn copy_out(self, to: u64, source: Self, from: u64, depth: u8) -> Result {
        invoke::c_node_copy(self.0, to, DEPTH, source.0, from, depth, Rights::READ_WRITE.0)
    }

    /// Moves a capability here out of another table; a page stays mapped where it is.
    ///
    /// # Errors
    /// As for [`CNode::copy`].
    pub fn move_from(self, to: u64, depth: u8, source: Self, from: u64) -> Result {
        invoke::c_node_move(self.0, to, depth, source.0, from, DEPTH)
    }

    /// Copies with a badge, or with a guard for a CNode.
    ///
    /// # Errors
    /// As for [`CNode::copy`].
    pub fn mint_from(
        self,
        to: u64,
        depth: u8,
        source: Self,
        from: u64,
        rights: Rights,
        badge: u64,
    ) -> Result {
        invoke::c_node_mint(self.0, to, depth, source.0, from, DEPTH, rights.0, badge)
    }

    /// Empties a slot.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn delete(self, slot: u64) -> Result {
        invoke::c_node_delete(self.0, slot, DEPTH)
    }

    /// Deletes everything that was derived from a slot's capability.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn revoke(self, slot: u64) -> Result {
        invoke::c_node_revoke(self.0, slot, DEPTH)
    }
}

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcb(pub u64);

impl Tcb {
    /// The first process's.
    pub const OWN: Self = Self(crate::kernel::slot::INIT_THREAD_TCB);

    /// Gives the thread its spaces, its IPC buffer, and the endpoint (in its own CSpace) for its faults.
    ///
    /// # Errors
    /// If a capability is of the wrong kind.
    pub fn configure(
        self,
        fault: u64,
        cspace: CNode,
        guard: u64,
        vspace: VSpace,
        buffer: u64,
        frame: Frame,
    ) -> Result {
        invoke::tcb_configure(self.0, fault, cspace.0, guard, vspace.0, 0, buffer, frame.0)
    }

    /// Sets the priority and its ceiling, no higher than the caller's own ceiling.
    ///
    /// # Errors
    /// If it is higher.
    pub fn set_priority(self, priority: u64) -> Result {
        invoke::tcb_set_sched_params(self.0, Self::OWN.0, priority, priority)
    }

    /// Moves the thread to a core.
    ///
    /// # Errors
    /// If there is no such core.
    #[cfg(sel4_smp)]
    pub fn set_affinity(self, core: u64) -> Result {
        invoke::tcb_set_affinity(self.0, core)
    }

    /// Moves the thread to a core, of which this kernel has one.
    ///
    /// # Errors
    /// If it is another one.
    #[cfg(not(sel4_smp))]
    pub fn set_affinity(self, core: u64) -> Result {
        if core == 0 { Ok(()) } else { Err(Error::InvalidArgument) }
    }

    /// Starts the thread at `entry` with a stack and up to two arguments.
    ///
    /// # Errors
    /// If it is the caller.
    pub fn start(self, entry: u64, stack: u64, arguments: [u64; 2]) -> Result {
        let mut context = UserContext([0; UserContext::WORDS]);
        context.0[UserContext::PC] = entry;
        context.0[UserContext::SP] = stack;
        context.0[UserContext::X0] = arguments[0];
        context.0[UserContext::X1] = arguments[1];
        invoke::tcb_write_registers(self.0, true, 0, UserContext::WORDS as u64, &context)
    }

    /// Stops the thread.
    ///
    /// # Errors
    /// If it is no thread.
    pub fn suspend(self) -> Result {
        invoke::tcb_suspend(self.0)
    }

    /// Lets signals of `notification` wake the thread while it waits for messages.
    ///
    /// # Errors
    /// If either is bound already.
    pub fn bind(self, notification: Notification) -> Result {
        invoke::tcb_bind_notification(self.0, notification.0)
    }
}

/// An address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VSpace(pub u64);

impl VSpace {
    /// The first process's.
    pub const OWN: Self = Self(crate::kernel::slot::INIT_THREAD_V_SPACE);

    /// Gives a new address space its number, from the first process's pool.
    ///
    /// # Errors
    /// If the pool is full.
    pub fn assign(self) -> Result {
        invoke::armasid_pool_assign(crate::kernel::slot::INIT_THREAD_ASID_POOL, self.0)
    }
}

/// How a page is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Cached data.
    Data,
    /// Cached code.
    Code,
    /// A device's registers.
    Device,
}

/// A page of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame(pub u64);

impl Frame {
    /// Maps the page.
    ///
    /// # Errors
    /// [`Error::FailedLookup`] if a page table is missing there; [`Error::DeleteFirst`] if the address is taken.
    pub fn map(self, vspace: VSpace, address: u64, rights: Rights, memory: Memory) -> Result {
        const CACHED: u64 = 1;
        const PARITY: u64 = 2;
        const NO_EXECUTE: u64 = 4;
        let attributes = match memory {
            Memory::Code => CACHED | PARITY,
            Memory::Data => CACHED | PARITY | NO_EXECUTE,
            Memory::Device => NO_EXECUTE,
        };
        invoke::arm_page_map(self.0, vspace.0, address, rights.0, attributes)
    }

    /// Takes the page out of the address space that this capability mapped it in.
    ///
    /// # Errors
    /// If it is no page.
    pub fn unmap(self) -> Result {
        invoke::arm_page_unmap(self.0)
    }

    /// The page's physical address, for devices.
    ///
    /// # Errors
    /// If it is no page.
    pub fn address(self) -> Result<u64> {
        invoke::arm_page_get_address(self.0)
    }

    /// Makes what was written to `[from, to)` of the page visible to devices.
    ///
    /// # Errors
    /// If this capability has not mapped the page.
    pub fn clean(self, from: u64, to: u64) -> Result {
        invoke::arm_page_clean_data(self.0, from, to)
    }

    /// Makes what devices wrote to `[from, to)` of the page visible here.
    ///
    /// # Errors
    /// If this capability has not mapped the page.
    pub fn invalidate(self, from: u64, to: u64) -> Result {
        invoke::arm_page_invalidate_data(self.0, from, to)
    }

    /// Makes what was written to `[from, to)` of the page visible to instruction fetches.
    ///
    /// # Errors
    /// If the page is not mapped.
    pub fn unify(self, from: u64, to: u64) -> Result {
        invoke::arm_page_unify_instruction(self.0, from, to)
    }
}

/// A level of an address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageTable(pub u64);

impl PageTable {
    /// Maps the table at the highest level that is missing at `address`.
    ///
    /// # Errors
    /// [`Error::DeleteFirst`] if none is missing.
    pub fn map(self, vspace: VSpace, address: u64) -> Result {
        invoke::arm_page_table_map(self.0, vspace.0, address, 3)
    }
}

/// Signals that are counted as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification(pub u64);

impl Notification {
    /// Sets the bits of this capability's badge.
    pub fn signal(self) {
        sys::send(self.0, 0, &[]);
    }

    /// Waits for bits and takes them.
    #[must_use]
    pub fn wait(self) -> u64 {
        sys::receive(self.0).badge
    }

    /// Takes the bits that are there.
    #[must_use]
    pub fn poll(self) -> u64 {
        sys::poll(self.0).badge
    }
}

/// Where messages meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint(pub u64);

impl Endpoint {
    /// Waits for a message, or a signal of the notification bound to this thread.
    #[must_use]
    pub fn receive(self) -> Message {
        sys::receive(self.0)
    }

    /// Takes a message if one is there.
    #[must_use]
    pub fn poll(self) -> Message {
        sys::poll(self.0)
    }
}

/// An interrupt line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Irq(pub u64);

impl Irq {
    /// Makes the capability for line `number` in `slot` of `cnode`; a private line is `core`'s.
    ///
    /// # Errors
    /// If the kernel keeps the line, or somebody has it.
    pub fn claim(number: u64, is_edge: bool, core: u64, cnode: CNode, slot: u64) -> Result<Self> {
        let control = crate::kernel::slot::IRQ_CONTROL;
        let trigger = u64::from(is_edge);
        #[cfg(sel4_smp)]
        invoke::armirq_issue_irq_handler_trigger_core(control, number, trigger, cnode.0, slot, DEPTH, core)?;
        #[cfg(not(sel4_smp))]
        {
            let _ = core;
            invoke::armirq_issue_irq_handler_trigger(control, number, trigger, cnode.0, slot, DEPTH)?;
        }
        Ok(Self(slot))
    }

    /// Has the line signal `notification`.
    ///
    /// # Errors
    /// If it is no notification.
    pub fn notify(self, notification: Notification) -> Result {
        invoke::irq_set_irq_handler(self.0, notification.0)
    }

    /// Lets the line come again.
    ///
    /// # Errors
    /// If it is no line.
    pub fn acknowledge(self) -> Result {
        invoke::irq_ack_irq(self.0)
    }
}
