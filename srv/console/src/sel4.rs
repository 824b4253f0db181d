//! The loop on seL4: the serial line's console, whose lines the root task passes on, and its stream to the
//! door.

use crate::codec::{Codec, Taken};
use crate::report::Report;
use chan::Moved;
use console::Editor;
use rt::prelude::*;
use rt::task::config::Role;
use rt::{Boot, BootError, Host, Poll, Wire};
use shell::{Event, Options, Shell};

/// Who sits at the serial line.
const PEER: &str = "serial";
/// Bytes that are encoded ahead; the shell holds the rest back.
const OUT_MAX: usize = 16 << 10;
/// One read.
const READ_BYTES: usize = 4096;
/// What ends an answer, for the root task to prompt again.
const ANSWERED: u8 = 4;

struct Loop {
    poll: Poll,
    host: Host<Report>,
    line: Wire,
    door: Wire,
    codec: Codec,
    shell: Shell,
    held: Vec<u8>,
    out: Vec<u8>,
    /// Lines were taken that are not answered yet.
    is_asked: bool,
    buffer: Vec<u8>,
}

/// The whole server.
pub fn run() -> Result<(), BootError> {
    let boot = Boot::new("console")?;
    let mut poll = Poll::new();
    let host = Host::new(&boot, Report::tree(boot.manifest.server("audit").is_some()), &mut poll);
    let none = |what: &str| BootError(format!("the topology has no channel to {what}"));
    let line = poll.take(Role::Lines).into_iter().next().ok_or_else(|| none("root"))?;
    let door = poll.take(Role::Enter).into_iter().next().ok_or_else(|| none("door"))?;
    let mut it = Loop {
        poll,
        host,
        line,
        door,
        codec: Codec::Lines(Editor::new()),
        shell: Shell::new(Options::default()),
        held: Vec::new(),
        out: Vec::new(),
        is_asked: false,
        buffer: vec![0; READ_BYTES],
    };
    loop {
        it.turn();
    }
}

impl Loop {
    fn turn(&mut self) {
        let now = rt::now();
        let now_ms = now.mono_ms;
        if self.line.has_changed() {
            self.held.clear();
            self.out.clear();
        }
        if self.door.has_changed() && self.shell.uses_door() {
            self.shell.lost("the door hung up", now_ms);
        }
        if self.shell.deadline_ms().is_some_and(|at| at <= now_ms) {
            self.shell.tick(now_ms);
        }
        while self.advance(now_ms) {}
        while let Some(event) = self.shell.event() {
            self.host.engine.tree.state.event(PEER, &event, now);
        }
        if self.shell.is_closing() && self.out.is_empty() {
            if self.shell.is_attached() {
                self.host.engine.tree.state.event(PEER, &Event::Detached, now);
            }
            self.shell = Shell::new(Options::default());
        }
        self.host.receive(now);
        self.host.turn(now);
        let deadline = [self.shell.deadline_ms(), self.host.deadline_ms()].into_iter().flatten().min();
        self.poll.wait(deadline, rt::now());
    }

    /// Does what can be done now; says whether that may have made more possible.
    fn advance(&mut self, now_ms: u64) -> bool {
        let mut has_moved = false;
        if self.held.is_empty()
            && let Moved::Bytes(n) = self.line.read(&mut self.buffer)
        {
            self.held.extend_from_slice(&self.buffer[..n]);
            has_moved = true;
        }
        has_moved |= self.take_lines(now_ms);
        if self.shell.wants_door() {
            has_moved = true;
            // The stream is there as long as both ends live; each session begins with a version.
            if self.door.is_open() {
                self.shell.dialled(now_ms);
            } else {
                self.shell.lost("the door does not answer", now_ms);
            }
        }
        has_moved |= self.push_door(now_ms);
        if let Moved::Bytes(n) = self.door.read(&mut self.buffer) {
            if self.shell.uses_door() {
                self.shell.door_input(&self.buffer[..n], now_ms);
            }
            has_moved = true;
        }
        has_moved | self.push(now_ms)
    }

    fn take_lines(&mut self, now_ms: u64) -> bool {
        let mut used = 0;
        while used < self.held.len() && self.shell.takes_lines() {
            if let Some(Taken::Line(line)) = self.codec.feed(self.held[used]) {
                self.shell.line(line, now_ms);
                self.is_asked = true;
            }
            used += 1;
        }
        self.held.drain(..used);
        used > 0
    }

    fn push_door(&mut self, now_ms: u64) -> bool {
        let mut has_moved = false;
        while !self.shell.door_output().is_empty() {
            match self.door.write(self.shell.door_output()) {
                Moved::Bytes(n) => self.shell.door_sent(n),
                Moved::Later => break,
                Moved::Ended => {
                    self.shell.lost("the door hung up", now_ms);
                    return true;
                }
            }
            has_moved = true;
        }
        has_moved
    }

    fn push(&mut self, now_ms: u64) -> bool {
        let mut has_moved = false;
        while self.out.len() < OUT_MAX {
            let Some(line) = self.shell.output() else { break };
            self.codec.encode(&line, &mut self.out);
            has_moved = true;
        }
        if has_moved {
            self.shell.drained(now_ms);
        }
        if self.shell.is_idle() && self.out.is_empty() && core::mem::take(&mut self.is_asked) {
            self.out.push(ANSWERED);
        }
        while !self.out.is_empty() {
            match self.line.write(&self.out) {
                Moved::Bytes(n) => drop(self.out.drain(..n)),
                Moved::Later | Moved::Ended => break,
            }
            has_moved = true;
        }
        has_moved
    }
}
