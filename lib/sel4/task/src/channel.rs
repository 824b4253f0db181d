//! One end of a channel, as long as both processes live, and again when one has been started anew.

use chan::mux::Pipe;
use chan::ring::{Corrupt, Reader, Writer};
use sel4::Notification;

use crate::shared::Lives;
use crate::{RING_BYTES, Ring};

/// One end of a channel: a ring each way, and the other end's bell.
#[derive(Debug)]
pub struct Channel {
    writer: Writer<'static, RING_BYTES>,
    reader: Reader<'static, RING_BYTES>,
    bell: Notification,
    lives: &'static Lives,
    own: u32,
    peer: u32,
    /// The conversation that this end has joined; 0: none yet.
    joined: u32,
    /// One that the other end has spoilt.
    spoilt: u32,
}

impl Channel {
    /// The end of process `own`, which writes to `out`, reads from `input`, and rings `bell` at `peer`.
    #[must_use]
    pub fn new(
        out: &'static Ring,
        input: &'static Ring,
        bell: Notification,
        lives: &'static Lives,
        own: u32,
        peer: u32,
    ) -> Self {
        let (writer, reader) = (Writer::new(out), Reader::new(input));
        Self { writer, reader, bell, lives, own, peer, joined: 0, spoilt: 0 }
    }

    /// The conversation that both ends are in, if they are: another number is another life of one of them.
    /// Joins a new one, so it must be asked at every turn, and what is left of an old one is to be dropped.
    pub fn conversation(&mut self) -> Option<u32> {
        let now = self.lives.conversation(self.own, self.peer).filter(|now| *now != self.spoilt)?;
        if self.joined != now {
            self.joined = now;
            self.writer.join(now);
            self.reader.join(now);
            self.bell.signal();
        }
        (self.writer.is_joined(now) && self.reader.is_joined(now)).then_some(now)
    }

    /// The number of the process at the other end.
    #[must_use]
    pub fn peer(&self) -> u32 {
        self.peer
    }

    /// Whether the other end was found to have spoilt this conversation.
    #[must_use]
    pub fn is_spoilt(&self) -> bool {
        self.spoilt != 0 && self.spoilt == self.joined
    }

    /// Writes what fits and wakes the other end. Only in a conversation.
    ///
    /// # Errors
    /// If the other end spoilt its index: the conversation is over.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt> {
        let count = self.writer.write(data).inspect_err(|_| self.spoilt = self.joined)?;
        if count > 0 {
            self.bell.signal();
        }
        Ok(count)
    }

    /// Reads what waits, and wakes the other end where it may wait for room: it reads nothing otherwise that it has
    /// not been woken for already, and to wake it costs two changes of process.
    ///
    /// # Errors
    /// As for [`Channel::write`].
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt> {
        let waiting = self.reader.waiting().inspect_err(|_| self.spoilt = self.joined)?;
        let count = self.reader.read(out).inspect_err(|_| self.spoilt = self.joined)?;
        if may_be_full(waiting.max(count)) {
            self.bell.signal();
        }
        Ok(count)
    }
}

/// Whether a ring may be full for its writer of which the reader has seen so many bytes. One that was found full
/// while the reader took a part is seen with the rest the next time, and either is a quarter at least.
const fn may_be_full(waiting: usize) -> bool {
    waiting >= RING_BYTES / 4
}

/// A channel for frames of many streams (lib/chan's mux): the other end is woken once for all that was done.
#[derive(Debug)]
pub struct Many {
    channel: Channel,
    /// Something was written; so much was read that the other end may have waited for room.
    rings: bool,
}

impl Many {
    /// The channel's end.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self { channel, rings: false }
    }

    /// See [`Channel::conversation`].
    pub fn conversation(&mut self) -> Option<u32> {
        self.channel.conversation()
    }

    /// Wakes the other end, if there is something for it.
    pub fn ring(&mut self) {
        if core::mem::take(&mut self.rings) {
            self.channel.bell.signal();
        }
    }
}

impl Pipe for Many {
    fn room(&mut self) -> Result<usize, Corrupt> {
        self.channel.writer.room()
    }

    fn waiting(&mut self) -> Result<usize, Corrupt> {
        let waiting = self.channel.reader.waiting()?;
        self.rings |= may_be_full(waiting);
        Ok(waiting)
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt> {
        let count = self.channel.writer.write(data)?;
        self.rings |= count > 0;
        Ok(count)
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt> {
        self.channel.reader.read(out)
    }
}
