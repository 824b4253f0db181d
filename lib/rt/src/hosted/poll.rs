//! epoll, level-triggered, with a number for every descriptor.

use ninep::srv::Now;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Bytes or connections to take.
    Read,
    /// Room to write.
    Write,
    /// Either.
    Both,
    /// Only its end.
    Nothing,
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// A read will not block (at an end of stream neither).
    pub read: bool,
    /// A write will not block.
    pub write: bool,
}

/// One descriptor that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub token: u64,
    /// For what.
    pub ready: Ready,
}

/// A set of descriptors to wait on.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// Events taken in one wait.
const BATCH: usize = 256;

fn flags(wish: Wish) -> EventFlags {
    match wish {
        Wish::Read => EventFlags::IN | EventFlags::RDHUP,
        Wish::Write => EventFlags::OUT,
        Wish::Both => EventFlags::IN | EventFlags::RDHUP | EventFlags::OUT,
        Wish::Nothing => EventFlags::empty(),
    }
}

impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(BATCH) })
    }

    /// Adds a descriptor; closing it takes it out.
    pub fn add(&self, fd: impl AsFd, token: u64, wish: Wish) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags(wish))?)
    }

    /// Changes what to wait for.
    pub fn modify(&self, fd: impl AsFd, token: u64, wish: Wish) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags(wish))?)
    }

    /// Takes a descriptor out whose file stays open elsewhere.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready or the monotonic clock reaches `deadline_ms`; for ever without
    /// one. Appends what is ready.
    pub fn wait(&mut self, deadline_ms: Option<u64>, now: Now, into: &mut Vec<Event>) -> io::Result<()> {
        let timeout = deadline_ms.map(|at| {
            let left = at.saturating_sub(now.mono_ms);
            Timespec { tv_sec: (left / 1000) as i64, tv_nsec: (left % 1000) as i64 * 1_000_000 }
        });
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        into.extend(self.events.iter().map(|event| {
            let (bits, data) = (event.flags, event.data);
            let ended = bits.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
            let ready = Ready {
                read: ended || bits.contains(EventFlags::IN),
                write: ended || bits.contains(EventFlags::OUT),
            };
            Event { token: data.u64(), ready }
        }));
        Ok(())
    }
}
