//! A tree on its socket: connections in, replies out, requests to peers, time.

use super::boot::Boot;
use super::clock;
use super::doors::Doors;
use super::poll::{Event, Poll, Wish};
use crate::conn::{self, Stream};
use crate::link::{Link, Rest};
use crate::peers::{Answer, Peers, Wires};
use crate::tracing;
use chan::unix::{self, Moved};
use ninep::srv::{ConnId, Engine, Limits, Now, Request, Service, Tree};
use std::collections::HashMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// The numbers that a host takes of its poll: those below `1 << 56` are the caller's.
const LISTENER: u64 = 1 << 56;
const CONN: u64 = 2 << 56;
pub(crate) const PEER: u64 = 3 << 56;
const KIND: u64 = 0xff << 56;

/// How long a listener is left alone when there are no descriptors.
const ACCEPT_AGAIN_MS: u64 = 100;
/// One read.
const READ_BYTES: usize = 128 << 10;

struct Conn {
    conn: conn::Conn<UnixStream>,
    wish: Wish,
}

impl Stream for UnixStream {
    fn read(&mut self, buffer: &mut [u8]) -> Moved {
        unix::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> Moved {
        unix::write(self, bytes)
    }
}

/// The sockets of the run directory.
struct Sockets {
    dir: PathBuf,
    /// Each peer's stream, and whether room to write is waited for.
    streams: Vec<Option<(UnixStream, bool)>>,
}

/// The same with what they are waited for with.
struct Polled<'a>(&'a mut Sockets, &'a Poll);

impl Wires for Polled<'_> {
    fn open(&mut self, at: usize, peer: &'static str) -> Option<Rest> {
        let Polled(sockets, poll) = self;
        let stream = unix::connect(&sockets.dir.join(peer)).ok();
        let stream = stream.filter(|s| poll.add(s, PEER | at as u64, Wish::Read).is_ok());
        let is_open = stream.is_some();
        if sockets.streams.len() <= at {
            sockets.streams.resize_with(at + 1, || None);
        }
        sockets.streams[at] = stream.map(|stream| (stream, false));
        is_open.then(Rest::default)
    }

    fn flush(&mut self, at: usize, link: &mut Link) -> bool {
        let Polled(sockets, poll) = self;
        let Some(Some((stream, is_writing))) = sockets.streams.get_mut(at) else { return false };
        if !link.flush(|bytes| unix::write(stream, bytes)) {
            return false;
        }
        if (link.queued() > 0) != *is_writing {
            *is_writing = !*is_writing;
            let wish = if *is_writing { Wish::Both } else { Wish::Read };
            return poll.modify(&*stream, PEER | at as u64, wish).is_ok();
        }
        true
    }

    fn close(&mut self, at: usize, _: Rest) {
        if let Some(stream) = self.0.streams.get_mut(at) {
            *stream = None;
        }
    }
}

/// A server's tree with everything around it.
pub struct Host<S: Service> {
    /// The tree, its state, and its connections.
    pub engine: Engine<S>,
    listener: UnixListener,
    conns: HashMap<ConnId, Conn>,
    peers: Peers,
    doors: Doors,
    sockets: Sockets,
    buffer: Vec<u8>,
    /// What is asked before anything else.
    first: Vec<Request>,
    /// Connections from which something has come in this turn.
    heard: Vec<ConnId>,
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
        // Whom doors ask does not tell them apart; other servers' processes have each their own.
        let index = if boot.name == "door" { 0 } else { boot.index };
        let peers = Peers::new(&manifest::process_name(boot.name, index));
        let sockets = Sockets { dir: boot.run.join("srv"), streams: Vec::new() };
        let doors = Doors::new(doors_of(boot));
        let is_traced =
            boot.name != "trace" && boot.manifest.servers.iter().any(|server| server.name == "trace");
        Ok(Host {
            engine,
            listener,
            conns: HashMap::new(),
            peers,
            doors,
            sockets,
            buffer: vec![0; READ_BYTES],
            first: is_traced.then(tracing::ask).into_iter().collect(),
            heard: Vec::new(),
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
            CONN => self.conn(event, now),
            PEER => {
                let answers = self.peer(poll, event);
                for (id, answer) in self.doors.collect(answers) {
                    tracing::reply(&mut self.engine, id, answer, now);
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
            self.conns.insert(id, Conn { conn: conn::Conn::new(stream), wish: Wish::Read });
        }
    }

    /// Reads once, and takes what has come; the replies go with those that the turn brings.
    fn conn(&mut self, event: Event, now: Now) {
        let id = (event.token & !KIND) as ConnId;
        // An end shows as readable whatever was asked for; it keeps until there is room for replies.
        let reads = event.ready.read && self.conns.get(&id).is_some_and(|conn| conn.wish != Wish::Write);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match conn.conn.read(&mut self.engine, id, &mut self.buffer, reads, now) {
            Some(()) => self.heard.push(id),
            None => self.drop_conn(id),
        }
    }

    /// Sends what can be sent, and waits for what can come next.
    fn advance(&mut self, poll: &Poll, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match conn.conn.advance(&mut self.engine, id, now) {
            Some(()) => self.wish(poll, id),
            None => self.drop_conn(id),
        }
    }

    /// A peer's stream has bytes, an end, or room.
    fn peer(&mut self, poll: &Poll, event: Event) -> Vec<Answer> {
        let at = (event.token & !KIND) as usize;
        let Some(Some((stream, _))) = self.sockets.streams.get_mut(at) else { return Vec::new() };
        let moved = if event.ready.read { unix::read(stream, &mut self.buffer) } else { Moved::Later };
        let wires = &mut Polled(&mut self.sockets, poll);
        match moved {
            Moved::Ended => self.peers.lose(wires, at),
            Moved::Later => self.peers.input(wires, at, &[]),
            Moved::Bytes(n) => self.peers.input(wires, at, &self.buffer[..n]),
        }
    }

    fn wish(&mut self, poll: &Poll, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let wish = match self.engine.output(id).len() {
            0 => Wish::Read,
            _ if !self.engine.has_room(id) => Wish::Write,
            _ => Wish::Both,
        };
        if wish != conn.wish {
            conn.wish = wish;
            if poll.modify(&conn.conn.stream, CONN | u64::from(id), wish).is_err() {
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
            let mut touched = self.engine.settle(now);
            let heard = core::mem::take(&mut self.heard);
            touched.extend(heard.into_iter().filter(|id| !touched.contains(id)).collect::<Vec<_>>());
            let mut requests = self.engine.outbox();
            requests.append(&mut self.first);
            requests.extend(tracing::events());
            let requests = self.doors.spread(requests);
            let wires = &mut Polled(&mut self.sockets, poll);
            let mut answers = self.peers.send(wires, requests, now);
            answers.extend(self.peers.tick(wires, now));
            let is_done = answers.is_empty() && touched.is_empty();
            for (id, answer) in self.doors.collect(answers) {
                tracing::reply(&mut self.engine, id, answer, now);
            }
            for id in touched {
                self.advance(poll, id, now);
            }
            if is_done {
                return;
            }
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
