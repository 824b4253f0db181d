//! One connection: its stream, its shell, and its stream to the door.

use crate::codec::{Codec, Taken};
use chan::unix::{self, Moved};
use console::{AUTH_WITHIN_MS, IDLE_MS};
use rt::Wish;
use shell::Shell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Bytes for the client that are encoded ahead; the shell holds the rest back.
const OUT_MAX: usize = 16 << 10;
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
    pub(crate) stream: Stream,
    pub(crate) door: Option<UnixStream>,
    pub(crate) shell: Shell,
    pub(crate) peer: String,
    pub(crate) wish: Wish,
    pub(crate) door_wish: Wish,
    codec: Codec,
    /// Bytes that came and are not taken yet.
    held: Vec<u8>,
    out: Vec<u8>,
    opened_ms: u64,
    heard_ms: u64,
    /// It says no more; what it has asked for is still done.
    is_ending: bool,
    is_gone: bool,
}

impl Client {
    pub(crate) fn new(stream: Stream, codec: Codec, shell: Shell, peer: String, now_ms: u64) -> Client {
        Client {
            stream,
            door: None,
            shell,
            peer,
            wish: Wish::Read,
            door_wish: Wish::Read,
            codec,
            held: Vec::new(),
            out: Vec::new(),
            opened_ms: now_ms,
            heard_ms: now_ms,
            is_ending: false,
            is_gone: false,
        }
    }

    /// The client's stream has bytes, or an end. Where it was not to be read, only an end can be meant.
    pub(crate) fn readable(&mut self, now_ms: u64) {
        if !matches!(self.wish, Wish::Read | Wish::Both) {
            self.is_gone = true;
            return;
        }
        let mut buffer = [0; READ_BYTES];
        match unix::read(&mut self.stream, &mut buffer) {
            Moved::Later => {}
            Moved::Ended => self.is_ending = true,
            Moved::Bytes(n) => {
                self.heard_ms = now_ms;
                self.held.extend_from_slice(&buffer[..n]);
            }
        }
    }

    /// The door's stream has bytes, or an end.
    pub(crate) fn door_readable(&mut self, now_ms: u64) {
        let Some(door) = &mut self.door else { return };
        let mut buffer = [0; DOOR_BYTES];
        match unix::read(door, &mut buffer) {
            Moved::Later => {}
            Moved::Ended => {
                self.door = None;
                self.shell.lost("the door hung up", now_ms);
            }
            Moved::Bytes(n) => self.shell.door_input(&buffer[..n], now_ms),
        }
    }

    /// Does all that can be done now; says whether a stream to the door was opened for it.
    pub(crate) fn advance(&mut self, door: &Path, now_ms: u64) -> bool {
        let mut is_new = false;
        loop {
            let mut has_moved = self.take_lines(now_ms);
            if !self.shell.uses_door() {
                self.door = None;
            }
            if self.shell.wants_door() {
                has_moved = true;
                match unix::connect(door) {
                    Ok(stream) => {
                        self.door = Some(stream);
                        is_new = true;
                        self.door_wish = Wish::Read;
                        self.shell.dialled(now_ms);
                    }
                    Err(_) => self.shell.lost("the door does not answer", now_ms),
                }
            }
            self.push_door(now_ms);
            has_moved |= self.push(now_ms);
            if !has_moved {
                return is_new;
            }
        }
    }

    fn take_lines(&mut self, now_ms: u64) -> bool {
        let mut used = 0;
        while used < self.held.len() && self.shell.takes_lines() {
            match self.codec.feed(self.held[used]) {
                None => {}
                Some(Taken::Line(line)) => self.shell.line(line, now_ms),
                Some(Taken::BadFrame) => self.shell.bad_frame(),
            }
            used += 1;
        }
        self.held.drain(..used);
        used > 0
    }

    fn push_door(&mut self, now_ms: u64) {
        let Some(door) = &mut self.door else { return };
        while !self.shell.door_output().is_empty() {
            match unix::write(door, self.shell.door_output()) {
                Moved::Bytes(n) => self.shell.door_sent(n),
                Moved::Later => return,
                Moved::Ended => {
                    self.door = None;
                    return self.shell.lost("the door hung up", now_ms);
                }
            }
        }
    }

    fn push(&mut self, now_ms: u64) -> bool {
        let mut has_moved = false;
        loop {
            while self.out.len() < OUT_MAX {
                let Some(line) = self.shell.output() else { break };
                self.codec.encode(&line, &mut self.out);
                has_moved = true;
            }
            if has_moved {
                self.shell.drained(now_ms);
            }
            if self.out.is_empty() {
                return has_moved;
            }
            match unix::write(&mut self.stream, &self.out) {
                Moved::Bytes(n) => drop(self.out.drain(..n)),
                Moved::Later => return has_moved,
                Moved::Ended => {
                    self.is_gone = true;
                    return false;
                }
            }
        }
    }

    /// What to wait for, of the client and of the door.
    pub(crate) fn wishes(&self) -> (Wish, Wish) {
        let reads = !self.is_ending && self.held.is_empty() && self.shell.takes_lines();
        let wish = match (reads, self.out.is_empty()) {
            (true, true) => Wish::Read,
            (true, false) => Wish::Both,
            (false, false) => Wish::Write,
            (false, true) => Wish::Nothing,
        };
        let door = if self.shell.door_output().is_empty() { Wish::Read } else { Wish::Both };
        (wish, door)
    }

    /// Is there nothing more to do for it?
    pub(crate) fn is_over(&self) -> bool {
        let is_done =
            self.shell.is_closing() || (self.is_ending && self.shell.is_idle() && self.held.is_empty());
        self.is_gone || (is_done && self.out.is_empty())
    }

    fn is_remote(&self) -> bool {
        matches!(self.stream, Stream::Tcp(_))
    }

    /// When [`Client::tick`] must be called.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let auth = (!self.shell.is_authenticated()).then_some(self.opened_ms + AUTH_WITHIN_MS);
        let idle = self.is_remote().then_some(self.heard_ms + IDLE_MS);
        [auth, idle, self.shell.deadline_ms()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        let is_late = !self.shell.is_authenticated() && now_ms >= self.opened_ms + AUTH_WITHIN_MS;
        let is_silent = self.is_remote() && now_ms >= self.heard_ms + IDLE_MS;
        if is_late || is_silent {
            self.is_gone = true;
        }
        if self.shell.deadline_ms().is_some_and(|at| at <= now_ms) {
            self.shell.tick(now_ms);
        }
    }
}
