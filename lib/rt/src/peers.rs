//! Requests to other servers of the hive, and log lines that wait for a log that is away.

use crate::link::{Link, Rest, WRITE_MAX};
use crate::prelude::*;
use alloc::collections::VecDeque;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Now, Op, Request};

/// The id of a request, and what came of it.
pub(crate) type Answer = (u64, Result<Vec<u8>, Refusal>);

/// Log lines that wait for a log server that is away.
const BACKLOG_BYTES: usize = 256 << 10;
/// How long files of answered requests stay open for the next request to close them: closing wakes the peer.
const CLOSE_MS: u64 = 20;
/// How long to leave a log server alone that is not there.
const RETRY_MS: u64 = 100;

/// The streams to peers, each with a number that counts from 0 as they are first opened.
pub(crate) trait Wires {
    /// Opens the stream, or goes on with one that is; says what is left on it.
    fn open(&mut self, at: usize, peer: &'static str) -> Option<Rest>;
    /// Sends what can be sent, and sees to the rest; false where the stream has ended.
    fn flush(&mut self, at: usize, link: &mut Link) -> bool;
    /// Ends it, or keeps what is left on it for the next.
    fn close(&mut self, at: usize, rest: Rest);
}

/// Every peer of a server, each with one connection.
pub(crate) struct Peers {
    me: String,
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
    close_ms: Option<u64>,
}

impl Peers {
    pub(crate) fn new(me: &str) -> Self {
        Peers { me: format!("server:{me}"), peers: Vec::new() }
    }

    /// Sends requests in order; returns those that failed at once.
    pub(crate) fn send(&mut self, wires: &mut impl Wires, requests: Vec<Request>, now: Now) -> Vec<Answer> {
        let mut failed = Vec::new();
        let mut touched = Vec::new();
        for request in joined(requests) {
            if request.server != "trace" {
                trace::trace!(Peer, Debug, "{}/{}/{}", request.server, request.root, request.path);
            }
            let i = self.index(request.server);
            if !touched.contains(&i) {
                touched.push(i);
            }
            // Somebody waits: ask now, not when it is time to look for the log again.
            let is_there = self.connect(wires, i, now, request.id != 0);
            let me = &self.me;
            let peer = &mut self.peers[i];
            // Lines that were kept go first.
            let has_room = peer.backlog.is_empty() || request.id != 0;
            match &mut peer.link {
                Some(link) if has_room && link.queued() <= BACKLOG_BYTES => link.begin(me, request, now),
                _ if request.id == 0 => peer.keep(request),
                _ => {
                    let state = if is_there { "does not keep up" } else { "is not running" };
                    let detail = format!("{} {state}", request.server);
                    fault(request.server, state);
                    failed.push((request.id, Err(Refusal::new(Word::Busy, detail))));
                }
            }
        }
        for i in touched {
            failed.extend(self.flush(wires, i));
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
            close_ms: None,
        });
        self.peers.len() - 1
    }

    fn connect(&mut self, wires: &mut impl Wires, i: usize, now: Now, at_once: bool) -> bool {
        let peer = &mut self.peers[i];
        if peer.link.is_some() {
            return true;
        }
        if !at_once && peer.retry_ms.is_some_and(|at| now.mono_ms < at) {
            return false;
        }
        let Some(rest) = wires.open(i, peer.name) else {
            peer.retry_ms = (!peer.backlog.is_empty()).then_some(now.mono_ms + RETRY_MS);
            return false;
        };
        peer.link = Some(Link::new(rest));
        peer.catch_up(&self.me, now);
        true
    }

    /// Something has come from a peer, or there is room to write again.
    pub(crate) fn input(&mut self, wires: &mut impl Wires, i: usize, bytes: &[u8]) -> Vec<Answer> {
        let mut answers = Vec::new();
        let Some(link) = self.peers.get_mut(i).and_then(|peer| peer.link.as_mut()) else { return answers };
        if !bytes.is_empty() && !link.receive(bytes, &mut answers) {
            answers.extend(self.lose(wires, i));
            return answers;
        }
        answers.extend(self.flush(wires, i));
        answers
    }

    fn flush(&mut self, wires: &mut impl Wires, i: usize) -> Vec<Answer> {
        let Some(link) = &mut self.peers[i].link else { return Vec::new() };
        if !link.is_urgent() || wires.flush(i, link) { Vec::new() } else { self.lose(wires, i) }
    }

    /// The connection has ended: what was asked is Busy, whatever became of it over there. Log lines
    /// that were not acknowledged are sent again: their ring is gone with its server.
    pub(crate) fn lose(&mut self, wires: &mut impl Wires, i: usize) -> Vec<Answer> {
        self.end(wires, i, "has died and is being restarted")
    }

    fn end(&mut self, wires: &mut impl Wires, i: usize, how: &str) -> Vec<Answer> {
        let Some(peer) = self.peers.get_mut(i) else { return Vec::new() };
        let name = peer.name;
        let Some(link) = peer.link.take() else { return Vec::new() };
        fault(name, "its connection is over");
        let (lines, waiting, rest) = link.end();
        wires.close(i, rest);
        lines.into_iter().for_each(|line| peer.keep(line));
        let gone = || Err(Refusal::new(Word::Busy, format!("{name} {how}")));
        waiting.into_iter().map(|id| (id, gone())).collect()
    }

    /// Ends what has taken too long, closes what is done with, and looks for a log that was away.
    pub(crate) fn tick(&mut self, wires: &mut impl Wires, now: Now) -> Vec<Answer> {
        let mut answers = Vec::new();
        for i in 0..self.peers.len() {
            if self.peers[i].retry_ms.is_some_and(|at| at <= now.mono_ms)
                && self.connect(wires, i, now, false)
            {
                self.peers[i].catch_up(&self.me, now);
                answers.extend(self.flush(wires, i));
            }
            if self.peers[i].closes(now) {
                answers.extend(self.flush(wires, i));
            }
            let is_late = |link: &Link| link.deadline_ms().is_some_and(|at| at <= now.mono_ms);
            if self.peers[i].link.as_ref().is_some_and(is_late) {
                // Its later answers could not be told from those to new requests: start afresh.
                answers.extend(self.end(wires, i, "does not answer"));
            }
        }
        answers
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let calls = |peer: &Peer| peer.link.as_ref().and_then(Link::deadline_ms);
        self.peers.iter().flat_map(|peer| [peer.retry_ms, peer.close_ms, calls(peer)]).flatten().min()
    }
}

impl Peer {
    /// Is it time to send what nobody waits for?
    fn closes(&mut self, now: Now) -> bool {
        let Some(link) = self.link.as_mut().filter(|link| link.queued() > 0 && !link.is_urgent()) else {
            self.close_ms = None;
            return false;
        };
        self.close_ms.get_or_insert(now.mono_ms + CLOSE_MS);
        let is_due = self.close_ms.take_if(|at| *at <= now.mono_ms).is_some();
        if is_due {
            link.hurry();
        }
        is_due
    }

    /// Sends what was kept, as far as there is room, and says what was not kept.
    fn catch_up(&mut self, me: &str, now: Now) {
        let Some(link) = &mut self.link else { return };
        while link.queued() <= BACKLOG_BYTES {
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
            let Op::Write(data) = &request.op else { return };
            self.dropped += data.iter().filter(|b| **b == b'\n').count() as u64;
            return;
        }
        self.backlog_bytes += bytes;
        self.backlog.push_back(request);
        // Looked for again at the next tick.
        self.retry_ms.get_or_insert(0);
    }
}

/// Tells who asked for errors, where the one to tell is not the one that is away.
fn fault(server: &str, what: &str) {
    if server != "trace" {
        trace::trace!(Peer, Error, "{server}: {what}");
    }
}

/// Log lines of one turn as few writes: each costs a round of both processes.
fn joined(requests: Vec<Request>) -> Vec<Request> {
    let mut out: Vec<Request> = Vec::with_capacity(requests.len());
    let mut last: Option<usize> = None;
    for request in requests {
        let is_line = request.id == 0 && request.server == "log";
        if is_line
            && let Some(before) = last.and_then(|i| out.get_mut(i))
            && before.root == request.root
            && before.path == request.path
            && size(before) + size(&request) <= WRITE_MAX
            && let (Op::Write(lines), Op::Write(line)) = (&mut before.op, &request.op)
        {
            lines.extend_from_slice(line);
            continue;
        }
        if is_line {
            last = Some(out.len());
        }
        out.push(request);
    }
    out
}

fn size(request: &Request) -> usize {
    match &request.op {
        Op::Write(data) => data.len(),
        Op::Read => 0,
    }
}
