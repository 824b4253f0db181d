//! Data lines of a stream: what a file holds, so that nothing in it is taken for END or PONG, and no
//! terminal is steered by it.

use crate::answer::{END, PONG};
use core::fmt;

/// The longest data line, in bytes. A longer line of a file is broken.
pub const DATA_MAX: usize = 8192;

/// Cuts a file's bytes into lines, piece by piece as they come.
#[derive(Debug, Clone, Default)]
pub struct Data {
    len: usize,
}

impl Data {
    /// Takes the beginning of `bytes`: gives how many bytes of it belong to the line, how many are done
    /// with, and whether the line ends there. No line end in sight: everything is taken, and more belongs
    /// to the line.
    pub fn split(&mut self, bytes: &[u8]) -> (usize, usize, bool) {
        let room = DATA_MAX - self.len;
        let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
        match end {
            Some(at) => {
                self.len = 0;
                (at, at + 1, true)
            }
            None if bytes.len() > room => {
                self.len = 0;
                (room, room, true)
            }
            None => {
                self.len += bytes.len();
                (bytes.len(), bytes.len(), false)
            }
        }
    }
}

/// Writes a line of a file as a data line: control characters but tab, and bytes that are no UTF-8, as
/// `\xNN`; and a backslash in front of a line that begins with one, with the word END, or is PONG.
pub fn write_data(line: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    let is_mistakable = line.first() == Some(&b'\\')
        || line == PONG.as_bytes()
        || line.strip_prefix(END.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|b| *b == b' '));
    if is_mistakable {
        out.write_char('\\')?;
    }
    for chunk in line.utf8_chunks() {
        let mut plain = 0;
        let valid = chunk.valid();
        for (at, c) in valid.char_indices().filter(|(_, c)| c.is_control() && *c != '\t') {
            out.write_str(&valid[plain..at])?;
            plain = at + c.len_utf8();
            for byte in &valid.as_bytes()[at..plain] {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        out.write_str(&valid[plain..])?;
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::string::String;
    use std::vec::Vec;

    fn shown(line: &[u8]) -> String {
        let mut out = String::new();
        write_data(line, &mut out).unwrap();
        out
    }

    #[test]
    fn no_data_is_taken_for_the_end() {
        assert_eq!(shown(b"END"), "\\END");
        assert_eq!(shown(b"END reason=busy"), "\\END reason=busy");
        assert_eq!(shown(b"ENDS"), "ENDS");
        assert_eq!(shown(b"PONG"), "\\PONG");
        assert_eq!(shown(b"\\END"), "\\\\END");
        assert_eq!(shown(b"OK KILL id=worker-1"), "OK KILL id=worker-1");
    }

    #[test]
    fn no_data_steers_a_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\tc\r"), "a\\x1b[2Jb\tc\\x0d");
        assert_eq!(shown("é\u{9b}2J".as_bytes()), "é\\xc2\\x9b2J");
        assert_eq!(shown(b"\xff\xfex"), "\\xff\\xfex");
    }

    #[test]
    fn lines_are_cut_alike_however_they_come() {
        let mut text = Vec::from(*b"one\n\ntwo\n");
        text.resize(text.len() + 2 * DATA_MAX, b'x');
        text.extend_from_slice(b"\nlast");
        let cut = |size: usize| {
            let (mut data, mut lines, mut line) = (Data::default(), Vec::new(), Vec::new());
            for mut piece in text.chunks(size) {
                while !piece.is_empty() {
                    let (len, used, is_end) = data.split(piece);
                    line.extend_from_slice(&piece[..len]);
                    piece = &piece[used..];
                    if is_end {
                        lines.push(core::mem::take(&mut line));
                    }
                }
            }
            lines.push(line);
            lines
        };
        let whole = cut(text.len());
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 3, DATA_MAX, DATA_MAX, 4]);
        for size in [1, 2, 7, 4096, DATA_MAX, DATA_MAX + 1] {
            assert_eq!(cut(size), whole, "pieces of {size}");
        }
    }
}
