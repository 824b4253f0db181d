//! The connection with the door: one batch of requests at a time, and its replies in order.

use crate::prelude::*;
use ninep::clnt::{Asked, Broken, Client};
use ninep::refusal::Word;
use ninep::wire::{MSIZE_MAX, READ_OVERHEAD, Rmsg, Tmsg, decode_r};

/// Requests in flight at most; a batch has fewer.
const WINDOW: usize = 16;
/// How long a batch may take.
const DEADLINE_MS: u64 = 10_000;
/// The fid of the attach.
pub(crate) const ROOT: u32 = 0;
/// That of Tauth.
pub(crate) const AFID: u32 = 1;

/// A reply's frame, which decodes, or the word of its refusal.
pub(crate) type Reply = Result<Vec<u8>, Word>;

pub(crate) struct Link {
    client: Client,
    waits: Vec<(Asked, Option<Reply>)>,
    until_ms: Option<u64>,
    next_fid: u32,
    msize: u32,
}

impl Link {
    pub(crate) fn new() -> Link {
        Link {
            client: Client::new(WINDOW),
            waits: Vec::new(),
            until_ms: None,
            next_fid: AFID + 1,
            msize: MSIZE_MAX,
        }
    }

    /// A fid number that was not used before.
    pub(crate) fn new_fid(&mut self) -> u32 {
        self.next_fid += 1;
        self.next_fid - 1
    }

    /// What one read may ask for.
    pub(crate) fn count(&self) -> u32 {
        self.msize - READ_OVERHEAD
    }

    pub(crate) fn set_msize(&mut self, msize: u32) {
        self.msize = msize;
    }

    /// Sends requests whose replies [`Link::input`] will give together.
    pub(crate) fn ask(&mut self, msgs: &[Tmsg], now_ms: u64) {
        // What does not fit the window would never be answered; then the deadline says so.
        self.waits = msgs.iter().filter_map(|msg| Some((self.client.send(msg)?, None))).collect();
        self.until_ms = Some(now_ms + DEADLINE_MS);
    }

    /// Ends a fid, and waits for nothing.
    pub(crate) fn let_go(&mut self, fid: u32) {
        // A window full of clunks belongs to a door that answers nothing: the session goes with it.
        let _ = self.client.send(&Tmsg::Clunk { fid });
    }

    pub(crate) fn output(&self) -> &[u8] {
        self.client.output()
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.client.consume(n);
    }

    /// Bytes have come; the replies of the batch, when they are all there.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> Result<Option<Vec<Reply>>, Broken> {
        self.client.input(bytes)?;
        while let Some((asked, frame)) = self.client.any_reply() {
            if let Some((_, reply)) = self.waits.iter_mut().find(|(one, _)| *one == asked) {
                *reply = Some(reply_of(frame));
            }
        }
        if self.waits.is_empty() || self.waits.iter().any(|(_, reply)| reply.is_none()) {
            return Ok(None);
        }
        self.until_ms = None;
        Ok(Some(self.waits.drain(..).filter_map(|(_, reply)| reply).collect()))
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.until_ms
    }

    /// Gives the batch up if its time is over; says whether it was.
    pub(crate) fn is_overdue(&mut self, now_ms: u64) -> bool {
        let is_overdue = self.until_ms.is_some_and(|until| until <= now_ms);
        if is_overdue {
            self.until_ms = None;
            for (asked, reply) in self.waits.drain(..) {
                if reply.is_none() {
                    self.client.flush(asked);
                }
            }
        }
        is_overdue
    }
}

fn reply_of(frame: Vec<u8>) -> Reply {
    match decode_r(&frame) {
        Ok((_, Rmsg::Lerror { ecode, .. })) => Err(Word::from_errno(ecode).unwrap_or(Word::Invalid)),
        _ => Ok(frame),
    }
}

/// What a reply says.
pub(crate) fn decoded(frame: &[u8]) -> Result<Rmsg<'_>, Word> {
    decode_r(frame).map(|(_, msg)| msg).map_err(|_| Word::Invalid)
}

/// The names of a path that the grammar has passed.
pub(crate) fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}
