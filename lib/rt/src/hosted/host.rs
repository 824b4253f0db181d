//! A tree on its socket: connections in, replies out, requests to peers, time.

use super::boot::Boot;
use super::clock;
use super::peers::Peers;
use super::poll::{Event, Poll, Wish};
use chan::unix::{self, Moved};
use ninep::srv::{ConnId, Engine, Limits, Now, Service, Tree};
use std::collections::HashMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};

/// The numbers that a host takes of its poll: those below `1 << 56` are the caller's.
const LISTENER: u64 = 1 << 56;
const CONN: u64 = 2 << 56;
pub(crate) const PEER: u64 = 3 << 56;
const KIND: u64 = 0xff << 56;

/// Replies that may wait on one connection before it is read no further.
const QUEUE_MAX: usize = 4 << 20;
/// One read.
const READ_BYTES: usize = 128 << 10;
/// Frames that have come in part; no connection can hold more back.
const INPUT_MAX: usize = 256 << 10;

struct Conn {
    stream: UnixStream,
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
    buffer: Vec<u8>,
}

impl<S: Service> Host<S> {
    /// Listens at `RUN/srv/<name>`, serves `tree` there, and starts its state.
    pub fn new(boot: &Boot, tree: Tree<S>, poll: &Poll) -> io::Result<Host<S>> {
        let now = clock::now();
        let listener = unix::listen(&boot.socket(boot.name))?;
        poll.add(&listener, LISTENER, Wish::Read)?;
        let limits = Limits {
            tells_detail: true,
            acks_bytes: boot.manifest.queen.ack_bytes as usize,
            ..Limits::default()
        };
        let mut engine = Engine::new(tree, limits, now);
        engine.tree.state.start(now);
        let peers = Peers::new(boot.name, boot.run.join("srv"));
        Ok(Host { engine, listener, conns: HashMap::new(), peers, buffer: vec![0; READ_BYTES] })
    }

    /// Takes an event of the poll if it is this host's; says whether it was.
    pub fn event(&mut self, poll: &Poll, event: Event, now: Now) -> bool {
        match event.token & KIND {
            LISTENER => self.accept(poll),
            CONN => self.conn(poll, event, now),
            PEER => {
                for (id, answer) in self.peers.event(poll, event, &mut self.buffer, now) {
                    self.engine.tree.state.reply(id, answer, now);
                }
            }
            _ => return false,
        }
        true
    }

    fn accept(&mut self, poll: &Poll) {
        while let Ok((stream, _)) = self.listener.accept() {
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
        if event.ready.read {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            match unix::read(&mut conn.stream, &mut self.buffer) {
                Moved::Later => {}
                Moved::Ended => return self.drop_conn(id),
                Moved::Bytes(n) => {
                    let fed = if conn.input.is_empty() {
                        let used = self.engine.feed(id, &self.buffer[..n], now);
                        if let Some(used) = used {
                            conn.input.extend_from_slice(&self.buffer[used..n]);
                        }
                        used.is_some()
                    } else {
                        conn.input.extend_from_slice(&self.buffer[..n]);
                        let used = self.engine.feed(id, &conn.input, now);
                        conn.input.drain(..used.unwrap_or(0));
                        used.is_some()
                    };
                    if !fed || conn.input.len() > INPUT_MAX {
                        return self.drop_conn(id);
                    }
                }
            }
        }
        self.flush(poll, id);
    }

    /// Sends what there is; waits for room, and reads no further, where there is too much.
    fn flush(&mut self, poll: &Poll, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        loop {
            let output = self.engine.output(id);
            if output.is_empty() {
                break;
            }
            match unix::write(&mut conn.stream, output) {
                Moved::Bytes(n) => self.engine.consume(id, n),
                Moved::Later => break,
                Moved::Ended => return self.drop_conn(id),
            }
        }
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
        if self.engine.tree.state.deadline_ms().is_some_and(|at| at <= now.mono_ms) {
            self.engine.tree.state.tick(now);
        }
        // A reply may lead to further requests; what a state asks in answer to refusals is bounded by it.
        loop {
            let requests = self.engine.tree.state.outbox();
            let mut answers = self.peers.send(poll, requests, now);
            answers.extend(self.peers.tick(poll, now));
            let touched = self.engine.settle(now);
            let is_done = answers.is_empty() && touched.is_empty();
            for (id, answer) in answers {
                self.engine.tree.state.reply(id, answer, now);
            }
            for id in touched {
                self.flush(poll, id);
            }
            if is_done {
                return;
            }
        }
    }

    /// When [`Host::turn`] must run next, if nothing happens before.
    pub fn deadline_ms(&self) -> Option<u64> {
        [self.engine.tree.state.deadline_ms(), self.peers.deadline_ms()].into_iter().flatten().min()
    }
}
