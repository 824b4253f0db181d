//! A process: its memory, its capabilities, and its life. The pages stay mapped here too: mapping and
//! unmapping costs a word with every core, and a restart then is a matter of writing memory. Processes of the same
//! file share its code's page, which none of them can write.
// Filling its pages means writing through addresses that were mapped for it, and two of its pages are shared.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering;

use root_task::program::Program;
use root_task::restart::Restarts;
use root_task::topology::{Entry, Kind, ROOT};
use root_task::watch::Watch;
use sel4::kernel::object;
use sel4::{CNode, Endpoint, Frame, Memory, Notification, Rights, Tcb, VSpace};
use task::config::{Config, Text, Wire};
use task::place::{self, LARGE, PAGE};
use task::shared::Report;
use task::{Ring, slots};

use crate::shared::Shared;
use crate::space::{Failed, Store};

/// Priority of processes; the root task has the highest, 255.
const PRIORITY: u64 = 200;
/// Where large pages of process 0 are seen from here; those of the next are a stride further.
const WINDOWS: u64 = 0x1_0000_0000;
const STRIDE: u64 = place::TEXT_MAX + place::DATA_MAX;
/// Where configuration and report of process 0 are.
const PAGES: u64 = 0x3800_0000;
/// Where this end of channels lies.
const CHANNELS: u64 = 0x3000_0000;
/// Large pages that every process has: its code, and what it only reads.
const FIXED: u64 = 1;
/// Endpoint badges of processes are this and their number; no notification has this bit.
pub(crate) const BADGE: u64 = 1 << 62;
/// The notification bit of process 0; the next has the next.
pub(crate) const BIT: u64 = 1 << 8;

/// What every process's making needs of the pump.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// Where faults arrive.
    pub(crate) faults: Endpoint,
    /// What the pump sleeps on.
    pub(crate) pump: Notification,
    /// How many cores there are to run on.
    pub(crate) cores: u64,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not been started, or has ended for good.
    Down,
    /// It lives.
    Up,
    /// It is started again at that time.
    Waiting(u64),
}

/// One process of the image.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) core: u64,
    pub(crate) number: u32,
    pub(crate) state: State,
    pub(crate) restarts: Restarts,
    /// The deadline for which it was woken last.
    pub(crate) woken_ms: u64,
    pub(crate) watch: Watch,
    /// Its memory is not as the kernel gave it.
    has_run: bool,
    program: Program<'static>,
    /// The first large page of its code.
    text: Frame,
    tcb: Tcb,
    cnode: CNode,
    vspace: VSpace,
    /// Large pages that it may write.
    data_pages: u64,
    /// Large pages that it has over all its lives.
    keep_pages: u64,
    /// What it sleeps on.
    wait: Notification,
}

impl Process {
    /// Builds a process, all but its channels. `text` is where its program's code lies, if it does already.
    pub(crate) fn new(
        store: &mut Store,
        shared: &Shared,
        entry: &Entry<'static>,
        program: Program<'static>,
        text: Option<Frame>,
        number: u32,
        ends: Ends,
    ) -> Result<Self, Failed> {
        let wait = Notification(store.make(object::NOTIFICATION, 0)?);
        let tcb = Tcb(store.make(object::TCB, 0)?);
        let vspace = VSpace(store.make(object::ARM_V_SPACE, 0)?);
        let cnode = CNode(store.make(object::CAP_TABLE, slots::BITS)?);
        let core = entry.core % ends.cores;
        let pages = program.text_pages();
        let page = text.map_or_else(|| store.make_many(object::ARM_LARGE_PAGE, pages), |text| Ok(text.0))?;
        let mut process = Self {
            name: entry.name,
            kind: entry.kind,
            core,
            number,
            state: State::Down,
            restarts: Restarts::default(),
            woken_ms: 0,
            watch: Watch::default(),
            has_run: false,
            program,
            text: Frame(page),
            tcb,
            cnode,
            vspace,
            data_pages: data_pages(entry.memory_kib),
            keep_pages: 0,
            wait,
        };
        vspace.assign()?;
        if text.is_none() {
            process.fill_text(store)?;
        }
        process.map_program(store)?;
        let buffer = process.map_pages(store)?;
        shared.map_into(store, vspace, process.name == root_task::topology::INIT)?;
        process.cspace(ends)?;
        tcb.configure(slots::FAULT, cnode, CNode::guard(slots::BITS), vspace, place::IPC_BUFFER, buffer)?;
        tcb.set_priority(PRIORITY)?;
        process.configure(shared, entry);
        Ok(process)
    }

    /// Where the code of a program lies that it runs too.
    pub(crate) fn text_of(&self, program: &Program<'_>) -> Option<Frame> {
        let place = |program: &Program<'_>| program.segments.first().map(|segment| segment.bytes.as_ptr());
        (place(&self.program) == place(program)).then_some(self.text)
    }

    /// The large pages of its code, and where they are.
    fn text(&self) -> impl Iterator<Item = (Frame, u64)> + use<> {
        let first = self.text.0;
        (0..self.program.text_pages()).map(move |n| (Frame(first + n), place::TEXT + n * LARGE))
    }

    /// Writes its code, for all that run it.
    fn fill_text(&self, store: &mut Store) -> Result<(), Failed> {
        for (frame, at) in self.text() {
            store.map(frame, VSpace::OWN, self.window(at), Rights::READ_WRITE, Memory::Data)?;
        }
        self.fill(place::TEXT);
        // The kernel goes over it line by line, and nobody else gets in meanwhile.
        let bytes = self.program.text_bytes();
        self.text().try_for_each(|(frame, at)| Ok(frame.unify(0, LARGE.min(bytes - (at - place::TEXT)))?))
    }

    /// Maps its code, and makes the large pages that it may write, there and here.
    fn map_program(&self, store: &mut Store) -> Result<(), Failed> {
        // A copy each time, because one capability is one mapping.
        for (frame, at) in self.text() {
            let text = Frame(store.copy(frame.0)?);
            store.map(text, self.vspace, at, Rights::READ, Memory::Code)?;
        }
        for page in 0..self.data_pages {
            let (frame, at) = (Frame(store.make(object::ARM_LARGE_PAGE, 0)?), place::DATA + page * LARGE);
            let copy = Frame(store.copy(frame.0)?);
            store.map(copy, VSpace::OWN, self.window(at), Rights::READ_WRITE, Memory::Data)?;
            store.map(frame, self.vspace, at, Rights::READ_WRITE, Memory::Data)?;
        }
        Ok(())
    }

    /// Where an address of its large pages is seen from here.
    fn window(&self, at: u64) -> u64 {
        WINDOWS + u64::from(self.number) * STRIDE + (at - place::TEXT)
    }

    /// Copies the segments that lie where `from` is: with the code, or with what it writes.
    fn fill(&self, from: u64) {
        let is_here = |address: u64| (address < place::DATA) == (from < place::DATA);
        for segment in self.program.segments.iter().filter(|segment| is_here(segment.address)) {
            let here = self.window(segment.address) as *mut u8;
            // SAFETY: the pages of every segment are mapped there for good before they are filled: a segment
            // ends within its kind's place, and one that is written within the data's pages, as `data_fits`
            // says; the process does not run while it is filled, and nothing else refers to them.
            unsafe { here.copy_from_nonoverlapping(segment.bytes.as_ptr(), segment.bytes.len()) };
        }
    }

    /// Whether what it writes has room, and a heap behind it.
    pub(crate) fn data_fits(program: &Program<'_>, memory_kib: u64) -> bool {
        const HEAP_MIN: u64 = 64 << 10;
        program.end() + HEAP_MIN <= place::DATA + data_pages(memory_kib) * LARGE
    }

    /// Its configuration, its report and its IPC buffer; returns the last one's frame.
    fn map_pages(&mut self, store: &mut Store) -> Result<Frame, Failed> {
        for (page, at, rights) in [(0, place::CONFIG, Rights::READ), (1, place::REPORT, Rights::READ_WRITE)] {
            let frame = Frame(store.make(object::ARM_SMALL_PAGE, 0)?);
            let copy = Frame(store.copy(frame.0)?);
            store.map(copy, VSpace::OWN, self.page(page), Rights::READ_WRITE, Memory::Data)?;
            store.map(frame, self.vspace, at, rights, Memory::Data)?;
        }
        let buffer = Frame(store.make(object::ARM_SMALL_PAGE, 0)?);
        store.map(buffer, self.vspace, place::IPC_BUFFER, Rights::READ_WRITE, Memory::Data)?;
        Ok(buffer)
    }

    fn page(&self, page: u64) -> u64 {
        PAGES + (2 * u64::from(self.number) + page) * PAGE
    }

    /// What it is told at each start.
    pub(crate) fn config(&mut self) -> &mut Config {
        // SAFETY: `map_pages` mapped the page there for good, zeroed, and a configuration of zeros is one (a
        // role of 0 is the first). The process may read it meanwhile: it does not, until it has been started
        // anew, since only what is read once at a start changes.
        unsafe { &mut *(self.page(0) as *mut Config) }
    }

    /// What the process says of itself.
    pub(crate) fn report(&self) -> &'static Report {
        // SAFETY: mapped there for good, and made of atomics.
        unsafe { &*(self.page(1) as *const Report) }
    }

    fn configure(&mut self, shared: &Shared, entry: &Entry<'_>) {
        let number = self.number;
        let heap = [self.program.end(), place::DATA + self.data_pages * LARGE];
        let secret = entry.secret.and_then(|name| Some((name, shared.bundle.file(name)?)));
        let config = self.config();
        *config = Config::new(entry.name, entry.program, number);
        config.manifest_bytes = shared.manifest_bytes;
        config.heap = heap;
        if let Some((name, bytes)) = secret {
            config.secret_name = Text::new(name);
            config.secret = Text::new(core::str::from_utf8(bytes).unwrap_or(""));
        }
    }

    /// All capabilities that the process has, but its channels' bells.
    fn cspace(&self, ends: Ends) -> Result<(), Failed> {
        const DEPTH: u8 = slots::BITS as u8;
        let cnode = self.cnode;
        let fault_rights = Rights::WRITE.and(Rights::GRANT_REPLY);
        let badge = BADGE | u64::from(self.number);
        cnode.mint_from(slots::FAULT, DEPTH, CNode::OWN, ends.faults.0, fault_rights, badge)?;
        cnode.copy_from(slots::WAIT, DEPTH, CNode::OWN, self.wait.0, Rights::READ)?;
        let bit = BIT << self.number;
        cnode.mint_from(slots::ROOT, DEPTH, CNode::OWN, ends.pump.0, Rights::WRITE, bit)?;
        Ok(())
    }

    /// Gives it one end of a channel: both rings, of which it writes `writes`, and the other end's bell. The
    /// first end gets copies of the rings' capabilities, the other one the capabilities themselves.
    pub(crate) fn connect(
        &mut self,
        store: &mut Store,
        rings: [u64; 2],
        writes: usize,
        bell: Notification,
        wire: Wire,
    ) -> Result<(), Failed> {
        let channel = self.config().channels as usize;
        if channel >= place::CHANNELS_MAX {
            return Err(Failed::Process("a process has too many channels"));
        }
        for (ring, first) in rings.into_iter().enumerate() {
            for n in 0..place::RING_PAGES {
                let frame = if writes == 0 { store.copy(first + n)? } else { first + n };
                let at = place::ring(channel, ring == writes) + n * PAGE;
                store.map(Frame(frame), self.vspace, at, Rights::READ_WRITE, Memory::Data)?;
            }
        }
        const DEPTH: u8 = slots::BITS as u8;
        self.cnode.copy_from(slots::notify(channel), DEPTH, CNode::OWN, bell.0, Rights::WRITE)?;
        let config = self.config();
        config.wires[channel] = wire;
        config.channels += 1;
        Ok(())
    }

    /// Gives it memory that is its own over all its lives, and zeros in the first.
    pub(crate) fn keep(&mut self, store: &mut Store, kib: u64) -> Result<(), Failed> {
        self.keep_pages = kept_pages(kib);
        for page in 0..self.keep_pages {
            let frame = Frame(store.make(object::ARM_LARGE_PAGE, 0)?);
            store.map(frame, self.vspace, place::KEEP + page * LARGE, Rights::READ_WRITE, Memory::Data)?;
        }
        self.config().kept = self.keep_pages * LARGE;
        Ok(())
    }

    /// Its capabilities and its memory, for what it is given beside what all have.
    pub(crate) fn spaces(&self) -> (CNode, VSpace) {
        (self.cnode, self.vspace)
    }

    /// What wakes it, for the other end of a channel.
    pub(crate) fn bell(&self) -> Notification {
        self.wait
    }

    /// Wakes it, for it to look around.
    pub(crate) fn wake(&self) {
        self.wait.signal();
    }

    /// Lets it run from its first instruction, with its memory as at the first time.
    pub(crate) fn start(&mut self, shared: &mut Shared, now_ms: u64) -> Result<(), Failed> {
        let bytes = (self.data_pages * LARGE) as usize;
        if self.has_run {
            // SAFETY: its data's pages are mapped there for good; it does not run, and nothing else refers to
            // them.
            unsafe { (self.window(place::DATA) as *mut u8).write_bytes(0, bytes) };
        }
        self.fill(place::DATA);
        self.report().clear();
        let seed = shared.seed();
        self.config().seed = seed;
        let _ = self.wait.poll();
        self.woken_ms = 0;
        self.has_run = true;
        self.watch = Watch::new(now_ms);
        self.state = State::Up;
        shared.lives().started(self.number);
        let starts = self.restarts.recent();
        Ok(self.tcb.start(self.program.entry, place::STACK_END, [starts, 0])?)
    }

    /// Moves it to the core that it is to run on. Until then it is on the first one.
    pub(crate) fn move_to_core(&self) -> Result<(), Failed> {
        Ok(self.tcb.set_affinity(self.core)?)
    }

    /// Stops it.
    pub(crate) fn stop(&mut self, shared: &Shared) -> Result<(), Failed> {
        shared.lives().ended(self.number);
        self.state = State::Down;
        Ok(self.tcb.suspend()?)
    }

    /// The status with which it ended of its own, if it did.
    pub(crate) fn exit(&self) -> Option<u32> {
        self.report().exit.load(Ordering::Acquire).checked_sub(1)
    }

    /// Who is at the other end of a channel that the process says is spoilt; asked once.
    pub(crate) fn accused(&mut self) -> Option<u32> {
        let channel = self.report().accused.swap(0, Ordering::AcqRel).checked_sub(1)?;
        self.config().wires().get(channel as usize).map(|wire| wire.number)
    }

    /// Its channels.
    pub(crate) fn wires(&mut self) -> &[Wire] {
        self.config().wires()
    }

    /// Whether a slot of its CSpace holds a capability: one that can be copied is there.
    pub(crate) fn has(&self, slot: u64, free: u64) -> bool {
        let copied = CNode::OWN.copy_out(free, self.cnode, slot, slots::BITS as u8);
        if copied.is_ok() {
            let _ = CNode::OWN.delete(free);
        }
        copied.is_ok()
    }

    /// KiB of memory set aside for it.
    pub(crate) fn memory_kib(&self) -> u64 {
        (FIXED + self.data_pages) * LARGE >> 10
    }

    /// KiB of memory that outlives it.
    pub(crate) fn keep_kib(&self) -> u64 {
        self.keep_pages * LARGE >> 10
    }

    /// KiB of its heap.
    pub(crate) fn heap_kib(&self) -> u64 {
        (place::DATA + self.data_pages * LARGE - self.program.end()) >> 10
    }
}

/// Bytes that are set aside for what a process writes.
pub(crate) fn data_bytes(entry: &Entry<'_>) -> u64 {
    data_pages(entry.memory_kib) * LARGE
}

/// Large pages that a process with so much memory may write.
fn data_pages(memory_kib: u64) -> u64 {
    (memory_kib << 10).div_ceil(LARGE).saturating_sub(FIXED).clamp(1, place::DATA_MAX / LARGE)
}

/// Large pages of so much memory that a process has over all its lives.
pub(crate) fn kept_pages(kib: u64) -> u64 {
    (kib << 10).div_ceil(LARGE).min(place::KEEP_MAX / LARGE)
}

/// Makes the rings of a channel; returns the first frame of each.
pub(crate) fn rings(store: &mut Store) -> Result<[u64; 2], Failed> {
    let first = store.make_many(object::ARM_SMALL_PAGE, 2 * place::RING_PAGES)?;
    Ok([first, first + place::RING_PAGES])
}

/// Maps the root task's own end of its channel `number`, which reads what the other end writes.
pub(crate) fn own_end(store: &mut Store, number: u64, rings: [u64; 2]) -> Result<[&'static Ring; 2], Failed> {
    const RING_STRIDE: u64 = 64 << 10;
    let at = |ring: usize| CHANNELS + (2 * number + ring as u64) * RING_STRIDE;
    for (ring, first) in rings.into_iter().enumerate() {
        for page in 0..place::RING_PAGES {
            let copy = Frame(store.copy(first + page)?);
            store.map(copy, VSpace::OWN, at(ring) + page * PAGE, Rights::READ_WRITE, Memory::Data)?;
        }
    }
    // SAFETY: just mapped, zeroed, for good; a ring is made of atomics.
    Ok([0, 1].map(|ring| unsafe { &*(at(ring) as *const Ring) }))
}

/// Whether a channel's end is the root task's.
pub(crate) fn is_root(name: &str) -> bool {
    name == ROOT
}
