//! Lines of a file of any size, in bounded memory.

use crate::record::RECORD_MAX;
use alloc::vec;
use alloc::vec::Vec;
use files::Fault;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// What lines are read from.
pub trait Source {
    /// Reads once, at most what `out` has room for; 0 at the end.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Fault>;
}

impl Source for &[u8] {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        let n = out.len().min(self.len());
        let (now, later) = self.split_at(n);
        out[..n].copy_from_slice(now);
        *self = later;
        Ok(n)
    }
}

/// One line of a journal's file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Without the newline; of a line longer than a record the beginning.
    pub bytes: &'a [u8],
    /// All its bytes, the newline counted.
    pub len: u64,
    /// It ends in a newline.
    pub is_whole: bool,
}

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of `buffer` is read and not yet used.
    used: usize,
    end: usize,
    line: Vec<u8>,
}

impl<R: Source> Lines<R> {
    /// All lines of `input`.
    pub fn new(input: R) -> Lines<R> {
        Lines { input, buffer: vec![0; CHUNK], used: 0, end: 0, line: Vec::new() }
    }

    /// The next one; None at the end.
    #[allow(clippy::should_implement_trait)] // A line borrows from here.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Fault> {
        self.line.clear();
        let mut len = 0;
        loop {
            if self.used == self.end {
                (self.used, self.end) = (0, self.input.read(&mut self.buffer)?);
            }
            let buffer = &self.buffer[self.used..self.end];
            let end = memchr::memchr(b'\n', buffer);
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            let room = (RECORD_MAX + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = piece.len() + usize::from(end.is_some());
            self.used += used;
            len += used as u64;
            if end.is_some() || used == 0 {
                let line = Line { bytes: &self.line, len, is_whole: end.is_some() };
                return Ok((len > 0).then_some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_the_last_may_not_be() {
        let mut lines = Lines::new(&b"ab\n\nc"[..]);
        assert_eq!(lines.next().unwrap(), Some(Line { bytes: b"ab", len: 3, is_whole: true }));
        assert_eq!(lines.next().unwrap(), Some(Line { bytes: b"", len: 1, is_whole: true }));
        assert_eq!(lines.next().unwrap(), Some(Line { bytes: b"c", len: 1, is_whole: false }));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_line_without_end_is_counted_and_not_kept() {
        let long = vec![b'x'; 10 << 20];
        let mut lines = Lines::new(&long[..]);
        let line = lines.next().unwrap().unwrap();
        assert_eq!((line.bytes.len(), line.len, line.is_whole), (RECORD_MAX + 1, 10 << 20, false));
    }
}
