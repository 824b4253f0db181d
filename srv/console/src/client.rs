//! One connection: its stream, its stream to the door, and the console between them.

use crate::codec::Codec;
use crate::talk::{Talk, Ways};
use chan::unix::{self, Moved};
use rt::Wish;
use shell::Shell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One read of a client: what may be held while the shell takes no lines.
const READ_BYTES: usize = 4096;
/// One read of the door.
const DOOR_BYTES: usize = 16 << 10;

pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(s) => s.as_fd(),
            Stream::Tcp(s) => s.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.read(buffer),
            Stream::Tcp(s) => s.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A console's connection.
pub(crate) struct Client {
    pub(crate) talk: Talk,
    pub(crate) stream: Stream,
    pub(crate) door: Option<UnixStream>,
    pub(crate) wish: Wish,
    pub(crate) door_wish: Wish,
}

/// Its streams, while it is served.
struct Lines<'a> {
    stream: &'a mut Stream,
    door: &'a mut Option<UnixStream>,
    path: &'a Path,
    /// A stream to the door was opened.
    is_new: bool,
}

impl Ways for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> Moved {
        unix::write(self.stream, bytes)
    }

    fn dial(&mut self) -> bool {
        *self.door = unix::connect(self.path).ok();
        self.is_new = self.door.is_some();
        self.is_new
    }

    fn write_door(&mut self, bytes: &[u8]) -> Moved {
        self.door.as_mut().map_or(Moved::Ended, |door| unix::write(door, bytes))
    }

    fn hang_up(&mut self) {
        *self.door = None;
    }
}

impl Client {
    pub(crate) fn new(stream: Stream, codec: Codec, shell: Shell, peer: String, now_ms: u64) -> Client {
        let is_remote = matches!(stream, Stream::Tcp(_));
        let talk = Talk::new(codec, shell, peer, is_remote, now_ms);
        Client { talk, stream, door: None, wish: Wish::Read, door_wish: Wish::Read }
    }

    /// The client's stream has bytes, or an end. Where it was not to be read, only an end can be meant.
    pub(crate) fn readable(&mut self, now_ms: u64) {
        if !matches!(self.wish, Wish::Read | Wish::Both) {
            return self.talk.gone();
        }
        let mut buffer = [0; READ_BYTES];
        let moved = unix::read(&mut self.stream, &mut buffer);
        self.talk.heard(moved, &buffer, now_ms);
    }

    /// The door's stream has bytes, or an end.
    pub(crate) fn door_readable(&mut self, path: &Path, now_ms: u64) {
        let Some(door) = &mut self.door else { return };
        let mut buffer = [0; DOOR_BYTES];
        let moved = unix::read(door, &mut buffer);
        let mut lines = Lines { stream: &mut self.stream, door: &mut self.door, path, is_new: false };
        self.talk.heard_door(&mut lines, moved, &buffer, now_ms);
    }

    /// Does all that can be done now; says whether a stream to the door was opened for it.
    pub(crate) fn advance(&mut self, path: &Path, now_ms: u64) -> bool {
        let mut lines = Lines { stream: &mut self.stream, door: &mut self.door, path, is_new: false };
        self.talk.advance(&mut lines, now_ms);
        let is_new = lines.is_new && self.door.is_some();
        if is_new {
            self.door_wish = Wish::Read;
        }
        is_new
    }

    /// What to wait for, of the client and of the door.
    pub(crate) fn wishes(&self) -> (Wish, Wish) {
        let wish = match (self.talk.reads(), !self.talk.writes()) {
            (true, true) => Wish::Read,
            (true, false) => Wish::Both,
            (false, false) => Wish::Write,
            (false, true) => Wish::Nothing,
        };
        let door = if self.talk.shell.door_output().is_empty() { Wish::Read } else { Wish::Both };
        (wish, door)
    }
}
