//! Requests to other servers of the hive: walk, open, write or read, clunk, in one system call each.

use super::host::PEER;
use super::poll::{Event, Poll, Wish};
use chan::unix::{self, Moved};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Framer, Next, Now, Op, Request};
use ninep::wire::{self, MSIZE_MAX, NOFID, NOTAG, Names, READ_OVERHEAD, Rmsg, Tmsg, VERSION, WRITE_OVERHEAD};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The id of a request, and what came of it.
pub(crate) type Answer = (u64, Result<Vec<u8>, Refusal>);

/// A request that is not answered by then is Busy.
const DEADLINE_MS: u64 = 5000;
/// Log lines that wait for a log server that is away.
const BACKLOG_BYTES: usize = 256 << 10;
/// How long to leave a log server alone that is not there.
const RETRY_MS: u64 = 100;
/// The longest answer that is read.
const ANSWER_MAX: usize = 4 << 20;
const O_RDONLY: u32 = 0;
const O_RDWR: u32 = 2;

/// Every peer of a server, each with one connection.
pub(crate) struct Peers {
    me: String,
    dir: PathBuf,
    peers: Vec<Peer>,
}

struct Peer {
    name: &'static str,
    link: Option<Link>,
    /// Log lines, oldest first, while the log is away.
    backlog: VecDeque<Request>,
    backlog_bytes: usize,
    dropped: u64,
    retry_ms: Option<u64>,
}

struct Link {
    stream: UnixStream,
    framer: Framer,
    input: Vec<u8>,
    out: Vec<u8>,
    roots: HashMap<&'static str, u32>,
    next_fid: u32,
    calls: Slab<Call>,
    /// Whose message a tag is.
    tags: Slab<Option<usize>>,
    is_writing: bool,
}

/// A request on its way.
struct Call {
    id: u64,
    fid: u32,
    left: usize,
    answer: Result<Vec<u8>, Refusal>,
    is_read: bool,
    deadline_ms: u64,
    /// A log line, until it is acknowledged.
    line: Option<Request>,
}

impl Peers {
    pub(crate) fn new(me: &str, dir: PathBuf) -> Self {
        Peers { me: format!("server:{me}"), dir, peers: Vec::new() }
    }

    /// Sends requests in order; returns those that failed at once.
    pub(crate) fn send(&mut self, poll: &Poll, requests: Vec<Request>, now: Now) -> Vec<Answer> {
        let mut failed = Vec::new();
        let mut touched = Vec::new();
        for request in requests {
            let i = self.index(request.server);
            if !touched.contains(&i) {
                touched.push(i);
            }
            // Somebody waits: ask now, not when it is time to look for the log again.
            let is_there = self.connect(poll, i, now, request.id != 0);
            let me = &self.me;
            let peer = &mut self.peers[i];
            // Lines that were kept go first.
            let has_room = peer.backlog.is_empty() || request.id != 0;
            match &mut peer.link {
                Some(link) if has_room && link.out.len() <= BACKLOG_BYTES => link.begin(me, request, now),
                _ if request.id == 0 => peer.keep(request),
                _ => {
                    let state = if is_there { "does not keep up" } else { "is not running" };
                    let detail = format!("{} {state}", request.server);
                    failed.push((request.id, Err(Refusal::new(Word::Busy, detail))));
                }
            }
        }
        for i in touched {
            failed.extend(self.flush(poll, i));
        }
        failed
    }

    fn index(&mut self, name: &'static str) -> usize {
        if let Some(i) = self.peers.iter().position(|peer| peer.name == name) {
            return i;
        }
        self.peers.push(Peer {
            name,
            link: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            dropped: 0,
            retry_ms: None,
        });
        self.peers.len() - 1
    }

    fn connect(&mut self, poll: &Poll, i: usize, now: Now, at_once: bool) -> bool {
        let peer = &mut self.peers[i];
        if peer.link.is_some() {
            return true;
        }
        if !at_once && peer.retry_ms.is_some_and(|at| now.mono_ms < at) {
            return false;
        }
        let stream = unix::connect(&self.dir.join(peer.name)).ok();
        let Some(stream) = stream.filter(|s| poll.add(s, PEER | i as u64, Wish::Read).is_ok()) else {
            peer.retry_ms = (!peer.backlog.is_empty()).then_some(now.mono_ms + RETRY_MS);
            return false;
        };
        peer.link = Some(Link::new(stream));
        peer.catch_up(&self.me, now);
        true
    }

    /// Something has come from a peer.
    pub(crate) fn event(&mut self, poll: &Poll, event: Event, buffer: &mut [u8], _now: Now) -> Vec<Answer> {
        let i = (event.token & !PEER) as usize;
        let mut answers = Vec::new();
        let Some(link) = self.peers.get_mut(i).and_then(|peer| peer.link.as_mut()) else { return answers };
        if event.ready.read {
            let is_sound = match unix::read(&mut link.stream, buffer) {
                Moved::Later => true,
                Moved::Ended => false,
                Moved::Bytes(n) => {
                    link.input.extend_from_slice(&buffer[..n]);
                    link.take(&mut answers)
                }
            };
            if !is_sound {
                answers.extend(self.lose(i));
                return answers;
            }
        }
        answers.extend(self.flush(poll, i));
        answers
    }

    fn flush(&mut self, poll: &Poll, i: usize) -> Vec<Answer> {
        let Some(link) = &mut self.peers[i].link else { return Vec::new() };
        while !link.out.is_empty() {
            match unix::write(&mut link.stream, &link.out) {
                Moved::Bytes(n) => drop(link.out.drain(..n)),
                Moved::Later => break,
                Moved::Ended => return self.lose(i),
            }
        }
        let is_writing = !link.out.is_empty();
        if is_writing != link.is_writing {
            link.is_writing = is_writing;
            let wish = if is_writing { Wish::Both } else { Wish::Read };
            if poll.modify(&link.stream, PEER | i as u64, wish).is_err() {
                return self.lose(i);
            }
        }
        Vec::new()
    }

    /// The connection has ended: what was asked is Busy, whatever became of it over there. Log lines
    /// that were not acknowledged are sent again: their ring is gone with its server.
    fn lose(&mut self, i: usize) -> Vec<Answer> {
        let peer = &mut self.peers[i];
        let name = peer.name;
        let Some(mut link) = peer.link.take() else { return Vec::new() };
        let mut lines: Vec<_> =
            link.calls.iter_mut().filter_map(|(_, c)| Some((c.fid, c.line.take()?))).collect();
        lines.sort_unstable_by_key(|(fid, _)| *fid);
        lines.into_iter().for_each(|(_, line)| peer.keep(line));
        let gone = || Err(Refusal::new(Word::Busy, format!("{name} has died and is being restarted")));
        link.calls.drain().filter(|call| call.id != 0).map(|call| (call.id, gone())).collect()
    }

    /// Ends what has taken too long, and looks for a log that was away.
    pub(crate) fn tick(&mut self, poll: &Poll, now: Now) -> Vec<Answer> {
        let mut answers = Vec::new();
        for i in 0..self.peers.len() {
            if self.peers[i].retry_ms.is_some_and(|at| at <= now.mono_ms) && self.connect(poll, i, now, false)
            {
                self.peers[i].catch_up(&self.me, now);
                answers.extend(self.flush(poll, i));
            }
            let is_late = |link: &Link| link.calls.iter().any(|(_, call)| call.deadline_ms <= now.mono_ms);
            if self.peers[i].link.as_ref().is_some_and(is_late) {
                // Its later answers could not be told from those to new requests: start afresh.
                answers.extend(self.lose(i));
            }
        }
        answers
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let calls = |peer: &Peer| {
            let link = peer.link.as_ref()?;
            link.calls.iter().map(|(_, call)| call.deadline_ms).min()
        };
        self.peers.iter().flat_map(|peer| [peer.retry_ms, calls(peer)]).flatten().min()
    }
}

impl Peer {
    /// Sends what was kept, as far as there is room, and says what was not kept.
    fn catch_up(&mut self, me: &str, now: Now) {
        let Some(link) = &mut self.link else { return };
        while link.out.len() <= BACKLOG_BYTES {
            let Some(line) = self.backlog.pop_front() else { break };
            self.backlog_bytes -= size(&line);
            link.begin(me, line, now);
        }
        self.retry_ms = (!self.backlog.is_empty()).then_some(now.mono_ms + RETRY_MS);
        if self.backlog.is_empty() && self.dropped > 0 {
            let name = me.strip_prefix("server:").unwrap_or(me);
            let line = format!("{name} log lines lost count={} reason=log-away", self.dropped);
            link.begin(me, Request::log(line), now);
            self.dropped = 0;
        }
    }

    /// Keeps a log line until the log is back, within the bound; other requests that nobody waits for
    /// are lost with their server, and its successor asks for what it needs.
    fn keep(&mut self, request: Request) {
        if self.name != "log" {
            return;
        }
        let bytes = size(&request);
        if self.backlog_bytes + bytes > BACKLOG_BYTES {
            self.dropped += 1;
            return;
        }
        self.backlog_bytes += bytes;
        self.backlog.push_back(request);
        // Looked for again at the next tick.
        self.retry_ms.get_or_insert(0);
    }
}

fn size(request: &Request) -> usize {
    match &request.op {
        Op::Write(data) => data.len(),
        Op::Read => 0,
    }
}

impl Link {
    fn new(stream: UnixStream) -> Link {
        let mut out = Vec::new();
        Tmsg::Version { msize: MSIZE_MAX, version: VERSION }.encode(NOTAG, &mut out);
        Link {
            stream,
            framer: Framer::new(MSIZE_MAX),
            input: Vec::new(),
            out,
            roots: HashMap::new(),
            next_fid: 0,
            calls: Slab::new(),
            tags: Slab::new(),
            is_writing: false,
        }
    }

    fn send(&mut self, call: Option<usize>, msg: &Tmsg) {
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

    /// Sends all messages of a request whose answers do not decide what comes next.
    fn begin(&mut self, me: &str, request: Request, now: Now) {
        let root = match self.roots.get(request.root) {
            Some(fid) => *fid,
            None => {
                let fid = self.new_fid();
                let attach = Tmsg::Attach { fid, afid: NOFID, uname: me, aname: request.root, n_uname: 0 };
                self.send(None, &attach);
                self.roots.insert(request.root, fid);
                fid
            }
        };
        let fid = self.new_fid();
        let is_read = request.id != 0;
        let deadline_ms = now.mono_ms + DEADLINE_MS;
        let answer = Ok(Vec::new());
        let call = Call { id: request.id, fid, left: 0, answer, is_read, deadline_ms, line: None };
        let at = self.calls.insert(call);
        let call = Some(at);
        let names: Vec<&str> = request.path.split('/').filter(|name| !name.is_empty()).collect();
        self.send(call, &Tmsg::Walk { fid: root, newfid: fid, names: Names::from(&names[..]) });
        let flags = if matches!(request.op, Op::Read) { O_RDONLY } else { O_RDWR };
        self.send(call, &Tmsg::Lopen { fid, flags });
        if let Op::Write(data) = &request.op {
            for piece in pieces(data, (MSIZE_MAX - WRITE_OVERHEAD) as usize) {
                self.send(call, &Tmsg::Write { fid, offset: u64::MAX, data: piece });
            }
        }
        if is_read {
            self.send(call, &Tmsg::Read { fid, offset: 0, count: MSIZE_MAX - READ_OVERHEAD });
        } else if request.server == "log" {
            self.calls[at].line = Some(request);
        }
    }

    /// Takes the replies that have come; false where the peer does not speak the protocol.
    fn take(&mut self, answers: &mut Vec<Answer>) -> bool {
        let input = std::mem::take(&mut self.input);
        let mut used = 0;
        loop {
            let (n, next) = self.framer.next(&input[used..]);
            used += n;
            let frame = match next {
                Next::Frame(frame) => frame,
                Next::More => break,
                Next::Refuse(..) | Next::Close => return false,
            };
            let Ok((tag, msg)) = wire::decode_r(frame) else { return false };
            if tag == NOTAG {
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
            (Rmsg::Read { data }, Ok(read)) if !data.is_empty() && read.len() < ANSWER_MAX => {
                read.extend_from_slice(data);
                let offset = read.len() as u64;
                return self.send(Some(at), &Tmsg::Read { fid, offset, count: MSIZE_MAX - READ_OVERHEAD });
            }
            _ => {}
        }
        if call.left == 0 {
            let call = self.calls.remove(at);
            self.send(None, &Tmsg::Clunk { fid });
            if call.is_read {
                answers.push((call.id, call.answer));
            }
        }
    }
}

/// Cuts `data` into pieces of at most `max` bytes, behind newlines where there are any.
fn pieces(data: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
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
