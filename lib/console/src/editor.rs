//! Bytes to lines. A line ends with CR, LF or CRLF; backspace takes a character back and ^U the whole
//! line; what cannot be part of a line spoils it, and it is refused when it ends.

use crate::verb::Refused;
use heapless::Vec;

/// The longest line, in bytes of UTF-8, without its end.
pub const LINE_MAX: usize = 256;

const BACKSPACE: u8 = 0x08;
const KILL: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// Why a line is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Longer than [`LINE_MAX`].
    TooLong,
    /// It holds a control character.
    Control,
    /// It is no UTF-8.
    Utf8,
    /// There is nothing in it.
    Empty,
}

impl Fault {
    /// Why the line is no verb.
    pub fn refused(self) -> Refused {
        let (reason, detail) = match self {
            Fault::TooLong => ("toobig", "a line has at most 256 bytes"),
            Fault::Control => ("invalid", "a control character"),
            Fault::Utf8 => ("invalid", "not UTF-8"),
            Fault::Empty => ("invalid", "an empty line; see help"),
        };
        Refused { verb: "LINE", reason, detail }
    }
}

/// A line editor.
#[derive(Debug, Clone, Default)]
pub struct Editor {
    line: Vec<u8, LINE_MAX>,
    spoilt: Option<Fault>,
    is_ended: bool,
    is_after_cr: bool,
}

impl Editor {
    /// An empty line.
    pub const fn new() -> Editor {
        Editor { line: Vec::new(), spoilt: None, is_ended: false, is_after_cr: false }
    }

    /// Takes a byte; says whether it ended the line, which [`Editor::line`] then gives until the next byte.
    pub fn feed(&mut self, byte: u8) -> bool {
        if self.is_ended {
            self.line.clear();
            self.spoilt = None;
            self.is_ended = false;
        }
        let was_cr = core::mem::replace(&mut self.is_after_cr, byte == b'\r');
        match byte {
            // The second half of a CRLF.
            b'\n' if was_cr => {}
            b'\r' | b'\n' => self.is_ended = true,
            BACKSPACE | DELETE => self.take_back(),
            KILL => {
                self.line.clear();
                self.spoilt = None;
            }
            0..0x20 => self.spoil(Fault::Control),
            byte => {
                if self.line.push(byte).is_err() {
                    self.spoil(Fault::TooLong);
                }
            }
        }
        self.is_ended
    }

    /// The line that has just ended.
    pub fn line(&self) -> Result<&str, Fault> {
        match self.spoilt {
            Some(fault) => Err(fault),
            None => check_line(&self.line),
        }
    }

    /// What has been typed of a line that has not ended.
    pub fn pending(&self) -> &[u8] {
        if self.is_ended { &[] } else { &self.line }
    }

    /// The first thing wrong is what is told.
    fn spoil(&mut self, fault: Fault) {
        self.spoilt.get_or_insert(fault);
    }

    /// One character: the bytes behind its first one are 10xxxxxx.
    fn take_back(&mut self) {
        while let Some(byte) = self.line.pop() {
            if byte & 0xc0 != 0x80 {
                return;
            }
        }
    }
}

/// A line that came whole, as in a frame: nothing in it is an edit.
pub fn check_line(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.len() > LINE_MAX {
        return Err(Fault::TooLong);
    }
    let line = core::str::from_utf8(bytes).map_err(|_| Fault::Utf8)?;
    if line.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    if line.trim_matches(' ').is_empty() { Err(Fault::Empty) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn lines(bytes: &[u8]) -> Vec<Result<String, Fault>> {
        let mut editor = Editor::new();
        let mut lines = Vec::new();
        for byte in bytes {
            if editor.feed(*byte) {
                lines.push(editor.line().map(ToString::to_string));
            }
        }
        lines
    }

    fn ok(text: &str) -> Result<String, Fault> {
        Ok(text.to_string())
    }

    #[test]
    fn cr_lf_and_crlf_each_end_one_line() {
        assert_eq!(lines(b"a\rb\nc\r\nd\n"), [ok("a"), ok("b"), ok("c"), ok("d")]);
        assert_eq!(lines(b"a\n\rb\n"), [ok("a"), Err(Fault::Empty), ok("b")]);
        assert_eq!(lines(b"a"), []);
    }

    #[test]
    fn backspace_takes_a_whole_character_and_kill_the_line() {
        assert_eq!(lines("pinx\u{8}g\n".as_bytes()), [ok("ping")]);
        assert_eq!(lines("aé€\u{7f}\u{7f}b\n".as_bytes()), [ok("ab")]);
        assert_eq!(lines(b"\x08\x08x\n"), [ok("x")]);
        assert_eq!(lines(b"rubbish\x15ping\n"), [ok("ping")]);
        assert_eq!(lines(b"\x01\x15ping\n"), [ok("ping")]);
    }

    #[test]
    fn control_characters_spoil_their_line_and_no_other() {
        assert_eq!(lines(b"pi\x1b[Ang\nping\n"), [Err(Fault::Control), ok("ping")]);
        assert_eq!(lines(b"a\tb\n"), [Err(Fault::Control)]);
        assert_eq!(lines("a\u{85}b\n".as_bytes()), [Err(Fault::Control)]);
        assert_eq!(lines(b"\0\n"), [Err(Fault::Control)]);
    }

    #[test]
    fn a_line_of_256_bytes_fits_and_one_more_does_not() {
        let mut long = [b'x'; 258];
        long[256] = b'\n';
        assert_eq!(lines(&long[..257])[0].as_ref().map(String::len), Ok(256));
        long[256] = b'x';
        long[257] = b'\n';
        assert_eq!(lines(&long), [Err(Fault::TooLong)]);
    }

    #[test]
    fn what_is_no_utf8_is_refused() {
        assert_eq!(lines(b"caf\xe9\n\xff\n"), [Err(Fault::Utf8), Err(Fault::Utf8)]);
        assert_eq!(lines(b"  \n"), [Err(Fault::Empty)]);
    }

    #[test]
    fn every_fault_is_one_err_line() {
        assert_eq!(
            Fault::TooLong.refused().answer().as_str(),
            r#"ERR LINE reason=toobig detail="a line has at most 256 bytes""#
        );
    }
}
