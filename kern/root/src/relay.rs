//! Lines with two processes: init, which asks for workers to be started and stopped, and the console, which
//! answers the hive's verbs.

use core::fmt::{self, Write as _};

use root_task::topology::Kind;
use task::Channel;

use crate::output::{Output, say};
use crate::process::State;
use crate::pump::Pump;

/// Bytes that wait for a process to take them.
const OUT_MAX: usize = 4096;
/// The longest line of init's, and of the network's.
const LINE_MAX: usize = 512;
/// What ends an answer of the console's.
const ANSWERED: u8 = 4;
/// Bytes taken before others have their turn.
pub(crate) const BURST: usize = 1024;

/// This end of one channel.
#[derive(Default)]
pub(crate) struct Relay {
    channel: Option<(Channel, usize)>,
    conversation: u32,
    out: heapless::Vec<u8, OUT_MAX>,
    pub(crate) line: heapless::Vec<u8, LINE_MAX>,
    /// Lines that are still to be answered.
    pub(crate) waiting: u32,
    /// What the process says of itself.
    pub(crate) is_ready: bool,
}

/// What has come of looking.
pub(crate) enum Heard {
    Bytes(usize),
    /// The process has been started anew, or is gone.
    Lost,
    Spoilt(usize),
}

impl Relay {
    pub(crate) fn new(channel: Channel, number: usize) -> Self {
        Self { channel: Some((channel, number)), ..Self::default() }
    }

    /// Whether the image has such a process.
    pub(crate) fn is_there(&self) -> bool {
        self.channel.is_some()
    }

    /// Whether it lives and listens.
    pub(crate) fn is_up(&mut self) -> bool {
        self.channel.as_mut().is_some_and(|(channel, _)| channel.conversation().is_some())
    }

    /// Sends a line, all of it or nothing.
    pub(crate) fn send(&mut self, line: fmt::Arguments<'_>) -> bool {
        let before = self.out.len();
        if self.out.write_fmt(line).is_err() {
            self.out.truncate(before);
            return false;
        }
        true
    }

    /// Sends what waits, and takes what has come.
    pub(crate) fn look(&mut self, bytes: &mut [u8]) -> Heard {
        let Some((channel, number)) = &mut self.channel else { return Heard::Bytes(0) };
        let now = channel.conversation().unwrap_or(0);
        if now != self.conversation {
            let had = self.conversation != 0;
            self.conversation = now;
            self.line.clear();
            if had {
                self.out.clear();
                self.is_ready = false;
                return Heard::Lost;
            }
        }
        if now == 0 {
            return Heard::Bytes(0);
        }
        let moved = channel.write(&self.out).and_then(|sent| {
            let left = self.out.len() - sent;
            self.out.copy_within(sent.., 0);
            self.out.truncate(left);
            channel.read(bytes)
        });
        match moved {
            Ok(count) => Heard::Bytes(count),
            Err(_) => Heard::Spoilt(*number),
        }
    }
}

impl Pump {
    /// Takes what processes have sent.
    pub(crate) fn hear(&mut self, output: &mut Output) {
        self.hear_others(output);
        self.hear_net(output);
        let mut bytes = [0; BURST];
        match self.init.look(&mut bytes) {
            Heard::Bytes(count) => bytes[..count].iter().for_each(|byte| self.init_said(*byte, output)),
            Heard::Lost => {}
            Heard::Spoilt(number) => self.spoilt(number, output),
        }
        match self.console.look(&mut bytes) {
            Heard::Bytes(count) => {
                for byte in &bytes[..count] {
                    match *byte {
                        ANSWERED => {
                            self.console.waiting = 0;
                            self.prompt(output);
                        }
                        byte @ (b'\n' | b' '..=b'~') => drop(output.write_char(char::from(byte))),
                        byte @ 0x80.. => output.put(byte),
                        _ => {}
                    }
                }
                if count == bytes.len() {
                    // There may be more, and nobody will ring for it.
                    self.bell.signal();
                }
            }
            Heard::Lost => {
                if core::mem::take(&mut self.console.waiting) > 0 {
                    output.begin_line();
                }
            }
            Heard::Spoilt(number) => self.spoilt(number, output),
        }
    }

    /// Nothing is spoken there after the self-test, but a process may spoil its channel.
    fn hear_others(&mut self, output: &mut Output) {
        for at in 0..if self.is_ready { self.others.len() } else { 0 } {
            let channel = &mut self.others[at];
            if channel.conversation().is_some() && channel.read(&mut [0; BURST]).is_err() {
                let number = channel.peer() as usize;
                self.spoilt(number, output);
            }
        }
    }

    fn init_said(&mut self, byte: u8, output: &mut Output) {
        if byte != b'\n' {
            // A line that is too long is none of init's.
            let _ = self.init.line.push(byte);
            return;
        }
        let line = core::mem::take(&mut self.init.line);
        let line = core::str::from_utf8(&line).unwrap_or("");
        let (word, name) = line.split_once(' ').unwrap_or((line, ""));
        let number = self.processes.iter().position(|process| process.name == name);
        match (word, number) {
            ("ready", _) => self.init.is_ready = true,
            ("start", Some(number)) if self.is_idle_worker(number) => {
                if let Err(why) = self.begin(number) {
                    say!(output, "{name}: {why}");
                    self.init.send(format_args!("ended {name} {why}\n"));
                }
            }
            ("stop", Some(number)) if self.processes[number].kind == Kind::Worker => {
                if self.processes[number].state == State::Up {
                    self.ended(number, "stopped", output);
                }
            }
            ("kill", Some(number)) if self.processes[number].state == State::Up => {
                self.ended(number, "killed", output);
            }
            _ => {}
        }
    }

    fn is_idle_worker(&self, number: usize) -> bool {
        let process = &self.processes[number];
        process.kind == Kind::Worker && process.state == State::Down
    }
}
