//! Where the boot log goes: the kernel's console until the serial line is ours, then the line.

use core::fmt::{self, Write};

use drivers::Pl011;
use hal::{Mmio, Uart};
use task::shared::Story;

/// How often a full device is asked again before a byte is dropped.
const PATIENCE: u32 = 1 << 20;
/// Early bytes that are held where the kernel has no console.
const HELD: usize = 1024;
const EARLY: usize = 512;

/// The kernel's own console, if it was built with one.
pub(crate) struct Kernel;

impl Write for Kernel {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(sel4::debug_put);
        Ok(())
    }
}

/// The root task's output, and the serial line's input.
pub(crate) struct Output {
    line: Option<Pl011<Mmio>>,
    held: heapless::Vec<u8, HELD>,
    is_mid_line: bool,
    was_interrupted: bool,
    /// Lines of the boot log before there is a place for them.
    early: heapless::String<EARLY>,
    /// Where they are kept then, until the boot is over.
    pub(crate) story: Option<&'static Story>,
}

impl Output {
    pub(crate) const fn new() -> Self {
        Self {
            line: None,
            held: heapless::Vec::new(),
            is_mid_line: false,
            was_interrupted: false,
            early: heapless::String::new(),
            story: None,
        }
    }

    /// Keeps a line of the boot log, as long as the boot goes on.
    pub(crate) fn note(&mut self, line: fmt::Arguments<'_>) {
        match self.story {
            Some(story) => drop(writeln!(Kept(story), "{line}")),
            None => drop(writeln!(self.early, "{line}")),
        }
    }

    /// From now on lines are kept there, those from before first.
    pub(crate) fn keep(&mut self, story: &'static Story) {
        story.push(&self.early);
        self.story = Some(story);
    }

    /// The boot is over.
    pub(crate) fn forget(&mut self) {
        self.story = None;
        self.early.clear();
        // What comes now finds no room, and is not to be kept.
        while self.early.push('.').is_ok() {}
    }

    /// A byte that is part of a character.
    pub(crate) fn put(&mut self, byte: u8) {
        if let Some(line) = &mut self.line {
            put(line, byte);
        }
    }

    /// From now on the serial line is ours.
    pub(crate) fn attach(&mut self, line: Pl011<Mmio>) {
        let line = self.line.insert(line);
        for &byte in &self.held {
            put(line, byte);
        }
        self.held.clear();
    }

    /// Begins a line of the log: a prompt or something half typed is left standing above it.
    pub(crate) fn begin_line(&mut self) {
        if self.is_mid_line {
            let _ = self.write_str("\n");
            self.was_interrupted = true;
        }
    }

    /// Whether the log has come between since it was asked last.
    pub(crate) fn take_interrupted(&mut self) -> bool {
        core::mem::take(&mut self.was_interrupted)
    }

    /// A byte that was typed.
    pub(crate) fn get(&mut self) -> Option<u8> {
        self.line.as_mut()?.get()
    }

    /// Lets the line interrupt again.
    pub(crate) fn acknowledge(&mut self) {
        if let Some(line) = &mut self.line {
            line.acknowledge();
        }
    }
}

fn put(line: &mut Pl011<Mmio>, byte: u8) {
    for _ in 0..PATIENCE {
        if line.put(byte) {
            return;
        }
    }
}

struct Kept(&'static Story);

impl Write for Kept {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push(text);
        Ok(())
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.is_mid_line = byte != b'\n';
            let returned = (byte == b'\n').then_some(b'\r');
            for byte in returned.into_iter().chain([byte]) {
                match &mut self.line {
                    Some(line) => put(line, byte),
                    None if sel4::HAS_CONSOLE => sel4::debug_put(byte),
                    // More than this before the line is ours would be more than the log has.
                    None => drop(self.held.push(byte)),
                }
            }
        }
        Ok(())
    }
}

/// Prints one line of the boot log.
macro_rules! say {
    ($output:expr, $($text:tt)*) => {{
        use core::fmt::Write as _;
        $output.begin_line();
        $output.note(format_args!("[root] {}", format_args!($($text)*)));
        let _ = writeln!($output, "[root] {}", format_args!($($text)*));
    }};
}
pub(crate) use say;
