//! Lines with the process that has the network: what it says goes to the log, and it is asked for its counts.

use core::fmt::Write as _;

use console::Answer;

use crate::output::Output;
use crate::pump::Pump;
use crate::relay::{BURST, Heard};

/// What it says when it listens.
const READY: &str = "ready";
/// What its counts begin with.
const COUNTS: &str = "counts ";

impl Pump {
    /// Takes what the network's process says.
    pub(crate) fn hear_net(&mut self, output: &mut Output) {
        let mut bytes = [0; BURST];
        match self.net.look(&mut bytes) {
            Heard::Bytes(count) => bytes[..count].iter().for_each(|byte| self.net_said(*byte, output)),
            Heard::Lost => self.net_lost(output),
            Heard::Spoilt(number) => self.spoilt(number, output),
        }
    }

    /// Who waits for its counts gets none.
    fn net_lost(&mut self, output: &mut Output) {
        for _ in 0..core::mem::take(&mut self.net.waiting) {
            let answer = Answer::err("NETSTATS", "busy").with("detail", "the network was started again");
            let _ = writeln!(output, "{}", answer.as_str());
            self.prompt(output);
        }
    }

    fn net_said(&mut self, byte: u8, output: &mut Output) {
        if byte != b'\n' {
            // A line that is too long is cut; one with other bytes than printable ones is shown without them.
            if (b' '..=b'~').contains(&byte) {
                let _ = self.net.line.push(byte);
            }
            return;
        }
        let line = core::mem::take(&mut self.net.line);
        let line = core::str::from_utf8(&line).unwrap_or("");
        if line == READY {
            self.net.is_ready = true;
        } else if let Some(counts) = line.strip_prefix(COUNTS) {
            if self.net.waiting > 0 {
                self.net.waiting -= 1;
                let _ = writeln!(output, "OK NETSTATS {counts}");
                self.prompt(output);
            }
        } else {
            output.begin_line();
            output.note(format_args!("[net] {line}"));
            let _ = writeln!(output, "[net] {line}");
        }
    }

    /// Asks for its counts; false if it is not there to be asked.
    pub(crate) fn ask_net(&mut self) -> bool {
        let is_asked = self.net.is_up() && self.net.send(format_args!("netstats\n"));
        if is_asked {
            self.net.waiting += 1;
            self.bell.signal();
        }
        is_asked
    }
}
