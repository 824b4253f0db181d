//! One console: its lines, its shell, and what has yet to go out, whatever carries its bytes.

use crate::codec::{Codec, Taken};
use chan::Moved;
use console::{AUTH_WITHIN_MS, IDLE_MS};
use rt::prelude::*;
use shell::Shell;

/// Bytes for the client that are encoded ahead; the shell holds the rest back.
const OUT_MAX: usize = 16 << 10;

/// What carries a console's bytes, and those of its session at the door.
pub(crate) trait Ways {
    /// Writes to the client once.
    fn write(&mut self, bytes: &[u8]) -> Moved;
    /// Begins a stream to the door; says whether there is one.
    fn dial(&mut self) -> bool;
    /// Writes to the door once; without a stream nothing ever goes.
    fn write_door(&mut self, bytes: &[u8]) -> Moved;
    /// The stream to the door, if there is one, is over.
    fn hang_up(&mut self);
}

/// A console.
pub(crate) struct Talk {
    pub(crate) shell: Shell,
    pub(crate) peer: String,
    /// Lines were taken since somebody saw that all are answered.
    pub(crate) is_asked: bool,
    codec: Codec,
    /// Bytes that came and are not taken yet.
    held: Vec<u8>,
    out: Vec<u8>,
    /// Whether silence ends it.
    is_remote: bool,
    opened_ms: u64,
    heard_ms: u64,
    /// It says no more; what it has asked for is still done.
    is_ending: bool,
    is_gone: bool,
}

impl Talk {
    pub(crate) fn new(codec: Codec, shell: Shell, peer: String, is_remote: bool, now_ms: u64) -> Talk {
        Talk {
            shell,
            peer,
            is_asked: false,
            codec,
            held: Vec::new(),
            out: Vec::new(),
            is_remote,
            opened_ms: now_ms,
            heard_ms: now_ms,
            is_ending: false,
            is_gone: false,
        }
    }

    /// Whether bytes of the client are wanted now.
    pub(crate) fn reads(&self) -> bool {
        !self.is_ending && self.held.is_empty() && self.shell.takes_lines()
    }

    /// Whether bytes for the client wait.
    #[cfg(not(target_os = "none"))]
    pub(crate) fn writes(&self) -> bool {
        !self.out.is_empty()
    }

    /// What one read of the client came to, with its bytes.
    pub(crate) fn heard(&mut self, moved: Moved, bytes: &[u8], now_ms: u64) {
        match moved {
            Moved::Later => {}
            Moved::Ended => self.is_ending = true,
            Moved::Bytes(n) => {
                self.heard_ms = now_ms;
                self.held.extend_from_slice(&bytes[..n]);
            }
        }
    }

    /// What one read of the door came to, with its bytes.
    pub(crate) fn heard_door(&mut self, ways: &mut impl Ways, moved: Moved, bytes: &[u8], now_ms: u64) {
        match moved {
            Moved::Later => {}
            Moved::Ended => self.lost(ways, now_ms),
            Moved::Bytes(n) => self.shell.door_input(&bytes[..n], now_ms),
        }
    }

    /// The client is not there any more.
    #[cfg(not(target_os = "none"))]
    pub(crate) fn gone(&mut self) {
        self.is_gone = true;
    }

    /// Does all that can be done now.
    pub(crate) fn advance(&mut self, ways: &mut impl Ways, now_ms: u64) {
        loop {
            let mut has_moved = self.take_lines(now_ms);
            if !self.shell.uses_door() {
                ways.hang_up();
            }
            if self.shell.wants_door() {
                has_moved = true;
                match ways.dial() {
                    true => self.shell.dialled(now_ms),
                    false => self.shell.lost("the door does not answer", now_ms),
                }
            }
            self.push_door(ways, now_ms);
            has_moved |= self.push(ways, now_ms);
            if !has_moved {
                return;
            }
        }
    }

    fn take_lines(&mut self, now_ms: u64) -> bool {
        let mut used = 0;
        while used < self.held.len() && self.shell.takes_lines() {
            match self.codec.feed(self.held[used]) {
                None => {}
                Some(Taken::Line(line)) => {
                    self.is_asked = true;
                    self.shell.line(line, now_ms);
                }
                Some(Taken::BadFrame) => self.shell.bad_frame(),
            }
            used += 1;
        }
        self.held.drain(..used);
        used > 0
    }

    fn push_door(&mut self, ways: &mut impl Ways, now_ms: u64) {
        while !self.shell.door_output().is_empty() {
            match ways.write_door(self.shell.door_output()) {
                Moved::Bytes(n) => self.shell.door_sent(n),
                Moved::Later => return,
                Moved::Ended => return self.lost(ways, now_ms),
            }
        }
    }

    fn lost(&mut self, ways: &mut impl Ways, now_ms: u64) {
        ways.hang_up();
        self.shell.lost("the door hung up", now_ms);
    }

    fn push(&mut self, ways: &mut impl Ways, now_ms: u64) -> bool {
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
            match ways.write(&self.out) {
                Moved::Bytes(n) => drop(self.out.drain(..n)),
                Moved::Later => return has_moved,
                Moved::Ended => {
                    self.is_gone = true;
                    return false;
                }
            }
        }
    }

    /// Has everything that was asked been answered, and every answer gone out?
    #[cfg(target_os = "none")]
    pub(crate) fn is_quiet(&self) -> bool {
        self.shell.is_idle() && self.held.is_empty() && self.out.is_empty()
    }

    /// Is there nothing more to do for it?
    pub(crate) fn is_over(&self) -> bool {
        let is_done =
            self.shell.is_closing() || (self.is_ending && self.shell.is_idle() && self.held.is_empty());
        self.is_gone || (is_done && self.out.is_empty())
    }

    /// When [`Talk::tick`] must be called.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let auth = (!self.shell.is_authenticated()).then_some(self.opened_ms + AUTH_WITHIN_MS);
        let idle = self.is_remote.then_some(self.heard_ms + IDLE_MS);
        [auth, idle, self.shell.deadline_ms()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        let is_late = !self.shell.is_authenticated() && now_ms >= self.opened_ms + AUTH_WITHIN_MS;
        let is_silent = self.is_remote && now_ms >= self.heard_ms + IDLE_MS;
        if is_late || is_silent {
            self.is_gone = true;
        }
        if self.shell.deadline_ms().is_some_and(|at| at <= now_ms) {
            self.shell.tick(now_ms);
        }
    }
}
