//! Clients of other doors whose TLS ends in this one: its keys live here, so their bytes go through here,
//! in the clear on the other side. Bounded both ways; each end's end is the other's.

use crate::stream::Stream;
use chan::unix::{self, Moved};
use rt::{Poll, Wish};
use slab::Slab;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Bytes that wait in one direction.
const QUEUE_BYTES: usize = 64 << 10;
/// Rounds of one relay before the others have their turn.
const ROUNDS: usize = 8;

/// All that go through here.
pub(crate) struct Relays {
    token: u64,
    relays: Slab<Relay>,
    runnable: Vec<usize>,
    buffer: Vec<u8>,
}

struct Relay {
    tls: Side<Stream>,
    plain: Side<UnixStream>,
    is_runnable: bool,
}

/// One end, and what it is to be sent.
struct Side<S> {
    stream: S,
    queue: Vec<u8>,
    has_ended: bool,
    /// What is waited for; None once it has ended, which would show for ever.
    wish: Option<Wish>,
}

impl<S: AsFd> Side<S> {
    fn new(stream: S) -> Side<S> {
        Side { stream, queue: Vec::new(), has_ended: false, wish: Some(Wish::Read) }
    }

    /// Waits for `wish` from now on; false where that cannot be.
    fn watch(&mut self, poll: &Poll, token: u64, wish: Wish) -> bool {
        let wish = (!self.has_ended).then_some(wish);
        if wish == self.wish {
            return true;
        }
        self.wish = wish;
        match wish {
            Some(wish) => poll.modify(&self.stream, token, wish),
            None => poll.remove(&self.stream),
        }
        .is_ok()
    }
}

/// Moves what can be moved from one end to the other; says whether anything did.
fn pass(
    read: impl FnOnce(&mut [u8]) -> Moved,
    has_ended: &mut bool,
    queue: &mut Vec<u8>,
    write: impl FnOnce(&[u8]) -> Moved,
    buffer: &mut [u8],
) -> bool {
    let mut has_moved = false;
    if queue.len() < QUEUE_BYTES && !*has_ended {
        match read(buffer) {
            Moved::Bytes(n) => {
                queue.extend_from_slice(&buffer[..n]);
                has_moved = true;
            }
            Moved::Ended => *has_ended = true,
            Moved::Later => {}
        }
    }
    if !queue.is_empty() {
        match write(queue) {
            Moved::Bytes(n) => {
                queue.drain(..n);
                has_moved = true;
            }
            // Nobody takes it any more.
            Moved::Ended => {
                queue.clear();
                *has_ended = true;
            }
            Moved::Later => {}
        }
    }
    has_moved
}

impl Relay {
    /// Says whether there is more to do at once.
    fn run(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..ROUNDS {
            let (tls, plain) = (&mut self.tls, &mut self.plain);
            let up = pass(
                |buffer| tls.stream.read(buffer),
                &mut tls.has_ended,
                &mut plain.queue,
                |bytes| unix::write(&mut plain.stream, bytes),
                buffer,
            );
            let down = pass(
                |buffer| unix::read(&mut plain.stream, buffer),
                &mut plain.has_ended,
                &mut tls.queue,
                |bytes| tls.stream.write(bytes),
                buffer,
            );
            if !up && !down {
                return false;
            }
        }
        true
    }

    /// Has one end gone, and the other been sent what there was?
    fn is_over(&mut self) -> bool {
        (self.tls.has_ended && self.plain.queue.is_empty())
            || (self.plain.has_ended && self.tls.queue.is_empty() && !self.tls.stream.is_backed_up())
    }

    /// What to wait for at each end.
    fn wishes(&mut self) -> (Wish, Wish) {
        let wish = |reads: bool, writes: bool| match (reads, writes) {
            (true, true) => Wish::Both,
            (true, false) => Wish::Read,
            (false, true) => Wish::Write,
            (false, false) => Wish::Nothing,
        };
        let is_backed_up = self.tls.stream.is_backed_up();
        let tls = wish(
            self.plain.queue.len() < QUEUE_BYTES && !self.tls.has_ended,
            is_backed_up || !self.tls.queue.is_empty(),
        );
        let plain =
            wish(self.tls.queue.len() < QUEUE_BYTES && !self.plain.has_ended, !self.plain.queue.is_empty());
        (tls, plain)
    }
}

impl Relays {
    pub(crate) fn new(token: u64) -> Relays {
        Relays { token, relays: Slab::new(), runnable: Vec::new(), buffer: vec![0; QUEUE_BYTES] }
    }

    pub(crate) fn len(&self) -> usize {
        self.relays.len()
    }

    pub(crate) fn is_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Takes on a client; the end that another door is to have.
    pub(crate) fn add(&mut self, poll: &Poll, tls: Stream) -> Option<OwnedFd> {
        let (here, there) = UnixStream::pair().ok()?;
        here.set_nonblocking(true).and(there.set_nonblocking(true)).ok()?;
        let entry = self.relays.vacant_entry();
        let at = entry.key();
        let (tls_token, plain_token) = self.tokens(at);
        poll.add(&tls, tls_token, Wish::Read).ok()?;
        poll.add(&here, plain_token, Wish::Read).ok()?;
        let (tls, plain) = (Side::new(tls), Side::new(here));
        let at = self.relays.insert(Relay { tls, plain, is_runnable: true });
        // TLS may hold bytes that no event will tell of.
        self.runnable.push(at);
        Some(there.into())
    }

    fn tokens(&self, at: usize) -> (u64, u64) {
        (self.token | (at as u64) << 1, self.token | (at as u64) << 1 | 1)
    }

    /// Either end of one can go on.
    pub(crate) fn event(&mut self, poll: &Poll, at: usize) {
        self.advance(poll, at >> 1);
    }

    /// Those that had more to do than their turn allowed.
    pub(crate) fn run(&mut self, poll: &Poll) {
        for at in std::mem::take(&mut self.runnable) {
            if let Some(relay) = self.relays.get_mut(at) {
                relay.is_runnable = false;
                self.advance(poll, at);
            }
        }
    }

    fn advance(&mut self, poll: &Poll, at: usize) {
        let (tls_token, plain_token) = self.tokens(at);
        let Some(relay) = self.relays.get_mut(at) else { return };
        let has_more = relay.run(&mut self.buffer);
        let (tls, plain) = relay.wishes();
        let is_watched = relay.tls.watch(poll, tls_token, tls) && relay.plain.watch(poll, plain_token, plain);
        if relay.is_over() || !is_watched {
            self.relays.remove(at);
        } else if has_more && !relay.is_runnable {
            relay.is_runnable = true;
            self.runnable.push(at);
        }
    }
}
