//! The line to a door: frames out, frames in, one thread, a bounded wait.

use crate::trouble::Trouble;
use ninep::refusal::Word;
use ninep::wire::{NOFID, NOTAG, Qid, Rmsg, Tmsg, VERSION, decode_r};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The fid of the attach.
pub(crate) const ROOT: u32 = 0;
/// The frame size offered.
const MSIZE: u32 = 8192;
/// Requests in flight; a door takes 32.
pub(crate) const WINDOW: usize = 16;
/// A door answers, if only with Busy, long before this.
const PATIENCE: Duration = Duration::from_secs(30);

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connection that has attached.
pub(crate) struct Line {
    stream: Stream,
    addr: String,
    root: Qid,
    out: Vec<u8>,
    input: Vec<u8>,
}

/// One reply, or the refusal's errno.
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    /// The message, or the refusal's number.
    pub(crate) fn reply(&self) -> Result<Rmsg<'_>, u32> {
        match decode_r(&self.0) {
            Ok((_, Rmsg::Lerror { ecode, .. })) => Err(ecode),
            Ok((_, reply)) => Ok(reply),
            // A door that sends what is no message: as an input error of the line.
            Err(_) => Err(5),
        }
    }
}

impl Line {
    /// Connects, agrees on the version and attaches.
    pub(crate) fn dial(addr: &str, uname: &str, ticket: &str) -> Result<Self, Trouble> {
        let stream = connect(addr)?;
        let line =
            Line { stream, addr: addr.into(), root: Qid::default(), out: Vec::new(), input: Vec::new() };
        line.hello(uname, ticket)
    }

    fn hello(mut self, uname: &str, ticket: &str) -> Result<Self, Trouble> {
        let version = self.one(NOTAG, &Tmsg::Version { msize: MSIZE, version: VERSION })?;
        match version.reply() {
            Ok(Rmsg::Version { msize: MSIZE, version: VERSION }) => {}
            Err(errno) => return Err(self.refused(errno)),
            Ok(_) => {
                let addr = &self.addr;
                return Err(Trouble::failed(format!(
                    "{addr}: does not speak {VERSION} with frames of {MSIZE}"
                )));
            }
        }
        let attach = Tmsg::Attach { fid: ROOT, afid: NOFID, uname, aname: ticket, n_uname: NOFID };
        match self.one(0, &attach)?.reply() {
            Ok(Rmsg::Attach { qid }) => self.root = qid,
            Err(errno) => {
                return Err(match Word::from_errno(errno) {
                    Some(Word::Permission) if ticket.is_empty() => Trouble::refused(
                        &self.addr,
                        Word::Permission,
                        format!("{uname} needs a ticket here: give one with --ticket FILE"),
                    ),
                    Some(Word::Permission) => Trouble::refused(
                        &self.addr,
                        Word::Permission,
                        format!("the ticket is not for {uname} here; cohticket show tells what it is for"),
                    ),
                    _ => self.refused(errno),
                });
            }
            Ok(_) => return Err(self.broken()),
        }
        Ok(self)
    }

    /// The root's qid.
    pub(crate) fn root(&self) -> Qid {
        self.root
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    fn refused(&self, errno: u32) -> Trouble {
        match Word::from_errno(errno) {
            Some(word) => Trouble::refused(&self.addr, word, ""),
            None => Trouble::failed(format!("{}: errno {errno}", self.addr)),
        }
    }

    fn broken(&self) -> Trouble {
        Trouble::failed(format!("{}: a reply that is none", self.addr))
    }

    fn one(&mut self, tag: u16, msg: &Tmsg) -> Result<Frame, Trouble> {
        self.out.clear();
        msg.encode(tag, &mut self.out);
        self.send()?;
        loop {
            let (got, frame) = self.receive()?;
            if got == tag {
                return Ok(frame);
            }
        }
    }

    /// One request, one reply.
    pub(crate) fn call(&mut self, msg: &Tmsg) -> Result<Frame, Trouble> {
        self.one(0, msg)
    }

    /// Requests in one write, at most [`WINDOW`] of them; their replies in the requests' order.
    pub(crate) fn batch(&mut self, msgs: &[Tmsg]) -> Result<Vec<Frame>, Trouble> {
        assert!(msgs.len() <= WINDOW, "a batch fits the window");
        self.out.clear();
        msgs.iter().zip(0..).for_each(|(msg, tag)| msg.encode(tag, &mut self.out));
        self.send()?;
        let mut replies: Vec<Option<Frame>> = msgs.iter().map(|_| None).collect();
        for _ in msgs {
            let (tag, frame) = self.receive()?;
            match replies.get_mut(usize::from(tag)) {
                Some(reply @ None) => *reply = Some(frame),
                _ => return Err(self.broken()),
            }
        }
        Ok(replies.into_iter().flatten().collect())
    }

    fn send(&mut self) -> Result<(), Trouble> {
        let sent = match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(&self.out),
            Stream::Tcp(stream) => stream.write_all(&self.out),
        };
        sent.map_err(|e| self.lost(&e))
    }

    fn receive(&mut self) -> Result<(u16, Frame), Trouble> {
        loop {
            if let Some(size) = self.input.first_chunk().map(|size| u32::from_le_bytes(*size)) {
                if !(7..=MSIZE).contains(&size) {
                    return Err(self.broken());
                }
                if self.input.len() >= size as usize {
                    let rest = self.input.split_off(size as usize);
                    let frame = std::mem::replace(&mut self.input, rest);
                    return Ok((u16::from_le_bytes([frame[5], frame[6]]), Frame(frame)));
                }
            }
            let have = self.input.len();
            self.input.resize(have + MSIZE as usize, 0);
            let read = match &mut self.stream {
                Stream::Unix(stream) => stream.read(&mut self.input[have..]),
                Stream::Tcp(stream) => stream.read(&mut self.input[have..]),
            };
            self.input.truncate(have + read.as_ref().map_or(0, |n| *n));
            match read {
                Ok(0) => return Err(Trouble::failed(format!("{}: the door closed the session", self.addr))),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.lost(&e)),
            }
        }
    }

    fn lost(&self, e: &std::io::Error) -> Trouble {
        let addr = &self.addr;
        match e.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                Trouble::failed(format!("{addr}: no answer for {} s", PATIENCE.as_secs()))
            }
            _ => Trouble::failed(format!("{addr}: the door closed the session")),
        }
    }
}

fn connect(addr: &str) -> Result<Stream, Trouble> {
    let usage = || Trouble::Usage(format!("{addr}: an address is unix!PATH or tcp!HOST!PORT"));
    let failed = |e: std::io::Error| {
        let why = match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                "no hive listens there; start one with: coh up".to_owned()
            }
            std::io::ErrorKind::PermissionDenied => "it is another user's".to_owned(),
            _ => e.to_string(),
        };
        Trouble::failed(format!("{addr}: {why}"))
    };
    match addr.split_once('!').ok_or_else(usage)? {
        ("unix", path) => {
            let stream = UnixStream::connect(path).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
            Ok(Stream::Unix(stream))
        }
        ("tcp", at) => {
            let (host, port) = at.split_once('!').ok_or_else(usage)?;
            let port: u16 = port.parse().map_err(|_| usage())?;
            let stream = TcpStream::connect((host, port)).map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
            Ok(Stream::Tcp(stream))
        }
        _ => Err(usage()),
    }
}
