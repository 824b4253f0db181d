//! The messages, as one table each way.

use super::codec::{Detail, Field, Reader, WireError, begin, end, split};
use super::{MAXWELEM, Qid};
use alloc::vec::Vec;

/// The names of a walk, borrowed: from a frame, or from a slice to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a>(NamesOf<'a>);

#[derive(Debug, Clone, Copy)]
enum NamesOf<'a> {
    Wire { count: u16, bytes: &'a [u8] },
    Slice(&'a [&'a str]),
}

impl<'a> Names<'a> {
    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = u16::get(from)?;
        if usize::from(count) > MAXWELEM {
            return Err(WireError::Names);
        }
        let start = from.0;
        for _ in 0..count {
            <&str>::get(from)?;
        }
        Ok(Names(NamesOf::Wire { count, bytes: &start[..start.len() - from.0.len()] }))
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self.0 {
            NamesOf::Wire { count, .. } => count.into(),
            NamesOf::Slice(names) => names.len(),
        }
    }

    /// None: the walk clones its fid.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (mut wire, slice) = match self.0 {
            NamesOf::Wire { bytes, .. } => (Reader(bytes), &[][..]),
            NamesOf::Slice(names) => (Reader(&[]), names),
        };
        // What is read here was read before: it does not fail.
        core::iter::from_fn(move || <&str>::get(&mut wire).ok()).chain(slice.iter().copied())
    }
}

impl<'a> From<&'a [&'a str]> for Names<'a> {
    fn from(names: &'a [&'a str]) -> Self {
        Names(NamesOf::Slice(names))
    }
}

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// The qids of a walk, borrowed likewise.
#[derive(Debug, Clone, Copy)]
pub struct Qids<'a>(QidsOf<'a>);

#[derive(Debug, Clone, Copy)]
enum QidsOf<'a> {
    Wire(&'a [u8]),
    Slice(&'a [Qid]),
}

const QID_BYTES: usize = 13;

impl<'a> Qids<'a> {
    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = u16::get(from)?;
        if usize::from(count) > MAXWELEM {
            return Err(WireError::Names);
        }
        Ok(Qids(QidsOf::Wire(from.take(usize::from(count) * QID_BYTES)?)))
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self.0 {
            QidsOf::Wire(bytes) => bytes.len() / QID_BYTES,
            QidsOf::Slice(qids) => qids.len(),
        }
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The qids in order.
    pub fn iter(&self) -> impl Iterator<Item = Qid> + use<'a> {
        let (wire, slice) = match self.0 {
            QidsOf::Wire(bytes) => (bytes, &[][..]),
            QidsOf::Slice(qids) => (&[][..], qids),
        };
        wire.chunks_exact(QID_BYTES)
            .filter_map(|b| Qid::get(&mut Reader(b)).ok())
            .chain(slice.iter().copied())
    }
}

impl<'a> From<&'a [Qid]> for Qids<'a> {
    fn from(qids: &'a [Qid]) -> Self {
        Qids(QidsOf::Slice(qids))
    }
}

impl PartialEq for Qids<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

macro_rules! group {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $t:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name { $($(#[$fdoc])* pub $field: $t,)* }

        impl Field<'_> for $name {
            fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok($name { $($field: Field::get(from)?,)* })
            }
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
        }
    };
}

group! {
    /// The fields of Rgetattr behind its qid. Times are seconds and nanoseconds since the Unix epoch.
    Attr {
        /// Type and permission bits of stat(2).
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Links.
        nlink: u64,
        /// Device number.
        rdev: u64,
        /// Bytes.
        size: u64,
        /// Preferred transfer.
        blksize: u64,
        /// Units of 512 bytes.
        blocks: u64,
        /// Last read.
        atime: (u64, u64),
        /// Last write.
        mtime: (u64, u64),
        /// Last change of the inode.
        ctime: (u64, u64),
        /// Birth.
        btime: (u64, u64),
        /// Generation.
        gen_: u64,
        /// Data version.
        data_version: u64,
    }
}

group! {
    /// The fields of Tsetattr; `valid` says which count.
    SetAttr {
        /// Bits: mode 1, uid 2, gid 4, size 8, atime 0x10, mtime 0x20, ctime 0x40, the given atime 0x80 and mtime 0x100.
        valid: u32,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Bytes.
        size: u64,
        /// Last read.
        atime: (u64, u64),
        /// Last write.
        mtime: (u64, u64),
    }
}

group! {
    /// The fields of Rstatfs, of statfs(2).
    Statfs {
        /// Magic number.
        kind: u32,
        /// Block size.
        bsize: u32,
        /// Blocks.
        blocks: u64,
        /// Free ones.
        bfree: u64,
        /// Free to users.
        bavail: u64,
        /// Inodes.
        files: u64,
        /// Free ones.
        ffree: u64,
        /// Identity.
        fsid: u64,
        /// Longest name.
        namelen: u32,
    }
}

/// A lock's range, as Tgetlock and Rgetlock carry it; Tlock has its flags in the midst of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flock<'a> {
    /// Read, write, or unlock.
    pub kind: u8,
    /// First byte.
    pub start: u64,
    /// Bytes; 0: to the end.
    pub length: u64,
    /// Owner's process.
    pub proc_id: u32,
    /// Owner's machine.
    pub client_id: &'a str,
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident $decode:ident $($kind:literal $variant:ident $constant:ident $({ $($field:ident: $t:ty),* })?)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[allow(missing_docs, reason = "the fields are those of the protocol's message list, in its order and by its names")]
        pub enum $name<'a> { $($variant $({ $($field: $t),* })?,)* }

        impl<'a> $name<'a> {
            /// Appends the message as one frame.
            pub fn encode(&self, tag: u16, out: &mut Vec<u8>) {
                match self { $($name::$variant $({ $($field),* })? => {
                    let at = begin(kind::$constant, tag, out);
                    $($($field.put(out);)*)?
                    end(at, out);
                })* }
            }

            /// The message's type.
            pub fn kind(&self) -> u8 {
                match self { $($name::$variant { .. } => kind::$constant,)* }
            }
        }

        /// Decodes one whole frame, header included: its tag and message.
        pub fn $decode(frame: &[u8]) -> Result<(u16, $name<'_>), WireError> {
            let (header, mut body) = split(frame)?;
            let msg = match header.kind {
                $($kind => $name::$variant $({ $($field: Field::get(&mut body)?),* })?,)*
                other => return Err(WireError::Kind(other)),
            };
            body.end()?;
            Ok((header.tag.get(), msg))
        }
    };
}

messages! {
    /// A request.
    Tmsg decode_t
    8 Statfs TSTATFS { fid: u32 }
    12 Lopen TLOPEN { fid: u32, flags: u32 }
    14 Lcreate TLCREATE { fid: u32, name: &'a str, flags: u32, mode: u32, gid: u32 }
    16 Symlink TSYMLINK { fid: u32, name: &'a str, target: &'a str, gid: u32 }
    18 Mknod TMKNOD { dfid: u32, name: &'a str, mode: u32, major: u32, minor: u32, gid: u32 }
    20 Rename TRENAME { fid: u32, dfid: u32, name: &'a str }
    22 Readlink TREADLINK { fid: u32 }
    24 Getattr TGETATTR { fid: u32, mask: u64 }
    26 Setattr TSETATTR { fid: u32, attr: SetAttr }
    30 Xattrwalk TXATTRWALK { fid: u32, newfid: u32, name: &'a str }
    32 Xattrcreate TXATTRCREATE { fid: u32, name: &'a str, size: u64, flags: u32 }
    40 Readdir TREADDIR { fid: u32, offset: u64, count: u32 }
    50 Fsync TFSYNC { fid: u32, datasync: u32 }
    52 Lock TLOCK { fid: u32, kind: u8, flags: u32, start: u64, length: u64, proc_id: u32, client_id: &'a str }
    54 Getlock TGETLOCK { fid: u32, lock: Flock<'a> }
    70 Link TLINK { dfid: u32, fid: u32, name: &'a str }
    72 Mkdir TMKDIR { dfid: u32, name: &'a str, mode: u32, gid: u32 }
    74 Renameat TRENAMEAT { olddirfid: u32, oldname: &'a str, newdirfid: u32, newname: &'a str }
    76 Unlinkat TUNLINKAT { dirfid: u32, name: &'a str, flags: u32 }
    100 Version TVERSION { msize: u32, version: &'a str }
    102 Auth TAUTH { afid: u32, uname: &'a str, aname: &'a str, n_uname: u32 }
    104 Attach TATTACH { fid: u32, afid: u32, uname: &'a str, aname: &'a str, n_uname: u32 }
    108 Flush TFLUSH { oldtag: u16 }
    110 Walk TWALK { fid: u32, newfid: u32, names: Names<'a> }
    116 Read TREAD { fid: u32, offset: u64, count: u32 }
    118 Write TWRITE { fid: u32, offset: u64, data: &'a [u8] }
    120 Clunk TCLUNK { fid: u32 }
    122 Remove TREMOVE { fid: u32 }
}

messages! {
    /// A reply. `Lerror.detail` is this system's own: between a server and its door the text behind the errno,
    /// which the door strips; empty towards clients.
    Rmsg decode_r
    7 Lerror RLERROR { ecode: u32, detail: Detail<'a> }
    9 Statfs RSTATFS { statfs: Statfs }
    13 Lopen RLOPEN { qid: Qid, iounit: u32 }
    15 Lcreate RLCREATE { qid: Qid, iounit: u32 }
    17 Symlink RSYMLINK { qid: Qid }
    19 Mknod RMKNOD { qid: Qid }
    21 Rename RRENAME
    23 Readlink RREADLINK { target: &'a str }
    25 Getattr RGETATTR { valid: u64, qid: Qid, attr: Attr }
    27 Setattr RSETATTR
    31 Xattrwalk RXATTRWALK { size: u64 }
    33 Xattrcreate RXATTRCREATE
    41 Readdir RREADDIR { data: &'a [u8] }
    51 Fsync RFSYNC
    53 Lock RLOCK { status: u8 }
    55 Getlock RGETLOCK { lock: Flock<'a> }
    71 Link RLINK
    73 Mkdir RMKDIR { qid: Qid }
    75 Renameat RRENAMEAT
    77 Unlinkat RUNLINKAT
    101 Version RVERSION { msize: u32, version: &'a str }
    103 Auth RAUTH { aqid: Qid }
    105 Attach RATTACH { qid: Qid }
    109 Flush RFLUSH
    111 Walk RWALK { qids: Qids<'a> }
    117 Read RREAD { data: &'a [u8] }
    119 Write RWRITE { count: u32 }
    121 Clunk RCLUNK
    123 Remove RREMOVE
}

/// Message types.
#[allow(missing_docs, reason = "named as the protocol names them")]
pub mod kind {
    pub const TLERROR: u8 = 6;
    pub const TSTATFS: u8 = 8;
    pub const TLOPEN: u8 = 12;
    pub const TLCREATE: u8 = 14;
    pub const TSYMLINK: u8 = 16;
    pub const TMKNOD: u8 = 18;
    pub const TRENAME: u8 = 20;
    pub const TREADLINK: u8 = 22;
    pub const TGETATTR: u8 = 24;
    pub const TSETATTR: u8 = 26;
    pub const TXATTRWALK: u8 = 30;
    pub const TXATTRCREATE: u8 = 32;
    pub const TREADDIR: u8 = 40;
    pub const TFSYNC: u8 = 50;
    pub const TLOCK: u8 = 52;
    pub const TGETLOCK: u8 = 54;
    pub const TLINK: u8 = 70;
    pub const TMKDIR: u8 = 72;
    pub const TRENAMEAT: u8 = 74;
    pub const TUNLINKAT: u8 = 76;
    pub const TVERSION: u8 = 100;
    pub const TAUTH: u8 = 102;
    pub const TATTACH: u8 = 104;
    pub const TFLUSH: u8 = 108;
    pub const TWALK: u8 = 110;
    pub const TREAD: u8 = 116;
    pub const TWRITE: u8 = 118;
    pub const TCLUNK: u8 = 120;
    pub const TREMOVE: u8 = 122;
    pub const RLERROR: u8 = 7;
    pub const RSTATFS: u8 = 9;
    pub const RLOPEN: u8 = 13;
    pub const RLCREATE: u8 = 15;
    pub const RSYMLINK: u8 = 17;
    pub const RMKNOD: u8 = 19;
    pub const RRENAME: u8 = 21;
    pub const RREADLINK: u8 = 23;
    pub const RGETATTR: u8 = 25;
    pub const RSETATTR: u8 = 27;
    pub const RXATTRWALK: u8 = 31;
    pub const RXATTRCREATE: u8 = 33;
    pub const RREADDIR: u8 = 41;
    pub const RFSYNC: u8 = 51;
    pub const RLOCK: u8 = 53;
    pub const RGETLOCK: u8 = 55;
    pub const RLINK: u8 = 71;
    pub const RMKDIR: u8 = 73;
    pub const RRENAMEAT: u8 = 75;
    pub const RUNLINKAT: u8 = 77;
    pub const RVERSION: u8 = 101;
    pub const RAUTH: u8 = 103;
    pub const RATTACH: u8 = 105;
    pub const RFLUSH: u8 = 109;
    pub const RWALK: u8 = 111;
    pub const RREAD: u8 = 117;
    pub const RWRITE: u8 = 119;
    pub const RCLUNK: u8 = 121;
    pub const RREMOVE: u8 = 123;
}

impl<'a> Field<'a> for Flock<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Flock {
            kind: Field::get(from)?,
            start: Field::get(from)?,
            length: Field::get(from)?,
            proc_id: Field::get(from)?,
            client_id: Field::get(from)?,
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.kind.put(out);
        self.start.put(out);
        self.length.put(out);
        self.proc_id.put(out);
        self.client_id.put(out);
    }
}

impl Rmsg<'_> {
    /// Begins an Rread whose data the caller appends; [`Rmsg::end_read`] completes it.
    pub fn begin_read(tag: u16, out: &mut Vec<u8>) -> usize {
        let at = begin(kind::RREAD, tag, out);
        0u32.put(out);
        at
    }

    /// Completes what [`Rmsg::begin_read`] began at `at`.
    pub fn end_read(at: usize, out: &mut [u8]) {
        let count = (out.len() - at - super::READ_OVERHEAD as usize) as u32;
        out[at + 7..at + 11].copy_from_slice(&count.to_le_bytes());
        end(at, out);
    }
}

/// Is this the type of a request that 9P2000.L has?
pub fn is_request(kind: u8) -> bool {
    kind.is_multiple_of(2) && kind != kind::TLERROR && REQUESTS.contains(&kind)
}

/// The fid that a request is about first, if it has one: the four bytes behind the header.
pub fn fid_of(frame: &[u8]) -> Option<u32> {
    match *frame.get(4)? {
        kind::TVERSION | kind::TAUTH | kind::TATTACH | kind::TFLUSH => None,
        _ => Some(u32::from_le_bytes(frame.get(7..11)?.try_into().ok()?)),
    }
}

const REQUESTS: &[u8] = &[
    8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 100, 102, 104, 108, 110, 116,
    118, 120, 122,
];
