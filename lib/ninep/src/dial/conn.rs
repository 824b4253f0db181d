//! A session for one thread: calls block, batches are pipelined.

use super::stream::Stream;
use super::{ANAME_MAX, Addr, Credentials, DEADLINE, DialError, Listing, WINDOW};
use crate::clnt::{Asked, Client};
use crate::refusal::{Refusal, Word};
use crate::wire::{
    self, Attr, MSIZE_MAX, MSIZE_MIN, NOFID, Names, Qid, READ_OVERHEAD, Rmsg, Tmsg, VERSION, WRITE_OVERHEAD,
};
use std::collections::VecDeque;
use std::format;
use std::io::Write;
use std::string::{String, ToString};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// A session with a door, or with any 9P2000.L server.
pub struct Conn {
    stream: Stream,
    client: Client,
    buffer: Vec<u8>,
    msize: u32,
    deadline: Duration,
    next_fid: u32,
    asks_errstr: bool,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its qid; its kind says whether it is a directory.
    pub qid: Qid,
}

/// What getattr says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The file's qid.
    pub qid: Qid,
    /// Mode, size, times.
    pub attr: Attr,
}

/// The fid that the attach made: the root of the session's name space.
pub(super) const ROOT: u32 = 0;
/// The fid of Tauth.
pub(super) const AFID: u32 = 1;
/// Linux's O_RDONLY.
const O_RDONLY: u32 = 0;

impl Conn {
    /// Connects, agrees on the protocol, and attaches.
    pub fn dial(addr: &Addr, who: &Credentials) -> Result<Conn, DialError> {
        Conn::dial_spec(addr, who, None)
    }

    /// The same with an aname of its own, for servers that are no door.
    pub fn dial_spec(addr: &Addr, who: &Credentials, spec: Option<&str>) -> Result<Conn, DialError> {
        Conn::over(Stream::dial(addr, DEADLINE)?, who, spec)
    }

    /// The same, where connecting and each call after it take no longer than that.
    pub fn dial_within(
        addr: &Addr,
        who: &Credentials,
        spec: Option<&str>,
        deadline: Duration,
    ) -> Result<Conn, DialError> {
        Conn::over_within(Stream::dial(addr, deadline)?, who, spec, deadline)
    }

    /// The same on a stream that is there already.
    pub fn over(stream: Stream, who: &Credentials, spec: Option<&str>) -> Result<Conn, DialError> {
        Conn::over_within(stream, who, spec, DEADLINE)
    }

    fn over_within(
        stream: Stream,
        who: &Credentials,
        spec: Option<&str>,
        deadline: Duration,
    ) -> Result<Conn, DialError> {
        let mut conn = Conn {
            stream,
            client: Client::new(WINDOW),
            buffer: std::vec![0; 64 << 10],
            msize: MSIZE_MAX,
            deadline,
            next_fid: AFID + 1,
            asks_errstr: false,
        };
        conn.stream.set_deadline(Some(deadline))?;
        conn.version()?;
        conn.attach(who, spec)?;
        conn.asks_errstr = spec.is_none();
        Ok(conn)
    }

    fn version(&mut self) -> Result<(), DialError> {
        let frame = self.call(&Tmsg::Version { msize: MSIZE_MAX, version: VERSION })?;
        match decoded(&frame)? {
            Rmsg::Version { msize, version: VERSION } if (MSIZE_MIN..=MSIZE_MAX).contains(&msize) => {
                self.msize = msize;
                Ok(())
            }
            Rmsg::Version { msize, version: VERSION } => Err(DialError::Protocol(format!(
                "the server wants an msize of {msize}; {MSIZE_MIN} to {MSIZE_MAX} work here"
            ))),
            _ => Err(DialError::Protocol(format!("the server does not speak {VERSION}"))),
        }
    }

    fn attach(&mut self, who: &Credentials, spec: Option<&str>) -> Result<(), DialError> {
        let uname = who.uname();
        let mut afid = NOFID;
        let mut aname = spec.unwrap_or(&who.ticket);
        if aname.len() > ANAME_MAX {
            afid = AFID;
            self.call(&Tmsg::Auth { afid, uname: &uname, aname: "", n_uname: who.n_uname })?;
            self.write_at(afid, 0, aname.as_bytes())?;
            aname = "";
        }
        self.call(&Tmsg::Attach { fid: ROOT, afid, uname: &uname, aname, n_uname: who.n_uname })?;
        Ok(())
    }

    /// What a shared connection goes on with.
    pub(super) fn into_parts(self) -> (Stream, Client) {
        (self.stream, self.client)
    }

    /// How long a call may take from now on.
    pub fn set_deadline(&mut self, deadline: Duration) -> Result<(), DialError> {
        self.deadline = deadline;
        self.stream.set_deadline(Some(deadline))?;
        Ok(())
    }

    /// The largest frame that was agreed on.
    pub fn msize(&self) -> u32 {
        self.msize
    }

    /// The most bytes of one read, and of one write.
    pub fn most(&self) -> (u32, u32) {
        (self.msize - READ_OVERHEAD, self.msize - WRITE_OVERHEAD)
    }

    /// A fid number that was not used before.
    pub fn new_fid(&mut self) -> u32 {
        self.next_fid += 1;
        self.next_fid - 1
    }

    /// One request and its reply, a frame that decodes and is no Rlerror.
    pub fn call(&mut self, msg: &Tmsg) -> Result<Vec<u8>, DialError> {
        let asked = self.send(msg)?;
        match self.wait(asked)? {
            Ok(frame) => Ok(frame),
            Err(refusal) => Err(DialError::Refused(self.explain(refusal))),
        }
    }

    /// Requests in one write, replies in their order; a refusal is one request's, the connection's
    /// failure is everyone's.
    pub fn batch(&mut self, msgs: &[Tmsg]) -> Result<Vec<Result<Vec<u8>, Refusal>>, DialError> {
        let mut asked = VecDeque::new();
        let answers = self.exchange(msgs, &mut asked);
        // After a failure nobody waits for the rest, and a later call must find the window empty.
        asked.into_iter().for_each(|one| self.client.flush(one));
        answers
    }

    fn exchange(
        &mut self,
        msgs: &[Tmsg],
        asked: &mut VecDeque<Asked>,
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, DialError> {
        let mut answers = Vec::with_capacity(msgs.len());
        for msg in msgs {
            if !self.client.has_room()
                && let Some(first) = asked.pop_front()
            {
                answers.push(self.wait(first)?);
            }
            asked.push_back(self.queue(msg)?);
        }
        while let Some(one) = asked.pop_front() {
            answers.push(self.wait(one)?);
        }
        Ok(answers)
    }

    fn queue(&mut self, msg: &Tmsg) -> Result<Asked, DialError> {
        self.client.send(msg).ok_or_else(|| DialError::Protocol("more requests than the window has".into()))
    }

    fn send(&mut self, msg: &Tmsg) -> Result<Asked, DialError> {
        let asked = self.queue(msg)?;
        self.push()?;
        Ok(asked)
    }

    fn push(&mut self) -> Result<(), DialError> {
        let n = self.client.output().len();
        self.stream.write_all(self.client.output())?;
        self.stream.flush()?;
        self.client.consume(n);
        Ok(())
    }

    fn wait(&mut self, asked: Asked) -> Result<Result<Vec<u8>, Refusal>, DialError> {
        self.push()?;
        let until = Instant::now() + self.deadline;
        loop {
            if let Some(frame) = self.client.reply(asked) {
                return Ok(match decoded(&frame)? {
                    // A server that is asked directly says why at once.
                    Rmsg::Lerror { ecode, detail } if !detail.0.is_empty() => {
                        Err(Refusal::new(refusal_of(ecode).word, detail.0.to_string()))
                    }
                    Rmsg::Lerror { ecode, .. } => Err(refusal_of(ecode)),
                    _ => Ok(frame),
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.client.flush(asked);
                return Err(DialError::Timeout);
            }
            match self.stream.read_within(&mut self.buffer, left) {
                Ok(0) => {
                    let gone = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the door hung up");
                    return Err(DialError::Io(gone));
                }
                Ok(n) => self.client.input(&self.buffer[..n])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.client.flush(asked);
                    return Err(error.into());
                }
            }
        }
    }

    /// What the door has to say about the last refusal, beside its number.
    fn explain(&mut self, refusal: Refusal) -> Refusal {
        if !self.asks_errstr || refusal.word == Word::Revoked {
            return refusal;
        }
        self.asks_errstr = false;
        let said = self.read_all("/proc/9p/self/errstr");
        self.asks_errstr = true;
        let said = said.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        // reason=… path=… detail=…: only what belongs to this refusal, not to one in between.
        let is_this = said.starts_with(&format!("reason={} ", refusal.word.reason()));
        match said.split_once(" detail=").filter(|_| is_this) {
            Some((_, detail)) => Refusal::new(refusal.word, detail.trim_end().to_string()),
            None => refusal,
        }
    }

    /// A fid at `path`, below the root of the name space.
    pub fn walk(&mut self, path: &str) -> Result<u32, DialError> {
        let fid = self.new_fid();
        let names: Vec<&str> = names_of(path);
        let frame = self.call(&Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) })?;
        match decoded(&frame)? {
            Rmsg::Walk { qids } if qids.len() == names.len() => Ok(fid),
            _ => Err(DialError::Refused(self.explain(Word::NotFound.into()))),
        }
    }

    /// Opens a fid with Linux's open flags; gives its qid.
    pub fn open(&mut self, fid: u32, flags: u32) -> Result<Qid, DialError> {
        let frame = self.call(&Tmsg::Lopen { fid, flags })?;
        match decoded(&frame)? {
            Rmsg::Lopen { qid, .. } => Ok(qid),
            _ => Err(wrong()),
        }
    }

    /// Walks and opens in one round trip.
    pub fn open_path(&mut self, path: &str, flags: u32) -> Result<u32, DialError> {
        let fid = self.new_fid();
        let names = names_of(path);
        let walk = Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) };
        let answers = self.batch(&[walk, Tmsg::Lopen { fid, flags }])?;
        let mut answers = answers.into_iter();
        let (walked, opened) = (answers.next(), answers.next());
        let frame = match walked {
            Some(Ok(frame)) => frame,
            Some(Err(refusal)) => return Err(DialError::Refused(self.explain_walk(path, refusal))),
            None => return Err(wrong()),
        };
        match decoded(&frame)? {
            Rmsg::Walk { qids } if qids.len() == names.len() => {}
            _ => return Err(DialError::Refused(self.explain_walk(path, Word::NotFound.into()))),
        }
        match opened {
            Some(Ok(_)) => Ok(fid),
            Some(Err(refusal)) => {
                let refusal = self.explain(refusal);
                self.clunk(fid)?;
                Err(DialError::Refused(refusal))
            }
            None => Err(wrong()),
        }
    }

    /// The open behind a failed walk has failed, too, and errstr is about that one: walk again alone,
    /// so that the words are about the walk.
    fn explain_walk(&mut self, path: &str, refusal: Refusal) -> Refusal {
        if !self.asks_errstr {
            return refusal;
        }
        match self.walk(path) {
            Err(DialError::Refused(refusal)) => refusal,
            _ => refusal,
        }
    }

    /// At most `count` bytes at `offset`.
    pub fn read_at(&mut self, fid: u32, offset: u64, count: u32) -> Result<Vec<u8>, DialError> {
        let count = count.min(self.msize - READ_OVERHEAD);
        let frame = self.call(&Tmsg::Read { fid, offset, count })?;
        match decoded(&frame)? {
            Rmsg::Read { data } if data.len() <= count as usize => Ok(data.to_vec()),
            _ => Err(wrong()),
        }
    }

    /// Writes one piece of at most [`Conn::most`] bytes; gives what was taken.
    pub fn write_at(&mut self, fid: u32, offset: u64, data: &[u8]) -> Result<u32, DialError> {
        let data = &data[..data.len().min((self.msize - WRITE_OVERHEAD) as usize)];
        let frame = self.call(&Tmsg::Write { fid, offset, data })?;
        match decoded(&frame)? {
            Rmsg::Write { count } if count as usize <= data.len() => Ok(count),
            _ => Err(wrong()),
        }
    }

    /// Sends a write of at most [`Conn::most`] bytes and waits for nothing: [`Conn::written`] does.
    pub fn begin_write(&mut self, fid: u32, offset: u64, data: &[u8]) -> Result<Asked, DialError> {
        self.send(&Tmsg::Write { fid, offset, data })
    }

    /// Waits for what has become of a write; gives what was taken.
    pub fn written(&mut self, asked: Asked) -> Result<u32, DialError> {
        let frame = self.wait(asked)?.map_err(|refusal| DialError::Refused(self.explain(refusal)))?;
        match decoded(&frame)? {
            Rmsg::Write { count } => Ok(count),
            _ => Err(wrong()),
        }
    }

    /// Mode, size, times, qid.
    pub fn getattr(&mut self, fid: u32) -> Result<Stat, DialError> {
        let frame = self.call(&Tmsg::Getattr { fid, mask: 0x7ff })?;
        match decoded(&frame)? {
            Rmsg::Getattr { qid, attr, .. } => Ok(Stat { qid, attr }),
            _ => Err(wrong()),
        }
    }

    /// The entries of an open directory.
    pub fn readdir(&mut self, fid: u32) -> Result<Vec<Listed>, DialError> {
        let mut entries = Vec::new();
        let mut listing = Listing::default();
        loop {
            let count = self.msize - READ_OVERHEAD;
            let frame = self.call(&Tmsg::Readdir { fid, offset: listing.offset(), count })?;
            let Rmsg::Readdir { data } = decoded(&frame)? else { return Err(wrong()) };
            let Some(more) = listing.take(data).map_err(DialError::Protocol)? else { return Ok(entries) };
            entries.extend(more.iter().map(|entry| Listed { name: entry.name.into(), qid: entry.qid }));
        }
    }

    /// Ends a fid.
    pub fn clunk(&mut self, fid: u32) -> Result<(), DialError> {
        self.call(&Tmsg::Clunk { fid }).map(drop)
    }

    /// The whole of a file, with several reads in flight.
    pub fn read_all(&mut self, path: &str) -> Result<Vec<u8>, DialError> {
        let fid = self.open_path(path, O_RDONLY)?;
        let read = self.read_fid(fid);
        self.clunk(fid)?;
        read
    }

    /// The whole of an open file. The number of reads in flight grows while they come back full.
    pub fn read_fid(&mut self, fid: u32) -> Result<Vec<u8>, DialError> {
        let count = self.msize - READ_OVERHEAD;
        let mut all = Vec::new();
        let mut ahead = 1;
        loop {
            let from = all.len() as u64;
            let reads: Vec<Tmsg> =
                (0..ahead).map(|i| Tmsg::Read { fid, offset: from + i * u64::from(count), count }).collect();
            for answer in self.batch(&reads)? {
                let frame = answer.map_err(|refusal| DialError::Refused(self.explain(refusal)))?;
                let Rmsg::Read { data } = decoded(&frame)? else { return Err(wrong()) };
                if data.is_empty() {
                    return Ok(all);
                }
                if data.len() > count as usize {
                    return Err(wrong());
                }
                all.extend_from_slice(data);
                if data.len() < count as usize {
                    // What was read ahead of a short read begins elsewhere.
                    break;
                }
            }
            ahead = (ahead * 2).min(16);
        }
    }

    /// A directory's entries, by path.
    pub fn list(&mut self, path: &str) -> Result<Vec<Listed>, DialError> {
        let fid = self.open_path(path, O_RDONLY)?;
        let entries = self.readdir(fid);
        self.clunk(fid)?;
        entries
    }

    /// A file's attributes, by path.
    pub fn stat(&mut self, path: &str) -> Result<Stat, DialError> {
        let fid = self.walk(path)?;
        let stat = self.getattr(fid);
        self.clunk(fid)?;
        stat
    }
}

/// The names of a path; empty ones do not count.
pub(super) fn names_of(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

pub(super) fn decoded(frame: &[u8]) -> Result<Rmsg<'_>, DialError> {
    wire::decode_r(frame).map(|(_, msg)| msg).map_err(|error| DialError::Protocol(error.to_string()))
}

/// A refusal by its number alone. Foreign servers have more numbers than words.
pub(super) fn refusal_of(ecode: u32) -> Refusal {
    match Word::from_errno(ecode) {
        Some(word) => word.into(),
        None => Refusal::new(Word::Invalid, format!("errno {ecode}")),
    }
}

fn wrong() -> DialError {
    DialError::Protocol("the server's reply is not to what was asked".into())
}
