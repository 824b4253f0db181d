//! A process: its memory, its capabilities, its channel, and its life. Everything that it is made of comes
//! out of one untyped of its own. The pages stay mapped here too: mapping and unmapping costs a word with
//! every core, and a restart then is a matter of writing memory.
// Filling its pages means writing through addresses that were mapped for it, and its rings are shared memory.
#![allow(unsafe_code)]

use chan::ring::Corrupt;
use root_task::memory::{Slots, Spent, Untypeds};
use root_task::program::{Program, Segment};
use sel4::kernel::object;
use sel4::{CNode, Endpoint, Frame, Memory, Notification, Rights, Tcb, VSpace};
use task::config::Config;
use task::place::{self, PAGE, RING_PAGES};
use task::{Channel, RING_BYTES, Ring, slots};

use crate::space::{Failed, Store};

/// Bits of the memory of a process: 2 MiB.
const MEMORY_BITS: u8 = 21;
/// Slots that the pieces of a process take in this CNode.
const SLOTS: u64 = 256;
/// Priority of processes; the root task has the highest, 255.
const PRIORITY: u64 = 200;
/// Where the pages of process 0 are seen from here; those of the next are a stride further.
const WINDOWS: u64 = 0x4000_0000;
const STRIDE: u64 = 4 << 20;
/// Where this end of the channels lies.
const CHANNELS: u64 = 0x3000_0000;
/// Endpoint badges of processes are this and their number; no notification has this bit.
pub(crate) const BADGE: u64 = 1 << 32;
/// The notification bit of process 0's channel; the next has the next.
pub(crate) const CHANNEL_BIT: u64 = 1 << 8;
/// More restarts than this within [`CALM_MS`] and the process stays down.
pub(crate) const RESTARTS_MAX: u32 = 3;
const CALM_MS: u64 = 60_000;

/// What every process's making needs of the pump.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// Where faults arrive.
    pub(crate) faults: Endpoint,
    /// What the pump sleeps on.
    pub(crate) pump: Notification,
}

/// One process of the image.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) core: u64,
    /// Restarts within [`CALM_MS`].
    pub(crate) restarts: u32,
    restarted_ms: u64,
    number: u64,
    program: Program<'static>,
    ends: Ends,
    tcb: Tcb,
    is_up: bool,
    /// Frames of the ring that the process writes, then of the one that it reads.
    rings: [u64; 2],
    /// What the process sleeps on.
    wait: Notification,
    /// That with channel 0's bit.
    bell: Notification,
    channel: Channel,
}

/// What a page of a process holds.
#[derive(Clone, Copy)]
enum Content<'a> {
    /// Part of a segment.
    Segment(&'a Segment<'static>),
    /// Zeros, at the start.
    Zeros,
    /// The configuration.
    Config,
}

impl Process {
    /// Builds a process, up to its first instruction.
    pub(crate) fn new(
        store: &mut Store,
        name: &'static str,
        program: Program<'static>,
        number: u64,
        core: u64,
        ends: Ends,
    ) -> Result<Self, Failed> {
        let wait = Notification(store.make(object::NOTIFICATION, 0)?);
        let bell = Notification(store.slots.take(1)?);
        CNode::OWN.mint_from(bell.0, 64, CNode::OWN, wait.0, Rights::WRITE, 1)?;
        let rings = rings(store, number)?;

        let mut ram = Untypeds::new();
        ram.add(store.make(object::UNTYPED, MEMORY_BITS.into())?, 0, MEMORY_BITS);
        let first_slot = store.slots.take(SLOTS)?;
        let mut own = Store::part(Slots::new(first_slot, first_slot + SLOTS), ram);
        let tcb = Tcb(own.make(object::TCB, 0)?);
        let process = Self {
            name,
            core,
            restarts: 0,
            restarted_ms: 0,
            number,
            program,
            ends,
            tcb,
            is_up: false,
            rings,
            wait,
            channel: channel(number, bell),
            bell,
        };
        let vspace = VSpace(own.make(object::ARM_V_SPACE, 0)?);
        vspace.assign()?;
        let buffer = process.map_pages(store, &mut own, vspace)?;
        process.map_rings(&mut own, vspace)?;
        let cnode = process.cspace(&mut own)?;
        tcb.configure(slots::FAULT, cnode, CNode::guard(slots::BITS), vspace, place::IPC_BUFFER, buffer)?;
        tcb.set_priority(PRIORITY)?;
        tcb.set_affinity(core)?;
        Ok(process)
    }

    /// All its pages but the rings': address, content, rights, and whether it is code.
    fn pages(&self) -> impl Iterator<Item = (u64, Content<'_>, Rights, Memory)> {
        let range = |from: u64, to: u64| (from..to).step_by(PAGE as usize);
        let segments = self.program.segments.iter().flat_map(move |segment| {
            let rights = if segment.is_writable { Rights::READ_WRITE } else { Rights::READ };
            let memory = if segment.is_code { Memory::Code } else { Memory::Data };
            let (from, to) = segment.pages();
            range(from, to).map(move |at| (at, Content::Segment(segment), rights, memory))
        });
        let zeros = range(place::STACK_END - place::STACK_BYTES, place::STACK_END)
            .map(|at| (at, Content::Zeros, Rights::READ_WRITE, Memory::Data));
        let config = (place::CONFIG, Content::Config, Rights::READ, Memory::Data);
        let buffer = (place::IPC_BUFFER, Content::Zeros, Rights::READ_WRITE, Memory::Data);
        segments.chain(zeros).chain([config, buffer])
    }

    /// Makes and fills the pages, there and here; returns the last one's frame, the IPC buffer's.
    fn map_pages(&self, store: &mut Store, own: &mut Store, vspace: VSpace) -> Result<Frame, Failed> {
        let mut last = Frame(0);
        for (index, (at, content, rights, memory)) in self.pages().enumerate() {
            let frame = Frame(own.make(object::ARM_SMALL_PAGE, 0)?);
            let here = self.window(index).ok_or(Spent::Memory)?;
            // A copy, because one capability is one mapping.
            let copy = Frame(own.slots.take(1)?);
            CNode::OWN.copy(copy.0, frame.0, Rights::READ_WRITE)?;
            store.map(copy, VSpace::OWN, here, Rights::READ_WRITE, Memory::Data)?;
            self.fill(index, at, content);
            if memory == Memory::Code {
                copy.unify(0, PAGE)?;
            }
            own.map(frame, vspace, at, rights, memory)?;
            last = frame;
        }
        Ok(last)
    }

    /// Where page `index` is seen from here.
    fn window(&self, index: usize) -> Option<u64> {
        let offset = index as u64 * PAGE;
        (offset < STRIDE).then_some(WINDOWS + self.number * STRIDE + offset)
    }

    /// Writes what page `index`, at `at` in the process, holds at the start.
    fn fill(&self, index: usize, at: u64, content: Content<'_>) {
        let Some(here) = self.window(index) else { return };
        // SAFETY: `map_pages` mapped the page there for good; the process does not run while it is filled, and
        // nothing else refers to it.
        let page = unsafe { core::slice::from_raw_parts_mut(here as *mut u8, PAGE as usize) };
        page.fill(0);
        match content {
            Content::Zeros => {}
            Content::Segment(segment) => {
                let (offset, bytes) = segment.on_page(at);
                page[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Content::Config => {
                let config = Config::new(self.name, 1);
                // SAFETY: the page is larger than the configuration and aligned, and both are plain words.
                unsafe { page.as_mut_ptr().cast::<Config>().write(config) };
            }
        }
    }

    /// Maps both rings into the process.
    fn map_rings(&self, own: &mut Store, vspace: VSpace) -> Result<(), Failed> {
        for (ring, first) in self.rings.iter().enumerate() {
            for n in 0..RING_PAGES {
                let copy = own.slots.take(1)?;
                CNode::OWN.copy(copy, first + n, Rights::READ_WRITE)?;
                let at = place::ring(0, ring == 0) + n * PAGE;
                own.map(Frame(copy), vspace, at, Rights::READ_WRITE, Memory::Data)?;
            }
        }
        Ok(())
    }

    /// Lets it run from its first instruction.
    pub(crate) fn start(&mut self) -> Result<(), Failed> {
        self.tcb.start(self.program.entry, place::STACK_END, [place::CONFIG, self.restarts.into()])?;
        self.is_up = true;
        Ok(())
    }

    /// All capabilities that the process has.
    fn cspace(&self, own: &mut Store) -> Result<CNode, Failed> {
        const DEPTH: u8 = slots::BITS as u8;
        let cnode = CNode(own.make(object::CAP_TABLE, slots::BITS)?);
        let fault_rights = Rights::WRITE.and(Rights::GRANT_REPLY);
        let badge = BADGE | self.number;
        cnode.mint_from(slots::FAULT, DEPTH, CNode::OWN, self.ends.faults.0, fault_rights, badge)?;
        cnode.copy_from(slots::WAIT, DEPTH, CNode::OWN, self.wait.0, Rights::READ)?;
        let bit = CHANNEL_BIT << self.number;
        cnode.mint_from(slots::notify(0), DEPTH, CNode::OWN, self.ends.pump.0, Rights::WRITE, bit)?;
        Ok(cnode)
    }

    /// Stops the process and makes its memory and its channel as they were at the start.
    fn stop(&mut self) -> Result<(), Failed> {
        self.tcb.suspend()?;
        self.is_up = false;
        // What it could not write is as it was.
        for (index, (at, content, rights, _)) in self.pages().enumerate() {
            if rights != Rights::READ {
                self.fill(index, at, content);
            }
        }
        let _ = self.wait.poll();
        for end in 0..2 {
            ring(self.number, end).reset();
        }
        self.channel = channel(self.number, self.bell);
        Ok(())
    }

    /// Stops it and starts it again, unless that happened too often; returns whether it runs.
    pub(crate) fn restart(&mut self, now_ms: u64) -> Result<bool, Failed> {
        self.stop()?;
        if now_ms - self.restarted_ms > CALM_MS {
            self.restarts = 0;
        }
        if self.restarts == RESTARTS_MAX {
            return Ok(false);
        }
        self.restarts += 1;
        self.restarted_ms = now_ms;
        self.start()?;
        Ok(true)
    }

    /// Whether it has a thread.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Bytes of memory set aside for it.
    pub(crate) fn memory_kib(&self) -> u64 {
        (1 << MEMORY_BITS) >> 10
    }

    /// Sends to the process.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt> {
        self.channel.write(data)
    }

    /// Takes what the process sent.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt> {
        self.channel.read(out)
    }

    /// Takes what the process sent, a ring of it at most, and looks at none of it.
    pub(crate) fn discard(&mut self) -> Result<(), Corrupt> {
        let mut bytes = [0; 512];
        for _ in 0..RING_BYTES / bytes.len() {
            if self.read(&mut bytes)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Makes the rings of a process's channel and maps them here; returns the first frame of each.
fn rings(store: &mut Store, number: u64) -> Result<[u64; 2], Failed> {
    let mut rings = [0; 2];
    for (ring, first) in rings.iter_mut().enumerate() {
        // All frames first, for slots in a row: mapping may take one for a page table.
        for page in 0..RING_PAGES {
            let slot = store.make(object::ARM_SMALL_PAGE, 0)?;
            if page == 0 {
                *first = slot;
            }
        }
        for page in 0..RING_PAGES {
            let at = ring_at(number, ring) + page * PAGE;
            store.map(Frame(*first + page), VSpace::OWN, at, Rights::READ_WRITE, Memory::Data)?;
        }
    }
    Ok(rings)
}

/// Where this end sees ring 0 or 1 of a process's channel.
fn ring_at(number: u64, ring: usize) -> u64 {
    const STRIDE: u64 = 64 << 10;
    const _: () = assert!(RING_PAGES * PAGE <= STRIDE);
    CHANNELS + (2 * number + ring as u64) * STRIDE
}

fn ring(number: u64, end: usize) -> &'static Ring {
    // SAFETY: `Process::new` mapped the ring there, zeroed, and it is never unmapped; it is made of atomics.
    unsafe { &*(ring_at(number, end) as *const Ring) }
}

/// This end of a process's channel: it reads what the process writes.
fn channel(number: u64, bell: Notification) -> Channel {
    Channel::new(ring(number, 1), ring(number, 0), bell)
}

/// The bundle, which the loader put on the page behind the image.
pub(crate) fn bundle(boot: &sel4::BootInfo) -> Result<&'static [u8], Failed> {
    unsafe extern "C" {
        static __image_start: u8;
        static __image_end: u8;
    }
    let (start, end) = (&raw const __image_start, &raw const __image_end);
    let own = end as usize - start as usize;
    let frames = boot.image_frames();
    let all = (frames.end - frames.start) as usize * PAGE as usize;
    let length = all.checked_sub(own).ok_or(Spent::Memory)?;
    // SAFETY: the kernel mapped the whole user image, of which this is the end that nobody writes.
    Ok(unsafe { core::slice::from_raw_parts(end, length) })
}
