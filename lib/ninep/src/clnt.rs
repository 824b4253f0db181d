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

/// Given-up requests that a server may leave unanswered, Tflush and all: more, and nothing is sent until
/// it answers.
const GIVEN_UP_MAX: usize = 512;

/// What a tag that nobody waits for is still there for.
#[derive(Debug, Clone, Copy)]
enum GivenUp {
    /// A Tflush for this tag.
    Flush { oldtag: u16 },
    /// A request, of this type; whether its reply has crossed the Tflush; and whether the Tflush is still
    /// to be answered.
    Request { kind: u8, has_reply: bool, is_flushed: bool },
}

/// A client's side of one connection.
#[derive(Debug)]
pub struct Client {
    framer: Framer,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Requests that wait for a reply: their type.
    inflight: BTreeMap<u16, u8>,
    /// Tags of requests that were given up, and of the Tflushes that say so: free again when the server
    /// has said its last of them.
    given_up: BTreeMap<u16, GivenUp>,
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
            given_up: BTreeMap::new(),
            replies: VecDeque::new(),
            window,
            next_tag: 0,
        }
    }

    /// May another request be sent now?
    pub fn has_room(&self) -> bool {
        self.inflight.len() < self.window && self.given_up.len() < GIVEN_UP_MAX
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
            if !self.inflight.contains_key(&tag) && !self.given_up.contains_key(&tag) {
                return tag;
            }
        }
    }

    /// Gives a request up: its reply, if one comes, is dropped.
    pub fn flush(&mut self, asked: Asked) {
        self.replies.retain(|(other, _)| *other != asked);
        let Some(kind) = self.inflight.remove(&asked.0) else { return };
        let tag = self.free_tag();
        Tmsg::Flush { oldtag: asked.0 }.encode(tag, &mut self.out);
        self.given_up.insert(tag, GivenUp::Flush { oldtag: asked.0 });
        self.given_up.insert(asked.0, GivenUp::Request { kind, has_reply: false, is_flushed: false });
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
                Next::Refuse(..) | Next::Close(_) => return Err(Broken::Frame),
                Next::Frame(frame) => self.take(frame)?,
            }
        }
        self.input.extend_from_slice(&input[used..]);
        Ok(())
    }

    fn take(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let tag = u16::from_le_bytes([frame[5], frame[6]]);
        let kind = frame[4];
        if let Some(what) = self.given_up.remove(&tag) {
            return self.take_unwanted(tag, kind, what);
        }
        let Some(asked) = self.inflight.remove(&tag) else { return Err(Broken::Reply) };
        if kind != asked + 1 && kind != wire::kind::RLERROR {
            return Err(Broken::Reply);
        }
        wire::decode_r(frame).map_err(|_| Broken::Frame)?;
        self.replies.push_back((Asked(tag), frame.to_vec()));
        Ok(())
    }

    /// The reply to something that was given up (flush(5)). Rflush frees the tag of the request, too: its
    /// reply cannot come any more. A server that refuses Tflush will answer the request itself.
    fn take_unwanted(&mut self, tag: u16, kind: u8, what: GivenUp) -> Result<(), Broken> {
        match what {
            GivenUp::Flush { oldtag } if kind == wire::kind::RFLUSH => {
                self.given_up.remove(&oldtag);
            }
            GivenUp::Flush { oldtag } if kind == wire::kind::RLERROR => {
                match self.given_up.get_mut(&oldtag) {
                    Some(GivenUp::Request { has_reply: true, .. }) => {
                        self.given_up.remove(&oldtag);
                    }
                    Some(GivenUp::Request { is_flushed, .. }) => *is_flushed = true,
                    _ => {}
                }
            }
            GivenUp::Request { kind: asked, has_reply: false, is_flushed }
                if kind == asked + 1 || kind == wire::kind::RLERROR =>
            {
                if !is_flushed {
                    let waits = GivenUp::Request { kind: asked, has_reply: true, is_flushed };
                    self.given_up.insert(tag, waits);
                }
            }
            _ => return Err(Broken::Reply),
        }
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

    /// A client that has given up request 0 with Tflush 1.
    fn given_up() -> Client {
        let mut client = Client::new(2);
        let one = client.send(&Tmsg::Clunk { fid: 1 }).unwrap();
        client.flush(one);
        client
    }

    const REFUSED: Rmsg<'static> = Rmsg::Lerror { ecode: 95, detail: wire::Detail("") };

    #[test]
    fn a_flushed_tag_comes_back_after_rflush_only() {
        let mut client = given_up();
        // The reply crosses the flush on the wire.
        client.input(&replies(&[(0, Rmsg::Clunk)])).unwrap();
        assert_eq!(client.given_up.len(), 2);
        client.input(&replies(&[(1, Rmsg::Flush)])).unwrap();
        assert!(client.any_reply().is_none());
        assert!(client.given_up.is_empty());
    }

    #[test]
    fn a_server_that_refuses_to_flush_answers_the_request_itself() {
        for order in [[(0, Rmsg::Clunk), (1, REFUSED)], [(1, REFUSED), (0, Rmsg::Clunk)]] {
            let mut client = given_up();
            client.input(&replies(&order[..1])).unwrap();
            assert!(!client.given_up.is_empty(), "{order:?}: the tag is free too soon");
            client.input(&replies(&order[1..])).unwrap();
            assert!(client.given_up.is_empty(), "{order:?}: the tag does not come back");
            assert!(client.any_reply().is_none());
        }
    }

    #[test]
    fn a_given_up_request_is_answered_once_and_in_its_kind() {
        let mut client = given_up();
        assert_eq!(client.input(&replies(&[(0, Rmsg::Read { data: b"" })])), Err(Broken::Reply));
        let mut client = given_up();
        client.input(&replies(&[(0, Rmsg::Clunk)])).unwrap();
        assert_eq!(client.input(&replies(&[(0, Rmsg::Clunk)])), Err(Broken::Reply));
        assert_eq!(given_up().input(&replies(&[(1, Rmsg::Clunk)])), Err(Broken::Reply));
    }

    #[test]
    fn a_server_that_answers_nothing_is_sent_only_so_much() {
        let mut client = Client::new(2);
        let mut sent = 0;
        while let Some(asked) = client.send(&Tmsg::Clunk { fid: 1 }) {
            client.flush(asked);
            sent += 1;
            assert!(sent <= GIVEN_UP_MAX);
        }
        assert!(sent >= 32, "{sent}");
    }
}
