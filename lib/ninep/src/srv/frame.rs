//! Where one frame ends and the next begins, and what happens to a frame that cannot be one (spec 1.2).

use crate::refusal::Word;

/// Bytes of a frame before its body: size[4] type[1] tag[2].
pub const HEADER: usize = 7;
/// The largest body of a refused frame that is read and thrown away; beyond it the connection ends.
pub const SKIP_MAX: usize = 1 << 20;

/// What the next bytes of a stream are.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame, header included.
    Frame(&'a [u8]),
    /// Nothing whole yet.
    More,
    /// A frame that is refused unread, with its tag and the word for it.
    Refuse(u16, Word),
    /// A frame so large that its stream is not worth following: it is refused by its tag, and no other comes.
    Close(u16),
}

/// Splits a byte stream into frames of at most `msize` bytes.
#[derive(Debug, Clone)]
pub struct Framer {
    /// The bound on a frame; set it again after Tversion.
    pub msize: u32,
    skip: usize,
}

impl Framer {
    /// A framer for frames of at most `msize` bytes, header included.
    pub fn new(msize: u32) -> Self {
        Framer { msize, skip: 0 }
    }

    /// How many bytes of `input` to drop, and what they were.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Next<'a>) {
        let skipped = self.skip.min(input.len());
        self.skip -= skipped;
        let rest = &input[skipped..];
        if self.skip > 0 || rest.len() < HEADER {
            return (skipped, Next::More);
        }
        let size = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let tag = u16::from_le_bytes([rest[5], rest[6]]);
        if size < HEADER {
            // A size that ends before its own tag: the header that was sent is all there is to drop.
            return (skipped + HEADER, Next::Refuse(tag, Word::Invalid));
        }
        if size > self.msize as usize {
            if size - HEADER > SKIP_MAX {
                return (input.len(), Next::Close(tag));
            }
            let here = size.min(rest.len());
            self.skip = size - here;
            return (skipped + here, Next::Refuse(tag, Word::TooBig));
        }
        if rest.len() < size {
            return (skipped, Next::More);
        }
        (skipped + size, Next::Frame(&rest[..size]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn frame(size: u32, tag: u16, body: usize) -> Vec<u8> {
        let mut out = size.to_le_bytes().to_vec();
        out.push(100);
        out.extend_from_slice(&tag.to_le_bytes());
        out.resize(HEADER + body, 0);
        out
    }

    #[test]
    fn a_frame_arrives_whole_or_not_at_all() {
        let bytes = frame(12, 3, 5);
        let mut framer = Framer::new(256);
        for cut in 0..bytes.len() {
            assert_eq!(framer.next(&bytes[..cut]), (0, Next::More));
        }
        assert_eq!(framer.next(&bytes), (12, Next::Frame(&bytes[..])));
    }

    #[test]
    fn an_oversized_frame_is_refused_with_its_tag_and_skipped() {
        let mut bytes = frame(1000, 9, 993);
        bytes.extend_from_slice(&frame(7, 4, 0));
        let mut framer = Framer::new(256);
        let (used, next) = framer.next(&bytes[..100]);
        assert_eq!((used, next), (100, Next::Refuse(9, Word::TooBig)));
        let (used, next) = framer.next(&bytes[100..]);
        assert_eq!((used, next), (907, Next::Frame(&bytes[1000..])));
    }

    #[test]
    fn a_size_below_the_header_costs_the_header() {
        let mut framer = Framer::new(256);
        assert_eq!(framer.next(&frame(3, 5, 0)), (7, Next::Refuse(5, Word::Invalid)));
    }

    #[test]
    fn a_body_beyond_one_mebibyte_ends_the_stream() {
        let mut framer = Framer::new(8192);
        let most = (1 << 20) + HEADER as u32;
        assert_eq!(framer.next(&frame(most + 1, 5, 0)).1, Next::Close(5));
        assert_eq!(framer.next(&frame(u32::MAX, 6, 0)).1, Next::Close(6));
        assert_eq!(framer.next(&frame(most, 7, 0)), (7, Next::Refuse(7, Word::TooBig)));
    }
}
