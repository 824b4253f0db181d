//! Lines over TCP: a 4-byte little-endian length that counts itself, then the line.

use crate::editor::LINE_MAX;
use heapless::Vec;

/// The largest frame that a console takes.
pub const FRAME_MAX: usize = 4 + LINE_MAX;

/// The header of a frame with `line` bytes in it.
pub fn header(line: usize) -> [u8; 4] {
    u32::try_from(line + 4).unwrap_or(u32::MAX).to_le_bytes()
}

/// What a byte has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    /// A frame; [`Framer::line`] gives what is in it until the next byte.
    Line,
    /// A header whose length is less than 4 or more than the framer takes. What it announces is passed
    /// over, and the next frame is read.
    BadLength,
}

/// Cuts bytes into frames of at most `N` bytes and their header.
#[derive(Debug, Clone)]
pub struct Framer<const N: usize = LINE_MAX> {
    header: Vec<u8, 4>,
    line: Vec<u8, N>,
    /// Bytes of the frame that are still to come.
    left: usize,
    is_skipping: bool,
    is_ended: bool,
}

impl<const N: usize> Default for Framer<N> {
    fn default() -> Self {
        Framer::new()
    }
}

impl<const N: usize> Framer<N> {
    /// Before the first frame.
    pub const fn new() -> Framer<N> {
        Framer { header: Vec::new(), line: Vec::new(), left: 0, is_skipping: false, is_ended: false }
    }

    /// Takes a byte.
    pub fn feed(&mut self, byte: u8) -> Option<Framed> {
        if core::mem::take(&mut self.is_ended) {
            self.line.clear();
        }
        if self.left > 0 {
            self.left -= 1;
            if !self.is_skipping {
                // The header was checked against the room.
                let _ = self.line.push(byte);
            }
            return self.end();
        }
        let _ = self.header.push(byte);
        let header = <[u8; 4]>::try_from(&self.header[..]).ok()?;
        self.header.clear();
        let len = u32::from_le_bytes(header) as usize;
        self.left = len.saturating_sub(4);
        self.is_skipping = len < 4 || self.left > N;
        if self.is_skipping { Some(Framed::BadLength) } else { self.end() }
    }

    fn end(&mut self) -> Option<Framed> {
        if self.left > 0 || self.is_skipping {
            self.is_skipping &= self.left > 0;
            return None;
        }
        self.is_ended = true;
        Some(Framed::Line)
    }

    /// The line of the frame that has just ended.
    pub fn line(&self) -> &[u8] {
        if self.is_ended { &self.line } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    fn frames(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut framer: Framer = Framer::new();
        let mut seen = Vec::new();
        for byte in bytes {
            match framer.feed(*byte) {
                Some(Framed::Line) => seen.push(Some(framer.line().to_vec())),
                Some(Framed::BadLength) => seen.push(None),
                None => {}
            }
        }
        seen
    }

    fn frame(line: &[u8]) -> Vec<u8> {
        [&header(line.len()), line].concat()
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let bytes = [frame(b"ping"), frame(b""), frame(&[b'x'; LINE_MAX])].concat();
        let seen = frames(&bytes);
        assert_eq!(seen, [Some(b"ping".to_vec()), Some(Vec::new()), Some([b'x'; LINE_MAX].to_vec())]);
    }

    #[test]
    fn a_frame_too_long_is_passed_over_and_the_next_is_read() {
        let bytes = [frame(&[b'x'; LINE_MAX + 1]), frame(b"ping")].concat();
        assert_eq!(frames(&bytes), [None, Some(b"ping".to_vec())]);
    }

    #[test]
    fn a_length_that_does_not_count_itself_is_refused() {
        for len in 0..4_u32 {
            let bytes = [&len.to_le_bytes()[..], &frame(b"ping")].concat();
            assert_eq!(frames(&bytes), [None, Some(b"ping".to_vec())]);
        }
    }

    #[test]
    fn a_frame_of_two_gigabytes_takes_no_memory() {
        let mut framer: Framer = Framer::new();
        let header = (1_u32 << 31).to_le_bytes();
        assert_eq!(header.map(|b| framer.feed(b)), [None, None, None, Some(Framed::BadLength)]);
        assert!((0..1 << 20).all(|_| framer.feed(0).is_none()));
        assert_eq!(framer.left, (1 << 31) - 4 - (1 << 20));
        assert!(core::mem::size_of::<Framer>() < 400);
    }
}
