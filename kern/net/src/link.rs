//! The channel to a process that serves clients, as the network sees it.

use alloc::vec;
use alloc::vec::Vec;

use chan::mux::{Broken, Conn, Listener, Mux, Pipe};

/// Streams of one channel at most; both ends must be of as many.
pub const STREAMS: usize = 256;

/// A channel, the streams on it, and who they belong to.
#[derive(Debug)]
pub struct Link<P> {
    /// The rings.
    pub pipe: P,
    pub(crate) mux: Mux<STREAMS>,
    takes: fn(Listener) -> bool,
    is_up: bool,
    /// Another number is another life of the channel: what was opened before is gone.
    pub(crate) epoch: u32,
    pub(crate) broken: Option<Broken>,
    /// The session of each stream.
    pub(crate) owners: Vec<Option<usize>>,
}

impl<P: Pipe> Link<P> {
    /// A channel to a process that `takes` connections of some kinds, and is not up yet.
    pub fn new(pipe: P, takes: fn(Listener) -> bool) -> Self {
        let (mux, owners) = (Mux::opener(), vec![None; STREAMS]);
        Self { pipe, mux, takes, is_up: false, epoch: 0, broken: None, owners }
    }

    /// Both ends begin anew, or there is no other end: what was open is reset.
    pub fn restart(&mut self, is_up: bool) {
        self.mux.reset();
        self.owners.fill(None);
        self.is_up = is_up;
        self.broken = None;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// What the other end did that it may not, once it has: [`Link::restart`] mends it.
    #[must_use]
    pub const fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Whether the process takes connections of this kind, when it is up.
    #[must_use]
    pub fn serves(&self, listener: Listener) -> bool {
        (self.takes)(listener)
    }

    pub(crate) fn takes(&self, listener: Listener) -> bool {
        self.is_alive() && self.serves(listener)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.is_up && self.broken.is_none()
    }

    pub(crate) fn own(&mut self, conn: Conn, session: Option<usize>) {
        self.owners[usize::from(conn)] = session;
    }

    pub(crate) fn note<T>(&mut self, result: Result<T, Broken>) -> Option<T> {
        result.inspect_err(|broken| self.broken = Some(*broken)).ok()
    }
}
