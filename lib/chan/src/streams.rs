//! An end of many streams over one channel, with what has come and was not read yet: what a door and a console stand
//! on where the network is another process, and the console before the door.
//! Guarantees: as much is held of a stream as was granted, and no more; a stream that is not read holds up no
//! other. Knows nothing of frames of 9P or lines.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

use crate::Moved;
use crate::mux::{Broken, Conn, Event, Listener, Mux, Peer, Pipe};

/// Streams of one channel at most; both ends must be of as many.
pub const STREAMS: usize = 256;
/// Bytes held of a stream.
const WINDOW: usize = 8192;

/// A stream's number, never used again.
pub type StreamId = u64;

/// The channel's end and its streams.
#[derive(Debug)]
pub struct Streams<P> {
    /// The rings.
    pub pipe: P,
    mux: Box<Mux<STREAMS>>,
    held: BTreeMap<StreamId, Held>,
    /// Which stream a connection of the channel is now.
    ids: BTreeMap<Conn, StreamId>,
    next: StreamId,
    opened: VecDeque<(StreamId, Listener, Peer)>,
}

/// One stream.
#[derive(Debug, Default)]
struct Held {
    conn: Conn,
    bytes: VecDeque<u8>,
    /// Read since the last grant.
    read: usize,
    /// Nothing more comes.
    has_ended: bool,
    /// Nothing more is taken.
    is_closed: bool,
}

impl<P: Pipe> Streams<P> {
    /// The end that is offered streams; there are none yet.
    pub fn new(pipe: P) -> Self {
        Self::with(pipe, Mux::acceptor())
    }

    /// The end that opens streams.
    pub fn opener(pipe: P) -> Self {
        Self::with(pipe, Mux::opener())
    }

    fn with(pipe: P, mux: Mux<STREAMS>) -> Self {
        let (held, ids, opened) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { pipe, mux: Box::new(mux), held, ids, next: 0, opened }
    }

    /// Forgets everything: there is another life of the other end, or none.
    pub fn reset(&mut self) {
        self.mux.reset();
        self.held.clear();
        self.ids.clear();
        self.opened.clear();
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// If the other end broke a rule: only [`Streams::reset`] is left.
    pub fn take(&mut self) -> Result<(), Broken> {
        while let Some(event) = self.mux.next(&mut self.pipe)? {
            match event {
                Event::Opened { conn, listener, peer } => {
                    let id = self.begin(conn);
                    self.opened.push_back((id, listener, peer));
                }
                Event::Data { conn, bytes } => {
                    if let Some(held) = held(&self.ids, &mut self.held, conn) {
                        held.bytes.extend(bytes);
                    }
                }
                Event::Ended { conn } => {
                    if let Some(held) = held(&self.ids, &mut self.held, conn) {
                        held.has_ended = true;
                    }
                }
                Event::Closed { conn } => {
                    if let Some(held) = held(&self.ids, &mut self.held, conn) {
                        (held.has_ended, held.is_closed) = (true, true);
                    }
                    self.ids.remove(&conn);
                }
                Event::Writable { .. } => {}
            }
        }
        self.mux.flush(&mut self.pipe)
    }

    /// Opens a stream, at the end that does; none if all are in use.
    pub fn open(&mut self, listener: Listener, peer: Peer) -> Option<StreamId> {
        let conn = self.mux.open(listener, peer)?;
        Some(self.begin(conn))
    }

    fn begin(&mut self, conn: Conn) -> StreamId {
        let id = self.next;
        self.next += 1;
        self.ids.insert(conn, id);
        self.held.insert(id, Held { conn, ..Held::default() });
        self.mux.grant(conn, WINDOW);
        id
    }

    /// A stream that is new, for the caller to [`Streams::close`] some time.
    pub fn opened(&mut self) -> Option<(StreamId, Listener, Peer)> {
        self.opened.pop_front()
    }

    /// Reads what has come of a stream.
    pub fn read(&mut self, id: StreamId, buffer: &mut [u8]) -> Moved {
        let Some(held) = self.held.get_mut(&id) else { return Moved::Ended };
        let count = held.bytes.len().min(buffer.len());
        for (to, byte) in buffer.iter_mut().zip(held.bytes.drain(..count)) {
            *to = byte;
        }
        if count == 0 {
            return if held.has_ended { Moved::Ended } else { Moved::Later };
        }
        held.read += count;
        // Many small grants would be as many frames.
        if held.read >= WINDOW / 2 && !held.is_closed {
            self.mux.grant(held.conn, core::mem::take(&mut held.read));
        }
        Moved::Bytes(count)
    }

    /// Writes to a stream what it takes now.
    ///
    /// # Errors
    /// As for [`Streams::take`].
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<Moved, Broken> {
        let Some(held) = self.held.get(&id).filter(|held| !held.is_closed) else { return Ok(Moved::Ended) };
        Ok(match self.mux.send(&mut self.pipe, held.conn, bytes)? {
            0 => Moved::Later,
            count => Moved::Bytes(count),
        })
    }

    /// A stream is over here.
    pub fn close(&mut self, id: StreamId) {
        if let Some(held) = self.held.remove(&id).filter(|held| !held.is_closed) {
            self.ids.remove(&held.conn);
            self.mux.close(held.conn);
        }
    }

    /// Sends what is due: grants and ends.
    ///
    /// # Errors
    /// As for [`Streams::take`].
    pub fn flush(&mut self) -> Result<(), Broken> {
        self.mux.flush(&mut self.pipe)
    }
}

/// What is held of the stream that a connection is now; one that was closed here is none.
fn held<'a>(
    ids: &BTreeMap<Conn, StreamId>,
    held: &'a mut BTreeMap<StreamId, Held>,
    conn: Conn,
) -> Option<&'a mut Held> {
    held.get_mut(ids.get(&conn)?)
}
