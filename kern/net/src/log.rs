//! Lines with the root task: what goes to the log, and its question for counts.

use alloc::string::String;
use core::fmt::{self, Write as _};

use task::Channel;
use task::config::Role;

/// Bytes that wait for the root task at most.
const OUT_MAX: usize = 4096;
/// The longest line that it says.
const LINE_MAX: usize = 64;
/// Its question.
const COUNTS: &str = "netstats";

/// The channel; where there is none, nothing is said.
pub(crate) struct Log {
    channel: Option<Channel>,
    out: String,
    line: String,
}

impl Log {
    pub(crate) fn find() -> Self {
        let channel = task::channels().find(|(wire, _)| wire.role == Role::Lines).map(|(_, end)| end);
        Self { channel, out: String::new(), line: String::new() }
    }

    /// Says a line, unless too much waits.
    pub(crate) fn say(&mut self, line: fmt::Arguments<'_>) {
        if self.out.len() < OUT_MAX {
            // Writing to a string does not fail.
            let _ = writeln!(self.out, "{line}");
        }
    }

    /// Sends what waits, and answers what was asked.
    pub(crate) fn turn(&mut self, mut counts: impl FnMut(&mut String)) {
        let Some(channel) = &mut self.channel else { return };
        if channel.conversation().is_none() {
            return;
        }
        let mut bytes = [0; LINE_MAX];
        // The root task does not spoil its channels.
        let heard = channel.read(&mut bytes).unwrap_or(0);
        for byte in &bytes[..heard] {
            if *byte != b'\n' {
                if self.line.len() < LINE_MAX {
                    self.line.push(char::from(*byte));
                }
                continue;
            }
            if core::mem::take(&mut self.line) == COUNTS && self.out.len() < OUT_MAX {
                counts(&mut self.out);
            }
        }
        if !self.out.is_empty() {
            let sent = channel.write(self.out.as_bytes()).unwrap_or(0);
            // What is said is ASCII, so any byte is a place to cut.
            self.out.drain(..sent);
        }
    }
}
