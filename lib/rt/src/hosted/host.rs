//! A tree on its socket: connections in, replies out, requests to peers, time.

use super::boot::Boot;
use super::clock;
use super::doors::Doors;
use super::peers::Peers;
use super::poll::{Event, Poll, Wish};
use super::tracing;
use chan::unix::{self, Moved};
use ninep::refusal::Refusal;
use ninep::srv::{ConnId, Engine, Limits, Now, Request, Service, Tree};
use ninep::wire::MSIZE_MAX;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};

/// The numbers that a host takes of its poll: those below `1 << 56` are the caller's.
const LISTENER: u64 = 1 << 56;
const CONN: u64 = 2 << 56;
pub(crate) const PEER: u64 = 3 << 56;
const KIND: u64 = 0xff << 56;

/// Replies that may wait on one connection before it is read no further.
const QUEUE_MAX: usize = 256 << 10;
/// Requests taken between two looks at the queue: small ones can ask for large replies. No frame is
/// larger.
const WINDOW: usize = MSIZE_MAX as usize;
/// How long a listener is left alone when there are no descriptors.
const ACCEPT_AGAIN_MS: u64 = 100;
/// One read.
const READ_BYTES: usize = 128 << 10;

struct Conn {
    stream: UnixStream,
    /// What has come and is not taken yet: part of a frame, or what waits for room among the replies.
    /// At most one read, since nothing is read while whole frames wait.
    input: Vec<u8>,
    wish: Wish,
}

/// A server's tree with everything around it.
pub struct Host<S: Service> {
    /// The tree, its state, and its connections.
    pub engine: Engine<S>,
    listener: UnixListener,
    conns: HashMap<ConnId, Conn>,
    peers: Peers,
    doors: Doors,
    buffer: Vec<u8>,
    /// What is asked before anything else.
    first: Vec<Request>,
    /// When the listener is looked at again.
    accept_ms: Option<u64>,
}

impl<S: Service> Host<S> {
    /// Listens at its place in `RUN/srv`, serves `tree` there, and starts its state.
    pub fn new(boot: &Boot, tree: Tree<S>, poll: &Poll) -> io::Result<Host<S>> {
        let now = clock::now();
        let listener = unix::listen(&boot.own_socket())?;
        poll.add(&listener, LISTENER, Wish::Read)?;
        let limits = Limits {
            tells_detail: true,
            acks_bytes: boot.manifest.queen.ack_bytes as usize,
            ..Limits::default()
        };
        let mut engine = Engine::new(tracing::with_filter(tree), limits, now);
        engine.start(now);
        let peers = Peers::new(boot.name, boot.run.join("srv"));
        let doors = Doors::new(doors_of(boot));
        let is_traced =
            boot.name != "trace" && boot.manifest.servers.iter().any(|server| server.name == "trace");
        trace::trace!(Boot, Info, "up pid={}", std::process::id());
        Ok(Host {
            engine,
            listener,
            conns: HashMap::new(),
            peers,
            doors,
            buffer: vec![0; READ_BYTES],
            first: is_traced.then(tracing::ask).into_iter().collect(),
            accept_ms: None,
        })
    }

    /// Has another process of the hive sent something?
    pub fn is_asked(event: Event) -> bool {
        event.token & KIND == CONN
    }

    /// Takes an event of the poll if it is this host's; says whether it was.
    pub fn event(&mut self, poll: &Poll, event: Event, now: Now) -> bool {
        match event.token & KIND {
            LISTENER => self.accept(poll, now),
            CONN => self.conn(poll, event, now),
            PEER => {
                let answers = self.peers.event(poll, event, &mut self.buffer, now);
                for (id, answer) in self.doors.collect(answers) {
                    self.reply(id, answer, now);
                }
            }
            _ => return false,
        }
        true
    }

    fn accept(&mut self, poll: &Poll, now: Now) {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if unix::is_exhausted(&error)
                        && poll.modify(&self.listener, LISTENER, Wish::Nothing).is_ok()
                    {
                        self.accept_ms = Some(now.mono_ms + ACCEPT_AGAIN_MS);
                    }
                    return;
                }
            };
            let is_ours = unix::peer_uid(&stream).is_ok_and(|uid| uid == rustix::process::geteuid().as_raw());
            if !is_ours || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let id = self.engine.connect();
            if poll.add(&stream, CONN | u64::from(id), Wish::Read).is_err() {
                self.engine.disconnect(id);
                continue;
            }
            self.conns.insert(id, Conn { stream, input: Vec::new(), wish: Wish::Read });
        }
    }

    fn conn(&mut self, poll: &Poll, event: Event, now: Now) {
        let id = (event.token & !KIND) as ConnId;
        // An end shows as readable whatever was asked for; it keeps until there is room for replies.
        let reads = event.ready.read && self.conns.get(&id).is_some_and(|conn| conn.wish != Wish::Write);
        self.advance(poll, id, reads, now);
    }

    /// Reads once, takes what has come, sends what can be sent, and waits for what can come next.
    fn advance(&mut self, poll: &Poll, id: ConnId, reads: bool, now: Now) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut input = std::mem::take(&mut conn.input);
        let mut fresh = 0;
        if reads {
            match unix::read(&mut conn.stream, &mut self.buffer) {
                Moved::Later => {}
                Moved::Ended => return self.drop_conn(id),
                Moved::Bytes(n) if input.is_empty() => fresh = n,
                Moved::Bytes(n) => input.extend_from_slice(&self.buffer[..n]),
            }
        }
        let is_sound = if fresh > 0 {
            // The common case: whole frames, taken where they were read.
            let buffer = std::mem::take(&mut self.buffer);
            let used = self.take(id, &buffer[..fresh], now);
            input.extend_from_slice(&buffer[used.unwrap_or(fresh)..fresh]);
            self.buffer = buffer;
            used.is_some()
        } else {
            let used = self.take(id, &input, now);
            input.drain(..used.unwrap_or(0));
            used.is_some()
        };
        if input.is_empty() {
            input = Vec::new();
        }
        match self.conns.get_mut(&id) {
            Some(conn) if is_sound => conn.input = input,
            _ => return self.drop_conn(id),
        }
        self.wish(poll, id);
    }

    /// Takes whole frames from `input` and sends the replies, as long as they find room; says how many
    /// bytes it is done with, or None where the connection must end.
    fn take(&mut self, id: ConnId, input: &[u8], now: Now) -> Option<usize> {
        let mut used = 0;
        loop {
            if self.engine.output(id).len() > QUEUE_MAX && !self.send(id)? {
                return Some(used);
            }
            let window = &input[used..input.len().min(used + WINDOW)];
            match self.engine.feed(id, window, now)? {
                0 => break,
                n => used += n,
            }
        }
        self.send(id)?;
        Some(used)
    }

    /// Sends what it can; says whether there is room again, or None where the connection must end.
    fn send(&mut self, id: ConnId) -> Option<bool> {
        let conn = self.conns.get_mut(&id)?;
        loop {
            let output = self.engine.output(id);
            if output.is_empty() {
                return Some(true);
            }
            match unix::write(&mut conn.stream, output) {
                Moved::Bytes(n) => self.engine.consume(id, n),
                Moved::Later => return Some(output.len() <= QUEUE_MAX),
                Moved::Ended => return None,
            }
        }
    }

    fn wish(&mut self, poll: &Poll, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let wish = match self.engine.output(id).len() {
            0 => Wish::Read,
            n if n > QUEUE_MAX => Wish::Write,
            _ => Wish::Both,
        };
        if wish != conn.wish {
            conn.wish = wish;
            if poll.modify(&conn.stream, CONN | u64::from(id), wish).is_err() {
                self.drop_conn(id);
            }
        }
    }

    fn drop_conn(&mut self, id: ConnId) {
        self.conns.remove(&id);
        self.engine.disconnect(id);
    }

    /// Carries out what the state has decided since the last turn: time, requests, completions.
    pub fn turn(&mut self, poll: &Poll, now: Now) {
        if self.accept_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            // Where it cannot be looked at again, nobody new comes in; those who are in stay.
            let _ = poll.modify(&self.listener, LISTENER, Wish::Read);
        }
        // A reply may lead to further requests; what a state asks in answer to refusals is bounded by it.
        loop {
            let touched = self.engine.settle(now);
            let mut requests = self.engine.outbox();
            requests.append(&mut self.first);
            requests.extend(tracing::events());
            let mut answers = self.peers.send(poll, self.doors.spread(requests), now);
            answers.extend(self.peers.tick(poll, now));
            let is_done = answers.is_empty() && touched.is_empty();
            for (id, answer) in self.doors.collect(answers) {
                self.reply(id, answer, now);
            }
            for id in touched {
                self.advance(poll, id, false, now);
            }
            if is_done {
                return;
            }
        }
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        if id != tracing::ASK {
            return self.engine.reply(id, answer, now);
        }
        // A trace server that is away tells its filter when it starts.
        if let Ok(line) = answer {
            tracing::set(&String::from_utf8_lossy(&line));
        }
    }

    /// When [`Host::turn`] must run next, if nothing happens before.
    pub fn deadline_ms(&self) -> Option<u64> {
        [self.engine.deadline_ms(), self.peers.deadline_ms(), self.accept_ms].into_iter().flatten().min()
    }
}

/// The doors that a server speaks to as one. Init and the doors themselves tell them apart.
fn doors_of(boot: &Boot) -> Vec<&'static str> {
    let doors = boot.manifest.server("door").filter(|_| !matches!(boot.name, "init" | "door"));
    // A few names for the life of the process.
    doors.map_or_else(Vec::new, |door| door.processes().map(|name| &*name.leak()).collect())
}
