//! Many byte streams over one pair of rings: how the process that has the network hands its clients'
//! connections to a door or a console.
//! Guarantees: no stream holds up another, because a side sends on a stream only what the other has granted
//! it room for, and so always takes what comes; streams and credit are bounded; a peer that breaks a rule is
//! told apart from one that is slow, and nothing it sends can do more than end the channel. Keeps no data:
//! what a stream's reader has not taken, its user stores, up to what the user granted. Wakes nobody.
//!
//! A frame is a header of six bytes, kind, zero, stream and length of the rest, both little endian, then:
//! `open` listener, zero, port, IPv4 address; `data` 1 to [`DATA_MAX`] bytes; `credit` bytes granted (u32);
//! `end`, no more data from here; `close`, neither more data from here nor taken here, answered by `close`.
//! A stream's number is free again when both sides have said `close`.

use crate::ring::{Corrupt, Reader, Writer};

/// Bytes of one data frame at most.
pub const DATA_MAX: usize = 4096;
/// Credit of a stream at most: no honest user grants more than it can store.
pub const CREDIT_MAX: u32 = 1 << 20;

const HEADER: usize = 6;
const OPEN: u8 = 1;
const DATA: u8 = 2;
const CREDIT: u8 = 3;
const END: u8 = 4;
const CLOSE: u8 = 5;

/// A ring to the peer and one from it.
pub trait Pipe {
    /// Bytes that can be written now.
    ///
    /// # Errors
    /// If the peer spoilt its index.
    fn room(&mut self) -> Result<usize, Corrupt>;

    /// Bytes that can be read now.
    ///
    /// # Errors
    /// As for [`Pipe::room`].
    fn waiting(&mut self) -> Result<usize, Corrupt>;

    /// Writes what fits.
    ///
    /// # Errors
    /// As for [`Pipe::room`].
    fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt>;

    /// Reads what waits.
    ///
    /// # Errors
    /// As for [`Pipe::room`].
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt>;
}

impl<const N: usize> Pipe for (Writer<'_, N>, Reader<'_, N>) {
    fn room(&mut self) -> Result<usize, Corrupt> {
        self.0.room()
    }

    fn waiting(&mut self) -> Result<usize, Corrupt> {
        self.1.waiting()
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt> {
        self.0.write(data)
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt> {
        self.1.read(out)
    }
}

/// What a connection came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Listener {
    /// The console's port.
    Console = 1,
    /// 9P, strict.
    Ninep = 2,
    /// 9P for stock clients.
    Compat = 3,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its IPv4 address.
    pub address: [u8; 4],
    /// Its port.
    pub port: u16,
}

impl core::fmt::Display for Peer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d] = self.address;
        write!(f, "{a}.{b}.{c}.{d}:{}", self.port)
    }
}

/// A stream's number.
pub type Conn = u16;

/// What the peer did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A new stream; grant it room, or close it.
    Opened {
        /// Its number.
        conn: Conn,
        /// What it came in on.
        listener: Listener,
        /// Whose it is.
        peer: Peer,
    },
    /// Bytes, as many as were granted at most.
    Data {
        /// The stream.
        conn: Conn,
        /// What came.
        bytes: &'a [u8],
    },
    /// There may be more room to send.
    Writable {
        /// The stream.
        conn: Conn,
    },
    /// The peer sends no more; it still takes.
    Ended {
        /// The stream.
        conn: Conn,
    },
    /// The stream is gone; its number may come back as another's.
    Closed {
        /// The stream.
        conn: Conn,
    },
}

/// Why nothing more is to be believed of this peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It spoilt its ring.
    Ring,
    /// A frame of no known kind or of a wrong length.
    Frame,
    /// A stream that is not, or is already, or cannot be.
    Stream,
    /// More data than it was granted, or more credit than there can be.
    Credit,
}

impl From<Corrupt> for Broken {
    fn from(_: Corrupt) -> Self {
        Self::Ring
    }
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Ring => "the peer's ring index is out of range",
            Self::Frame => "the peer sent a frame that is none",
            Self::Stream => "the peer used a stream that it does not have",
            Self::Credit => "the peer sent or granted more than it may",
        })
    }
}

impl core::error::Error for Broken {}

/// A direction: what may still come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd)]
enum Way {
    #[default]
    Open,
    Ended,
    Closed,
}

/// One stream as this side sees it.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    is_used: bool,
    /// Who to announce, at the side that opens.
    announce: Option<(Listener, Peer)>,
    /// What was said, and what is still to be said.
    said: Way,
    to_say: Way,
    heard: Way,
    /// Bytes that this side may send.
    credit: u32,
    /// Bytes that the peer may send, and those of them that it has not been told of.
    granted: u32,
    untold: u32,
}

impl Stream {
    fn owes(&self) -> bool {
        self.is_used && (self.announce.is_some() || self.untold > 0 || self.said < self.to_say)
    }
}

/// One end of a channel with at most `N` streams; the peer's end must be of as many.
#[derive(Debug)]
pub struct Mux<const N: usize> {
    streams: [Stream; N],
    is_opener: bool,
    /// Where the search for a free stream goes on, so that a number rests before it is used again.
    next: usize,
    used: usize,
    /// Whether some stream owes a frame.
    owes: bool,
    header: Option<[u8; HEADER]>,
    payload: [u8; DATA_MAX],
}

impl<const N: usize> Mux<N> {
    const CHECK: () = assert!(N > 0 && N <= Conn::MAX as usize, "a stream's number is a u16");

    const fn new(is_opener: bool) -> Self {
        let () = Self::CHECK;
        const NONE: Stream = Stream {
            is_used: false,
            announce: None,
            said: Way::Open,
            to_say: Way::Open,
            heard: Way::Open,
            credit: 0,
            granted: 0,
            untold: 0,
        };
        Self {
            streams: [NONE; N],
            is_opener,
            next: 0,
            used: 0,
            owes: false,
            header: None,
            payload: [0; DATA_MAX],
        }
    }

    /// The end that opens streams.
    #[must_use]
    pub const fn opener() -> Self {
        Self::new(true)
    }

    /// The end that is offered streams.
    #[must_use]
    pub const fn acceptor() -> Self {
        Self::new(false)
    }

    /// Forgets everything, for a new pair of rings.
    pub fn reset(&mut self) {
        *self = Self::new(self.is_opener);
    }

    /// How many streams are not yet free again.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Opens a stream; none if all are in use. Sent by [`Mux::flush`].
    pub fn open(&mut self, listener: Listener, peer: Peer) -> Option<Conn> {
        assert!(self.is_opener, "only one side opens streams");
        let at = (0..N).map(|n| (self.next + n) % N).find(|&at| !self.streams[at].is_used)?;
        self.next = (at + 1) % N;
        self.streams[at] = Stream { is_used: true, announce: Some((listener, peer)), ..Stream::default() };
        self.used += 1;
        self.owes = true;
        Some(at as Conn)
    }

    fn stream(&mut self, conn: Conn) -> Option<&mut Stream> {
        self.streams.get_mut(usize::from(conn)).filter(|stream| stream.is_used)
    }

    /// Bytes that may be sent on a stream now, if the ring has room.
    #[must_use]
    pub fn credit(&self, conn: Conn) -> usize {
        match self.streams.get(usize::from(conn)) {
            Some(stream) if stream.is_used && stream.to_say == Way::Open => stream.credit as usize,
            _ => 0,
        }
    }

    /// Lets the peer send `bytes` more, which the caller has room for. Sent by [`Mux::flush`].
    pub fn grant(&mut self, conn: Conn, bytes: usize) {
        let Some(stream) = self.stream(conn).filter(|stream| stream.to_say != Way::Closed) else { return };
        let more = u32::try_from(bytes).unwrap_or(CREDIT_MAX).min(CREDIT_MAX - stream.granted);
        stream.granted += more;
        stream.untold += more;
        self.owes |= more > 0;
    }

    /// Sends as much of `data` as the peer takes and the ring has room for; returns how much that was.
    ///
    /// # Errors
    /// If the peer spoilt its ring.
    pub fn send(&mut self, pipe: &mut impl Pipe, conn: Conn, data: &[u8]) -> Result<usize, Broken> {
        // What opens the stream goes first.
        self.flush(pipe)?;
        let mut sent = 0;
        while sent < data.len() {
            let rest = &data[sent..];
            let count = rest.len().min(self.credit(conn)).min(DATA_MAX);
            let count = count.min(pipe.room()?.saturating_sub(HEADER));
            let Some(stream) = self.stream(conn).filter(|stream| count > 0 && stream.announce.is_none())
            else {
                break;
            };
            stream.credit -= count as u32;
            put(pipe, DATA, conn, &rest[..count])?;
            sent += count;
        }
        Ok(sent)
    }

    /// No more data goes out; what the peer still sends is taken. Sent by [`Mux::flush`].
    pub fn end(&mut self, conn: Conn) {
        self.say(conn, Way::Ended);
    }

    /// The stream is over for this side; nothing more of it is told. Sent by [`Mux::flush`].
    pub fn close(&mut self, conn: Conn) {
        self.say(conn, Way::Closed);
    }

    fn say(&mut self, conn: Conn, way: Way) {
        if let Some(stream) = self.stream(conn).filter(|stream| stream.to_say < way) {
            stream.to_say = way;
            self.owes = true;
        }
    }

    /// Sends what was opened, granted, ended and closed, as far as the ring has room.
    ///
    /// # Errors
    /// If the peer spoilt its ring.
    pub fn flush(&mut self, pipe: &mut impl Pipe) -> Result<(), Broken> {
        if !self.owes {
            return Ok(());
        }
        let mut still_owes = false;
        for at in 0..N {
            while self.streams[at].owes() {
                if !self.flush_one(pipe, at as Conn)? {
                    still_owes = true;
                    break;
                }
            }
        }
        self.owes = still_owes;
        Ok(())
    }

    /// Sends one frame that a stream owes, if there is room.
    fn flush_one(&mut self, pipe: &mut impl Pipe, conn: Conn) -> Result<bool, Broken> {
        const LONGEST: usize = HEADER + 8;
        if pipe.room()? < LONGEST {
            return Ok(false);
        }
        let stream = &mut self.streams[usize::from(conn)];
        if let Some((listener, peer)) = stream.announce.take() {
            let mut body = [listener as u8, 0, 0, 0, 0, 0, 0, 0];
            body[2..4].copy_from_slice(&peer.port.to_le_bytes());
            body[4..].copy_from_slice(&peer.address);
            put(pipe, OPEN, conn, &body)?;
        } else if stream.said < stream.to_say {
            let is_close = stream.to_say == Way::Closed;
            stream.said = stream.to_say;
            if is_close {
                stream.granted -= core::mem::take(&mut stream.untold);
            }
            put(pipe, if is_close { CLOSE } else { END }, conn, &[])?;
            self.free(conn);
        } else if stream.untold > 0 {
            let bytes = core::mem::take(&mut stream.untold);
            put(pipe, CREDIT, conn, &bytes.to_le_bytes())?;
        }
        Ok(true)
    }

    /// A stream that both sides have closed is free.
    fn free(&mut self, conn: Conn) {
        let stream = &mut self.streams[usize::from(conn)];
        if stream.said == Way::Closed && stream.heard == Way::Closed {
            *stream = Stream::default();
            self.used -= 1;
        }
    }

    /// The next thing that the peer did, if a whole frame of it is there. After [`Event::Closed`] the stream
    /// is not the user's any more. Frames about a stream that was closed here are passed over.
    ///
    /// # Errors
    /// If the peer broke a rule: this end can only be reset.
    pub fn next(&mut self, pipe: &mut impl Pipe) -> Result<Option<Event<'_>>, Broken> {
        loop {
            let header = match self.header {
                Some(header) => header,
                None if pipe.waiting()? < HEADER => return Ok(None),
                None => {
                    let mut header = [0; HEADER];
                    exactly(pipe, &mut header)?;
                    *self.header.insert(header)
                }
            };
            let [kind, zero, conn @ .., low, high] = header;
            let (conn, length) = (Conn::from_le_bytes(conn), usize::from(u16::from_le_bytes([low, high])));
            let is_shaped = match kind {
                OPEN => length == 8,
                DATA => (1..=DATA_MAX).contains(&length),
                CREDIT => length == 4,
                END | CLOSE => length == 0,
                _ => false,
            };
            if !is_shaped || zero != 0 {
                return Err(Broken::Frame);
            }
            if pipe.waiting()? < length {
                return Ok(None);
            }
            self.header = None;
            exactly(pipe, &mut self.payload[..length])?;
            match self.take(kind, conn, length)? {
                Taken::Nothing => {}
                Taken::Opened(listener, peer) => return Ok(Some(Event::Opened { conn, listener, peer })),
                Taken::Data => return Ok(Some(Event::Data { conn, bytes: &self.payload[..length] })),
                Taken::Credit => return Ok(Some(Event::Writable { conn })),
                Taken::Ended => return Ok(Some(Event::Ended { conn })),
                Taken::Closed => return Ok(Some(Event::Closed { conn })),
            }
        }
    }

    /// Checks a frame of the right shape against its stream.
    fn take(&mut self, kind: u8, conn: Conn, length: usize) -> Result<Taken, Broken> {
        let body = self.payload.first_chunk().copied().unwrap_or([0; 8]);
        if kind == OPEN {
            return self.opened(conn, body);
        }
        let stream = self.stream(conn).ok_or(Broken::Stream)?;
        // A frame cannot answer what was not said, nor follow what was the last.
        if stream.announce.is_some() || stream.heard == Way::Closed {
            return Err(Broken::Stream);
        }
        let is_mine = stream.to_say != Way::Closed;
        let taken = match kind {
            DATA => {
                if stream.heard != Way::Open {
                    return Err(Broken::Stream);
                }
                // What it has not been told of, it cannot use.
                let told = stream.granted - stream.untold;
                if length as u32 > told {
                    return Err(Broken::Credit);
                }
                stream.granted -= length as u32;
                Taken::Data
            }
            CREDIT => {
                let [a, b, c, d, ..] = body;
                let more = u32::from_le_bytes([a, b, c, d]);
                let credit = stream.credit.checked_add(more).filter(|sum| more > 0 && *sum <= CREDIT_MAX);
                stream.credit = credit.ok_or(Broken::Credit)?;
                Taken::Credit
            }
            END => {
                if stream.heard != Way::Open {
                    return Err(Broken::Stream);
                }
                stream.heard = Way::Ended;
                Taken::Ended
            }
            _ => {
                stream.heard = Way::Closed;
                stream.to_say = Way::Closed;
                let owes = stream.said != Way::Closed;
                self.owes |= owes;
                self.free(conn);
                Taken::Closed
            }
        };
        Ok(if is_mine { taken } else { Taken::Nothing })
    }

    fn opened(&mut self, conn: Conn, body: [u8; 8]) -> Result<Taken, Broken> {
        let [kind, zero, low, high, address @ ..] = body;
        let listener = match kind {
            1 => Listener::Console,
            2 => Listener::Ninep,
            3 => Listener::Compat,
            _ => return Err(Broken::Frame),
        };
        if zero != 0 {
            return Err(Broken::Frame);
        }
        let stream = self.streams.get_mut(usize::from(conn)).ok_or(Broken::Stream)?;
        if self.is_opener || stream.is_used {
            return Err(Broken::Stream);
        }
        *stream = Stream { is_used: true, ..Stream::default() };
        self.used += 1;
        Ok(Taken::Opened(listener, Peer { address, port: u16::from_le_bytes([low, high]) }))
    }
}

/// What a frame comes to.
enum Taken {
    Nothing,
    Opened(Listener, Peer),
    Data,
    Credit,
    Ended,
    Closed,
}

/// Writes a frame for which there is room.
fn put(pipe: &mut impl Pipe, kind: u8, conn: Conn, body: &[u8]) -> Result<(), Broken> {
    let [low, high] = conn.to_le_bytes();
    let [short, long] = (body.len() as u16).to_le_bytes();
    let header = [kind, 0, low, high, short, long];
    // The peer cannot take room back without being found out.
    let count = pipe.write(&header)? + pipe.write(body)?;
    if count == HEADER + body.len() { Ok(()) } else { Err(Broken::Ring) }
}

/// Reads what is there.
fn exactly(pipe: &mut impl Pipe, out: &mut [u8]) -> Result<(), Broken> {
    if pipe.read(out)? == out.len() { Ok(()) } else { Err(Broken::Ring) }
}
