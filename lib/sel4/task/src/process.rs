//! A process's start, what it is given, its sleep, and its end.
// The shared memory and the entry point are unsafe; both are here.
#![allow(unsafe_code)]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sel4::{Notification, counter};

use crate::channel::Channel;
use crate::config::{Config, MAGIC, Wire};
use crate::shared::{Lives, NEVER, Report, Story};
use crate::{Ring, place, slots};

/// How often this process was started before, within the root task's memory of it.
static STARTS: AtomicU32 = AtomicU32::new(0);

/// The process's configuration.
#[must_use]
pub fn config() -> &'static Config {
    // SAFETY: the root task mapped the page before the process's first instruction, and filled it; nobody
    // writes to it while the process lives.
    unsafe { &*(place::CONFIG as *const Config) }
}

/// Who lives.
#[must_use]
pub fn lives() -> &'static Lives {
    // SAFETY: mapped as the configuration is, and made of atomics.
    unsafe { &*(place::LIVES as *const Lives) }
}

/// The page that the root task reads.
#[must_use]
pub fn report() -> &'static Report {
    // SAFETY: as above.
    unsafe { &*(place::REPORT as *const Report) }
}

/// The manifest's bytes, `manifest.cbor`.
#[must_use]
pub fn manifest() -> &'static [u8] {
    let bytes = config().manifest_bytes.min(place::MANIFEST_MAX) as usize;
    // SAFETY: the root task mapped as many pages as so many bytes take, read only, for good.
    unsafe { core::slice::from_raw_parts(place::MANIFEST as *const u8, bytes) }
}

/// The memory that the process has over all its lives, as the last one left it; zeros in the first.
#[must_use]
pub fn kept() -> &'static [AtomicU64] {
    let words = (config().kept.min(place::KEEP_MAX) / 8) as usize;
    // SAFETY: the root task mapped so many bytes there, writable, for good, and writes to them only while the
    // process does not run; any bytes are atomics.
    unsafe { core::slice::from_raw_parts(place::KEEP as *const AtomicU64, words) }
}

/// The boot log as far as it goes, in init.
#[must_use]
pub fn story() -> &'static Story {
    // SAFETY: the root task maps the pages into init only, and anybody else who reads them ends in a fault.
    unsafe { &*(place::STORY as *const Story) }
}

/// Its channels with what they are for, in the order of the topology. Asked once.
pub fn channels() -> impl Iterator<Item = (&'static Wire, Channel)> {
    let config = config();
    config.wires().iter().enumerate().map(move |(channel, wire)| {
        // SAFETY: the root task mapped both rings there before it started the process, for as long as the
        // process lives; a ring is made of atomics, so the peer's writes are no data race.
        let ring = |writes| unsafe { &*(place::ring(channel, writes) as *const Ring) };
        let bell = Notification(slots::notify(channel));
        (wire, Channel::new(ring(true), ring(false), bell, lives(), config.number, wire.number))
    })
}

/// How often the process was started before, within the root task's memory of it.
#[must_use]
pub fn starts() -> u32 {
    STARTS.load(Ordering::Relaxed)
}

/// Milliseconds since the machine was reset.
#[must_use]
pub fn now_ms() -> u64 {
    counter::milliseconds(counter::now(), counter::frequency())
}

/// Milliseconds since 1970; those since the reset where the machine has no clock.
#[must_use]
pub fn wall_ms() -> u64 {
    lives().reset_ms.load(Ordering::Relaxed) + now_ms()
}

/// Sleeps until a channel has something, or until then.
pub fn sleep(deadline_ms: Option<u64>) {
    let _ = sleep_with_device(deadline_ms);
}

/// As [`sleep`], or until the process's device has something; returns its interrupt lines that came, as bits.
#[must_use]
pub fn sleep_with_device(deadline_ms: Option<u64>) -> u64 {
    let report = report();
    let deadline_ms = deadline_ms.unwrap_or(NEVER);
    report.deadline_ms.store(deadline_ms, Ordering::SeqCst);
    let turns = report.turns.load(Ordering::Relaxed);
    report.turns.store(turns.wrapping_add(2) | 1, Ordering::Relaxed);
    // The root task looks by itself at that time, and publishes it before it reads deadlines.
    if deadline_ms < lives().look_ms.load(Ordering::SeqCst) {
        Notification(slots::ROOT).signal();
    }
    let lines = Notification(slots::WAIT).wait();
    report.turns.fetch_and(!1, Ordering::Relaxed);
    lines
}

/// Tells the root task that the other end of a channel has spoilt it.
pub fn accuse(channel: usize) {
    report().accused.store(channel as u32 + 1, Ordering::Release);
    Notification(slots::ROOT).signal();
}

/// Ends the process of its own; it is not started again for that.
pub fn exit(status: u8) -> ! {
    report().exit.store(u32::from(status) + 1, Ordering::Release);
    trap()
}

struct Words;

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        report().say(text);
        Ok(())
    }
}

/// Ends the process with a fault of its own, which the root task reports with these words.
pub fn fail(why: fmt::Arguments<'_>) -> ! {
    let _ = Words.write_fmt(why);
    trap()
}

fn trap() -> ! {
    loop {
        // SAFETY: an instruction that is defined to be undefined.
        unsafe { core::arch::asm!("udf #0x636f") };
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => fail(format_args!("{} at {}:{}", info.message(), at.file(), at.line())),
        None => fail(format_args!("{}", info.message())),
    }
}

/// What [`process!`](crate::process) starts with.
///
/// # Safety
/// Called once, first, in a process that the root task built, with its arguments.
#[doc(hidden)]
pub unsafe fn begin(starts: u64) {
    STARTS.store(starts as u32, Ordering::Relaxed);
    if config().magic != MAGIC {
        fail(format_args!("this root task builds processes of another version"));
    }
    // SAFETY: the root task mapped the buffer's page and told the kernel of it.
    unsafe { sel4::sys::set_ipc_buffer(place::IPC_BUFFER as *mut u64) };
    let [start, end] = config().heap;
    // SAFETY: the root task mapped that range, writable, behind the program's data, for the heap alone.
    unsafe { crate::heap::HEAP.give(start as usize, end as usize) };
}

/// Makes `fn() -> !` the process's main function.
#[macro_export]
macro_rules! process {
    ($main:path) => {
        // SAFETY: the linker's entry point, whose name is this one's alone.
        #[unsafe(no_mangle)]
        extern "C" fn _start(starts: u64) -> ! {
            // SAFETY: this is the first code of the process, run once.
            unsafe { $crate::begin(starts) };
            $main()
        }
    };
}
