//! One connection to a peer: its open files, its requests in flight, and their answers.

use crate::HashMap;
use crate::peers::Answer;
use crate::prelude::*;
use chan::Moved;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Framer, Next, Now, Op, Request};
use ninep::wire::{self, MSIZE_MAX, NOFID, NOTAG, Names, READ_OVERHEAD, Rmsg, Tmsg, VERSION, WRITE_OVERHEAD};
use slab::Slab;

/// A request that is not answered by then is Busy.
const DEADLINE_MS: u64 = 5000;
/// The longest answer that is read: a snapshot of all that the manifest's bounds allow is shorter.
const ANSWER_MAX: usize = 64 << 20;
/// The most bytes of one read: fewer are the last ones, as peers' files are read as they were opened.
const READ_MAX: u32 = MSIZE_MAX - READ_OVERHEAD;
/// The most bytes of one write.
pub(crate) const WRITE_MAX: usize = (MSIZE_MAX - WRITE_OVERHEAD) as usize;
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;

/// What is left of a connection on a stream that goes on: the part of a frame that has come, and the part of
/// one that is still to go.
#[derive(Default)]
pub(crate) struct Rest {
    input: Vec<u8>,
    out: Vec<u8>,
}

/// A connection to a peer.
pub(crate) struct Link {
    framer: Framer,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Bytes that are still to go of a frame whose first ones are gone.
    begun: usize,
    /// Is there more to be sent than the closing of files?
    is_urgent: bool,
    /// Nothing that comes is ours before the answer to our first message.
    is_new: bool,
    roots: HashMap<&'static str, u32>,
    /// Files that stay open, by root and path: those of log lines.
    files: HashMap<(&'static str, String), u32>,
    next_fid: u32,
    next_order: u64,
    calls: Slab<Call>,
    /// Whose message a tag is.
    tags: Slab<Option<usize>>,
}

/// A request on its way.
struct Call {
    id: u64,
    fid: u32,
    left: usize,
    answer: Result<Vec<u8>, Refusal>,
    deadline_ms: u64,
    /// Log lines, until they are acknowledged.
    line: Option<Request>,
    /// Which came first.
    order: u64,
}

impl Link {
    pub(crate) fn new(rest: Rest) -> Link {
        let Rest { input, mut out } = rest;
        let begun = out.len();
        Tmsg::Version { msize: MSIZE_MAX, version: VERSION }.encode(NOTAG, &mut out);
        Link {
            framer: Framer::new(MSIZE_MAX),
            input,
            out,
            begun,
            is_urgent: true,
            is_new: true,
            roots: HashMap::new(),
            files: HashMap::new(),
            next_fid: 0,
            next_order: 0,
            calls: Slab::new(),
            tags: Slab::new(),
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.out.len()
    }

    /// Sends what can be sent; false where the peer is gone.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> Moved) -> bool {
        while !self.out.is_empty() {
            match write(&self.out) {
                Moved::Bytes(n) => self.sent(n),
                Moved::Later => return true,
                Moved::Ended => return false,
            }
        }
        self.is_urgent = false;
        true
    }

    /// So many bytes are gone: where in a frame does that leave us?
    fn sent(&mut self, n: usize) {
        let (mut at, mut left) = (0, n);
        while left > 0 {
            let size = match (self.begun, self.out.get(at..at + 4)) {
                (0, Some(size)) => u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize,
                (0, None) => left,
                (begun, _) => begun,
            };
            let gone = left.min(size.max(1));
            self.begun = size.saturating_sub(gone);
            at += gone;
            left -= gone;
        }
        self.out.drain(..n);
    }

    /// Bytes have come; false where the peer does not speak the protocol.
    pub(crate) fn receive(&mut self, bytes: &[u8], answers: &mut Vec<Answer>) -> bool {
        self.input.extend_from_slice(bytes);
        self.take(answers)
    }

    /// When the oldest request has waited too long.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.calls.iter().map(|(_, call)| call.deadline_ms).min()
    }

    /// The end of it: log lines without their acknowledgement, in order, the requests that somebody waits for,
    /// and what is left on its stream.
    pub(crate) fn end(mut self) -> (Vec<Request>, Vec<u64>, Rest) {
        let mut calls: Vec<Call> = self.calls.drain().collect();
        let waiting = calls.iter().map(|call| call.id).filter(|id| *id != 0).collect();
        calls.sort_unstable_by_key(|call| call.order);
        // A frame that has not begun to go does not go.
        self.out.truncate(self.begun);
        let rest = Rest { input: self.input, out: self.out };
        (calls.into_iter().filter_map(|call| call.line).collect(), waiting, rest)
    }

    /// Does somebody wait for what is to be sent?
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Lets what nobody waits for go with the next flush.
    pub(crate) fn hurry(&mut self) {
        self.is_urgent = true;
    }

    fn send(&mut self, call: Option<usize>, msg: &Tmsg) {
        self.is_urgent |= !matches!(msg, Tmsg::Clunk { .. });
        let tag = self.tags.insert(call) as u16;
        msg.encode(tag, &mut self.out);
        if let Some(call) = call {
            self.calls[call].left += 1;
        }
    }

    fn new_fid(&mut self) -> u32 {
        self.next_fid += 1;
        self.next_fid
    }

    fn call(&mut self, id: u64, fid: u32, now: Now) -> usize {
        self.next_order += 1;
        self.calls.insert(Call {
            id,
            fid,
            left: 0,
            answer: Ok(Vec::new()),
            deadline_ms: now.mono_ms + DEADLINE_MS,
            line: None,
            order: self.next_order,
        })
    }

    fn root(&mut self, me: &str, root: &'static str) -> u32 {
        if let Some(fid) = self.roots.get(root) {
            return *fid;
        }
        let fid = self.new_fid();
        self.send(None, &Tmsg::Attach { fid, afid: NOFID, uname: me, aname: root, n_uname: 0 });
        self.roots.insert(root, fid);
        fid
    }

    /// Sends log lines, on a file that stays open.
    fn begin_lines(&mut self, me: &str, request: Request, now: Now) {
        let name = (request.root, request.path.clone());
        let fid = match self.files.get(&name) {
            Some(fid) => *fid,
            None => {
                let (root, fid) = (self.root(me, request.root), self.new_fid());
                let names: Vec<&str> = request.path.split('/').filter(|name| !name.is_empty()).collect();
                self.send(None, &Tmsg::Walk { fid: root, newfid: fid, names: Names::from(&names[..]) });
                self.send(None, &Tmsg::Lopen { fid, flags: O_WRONLY });
                self.files.insert(name, fid);
                fid
            }
        };
        let at = self.call(0, fid, now);
        if let Op::Write(data) = &request.op {
            for piece in pieces(data, WRITE_MAX) {
                self.send(Some(at), &Tmsg::Write { fid, offset: u64::MAX, data: piece });
            }
        }
        self.calls[at].line = Some(request);
    }

    /// Sends all messages of a request whose answers do not decide what comes next.
    pub(crate) fn begin(&mut self, me: &str, request: Request, now: Now) {
        let is_read = request.id != 0;
        if !is_read && request.server == "log" && matches!(request.op, Op::Write(_)) {
            return self.begin_lines(me, request, now);
        }
        let root = self.root(me, request.root);
        let fid = self.new_fid();
        let call = Some(self.call(request.id, fid, now));
        let names: Vec<&str> = request.path.split('/').filter(|name| !name.is_empty()).collect();
        self.send(call, &Tmsg::Walk { fid: root, newfid: fid, names: Names::from(&names[..]) });
        // One that is read after it was written holds the acknowledgements for its reader.
        let flags = match (&request.op, is_read) {
            (Op::Read, _) => O_RDONLY,
            (Op::Write(_), true) => O_RDWR,
            (Op::Write(_), false) => O_WRONLY,
        };
        self.send(call, &Tmsg::Lopen { fid, flags });
        if let Op::Write(data) = &request.op {
            for piece in pieces(data, WRITE_MAX) {
                self.send(call, &Tmsg::Write { fid, offset: u64::MAX, data: piece });
            }
        }
        if is_read {
            self.send(call, &Tmsg::Read { fid, offset: 0, count: READ_MAX });
        }
    }

    /// Takes the replies that have come; false where the peer does not speak the protocol.
    fn take(&mut self, answers: &mut Vec<Answer>) -> bool {
        let input = core::mem::take(&mut self.input);
        let mut used = 0;
        loop {
            let (n, next) = self.framer.next(&input[used..]);
            used += n;
            let frame = match next {
                Next::Frame(frame) => frame,
                Next::More => break,
                Next::Refuse(..) | Next::Close(_) => return false,
            };
            let Ok((tag, msg)) = wire::decode_r(frame) else { return false };
            if tag == NOTAG {
                self.is_new = false;
            }
            if tag == NOTAG || self.is_new {
                continue;
            }
            let Some(call) = self.tags.try_remove(tag.into()) else { return false };
            if let Some(call) = call {
                self.reply(call, &msg, answers);
            }
        }
        self.input.extend_from_slice(&input[used..]);
        true
    }

    fn reply(&mut self, at: usize, msg: &Rmsg, answers: &mut Vec<Answer>) {
        let Some(call) = self.calls.get_mut(at) else { return };
        call.left -= 1;
        let fid = call.fid;
        match (msg, &mut call.answer) {
            (Rmsg::Lerror { ecode, detail }, answer @ Ok(_)) => {
                let word = Word::from_errno(*ecode).unwrap_or(Word::Invalid);
                *answer = Err(Refusal::new(word, detail.0.to_owned()));
            }
            (Rmsg::Read { data }, Ok(read)) if read.len() + data.len() > ANSWER_MAX => {
                call.answer = Err(Refusal::new(Word::TooBig, format!("longer than {ANSWER_MAX} bytes")));
            }
            (Rmsg::Read { data }, Ok(read)) => {
                read.extend_from_slice(data);
                let offset = read.len() as u64;
                if data.len() >= READ_MAX as usize {
                    return self.send(Some(at), &Tmsg::Read { fid, offset, count: READ_MAX });
                }
            }
            _ => {}
        }
        if call.left == 0 {
            let call = self.calls.remove(at);
            if call.line.is_some() {
                if call.answer.is_err() {
                    // A file that does not take lines is opened anew for the next.
                    self.files.retain(|_, open| *open != fid);
                }
                return;
            }
            self.send(None, &Tmsg::Clunk { fid });
            if call.id != 0 {
                answers.push((call.id, call.answer));
            }
        }
    }
}

/// Cuts `data` into pieces of at most `max` bytes, behind newlines where there are any.
fn pieces(data: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut n = rest.len().min(max);
        if n < rest.len() {
            n = rest[..n].iter().rposition(|b| *b == b'\n').map_or(n, |i| i + 1);
        }
        let (piece, tail) = rest.split_at(n);
        rest = tail;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a link sends when only so many bytes are taken at a time.
    fn sends(link: &mut Link, room: usize) -> Vec<u8> {
        let mut left = room;
        let mut sent = Vec::new();
        link.flush(|bytes| {
            let n = bytes.len().min(left);
            left -= n;
            sent.extend_from_slice(&bytes[..n]);
            if n == 0 { Moved::Later } else { Moved::Bytes(n) }
        });
        sent
    }

    /// The peer keeps what it has answered for whoever may read it, and thousands may be on their way.
    #[test]
    fn a_file_is_opened_for_reading_only_where_somebody_waits() {
        let opened = |id, op| {
            let mut link = Link::new(Rest::default());
            let request = Request { id, server: "trace", root: "sink", path: "events".into(), op };
            link.begin("server:log", request, Now::default());
            let stream = sends(&mut link, usize::MAX);
            let (mut framer, mut at, mut flags) = (Framer::new(MSIZE_MAX), 0, Vec::new());
            while at < stream.len() {
                let (n, next) = framer.next(&stream[at..]);
                let Next::Frame(frame) = next else { panic!("no frame at {at}") };
                if let Ok((_, Tmsg::Lopen { flags: found, .. })) = wire::decode_t(frame) {
                    flags.push(found);
                }
                at += n;
            }
            flags
        };
        assert_eq!(opened(0, Op::Write(b"{}\n".to_vec())), [O_WRONLY]);
        assert_eq!(opened(7, Op::Write(b"{}\n".to_vec())), [O_RDWR]);
        assert_eq!(opened(7, Op::Read), [O_RDONLY]);
    }

    #[test]
    fn a_stream_that_goes_on_keeps_its_frames_whole() {
        let now = Now::default();
        for room in 1..80 {
            let mut link = Link::new(Rest::default());
            link.begin("server:log", Request::log("one"), now);
            let mut stream = sends(&mut link, room);
            let (lines, waiting, rest) = link.end();
            assert_eq!((lines.len(), waiting.len()), (1, 0));
            stream.extend(sends(&mut Link::new(rest), usize::MAX));
            let mut framer = Framer::new(MSIZE_MAX);
            let (mut at, mut last) = (0, 0);
            while at < stream.len() {
                let (n, next) = framer.next(&stream[at..]);
                let Next::Frame(frame) = next else { panic!("{room}: no frame at {at}") };
                last = frame[4];
                at += n;
            }
            assert_eq!(last, ninep::wire::kind::TVERSION, "{room}");
        }
    }
}
