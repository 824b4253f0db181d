//! The protocol, once, for every server: frames in, replies out (spec 1.1–1.5). Sans-IO.

use super::control::{ID_BIT, Pipeline};
use super::frame::{Framer, Next};
use super::open::Fid;
use super::service::{Now, Request, Service};
use super::tree::{At, Call, File, Kind, Token, Tree, Verdict};
use super::turn::Turn;
use super::verb::named;
use crate::refusal::{Refusal, Word};
use crate::srv::fids::Fids;
use crate::wire::{self, MSIZE_MIN, Rmsg, Tmsg, VERSION};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use hashbrown::HashMap;

/// Bounds of one engine and its connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest frame.
    pub msize: u32,
    /// Live fids of one connection.
    pub fids: usize,
    /// Whether a clunked fid number may come back; the door's channels say no to strictness.
    pub is_strict: bool,
    /// Requests of one connection that wait behind a deferred one on the same fid.
    pub waiting: usize,
    /// Bytes of acknowledgements kept for one ctl, and for one open fid of it.
    pub acks_bytes: usize,
    /// Bytes of replies that may wait on one connection before its next request is looked at.
    pub queue_bytes: usize,
    /// Whether Rlerror carries its detail after the errno: on channels to a door, which strips it.
    pub tells_detail: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            msize: wire::MSIZE_MAX,
            fids: 1 << 20,
            is_strict: false,
            waiting: 1024,
            acks_bytes: 4096,
            queue_bytes: 256 << 10,
            tells_detail: false,
        }
    }
}

/// Names a connection of an engine.
pub type ConnId = u32;

/// The ctl files whose last acknowledgements are remembered at once.
const ACK_FILES_MAX: usize = 1024;

struct Conn {
    framer: Framer,
    has_version: bool,
    fids: Fids<Fid>,
    out: Vec<u8>,
    sent: usize,
    /// Deferred commands: their tag, name and fid.
    deferred: Vec<(u16, Token, u32)>,
    /// Requests on a fid that has a deferred one, in order.
    waiting: VecDeque<(u32, Vec<u8>)>,
}

/// A write to a ctl that is not answered yet.
struct Pending {
    conn: ConnId,
    tag: u16,
    fid: u32,
    /// The whole write, and where its undecided line begins.
    data: Vec<u8>,
    line: Lines,
}

#[derive(Clone, Copy, Default)]
struct Lines {
    at: usize,
    number: usize,
}

/// A tree, served to any number of connections.
pub struct Engine<S> {
    /// The files and their state.
    pub tree: Tree<S>,
    pipeline: Option<Box<dyn Pipeline<S>>>,
    limits: Limits,
    born_ms: u64,
    conns: HashMap<ConnId, Conn>,
    next_conn: ConnId,
    next_serial: u64,
    pending: HashMap<Token, Pending>,
    acks: HashMap<(u16, u64), String>,
}

impl<S: Service> Engine<S> {
    /// An engine over `tree`; `now` becomes the time stamp of its files.
    pub fn new(mut tree: Tree<S>, limits: Limits, now: Now) -> Self {
        let pipeline = tree.pipeline.take();
        Engine {
            tree,
            pipeline,
            limits,
            born_ms: now.wall_ms,
            conns: HashMap::new(),
            next_conn: 1,
            next_serial: 1,
            pending: HashMap::new(),
            acks: HashMap::new(),
        }
    }

    /// The loop has started.
    pub fn start(&mut self, now: Now) {
        self.tree.state.start(now);
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.start(&mut self.tree.state, now);
        }
    }

    /// The monotonic millisecond at which [`Engine::settle`] must run next.
    pub fn deadline_ms(&self) -> Option<u64> {
        let pipeline = self.pipeline.as_ref().and_then(|pipeline| pipeline.deadline_ms());
        [pipeline, self.tree.state.deadline_ms()].into_iter().flatten().min()
    }

    /// What to ask of other servers, in order; taken after every event.
    pub fn outbox(&mut self) -> Vec<Request> {
        let mut requests = self.tree.state.outbox();
        requests.extend(self.pipeline.iter_mut().flat_map(|pipeline| pipeline.outbox()));
        requests
    }

    /// The answer to a request whose id was not 0.
    pub fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        match &mut self.pipeline {
            Some(pipeline) if id & ID_BIT != 0 => pipeline.reply(&mut self.tree.state, id, answer, now),
            _ => self.tree.state.reply(id, answer, now),
        }
    }

    /// Opens a connection.
    pub fn connect(&mut self) -> ConnId {
        let id = self.next_conn;
        self.next_conn += 1;
        let conn = Conn {
            framer: Framer::new(self.limits.msize),
            has_version: false,
            fids: Fids::new(self.limits.fids, self.limits.is_strict),
            out: Vec::new(),
            sent: 0,
            deferred: Vec::new(),
            waiting: VecDeque::new(),
        };
        self.conns.insert(id, conn);
        id
    }

    /// Ends a connection; what it had deferred is decided without it.
    pub fn disconnect(&mut self, id: ConnId) {
        self.conns.remove(&id);
        self.pending.retain(|_, pending| pending.conn != id);
    }

    /// Takes whole frames from the front of `input`, as long as there is room among the replies; returns how many
    /// bytes it is done with, or None where the connection must end.
    pub fn feed(&mut self, id: ConnId, input: &[u8], now: Now) -> Option<usize> {
        let mut used = 0;
        loop {
            let conn = self.conns.get_mut(&id)?;
            if conn.out.len() - conn.sent > self.limits.queue_bytes {
                return Some(used);
            }
            let (n, next) = conn.framer.next(&input[used..]);
            used += n;
            match next {
                Next::More => return Some(used),
                Next::Close(_) => return None,
                Next::Refuse(tag, word) => {
                    let refusal = Refusal::new(word, "frame size");
                    error(&mut conn.out, tag, &refusal, self.limits.tells_detail);
                }
                Next::Frame(frame) => self.request(id, frame, now),
            }
        }
    }

    /// Is there room for further replies?
    pub fn has_room(&self, id: ConnId) -> bool {
        self.output(id).len() <= self.limits.queue_bytes
    }

    /// Replies that wait to be sent on a connection.
    pub fn output(&self, id: ConnId) -> &[u8] {
        self.conns.get(&id).map_or(&[], |conn| &conn.out[conn.sent..])
    }

    /// `n` bytes of [`Engine::output`] have been sent.
    pub fn consume(&mut self, id: ConnId, n: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        super::consume(&mut conn.out, &mut conn.sent, n);
        if conn.out.is_empty() {
            // One slow moment must not cost its peak for ever.
            conn.out.shrink_to(1 << 16);
        }
    }

    /// Moves on what time and answers have brought, and lets decided commands through; returns the
    /// connections that have something to send.
    pub fn settle(&mut self, now: Now) -> Vec<ConnId> {
        let mut touched = Vec::new();
        if self.tree.state.deadline_ms().is_some_and(|at| at <= now.mono_ms) {
            self.tree.state.tick(now);
        }
        loop {
            let mut decided = Vec::new();
            if let Some(pipeline) = &mut self.pipeline {
                pipeline.tick(&mut self.tree.state, now);
                decided = pipeline.verdicts();
            }
            decided.extend(self.tree.state.completions());
            if decided.is_empty() {
                return touched;
            }
            for (token, verdict) in decided {
                let Some(pending) = self.pending.remove(&token) else { continue };
                let (id, fid) = (pending.conn, pending.fid);
                let Some(conn) = self.conns.get_mut(&id) else { continue };
                conn.deferred.retain(|(_, name, _)| *name != token);
                self.commands(pending, Some(verdict), now);
                self.wake(id, fid, now);
                if !touched.contains(&id) {
                    touched.push(id);
                }
            }
        }
    }

    /// Runs the requests that waited behind a deferred one on `fid`.
    fn wake(&mut self, id: ConnId, fid: u32, now: Now) {
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            if conn.deferred.iter().any(|(_, _, busy)| *busy == fid) {
                return;
            }
            let Some(i) = conn.waiting.iter().position(|(waits, _)| *waits == fid) else { return };
            let Some((_, frame)) = conn.waiting.remove(i) else { return };
            self.request(id, &frame, now);
        }
    }

    fn request(&mut self, id: ConnId, frame: &[u8], now: Now) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        trace::trace!(Ninep, Debug, "conn={id} tag={} type={} bytes={}", frame[5], frame[4], frame.len());
        let tells_detail = self.limits.tells_detail;
        let (tag, msg) = match wire::decode_t(frame) {
            Ok(decoded) => decoded,
            Err(_) => {
                let tag = u16::from_le_bytes([frame[5], frame[6]]);
                // A message that only servers send, or that 9P2000.L does not have, is not malformed.
                let word = if wire::is_request(frame[4]) { Word::Invalid } else { Word::Unsupported };
                return error(&mut conn.out, tag, &Refusal::new(word, "malformed frame"), tells_detail);
            }
        };
        if let Tmsg::Version { msize, version } = msg {
            return self.version(id, tag, msize, version);
        }
        if !conn.deferred.is_empty() {
            if let Tmsg::Flush { oldtag } = msg {
                if let Some(i) = conn.deferred.iter().position(|(busy, _, _)| *busy == oldtag) {
                    let (_, token, fid) = conn.deferred.swap_remove(i);
                    self.pending.remove(&token);
                    Rmsg::Flush.encode(tag, &mut conn.out);
                    return self.wake(id, fid, now);
                }
                conn.waiting.retain(|(_, frame)| frame[5..7] != oldtag.to_le_bytes());
            } else if conn.deferred.iter().any(|(busy, _, _)| *busy == tag) {
                return error(
                    &mut conn.out,
                    tag,
                    &Refusal::new(Word::Invalid, "tag in flight"),
                    tells_detail,
                );
            } else if let Some(fid) = wire::fid_of(frame)
                && conn.deferred.iter().any(|(_, _, busy)| *busy == fid)
            {
                if conn.waiting.len() >= self.limits.waiting {
                    return error(
                        &mut conn.out,
                        tag,
                        &Refusal::new(Word::Busy, "too many wait"),
                        tells_detail,
                    );
                }
                return conn.waiting.push_back((fid, frame.into()));
            }
        }
        if !conn.has_version {
            return error(&mut conn.out, tag, &Refusal::new(Word::Invalid, "Tversion first"), tells_detail);
        }
        if !matches!(msg, Tmsg::Clunk { .. } | Tmsg::Remove { .. })
            && let Some(fid) = wire::fid_of(frame)
            && let Ok(Fid { at, .. }) = conn.fids.get(fid)
            && let Some(refusal) = self.tree.state.gone(at.key)
        {
            return error(&mut conn.out, tag, &refusal, tells_detail);
        }
        if let Tmsg::Write { fid, offset, data } = msg
            && let Ok(Fid { open: Some(open), at, .. }) = conn.fids.get_mut(fid)
            && matches!(self.tree.file(*at).kind, Kind::Ctl { .. } | Kind::Orders { .. })
        {
            if let Err(refusal) = open.may_write_ctl(offset, data.len()) {
                return error(&mut conn.out, tag, &refusal, tells_detail);
            }
            let pending = Pending { conn: id, tag, fid, data: data.into(), line: Lines::default() };
            return self.commands(pending, None, now);
        }
        let mut turn = Turn {
            tree: &mut self.tree,
            fids: &mut conn.fids,
            acks: &self.acks,
            msize: conn.framer.msize,
            now,
            born_ms: self.born_ms,
        };
        if let Err(refusal) = turn.answer(tag, &msg, &mut conn.out) {
            error(&mut conn.out, tag, &refusal, tells_detail);
        }
    }

    fn version(&mut self, id: ConnId, tag: u16, msize: u32, version: &str) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        for (_, token, _) in conn.deferred.drain(..) {
            self.pending.remove(&token);
        }
        conn.waiting.clear();
        conn.fids.reset().for_each(drop);
        conn.has_version = version == VERSION && msize >= MSIZE_MIN;
        let msize = msize.min(self.limits.msize);
        let version = if conn.has_version { VERSION } else { "unknown" };
        if conn.has_version {
            conn.framer.msize = msize;
        }
        Rmsg::Version { msize, version }.encode(tag, &mut conn.out);
    }

    /// Runs the lines of a ctl write from where it stands until one defers or fails, or all are done.
    fn commands(&mut self, mut pending: Pending, mut decided: Option<Verdict>, now: Now) {
        let Some(conn) = self.conns.get_mut(&pending.conn) else { return };
        let Ok(Fid { at, who, open: Some(open) }) = conn.fids.get_mut(pending.fid) else { return };
        let (at, who) = (*at, Rc::clone(who));
        let is_only_line = !pending.data.trim_ascii_end().contains(&b'\n');
        let outcome = loop {
            let verdict = match decided.take() {
                Some(verdict) => verdict,
                None => {
                    let Some(line) = pending.line.next(&pending.data) else { break Ok(()) };
                    let (file, state) = self.tree.file_and_state(at);
                    let token = Token { conn: pending.conn, serial: self.next_serial };
                    let call = Call { key: at.key, who: &who, now, token };
                    let (Kind::Ctl { max_line, .. } | Kind::Orders { max_line, .. }) = &file.kind else {
                        break Ok(());
                    };
                    match check_line(line, *max_line) {
                        Err(refusal) => named(Verdict::Refuse { verb: "CTL".into(), refusal }, line),
                        Ok(text) => match run(file, state, &mut self.pipeline, &call, text) {
                            Verdict::Later => {
                                self.next_serial += 1;
                                conn.deferred.push((pending.tag, token, pending.fid));
                                self.pending.insert(token, pending);
                                return;
                            }
                            verdict => named(verdict, line),
                        },
                    }
                }
            };
            let Some(mut ack) = verdict.line() else { break Ok(()) };
            ack.push('\n');
            open.push_ack(&ack, self.limits.acks_bytes);
            remember(&mut self.acks, at, &ack, self.limits.acks_bytes);
            if let Verdict::Refuse { refusal, .. } = verdict {
                let number = pending.line.number;
                break Err(if is_only_line {
                    refusal
                } else {
                    Refusal::new(refusal.word, alloc::format!("line {number}: {}", refusal.detail))
                });
            }
        };
        let outcome = match outcome {
            Ok(()) if pending.line.number == 0 => Err(Refusal::new(Word::Invalid, "no command in the write")),
            other => other,
        };
        match outcome {
            Ok(()) => Rmsg::Write { count: pending.data.len() as u32 }.encode(pending.tag, &mut conn.out),
            Err(refusal) => error(&mut conn.out, pending.tag, &refusal, self.limits.tells_detail),
        }
    }
}

/// One line: an order is the state's business, a command goes the way of all commands.
fn run<S>(
    file: &File<S>,
    state: &mut S,
    pipeline: &mut Option<Box<dyn Pipeline<S>>>,
    call: &Call,
    line: &str,
) -> Verdict {
    match (&file.kind, pipeline) {
        (Kind::Orders { line: run, .. }, _) => run(state, call, line),
        (Kind::Ctl { path, .. }, Some(pipeline)) => match path.of(state, call.key) {
            Some(path) => pipeline.submit(state, path, call, line),
            None => {
                let refusal = Refusal::new(Word::Busy, "the file's directory is gone; walk again");
                Verdict::Refuse { verb: "CTL".into(), refusal }
            }
        },
        _ => Verdict::Refuse { verb: "CTL".into(), refusal: Refusal::new(Word::Busy, "there is no journal") },
    }
}

impl Lines {
    /// The next line that is not blank.
    fn next<'d>(&mut self, data: &'d [u8]) -> Option<&'d [u8]> {
        while self.at < data.len() {
            let rest = &data[self.at..];
            let len = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            self.at += len + 1;
            let line = rest[..len].strip_suffix(b"\r").unwrap_or(&rest[..len]);
            if !line.trim_ascii().is_empty() {
                self.number += 1;
                return Some(line);
            }
        }
        None
    }
}

fn check_line(line: &[u8], max_line: usize) -> Result<&str, Refusal> {
    if line.len() > max_line {
        return Err(Refusal::new(
            Word::TooBig,
            alloc::format!("{} bytes in a line; {max_line} allowed", line.len()),
        ));
    }
    match core::str::from_utf8(line) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => Err(Refusal::new(Word::Invalid, "a NUL in the line")),
        Err(_) => Err(Refusal::new(Word::Invalid, "the line is not UTF-8")),
    }
}

/// Keeps the last acknowledgements of a ctl for a fresh open.
fn remember(acks: &mut HashMap<(u16, u64), String>, at: At, ack: &str, max: usize) {
    let name = (at.node, at.key);
    if !acks.contains_key(&name)
        && acks.len() >= ACK_FILES_MAX
        && let Some(any) = acks.keys().next().copied()
    {
        acks.remove(&any);
    }
    super::open::push_bounded(acks.entry(name).or_default(), ack, max);
}

fn error(out: &mut Vec<u8>, tag: u16, refusal: &Refusal, tells_detail: bool) {
    let detail = if tells_detail { refusal.detail.as_ref() } else { "" };
    Rmsg::Lerror { ecode: refusal.word.errno(), detail: wire::Detail(detail) }.encode(tag, out);
}
