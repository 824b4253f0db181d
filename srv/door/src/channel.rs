//! A server as the door sees it: one byte stream that carries every session's requests, with the
//! sessions' tags and fids replaced by the channel's own.

use crate::session::SessionRef;
use ninep::srv::{Framer, consume};
use ninep::wire::{MSIZE_MAX, NOTAG, Tmsg, VERSION};
use rt::prelude::*;
use slab::Slab;

/// Who waits for the reply to one tag of a channel.
#[derive(Debug)]
pub(crate) enum Wait {
    /// A client: the reply goes on with the client's tag in place of ours.
    Client { session: SessionRef, tag: u16, fid: u32, kind: u8 },
    /// A client's walk within one server. `old` is what an in-place walk falls back to.
    Walk {
        session: SessionRef,
        tag: u16,
        newfid: u32,
        names: u16,
        bfid: u32,
        old: Option<alloc::rc::Rc<str>>,
    },
    /// The attach of one of a session's mounts.
    Attach { session: SessionRef, mount: u16, job: Option<usize> },
    /// A part of a job that has several: a walk.
    Part { job: usize, part: usize },
    /// Names for a listing, from one of its sources.
    Entries { job: usize, source: usize },
    /// A fid that ends; its number may be used again after the reply. A client that has more in flight
    /// gets its answer with the rest, in one piece.
    Clunk { bfid: u32, client: Option<(SessionRef, u16)> },
    /// Nobody.
    Nothing,
}

/// One server's stream.
pub(crate) struct Channel {
    /// The server's manifest name.
    pub(crate) name: String,
    pub(crate) is_up: bool,
    /// Counts lives of the server: fids of an earlier life are Closed.
    pub(crate) life: u32,
    pub(crate) framer: Framer,
    pub(crate) waits: Slab<Wait>,
    out: Vec<u8>,
    sent: usize,
    queue_max: usize,
    next_fid: u32,
    free_fids: Vec<u32>,
}

impl Channel {
    pub(crate) fn new(name: &str, queue_max: usize) -> Self {
        Channel {
            name: name.into(),
            is_up: false,
            life: 0,
            framer: Framer::new(MSIZE_MAX),
            waits: Slab::new(),
            out: Vec::new(),
            sent: 0,
            queue_max,
            next_fid: 0,
            free_fids: Vec::new(),
        }
    }

    /// The stream has just been opened: negotiate first.
    pub(crate) fn open(&mut self) {
        self.is_up = true;
        self.life += 1;
        Tmsg::Version { msize: MSIZE_MAX, version: VERSION }.encode(NOTAG, &mut self.out);
    }

    /// The stream has ended; returns everyone who was waiting.
    pub(crate) fn close(&mut self) -> Vec<Wait> {
        self.is_up = false;
        self.framer = Framer::new(MSIZE_MAX);
        self.out = Vec::new();
        self.sent = 0;
        self.next_fid = 0;
        self.free_fids.clear();
        self.waits.drain().collect()
    }

    /// Is this still the server's life in which a fid was made?
    pub(crate) fn serves(&self, life: u32) -> bool {
        self.is_up && self.life == life
    }

    /// Is there room for another request, in tags and in bytes?
    pub(crate) fn has_room(&self) -> bool {
        self.is_up && self.waits.len() < usize::from(NOTAG) - 1 && self.out.len() - self.sent < self.queue_max
    }

    /// A fid number of this channel.
    pub(crate) fn new_fid(&mut self) -> u32 {
        self.free_fids.pop().unwrap_or_else(|| {
            self.next_fid += 1;
            self.next_fid - 1
        })
    }

    /// The server does not hold this fid any more.
    pub(crate) fn free_fid(&mut self, fid: u32) {
        self.free_fids.push(fid);
    }

    /// Fids that are live there.
    #[cfg(test)]
    pub(crate) fn fids(&self) -> u32 {
        self.next_fid - self.free_fids.len() as u32
    }

    /// Sends a request of the door's own; returns its tag here.
    pub(crate) fn send(&mut self, msg: &Tmsg, wait: Wait) -> u16 {
        let tag = self.waits.insert(wait) as u16;
        msg.encode(tag, &mut self.out);
        tag
    }

    /// Sends a client's frame on with our tag, and our fid where it has its own (bytes 7..11).
    pub(crate) fn forward(&mut self, frame: &[u8], bfid: u32, wait: Wait) -> u16 {
        let tag = self.waits.insert(wait) as u16;
        let at = self.out.len();
        self.out.extend_from_slice(frame);
        self.out[at + 5..at + 7].copy_from_slice(&tag.to_le_bytes());
        self.out[at + 7..at + 11].copy_from_slice(&bfid.to_le_bytes());
        tag
    }

    /// The last frame sent, to patch a field of it.
    pub(crate) fn tail(&mut self, len: usize) -> &mut [u8] {
        let at = self.out.len() - len;
        &mut self.out[at..]
    }

    /// Ends a fid there; the number comes back with the reply.
    pub(crate) fn clunk(&mut self, bfid: u32) {
        self.send(&Tmsg::Clunk { fid: bfid }, Wait::Clunk { bfid, client: None });
    }

    /// Bytes to send.
    pub(crate) fn output(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// `n` of them are sent.
    pub(crate) fn consume(&mut self, n: usize) {
        consume(&mut self.out, &mut self.sent, n);
        if self.out.is_empty() {
            self.out.shrink_to(1 << 18);
        }
    }
}
