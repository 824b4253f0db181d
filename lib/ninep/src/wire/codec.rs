//! Fields in, fields out.

use super::{Header, Names, Qid, Qids};
use alloc::vec::Vec;
use core::fmt;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

/// Why a frame does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// It ends inside a field, or its size field is not its length.
    Short,
    /// Bytes are left over.
    Long,
    /// A string is not UTF-8.
    Utf8,
    /// More names or qids than the protocol has.
    Names,
    /// No such message.
    Kind(u8),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Short => f.write_str("the frame ends inside a field"),
            WireError::Long => f.write_str("bytes are left over behind the last field"),
            WireError::Utf8 => f.write_str("a string is not UTF-8"),
            WireError::Names => f.write_str("more names than a walk has"),
            WireError::Kind(kind) => write!(f, "{kind} is no message of 9P2000.L"),
        }
    }
}

impl core::error::Error for WireError {}

/// What is left of a frame's body.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Long) }
    }
}

/// The header of a frame, and its body.
pub(super) fn split(frame: &[u8]) -> Result<(&Header, Reader<'_>), WireError> {
    let (header, body) = Header::ref_from_prefix(frame).map_err(|_| WireError::Short)?;
    if header.size.get() as usize != frame.len() {
        return Err(WireError::Short);
    }
    Ok((header, Reader(body)))
}

/// Begins a frame; [`end`] puts its size in.
pub(super) fn begin(kind: u8, tag: u16, out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(Header { size: U32::ZERO, kind, tag: U16::new(tag) }.as_bytes());
    at
}

pub(super) fn end(at: usize, out: &mut [u8]) {
    let size = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&size.to_le_bytes());
}

/// One field of a message.
pub(super) trait Field<'a>: Sized {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError>;
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($t:ty)*) => {$(
        impl Field<'_> for $t {
            #[inline]
            fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
                let bytes = from.take(size_of::<$t>())?;
                <[u8; size_of::<$t>()]>::try_from(bytes).map(<$t>::from_le_bytes).map_err(|_| WireError::Short)
            }
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

integers!(u8 u16 u32 u64);

impl<'a> Field<'a> for &'a str {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let len = u16::get(from)?;
        core::str::from_utf8(from.take(len.into())?).map_err(|_| WireError::Utf8)
    }

    /// A string longer than its length field can say is cut at a character: callers bound theirs.
    fn put(&self, out: &mut Vec<u8>) {
        let mut len = self.len().min(usize::from(u16::MAX));
        while !self.is_char_boundary(len) {
            len -= 1;
        }
        (len as u16).put(out);
        out.extend_from_slice(&self.as_bytes()[..len]);
    }
}

/// Data with a count[4].
impl<'a> Field<'a> for &'a [u8] {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let len = u32::get(from)?;
        from.take(len as usize)
    }

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self);
    }
}

impl Field<'_> for Qid {
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Qid { kind: u8::get(from)?, version: u32::get(from)?, path: u64::get(from)? })
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.kind.put(out);
        self.version.put(out);
        self.path.put(out);
    }
}

/// Seconds and nanoseconds.
impl Field<'_> for (u64, u64) {
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((u64::get(from)?, u64::get(from)?))
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
}

impl<'a> Field<'a> for Names<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Names::read(from)
    }

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u16).put(out);
        self.iter().for_each(|name| name.put(out));
    }
}

impl<'a> Field<'a> for Qids<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Qids::read(from)
    }

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u16).put(out);
        self.iter().for_each(|qid| qid.put(out));
    }
}

/// The text behind an Rlerror's errno: all that is left, without a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail<'a>(pub &'a str);

impl<'a> Field<'a> for Detail<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let all = from.take(from.0.len())?;
        core::str::from_utf8(all).map(Detail).map_err(|_| WireError::Utf8)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}
