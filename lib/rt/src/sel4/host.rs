//! A tree on its channels: frames in, replies out, requests to peers, time.

use super::boot::Boot;
use super::clock;
use super::poll::{Poll, Wire};
use crate::conn::Conn;
use crate::link::{Link, Rest};
use crate::peers::{Answer, Peers, Wires};
use crate::prelude::*;
use crate::tracing;
use chan::Moved;
use ninep::srv::{ConnId, Engine, Limits, Now, Request, Service, Tree};
use task::config::Role;

/// One read: as much as a channel holds.
const READ_BYTES: usize = task::RING_BYTES;

/// A client's channel, and its connection while there is a conversation.
struct Client {
    conn: Conn<Wire>,
    id: Option<ConnId>,
}

/// Channels to peers.
struct Asked {
    /// Each with what an earlier connection has left on it.
    wires: Vec<(Wire, Rest)>,
    /// Which of `wires` is a peer's, by the number that [`Peers`] gave it.
    numbers: Vec<Option<usize>>,
}

impl Asked {
    fn wire(&mut self, at: usize) -> Option<&mut (Wire, Rest)> {
        let wire = self.numbers.get(at).copied().flatten()?;
        self.wires.get_mut(wire)
    }
}

impl Wires for Asked {
    fn open(&mut self, at: usize, peer: &'static str) -> Option<Rest> {
        let found = self.wires.iter().position(|(wire, _)| wire.peer == peer && wire.is_open());
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, None);
        }
        self.numbers[at] = found;
        self.wire(at).map(|(_, rest)| core::mem::take(rest))
    }

    fn flush(&mut self, at: usize, link: &mut Link) -> bool {
        let Some((wire, _)) = self.wire(at) else { return false };
        link.flush(|bytes| wire.write(bytes))
    }

    fn close(&mut self, at: usize, left: Rest) {
        if let Some((_, rest)) = self.wire(at) {
            *rest = left;
        }
        if let Some(number) = self.numbers.get_mut(at) {
            *number = None;
        }
    }
}

/// A server's tree with everything around it.
pub struct Host<S: Service> {
    /// The tree, its state, and its connections.
    pub engine: Engine<S>,
    clients: Vec<Client>,
    peers: Peers,
    asked: Asked,
    buffer: Vec<u8>,
    /// What is asked before anything else.
    first: Vec<Request>,
}

impl<S: Service> Host<S> {
    /// Serves `tree` on the channels that the poll has for it, and starts its state.
    pub fn new(boot: &Boot, tree: Tree<S>, poll: &mut Poll) -> Host<S> {
        let now = clock::now();
        let limits = Limits {
            tells_detail: true,
            acks_bytes: boot.manifest.queen.ack_bytes as usize,
            ..Limits::default()
        };
        let mut engine = Engine::new(tracing::with_filter(tree), limits, now);
        engine.start(now);
        let is_traced =
            boot.name != "trace" && boot.manifest.servers.iter().any(|server| server.name == "trace");
        let clients =
            poll.take(Role::Serve).into_iter().map(|wire| Client { conn: Conn::new(wire), id: None });
        let wires = poll.take(Role::Ask).into_iter().map(|wire| (wire, Rest::default())).collect();
        Host {
            engine,
            clients: clients.collect(),
            peers: Peers::new(boot.name),
            asked: Asked { wires, numbers: Vec::new() },
            buffer: vec![0; READ_BYTES],
            first: is_traced.then(tracing::ask).into_iter().collect(),
        }
    }

    /// Takes what has come on every channel.
    pub fn receive(&mut self, now: Now) {
        for at in 0..self.clients.len() {
            self.hear_client(at, now);
        }
        for wire in 0..self.asked.wires.len() {
            for (id, answer) in self.hear_peer(wire) {
                tracing::reply(&mut self.engine, id, answer, now);
            }
        }
    }

    fn hear_client(&mut self, at: usize, now: Now) {
        let client = &mut self.clients[at];
        if client.conn.stream.has_changed() {
            client.conn.input.clear();
            if let Some(id) = client.id.take() {
                self.engine.disconnect(id);
            }
            client.id = client.conn.stream.is_open().then(|| self.engine.connect());
        }
        loop {
            let client = &mut self.clients[at];
            let Some(id) = client.id else { return };
            // Nothing more is read while replies find no room: the client rings when it has taken some.
            let reads = self.engine.has_room(id);
            let before = client.conn.stream.bytes_read();
            let conn = &mut client.conn;
            let taken = conn.read(&mut self.engine, id, &mut self.buffer, reads, now);
            match taken.and_then(|()| conn.advance(&mut self.engine, id, now)) {
                None => return self.end(at),
                Some(()) if client.conn.stream.bytes_read() == before => return,
                Some(()) => {}
            }
        }
    }

    /// The connection must end: what comes on the channel is not listened to until its next conversation.
    fn end(&mut self, at: usize) {
        if let Some(id) = self.clients[at].id.take() {
            self.engine.disconnect(id);
        }
    }

    fn hear_peer(&mut self, wire: usize) -> Vec<Answer> {
        let has_changed = self.asked.wires[wire].0.has_changed();
        let at = self.asked.numbers.iter().position(|number| *number == Some(wire));
        if has_changed {
            let answers = at.map(|at| self.peers.lose(&mut self.asked, at));
            self.asked.wires[wire].1 = Rest::default();
            return answers.unwrap_or_default();
        }
        // What comes while nobody asks is left for the next who does.
        let Some(at) = at else { return Vec::new() };
        let mut answers = Vec::new();
        loop {
            let moved = self.asked.wires[wire].0.read(&mut self.buffer);
            answers.extend(match moved {
                Moved::Bytes(n) => self.peers.input(&mut self.asked, at, &self.buffer[..n]),
                Moved::Later => self.peers.input(&mut self.asked, at, &[]),
                Moved::Ended => self.peers.lose(&mut self.asked, at),
            });
            if !matches!(moved, Moved::Bytes(_)) {
                return answers;
            }
        }
    }

    /// Carries out what the state has decided since the last turn: time, requests, completions.
    pub fn turn(&mut self, now: Now) {
        // A reply may lead to further requests; what a state asks in answer to refusals is bounded by it.
        loop {
            let touched = self.engine.settle(now);
            let mut requests = self.engine.outbox();
            requests.append(&mut self.first);
            requests.extend(tracing::events());
            let mut answers = self.peers.send(&mut self.asked, requests, now);
            answers.extend(self.peers.tick(&mut self.asked, now));
            let is_done = answers.is_empty() && touched.is_empty();
            for (id, answer) in answers {
                tracing::reply(&mut self.engine, id, answer, now);
            }
            for id in touched {
                if let Some(at) = self.clients.iter().position(|client| client.id == Some(id)) {
                    self.hear_client(at, now);
                }
            }
            if is_done {
                return;
            }
        }
    }

    /// When [`Host::turn`] must run next, if nothing happens before.
    pub fn deadline_ms(&self) -> Option<u64> {
        [self.engine.deadline_ms(), self.peers.deadline_ms()].into_iter().flatten().min()
    }
}
