//! A process's start, its channels, and its end.
// The shared memory and the entry point are unsafe; both are here.
#![allow(unsafe_code)]

use chan::ring::{Corrupt, Reader, Writer};
use sel4::Notification;

use crate::config::{Config, MAGIC};
use crate::{RING_BYTES, Ring, place, slots};

/// One end of a channel: a ring each way, and the other end's bell.
#[derive(Debug)]
pub struct Channel {
    writer: Writer<'static, RING_BYTES>,
    reader: Reader<'static, RING_BYTES>,
    bell: Notification,
}

impl Channel {
    /// The end of a channel that writes to `out`, reads from `input`, and rings `bell`.
    #[must_use]
    pub fn new(out: &'static Ring, input: &'static Ring, bell: Notification) -> Self {
        Self { writer: Writer::new(out), reader: Reader::new(input), bell }
    }

    /// Writes what fits and wakes the other end.
    ///
    /// # Errors
    /// If the other end spoilt its index.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt> {
        let count = self.writer.write(data)?;
        if count > 0 {
            self.bell.signal();
        }
        Ok(count)
    }

    /// Reads what waits; if that was more than nothing, wakes the other end, which may wait for room.
    ///
    /// # Errors
    /// As for [`Channel::write`].
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt> {
        let count = self.reader.read(out)?;
        if count > 0 {
            self.bell.signal();
        }
        Ok(count)
    }
}

/// All that a process has.
#[derive(Debug)]
pub struct Channels {
    config: &'static Config,
    starts: u64,
    next: usize,
}

impl Channels {
    /// The process's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.config.name()
    }

    /// How often the process was started before, within the root task's memory of it.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Sleeps until a channel has something; returns a set of bits, one a channel.
    #[must_use]
    pub fn wait(&self) -> u64 {
        Notification(slots::WAIT).wait()
    }
}

impl Iterator for Channels {
    type Item = Channel;

    /// The next channel, in the order of the topology.
    fn next(&mut self) -> Option<Channel> {
        let channel = self.next;
        if channel >= (self.config.channels as usize).min(place::CHANNELS_MAX) {
            return None;
        }
        self.next += 1;
        // SAFETY: the root task mapped both rings there before it started the process, zeroed, for as long as
        // the process lives; a ring is made of atomics, so the peer's writes are no data race.
        let ring = |writes| unsafe { &*(place::ring(channel, writes) as *const Ring) };
        Some(Channel::new(ring(true), ring(false), Notification(slots::notify(channel))))
    }
}

/// What [`process!`] starts with.
///
/// # Safety
/// Called once, first, in a process that the root task built, with its arguments.
#[doc(hidden)]
pub unsafe fn begin(config: *const Config, starts: u64) -> Channels {
    // SAFETY: the caller's promise: the page is mapped read only and nobody writes to it any more.
    let config = unsafe { &*config };
    assert!(config.magic == MAGIC, "this root task builds processes of another version");
    // SAFETY: the root task mapped the buffer's page and told the kernel of it.
    unsafe { sel4::sys::set_ipc_buffer(place::IPC_BUFFER as *mut u64) };
    Channels { config, starts, next: 0 }
}

/// Ends the process with a fault of its own, which the root task reports.
pub fn fail() -> ! {
    loop {
        // SAFETY: an instruction that is defined to be undefined.
        unsafe { core::arch::asm!("udf #0x636f") };
    }
}

/// Makes `fn(Channels) -> !` the process's main function.
#[macro_export]
macro_rules! process {
    ($main:path) => {
        // SAFETY: the linker's entry point, whose name is this one's alone.
        #[unsafe(no_mangle)]
        extern "C" fn _start(config: *const $crate::config::Config, starts: u64) -> ! {
            // SAFETY: this is the first code of the process, run once.
            $main(unsafe { $crate::begin(config, starts) })
        }

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo) -> ! {
            $crate::fail()
        }
    };
}
