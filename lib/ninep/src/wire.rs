//! The bytes of 9P2000.L: every message of spec 1.1 in both directions, decoded without copying.
//!
//! Layouts are those of the protocol's documentation (Plan 9's intro(5) and the 9P2000.L message
//! list): size[4] type[1] tag[2], integers little-endian, strings as len[2] and UTF-8. A message that
//! is short, has bytes left over, or holds a string that is not UTF-8 does not decode.

mod codec;
mod dirent;
mod msg;

pub use codec::{Detail, WireError};
pub use dirent::Dirent;
pub use msg::{
    Attr, Flock, Names, Qids, Rmsg, SetAttr, Statfs, Tmsg, decode_r, decode_t, fid_of, is_request, kind,
};

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// No fid: the afid of an attach without authentication.
pub const NOFID: u32 = u32::MAX;
/// No tag: that of Tversion.
pub const NOTAG: u16 = u16::MAX;
/// The only dialect.
pub const VERSION: &str = "9P2000.L";
/// The largest frame, header included.
pub const MSIZE_MAX: u32 = 8192;
/// The smallest msize that is worth a session.
pub const MSIZE_MIN: u32 = 256;
/// Bytes of Rread and Rreaddir around their data.
pub const READ_OVERHEAD: u32 = 11;
/// Bytes of Twrite around its data.
pub const WRITE_OVERHEAD: u32 = 23;
/// Names in one Twalk, by the protocol; policy allows 8.
pub const MAXWELEM: usize = 16;

/// `Qid.kind`: a directory.
pub const QTDIR: u8 = 0x80;
/// `Qid.kind`: append-only.
pub const QTAPPEND: u8 = 0x40;
/// `Qid.kind`: an afid.
pub const QTAUTH: u8 = 0x08;
/// `Qid.kind`: a plain file.
pub const QTFILE: u8 = 0;

/// What every frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Bytes of the frame, these included.
    pub size: U32,
    /// Which message.
    pub kind: u8,
    /// Which request.
    pub tag: U16,
}

/// What a file is to the protocol: type[1] version[4] path[8].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Qid {
    /// `QTDIR`, `QTAPPEND`, `QTFILE`.
    pub kind: u8,
    /// Changes with the file.
    pub version: u32,
    /// Unique among the files of a session.
    pub path: u64,
}
