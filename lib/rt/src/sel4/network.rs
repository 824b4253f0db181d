//! A channel of many streams: to the process that has the network, a stream for each of its clients; from the
//! console to the door, a stream for each console.

use chan::Moved;
use chan::mux::{Broken, Listener, Peer};
use chan::streams::{StreamId, Streams};
use task::Many;

/// This end of the channel, one conversation after the other.
pub struct Network {
    /// Who is at the other end.
    pub peer: &'static str,
    streams: Streams<Many>,
    /// Its number among the process's channels.
    number: usize,
    conversation: Option<u32>,
    is_told: bool,
}

impl Network {
    /// The end that the other offers streams.
    pub(crate) fn accepting(peer: &'static str, number: usize, channel: task::Channel) -> Network {
        let streams = Streams::new(Many::new(channel));
        Network { peer, streams, number, conversation: None, is_told: false }
    }

    /// The end that opens them.
    pub(crate) fn opening(peer: &'static str, number: usize, channel: task::Channel) -> Network {
        let streams = Streams::opener(Many::new(channel));
        Network { peer, streams, number, conversation: None, is_told: false }
    }

    /// Takes what has come; says whether all streams from before are void.
    pub fn take(&mut self) -> bool {
        let now = self.streams.pipe.conversation();
        let has_changed = core::mem::replace(&mut self.conversation, now) != now;
        if has_changed {
            self.streams.reset();
            self.is_told = false;
        }
        if self.is_open() {
            let taken = self.streams.take();
            return has_changed | !self.holds(taken);
        }
        has_changed
    }

    /// Opens a stream, to be closed some time; nothing where the other end is away, or takes no more.
    pub fn open(&mut self, listener: Listener, peer: Peer) -> Option<StreamId> {
        if self.is_open() { self.streams.open(listener, peer) } else { None }
    }

    fn is_open(&self) -> bool {
        self.conversation.is_some() && !self.is_told
    }

    /// Whether the other end still keeps the rules; the first time that it does not, the root task is told.
    fn holds<T>(&mut self, result: Result<T, Broken>) -> bool {
        if result.is_err() && !core::mem::replace(&mut self.is_told, true) {
            self.streams.reset();
            task::accuse(self.number);
        }
        result.is_ok()
    }

    /// A client that is new, to be closed some time: what it came in on, and where it comes from.
    pub fn opened(&mut self) -> Option<(StreamId, Listener, Peer)> {
        self.streams.opened()
    }

    /// Reads once.
    pub fn read(&mut self, id: StreamId, buffer: &mut [u8]) -> Moved {
        self.streams.read(id, buffer)
    }

    /// Writes once.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Moved {
        if !self.is_open() {
            return Moved::Ended;
        }
        let written = self.streams.write(id, bytes);
        self.holds(written);
        written.unwrap_or(Moved::Ended)
    }

    /// A client's stream is over.
    pub fn close(&mut self, id: StreamId) {
        self.streams.close(id);
    }

    /// Sends what is due, and wakes the other end where there is something for it: at the end of each turn.
    pub fn flush(&mut self) {
        if self.is_open() {
            let flushed = self.streams.flush();
            self.holds(flushed);
            self.streams.pipe.ring();
        }
    }
}
