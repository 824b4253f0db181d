//! The client engine: sans-IO, pipelined. Requests are queued with tags of its own choosing, replies
//! are matched by tag; it never retries and never asks for anything by itself.

use crate::srv::{Framer, Next};
use crate::wire::{self, MSIZE_MAX, NOTAG, Tmsg};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;

/// What the peer did that no server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A frame that does not decode, or is larger than msize.
    Frame,
    /// A reply to nothing that was asked, or of the wrong kind.
    Reply,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Broken::Frame => "the server sent a malformed frame",
            Broken::Reply => "the server sent a reply to nothing that was asked",
        })
    }
}

impl core::error::Error for Broken {}

/// Names a request until its reply has been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked(u16);

/// A client's side of one connection.
#[derive(Debug)]
pub struct Client {
    framer: Framer,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Requests that wait for a reply: their type.
    inflight: BTreeMap<u16, u8>,
    /// Requests that were given up: their replies are dropped.
    flushed: BTreeMap<u16, u16>,
    replies: VecDeque<(Asked, Vec<u8>)>,
    window: usize,
    next_tag: u16,
}

impl Client {
    /// At most `window` requests in flight.
    pub fn new(window: usize) -> Client {
        Client {
            framer: Framer::new(MSIZE_MAX),
            input: Vec::new(),
            out: Vec::new(),
            inflight: BTreeMap::new(),
            flushed: BTreeMap::new(),
            replies: VecDeque::new(),
            window,
            next_tag: 0,
        }
    }

    /// May another request be sent now?
    pub fn has_room(&self) -> bool {
        self.inflight.len() < self.window
    }

    /// Queues a request; None where the window is full.
    pub fn send(&mut self, msg: &Tmsg) -> Option<Asked> {
        if !self.has_room() {
            return None;
        }
        let tag = if matches!(msg, Tmsg::Version { .. }) { NOTAG } else { self.free_tag() };
        msg.encode(tag, &mut self.out);
        self.inflight.insert(tag, msg.kind());
        Some(Asked(tag))
    }

    fn free_tag(&mut self) -> u16 {
        loop {
            let tag = self.next_tag;
            self.next_tag = (self.next_tag + 1) % NOTAG;
            if !self.inflight.contains_key(&tag) && !self.flushed.contains_key(&tag) {
                return tag;
            }
        }
    }

    /// Gives a request up: its reply, if one comes, is dropped.
    pub fn flush(&mut self, asked: Asked) {
        self.replies.retain(|(other, _)| *other != asked);
        if self.inflight.remove(&asked.0).is_none() {
            return;
        }
        let tag = self.free_tag();
        Tmsg::Flush { oldtag: asked.0 }.encode(tag, &mut self.out);
        self.flushed.insert(tag, asked.0);
        self.flushed.insert(asked.0, asked.0);
    }

    /// Bytes to send.
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// `n` of them are sent.
    pub fn consume(&mut self, n: usize) {
        self.out.drain(..n);
    }

    /// Bytes have come.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.input.extend_from_slice(bytes);
        let input = core::mem::take(&mut self.input);
        let mut used = 0;
        loop {
            let (n, next) = self.framer.next(&input[used..]);
            used += n;
            match next {
                Next::More => break,
                Next::Refuse(..) | Next::Close => return Err(Broken::Frame),
                Next::Frame(frame) => self.take(frame)?,
            }
        }
        self.input.extend_from_slice(&input[used..]);
        Ok(())
    }

    fn take(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let tag = u16::from_le_bytes([frame[5], frame[6]]);
        let kind = frame[4];
        if let Some(oldtag) = self.flushed.remove(&tag) {
            // Rflush frees the tag that was given up, too: its reply cannot come any more.
            if kind == wire::kind::RFLUSH {
                self.flushed.remove(&oldtag);
            } else {
                self.flushed.insert(tag, oldtag);
            }
            return Ok(());
        }
        let Some(asked) = self.inflight.remove(&tag) else { return Err(Broken::Reply) };
        if kind != asked + 1 && kind != wire::kind::RLERROR {
            return Err(Broken::Reply);
        }
        wire::decode_r(frame).map_err(|_| Broken::Frame)?;
        self.replies.push_back((Asked(tag), frame.to_vec()));
        Ok(())
    }

    /// The reply to one request, as a frame that decodes.
    pub fn reply(&mut self, asked: Asked) -> Option<Vec<u8>> {
        let at = self.replies.iter().position(|(other, _)| *other == asked)?;
        self.replies.remove(at).map(|(_, frame)| frame)
    }

    /// The next reply that has come, whosever it is.
    pub fn any_reply(&mut self) -> Option<(Asked, Vec<u8>)> {
        self.replies.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Rmsg;

    fn replies(tags: &[(u16, Rmsg)]) -> Vec<u8> {
        let mut out = Vec::new();
        tags.iter().for_each(|(tag, msg)| msg.encode(*tag, &mut out));
        out
    }

    #[test]
    fn replies_are_matched_by_tag_in_any_order() {
        let mut client = Client::new(4);
        let one = client.send(&Tmsg::Clunk { fid: 1 }).unwrap();
        let two = client.send(&Tmsg::Read { fid: 2, offset: 0, count: 9 }).unwrap();
        client.input(&replies(&[(1, Rmsg::Read { data: b"x" }), (0, Rmsg::Clunk)])).unwrap();
        assert!(client.reply(two).is_some());
        assert!(client.reply(one).is_some());
        assert!(client.reply(one).is_none());
    }

    #[test]
    fn the_window_bounds_what_is_in_flight() {
        let mut client = Client::new(2);
        assert!(client.send(&Tmsg::Clunk { fid: 1 }).is_some());
        assert!(client.send(&Tmsg::Clunk { fid: 2 }).is_some());
        assert!(client.send(&Tmsg::Clunk { fid: 3 }).is_none());
        client.input(&replies(&[(0, Rmsg::Clunk)])).unwrap();
        assert!(client.send(&Tmsg::Clunk { fid: 3 }).is_some());
    }

    #[test]
    fn a_reply_to_nothing_breaks_the_connection() {
        let mut client = Client::new(2);
        assert_eq!(client.input(&replies(&[(7, Rmsg::Clunk)])), Err(Broken::Reply));
        let mut client = Client::new(2);
        client.send(&Tmsg::Clunk { fid: 1 }).unwrap();
        assert_eq!(client.input(&replies(&[(0, Rmsg::Read { data: b"" })])), Err(Broken::Reply));
    }

    #[test]
    fn a_flushed_tag_comes_back_after_rflush_only() {
        let mut client = Client::new(2);
        let one = client.send(&Tmsg::Clunk { fid: 1 }).unwrap();
        client.flush(one);
        // The reply crosses the flush on the wire.
        client.input(&replies(&[(0, Rmsg::Clunk), (1, Rmsg::Flush)])).unwrap();
        assert!(client.reply(one).is_none());
        assert!(client.flushed.is_empty());
    }
}
