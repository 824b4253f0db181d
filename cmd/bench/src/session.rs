//! A raw 9P connection: prepared frames out, frames in, reused buffers, one write for a window.
//!
//! The library's client allocates and checks more than a measurement should pay for: client, door and
//! server share the machine. Frames are made by the library's codec once and then patched in place.

use cohcmd::Trouble;
use ninep::dial::{Addr, Stream};
use ninep::refusal::Word;
use ninep::wire::{NOFID, NOTAG, Names, Rmsg, Tmsg, VERSION, decode_r, kind};
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Whom to measure, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) addr: String,
    pub(crate) uname: String,
    pub(crate) aname: String,
    pub(crate) msize: u32,
    /// An echo and no 9P server: nothing is shaken.
    pub(crate) is_bare: bool,
}

/// The fid of the attach.
pub(crate) const ROOT: u32 = 0;
/// The fid of the file that a measurement has open.
pub(crate) const FILE: u32 = 1;

/// No answer for this long is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Session {
    stream: Stream,
    addr: String,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all the room there was.
    was_full: bool,
    pub(crate) out: Vec<u8>,
    /// Bytes that one Tread may ask for, by the iounit of the last open.
    pub(crate) piece: u32,
    msize: u32,
}

/// A reply: its type, tag and body.
#[derive(Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) kind: u8,
    pub(crate) tag: u16,
    pub(crate) body: &'a [u8],
}

impl Session {
    pub(crate) fn connect(target: &Target) -> Result<Self, Trouble> {
        let usage = || Trouble::Usage(format!("{}: an address is unix!PATH or tcp!HOST!PORT", target.addr));
        let at: Addr = target.addr.parse().map_err(|_| usage())?;
        let stream = Stream::dial(&at, PATIENCE).map_err(|e| Trouble::failed(e.to_string()))?;
        stream.set_deadline(Some(PATIENCE)).map_err(|e| Trouble::failed(format!("{}: {e}", target.addr)))?;
        let addr = target.addr.clone();
        Ok(Session {
            stream,
            addr,
            input: Vec::new(),
            start: 0,
            end: 0,
            was_full: false,
            out: Vec::new(),
            piece: 0,
            msize: target.msize,
        })
    }

    /// Connects, agrees on the version and attaches.
    pub(crate) fn attach(target: &Target) -> Result<Self, Trouble> {
        let mut session = Self::connect(target)?;
        if target.is_bare {
            return Ok(session);
        }
        let version = Tmsg::Version { msize: target.msize, version: VERSION };
        session.call(NOTAG, &version, "version", |reply| match reply {
            Rmsg::Version { version: VERSION, msize } if msize <= target.msize => Ok(()),
            _ => Err(Trouble::failed(format!("{}: does not speak {VERSION}", target.addr))),
        })?;
        let attach =
            Tmsg::Attach { fid: ROOT, afid: NOFID, uname: &target.uname, aname: &target.aname, n_uname: 0 };
        session.call(0, &attach, "attach", |_| Ok(()))?;
        Ok(session)
    }

    /// Walks from the root to `path` with a new fid.
    pub(crate) fn walk(&mut self, path: &str, newfid: u32) -> Result<(), Trouble> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let walk = Tmsg::Walk { fid: ROOT, newfid, names: Names::from(&names[..]) };
        self.call(0, &walk, path, |reply| match reply {
            Rmsg::Walk { qids } if qids.len() == names.len() => Ok(()),
            _ => Err(Trouble::refused(path, Word::NotFound, "")),
        })
    }

    /// Opens a fid with Linux's open flags.
    pub(crate) fn open(&mut self, path: &str, fid: u32, flags: u32) -> Result<(), Trouble> {
        // A server that gives no iounit leaves it to the client; v9fs then keeps 24 bytes for headers.
        let default = self.msize - 24;
        self.piece = self.call(0, &Tmsg::Lopen { fid, flags }, path, |reply| match reply {
            Rmsg::Lopen { iounit, .. } if iounit > 0 => Ok(iounit),
            _ => Ok(default),
        })?;
        Ok(())
    }

    /// One request and its reply.
    pub(crate) fn call<T>(
        &mut self,
        tag: u16,
        msg: &Tmsg,
        what: &str,
        use_reply: impl FnOnce(Rmsg) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.out.clear();
        msg.encode(tag, &mut self.out);
        self.send()?;
        let frame = loop {
            if let Some(frame) = self.take() {
                break frame;
            }
            self.receive()?;
        };
        let frame = &self.input[frame.0..frame.1];
        match decode_r(frame) {
            Ok((_, Rmsg::Lerror { ecode, .. })) => Err(refusal(what, ecode)),
            Ok((_, reply)) => use_reply(reply),
            Err(_) => Err(Trouble::failed(format!("{what}: a malformed reply"))),
        }
    }

    /// Sends what is in `out` and empties it.
    pub(crate) fn send(&mut self) -> Result<(), Trouble> {
        let sent = self.stream.write_all(&self.out).and_then(|()| self.stream.flush());
        self.out.clear();
        sent.map_err(|e| Trouble::failed(format!("{}: {e}", self.addr)))
    }

    /// Waits for bytes.
    pub(crate) fn receive(&mut self) -> Result<(), Trouble> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.input.len() < self.end + (1 << 14) || (self.was_full && self.input.len() < 1 << 18) {
            // A connection among a thousand needs room for a frame or two; a busy one grows to a window.
            self.input.resize((self.input.len() * 2).max(1 << 15), 0);
        }
        match self.stream.read_within(&mut self.input[self.end..], PATIENCE) {
            Ok(0) => Err(Trouble::failed(format!("{}: the connection was closed", self.addr))),
            Ok(n) => {
                self.end += n;
                self.was_full = self.end == self.input.len();
                Ok(())
            }
            Err(e) => Err(Trouble::failed(format!("{}: no answer: {e}", self.addr))),
        }
    }

    fn take(&mut self) -> Option<(usize, usize)> {
        let have = &self.input[self.start..self.end];
        let size = u32::from_le_bytes(*have.first_chunk()?) as usize;
        if size < 7 || have.len() < size {
            return None;
        }
        let at = self.start;
        self.start += size;
        Some((at, at + size))
    }

    /// The next whole reply that has arrived. An error is an error of the measurement.
    pub(crate) fn next(&mut self, expected: &[u8]) -> Result<Option<Reply<'_>>, Trouble> {
        let Some((at, end)) = self.take() else { return Ok(None) };
        let frame = &self.input[at..end];
        let reply =
            Reply { kind: frame[4], tag: u16::from_le_bytes([frame[5], frame[6]]), body: &frame[7..] };
        if expected.contains(&reply.kind) {
            return Ok(Some(reply));
        }
        match reply.body.first_chunk() {
            Some(errno) if reply.kind == kind::RLERROR => {
                Err(refusal("a request", u32::from_le_bytes(*errno)))
            }
            _ => Err(Trouble::failed(format!("a reply of type {} to another request", reply.kind))),
        }
    }

    /// Puts a prepared frame into `out` under a tag.
    pub(crate) fn push(&mut self, frame: &[u8], tag: u16) {
        let at = self.out.len();
        self.out.extend_from_slice(frame);
        self.out[at + 5..at + 7].copy_from_slice(&tag.to_le_bytes());
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}

fn refusal(what: &str, errno: u32) -> Trouble {
    match Word::from_errno(errno) {
        Some(word) => Trouble::refused(what, word, ""),
        None => Trouble::failed(format!("{what}: errno {errno}")),
    }
}

/// A prepared frame.
pub(crate) fn frame(msg: &Tmsg) -> Vec<u8> {
    let mut out = Vec::new();
    msg.encode(0, &mut out);
    out
}
