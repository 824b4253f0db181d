//! The loop on seL4: the serial line's console, whose lines the root task passes on, those that come over the
//! network, and for each of them a stream to the door.

use crate::codec::Codec;
use crate::peers::Peers;
use crate::report::Report;
use crate::talk::{Talk, Ways};
use chan::Moved;
use chan::mux::{Listener, Peer};
use chan::streams::StreamId;
use console::{Editor, Framer};
use ninep::srv::Now;
use rt::prelude::*;
use rt::task::config::Role;
use rt::{Boot, BootError, Host, Network, Poll, Wire};
use shell::{Event, Options, Shell};
use zeroize::Zeroizing;

/// Who sits at the serial line.
const SERIAL: &str = "serial";
/// One read: as much as is held of a stream.
const READ_BYTES: usize = 8192;
/// What ends an answer on the serial line, for the root task to prompt again.
const ANSWERED: u8 = 4;

/// Where a console is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    /// Beyond the network, of which there may be more than one.
    Stream {
        network: usize,
        id: StreamId,
    },
}

struct Client {
    talk: Talk,
    end: End,
    /// Its stream to the door.
    door: Option<StreamId>,
}

struct Loop {
    poll: Poll,
    host: Host<Report>,
    ends: Ends,
    /// The serial line's is the first, always.
    clients: Vec<Client>,
    clients_max: usize,
    token: Zeroizing<Vec<u8>>,
    peers: Peers,
    buffer: Vec<u8>,
}

/// All channels.
struct Ends {
    line: Wire,
    door: Network,
    networks: Vec<Network>,
}

/// A console's ends of them.
struct Lines<'a> {
    ends: &'a mut Ends,
    end: End,
    door: &'a mut Option<StreamId>,
}

impl Ways for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> Moved {
        match self.end {
            // The root task is always there.
            End::Line => match self.ends.line.write(bytes) {
                Moved::Ended => Moved::Later,
                moved => moved,
            },
            End::Stream { network, id } => self.ends.networks[network].write(id, bytes),
        }
    }

    fn dial(&mut self) -> bool {
        self.hang_up();
        // The door goes by who opens streams here, not by what they say.
        *self.door = self.ends.door.open(Listener::Console, Peer { address: [0; 4], port: 0 });
        self.door.is_some()
    }

    fn write_door(&mut self, bytes: &[u8]) -> Moved {
        match *self.door {
            Some(id) => self.ends.door.write(id, bytes),
            None => Moved::Ended,
        }
    }

    fn hang_up(&mut self) {
        if let Some(id) = self.door.take() {
            self.ends.door.close(id);
        }
    }
}

/// The whole server.
pub fn run() -> Result<(), BootError> {
    let boot = Boot::new("console")?;
    let config = &boot.manifest.console;
    let mut token = Zeroizing::new(Vec::new());
    if config.tcp.is_some() {
        let reference = config.auth.as_deref().unwrap_or("file:console.token");
        let secret = Zeroizing::new(boot.secret("console.auth", reference)?);
        token.extend_from_slice(secret.trim().as_bytes());
        if token.is_empty() {
            return Err(BootError(format!("console.auth {reference}: there is nothing in it")));
        }
    }
    let mut poll = Poll::new();
    let host = Host::new(&boot, Report::tree(boot.manifest.server("audit").is_some()), &mut poll);
    let none = |what: &str| BootError(format!("the topology has no channel to {what}"));
    let line = poll.take(Role::Lines).into_iter().next().ok_or_else(|| none("root"))?;
    let door = poll.take_offers().into_iter().next().ok_or_else(|| none("door"))?;
    let ends = Ends { line, door, networks: poll.take_networks() };
    let mut it = Loop {
        poll,
        host,
        ends,
        clients: Vec::from([Client::serial(rt::now())]),
        clients_max: config.connections as usize,
        token,
        peers: Peers::default(),
        buffer: vec![0; READ_BYTES],
    };
    loop {
        it.turn();
    }
}

impl Client {
    fn serial(now: Now) -> Client {
        let (codec, shell) = (Codec::Lines(Editor::new()), Shell::new(Options::default()));
        let talk = Talk::new(codec, shell, SERIAL.to_owned(), false, now.mono_ms);
        Client { talk, end: End::Line, door: None }
    }

    /// The console, and its ends.
    fn parts<'a>(&'a mut self, ends: &'a mut Ends) -> (&'a mut Talk, Lines<'a>) {
        (&mut self.talk, Lines { ends, end: self.end, door: &mut self.door })
    }
}

impl Loop {
    fn turn(&mut self) {
        let now = rt::now();
        self.look(now);
        // From the last one on: one that goes is replaced by one that had its turn.
        for at in (0..self.clients.len()).rev() {
            self.serve(at, now);
        }
        self.host.receive(now);
        self.host.turn(now);
        self.ends.door.flush();
        self.ends.networks.iter_mut().for_each(Network::flush);
        let clients = self.clients.iter().filter_map(|client| client.talk.deadline_ms()).min();
        let deadline = [clients, self.host.deadline_ms()].into_iter().flatten().min();
        self.poll.wait(deadline, rt::now());
    }

    /// Who is there, and who has gone or come anew?
    fn look(&mut self, now: Now) {
        if self.ends.line.has_changed() {
            self.end(0, now);
        }
        if self.ends.door.take() {
            for client in &mut self.clients {
                let (talk, mut lines) = client.parts(&mut self.ends);
                if lines.door.is_some() {
                    talk.heard_door(&mut lines, Moved::Ended, &[], now.mono_ms);
                }
            }
        }
        for network in 0..self.ends.networks.len() {
            if self.ends.networks[network].take() {
                let is_gone = |end: End| matches!(end, End::Stream { network: at, .. } if at == network);
                for at in (0..self.clients.len()).rev().filter(|at| *at > 0) {
                    if is_gone(self.clients[at].end) {
                        self.end(at, now);
                    }
                }
            }
            while let Some((id, listener, peer)) = self.ends.networks[network].opened() {
                self.admit(End::Stream { network, id }, listener, peer, now.mono_ms);
            }
        }
    }

    fn admit(&mut self, end: End, listener: Listener, peer: Peer, now_ms: u64) {
        let End::Stream { network, id } = end else { return };
        let codec = Codec::Frames(Framer::new());
        let [a, b, c, d] = peer.address;
        let throttle = self.peers.throttle(&format!("{a}.{b}.{c}.{d}"), now_ms);
        // The serial line's is none of those that are counted.
        let throttle = throttle.filter(|_| self.clients.len() <= self.clients_max);
        let throttle = throttle.filter(|_| listener == Listener::Console && !self.token.is_empty());
        let Some(throttle) = throttle else {
            let mut line = Vec::new();
            codec.encode(crate::busy().as_str(), &mut line);
            // Nothing is owed to one that is turned away.
            let _ = self.ends.networks[network].write(id, &line);
            return self.ends.networks[network].close(id);
        };
        let shell = Shell::new(Options { token: Some(self.token.to_vec()), throttle });
        let talk = Talk::new(codec, shell, peer.to_string(), true, now_ms);
        self.clients.push(Client { talk, end, door: None });
    }

    /// Does what can be done for a console now.
    fn serve(&mut self, at: usize, now: Now) {
        let now_ms = now.mono_ms;
        let (talk, mut lines) = self.clients[at].parts(&mut self.ends);
        if talk.deadline_ms().is_some_and(|at| at <= now_ms) {
            talk.tick(now_ms);
        }
        loop {
            let mut has_moved = false;
            if talk.reads() {
                let moved = match lines.end {
                    End::Line => lines.ends.line.read(&mut self.buffer),
                    End::Stream { network, id } => lines.ends.networks[network].read(id, &mut self.buffer),
                };
                has_moved = matches!(moved, Moved::Bytes(_));
                // What the root task spoilt, it mends.
                if lines.end != End::Line || has_moved {
                    talk.heard(moved, &self.buffer, now_ms);
                }
            }
            if let Some(id) = *lines.door {
                let moved = lines.ends.door.read(id, &mut self.buffer);
                has_moved |= moved != Moved::Later;
                talk.heard_door(&mut lines, moved, &self.buffer, now_ms);
            }
            talk.advance(&mut lines, now_ms);
            if !has_moved {
                break;
            }
        }
        while let Some(event) = talk.shell.event() {
            self.host.engine.tree.state.event(&talk.peer, &event, now);
        }
        if lines.end == End::Line && talk.is_asked && talk.is_quiet() {
            // What finds no room now does at the next turn.
            talk.is_asked = !matches!(lines.ends.line.write(&[ANSWERED]), Moved::Bytes(_));
        }
        if self.clients[at].talk.is_over() {
            self.end(at, now);
        }
    }

    /// A console's session is over; at the serial line another begins.
    fn end(&mut self, at: usize, now: Now) {
        let (talk, mut lines) = self.clients[at].parts(&mut self.ends);
        lines.hang_up();
        if talk.shell.is_attached() {
            self.host.engine.tree.state.event(&talk.peer, &Event::Detached, now);
        }
        match lines.end {
            End::Line => self.clients[at] = Client::serial(now),
            End::Stream { network, id } => {
                self.ends.networks[network].close(id);
                self.clients.swap_remove(at);
            }
        }
    }
}
