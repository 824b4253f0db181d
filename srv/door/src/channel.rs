//! A server as the door sees it: one byte stream that carries every session's requests, with the
//! sessions' tags and fids replaced by the channel's own.

use crate::session::{Before, SessionRef};
use ninep::srv::{Framer, consume};
use ninep::wire::{MSIZE_MAX, NOTAG, Tmsg, VERSION};
use rt::prelude::*;
use slab::Slab;

/// Who waits for the reply to one tag of a channel.
#[derive(Debug)]
pub(crate) enum Wait {
    /// A client: the reply goes on with the client's tag in place of ours.
    Client { session: SessionRef, tag: u16, fid: u32, kind: u8 },
    /// A client's walk within one server. `old` is what a walk in place falls back to.
    Walk { session: SessionRef, tag: u16, newfid: u32, names: u16, bfid: u32, old: Option<Before> },
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

/// Requests that wait for replies before further ones are refused; what the door itself must still send, and
/// cannot refuse, has the tags above.
const TAGS: usize = 60_000;
/// Beyond so many, fids that end wait, too.
const TAGS_MAX: usize = 64_000;

/// One server's stream.
pub(crate) struct Channel {
    /// The server's manifest name.
    pub(crate) name: String,
    pub(crate) is_up: bool,
    /// A walk has waited for it in vain, and nothing has come from it since.
    pub(crate) is_silent: bool,
    /// Counts lives of the server: fids of an earlier life are Closed.
    pub(crate) life: u32,
    pub(crate) framer: Framer,
    pub(crate) waits: Slab<Wait>,
    out: Vec<u8>,
    sent: usize,
    queue_max: usize,
    next_fid: u32,
    free_fids: Vec<u32>,
    /// Fids that are to end when there are tags again.
    late: Vec<u32>,
}

impl Channel {
    pub(crate) fn new(name: &str, queue_max: usize) -> Self {
        Channel {
            name: name.into(),
            is_up: false,
            is_silent: false,
            life: 0,
            framer: Framer::new(MSIZE_MAX),
            waits: Slab::new(),
            out: Vec::new(),
            sent: 0,
            queue_max,
            next_fid: 0,
            free_fids: Vec::new(),
            late: Vec::new(),
        }
    }

    /// The stream has just been opened: negotiate first.
    pub(crate) fn open(&mut self) {
        self.is_up = true;
        self.is_silent = false;
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
        self.late.clear();
        self.waits.drain().collect()
    }

    /// Is this still the server's life in which a fid was made?
    pub(crate) fn serves(&self, life: u32) -> bool {
        self.is_up && self.life == life
    }

    /// Is there room for another request, in tags and in bytes?
    pub(crate) fn has_room(&self) -> bool {
        self.is_up && self.waits.len() < TAGS && self.out.len() - self.sent < self.queue_max
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

    fn tag(&mut self, wait: Wait) -> u16 {
        let tag = self.waits.insert(wait);
        assert!(tag < usize::from(NOTAG), "has_room and clunk leave tags to spare");
        tag as u16
    }

    /// The request with this tag has been answered: who waited for it. None: nobody asked.
    pub(crate) fn answered(&mut self, tag: u16) -> Option<Wait> {
        let wait = self.waits.try_remove(tag.into())?;
        if let Some(bfid) = self.late.pop() {
            self.clunk(bfid);
        }
        Some(wait)
    }

    /// Sends a request of the door's own; returns its tag here.
    pub(crate) fn send(&mut self, msg: &Tmsg, wait: Wait) -> u16 {
        let tag = self.tag(wait);
        msg.encode(tag, &mut self.out);
        tag
    }

    /// Sends a client's frame on with our tag, and our fid where it has its own (bytes 7..11).
    pub(crate) fn forward(&mut self, frame: &[u8], bfid: u32, wait: Wait) -> u16 {
        let tag = self.tag(wait);
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
        if self.waits.len() >= TAGS_MAX {
            return self.late.push(bfid);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fids_that_end_all_at_once_have_a_tag_each() {
        let mut channel = Channel::new("log", 1 << 18);
        channel.open();
        let fids: Vec<u32> = (0..200_000).map(|_| channel.new_fid()).collect();
        fids.iter().for_each(|fid| channel.clunk(*fid));
        assert!(!channel.has_room());
        let mut ended = 0;
        while let Some(tag) = channel.waits.iter().map(|(tag, _)| tag as u16).next() {
            let Some(Wait::Clunk { bfid, client: None }) = channel.answered(tag) else { panic!("a clunk") };
            channel.free_fid(bfid);
            ended += 1;
        }
        assert_eq!((ended, channel.fids()), (200_000, 0));
    }
}
