//! The loop: listeners, clients, their streams to the door.

use crate::client::{Client, Stream};
use crate::codec::Codec;
use crate::peers::Peers;
use crate::report::Report;
use chan::unix;
use console::{Editor, Framer};
use manifest::{Listener, ListenerKind};
use ninep::srv::Now;
use rt::{Boot, BootError, Event, Host, Poll, Signals, Wish};
use shell::{Options, Shell};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use zeroize::Zeroizing;

const SIGNAL: u64 = 0;
const UNIX: u64 = 0x10 << 56;
const TCP: u64 = 0x11 << 56;
const CLIENT: u64 = 0x12 << 56;
const DOOR: u64 = 0x13 << 56;
const KIND: u64 = 0xff << 56;
/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;
/// How long nothing is accepted when the process has no more descriptors.
const PAUSE_MS: u64 = 200;

/// The whole server: its listeners and its loop.
pub fn run() -> Result<(), BootError> {
    let boot = Boot::from_args("console", std::env::args())?;
    rt::alone()?;
    let signals = Signals::new(&[15, 2]).map_err(|e| BootError(format!("signals: {e}")))?;
    Loop::new(&boot)?.run(signals)
}

pub(crate) struct Loop {
    poll: Poll,
    host: Host<Report>,
    local: UnixListener,
    remote: Option<TcpListener>,
    token: Zeroizing<Vec<u8>>,
    door: PathBuf,
    clients: Vec<Option<Client>>,
    clients_max: usize,
    peers: Peers,
    paused_until_ms: Option<u64>,
}

impl Loop {
    pub(crate) fn new(boot: &Boot) -> Result<Loop, BootError> {
        let config = &boot.manifest.console;
        let is_audited = boot.manifest.server("audit").is_some();
        let poll = Poll::new().map_err(|e| BootError(format!("epoll: {e}")))?;
        let host = Host::new(boot, Report::tree(is_audited), &poll)
            .map_err(|e| BootError(format!("{}: {e}", boot.socket(boot.name).display())))?;
        let path = boot.run.join("console");
        let said = |e: std::io::Error| BootError(format!("{}: {e}", path.display()));
        let local = unix::listen(&path).map_err(said)?;
        poll.add(&local, UNIX, Wish::Read).map_err(said)?;
        let mut token = Zeroizing::new(Vec::new());
        let remote = match &config.tcp {
            None => None,
            Some(addr) => {
                let reference = config.auth.as_deref().unwrap_or("file:console.token");
                let secret = Zeroizing::new(boot.secret("console.auth", reference)?);
                token.extend_from_slice(secret.trim().as_bytes());
                if token.is_empty() {
                    return Err(BootError(format!("console.auth {reference}: there is nothing in it")));
                }
                Some(listen(addr, &poll)?)
            }
        };
        Ok(Loop {
            poll,
            host,
            local,
            remote,
            token,
            door: door(boot),
            clients: Vec::new(),
            clients_max: config.connections as usize,
            peers: Peers::default(),
            paused_until_ms: None,
        })
    }

    pub(crate) fn run(&mut self, mut signals: Signals) -> Result<(), BootError> {
        let io = |e: std::io::Error| BootError(format!("epoll: {e}"));
        for fd in signals.fds() {
            self.poll.add(fd, SIGNAL, Wish::Read).map_err(io)?;
        }
        let mut events = Vec::new();
        loop {
            let now = rt::now();
            self.tick(now);
            self.host.turn(&self.poll, now);
            self.poll.wait(self.deadline_ms(), now, &mut events).map_err(io)?;
            let now = rt::now();
            for event in events.drain(..) {
                if event.token == SIGNAL {
                    if !signals.take().is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                if !self.event(event, now) {
                    self.host.event(&self.poll, event, now);
                }
            }
        }
    }

    fn deadline_ms(&self) -> Option<u64> {
        let clients = self.clients.iter().flatten().filter_map(|client| client.talk.deadline_ms()).min();
        [clients, self.host.deadline_ms(), self.paused_until_ms].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now) {
        let now_ms = now.mono_ms;
        if self.paused_until_ms.is_some_and(|at| at <= now_ms) {
            self.paused_until_ms = None;
            self.listening(Wish::Read);
        }
        for slot in 0..self.clients.len() {
            let Some(client) = &mut self.clients[slot] else { continue };
            if client.talk.deadline_ms().is_some_and(|at| at <= now_ms) {
                client.talk.tick(now_ms);
                self.advance(slot, now);
            }
        }
    }

    /// Takes an event, if it is none of the host's.
    fn event(&mut self, event: Event, now: Now) -> bool {
        let now_ms = now.mono_ms;
        let slot = (event.token & !KIND) as usize;
        match event.token & KIND {
            UNIX | TCP => self.accept(event.token & KIND == TCP, now_ms),
            CLIENT => {
                let Some(Some(client)) = self.clients.get_mut(slot) else { return true };
                if event.ready.read {
                    client.readable(now_ms);
                }
                self.advance(slot, now);
            }
            DOOR => {
                let Some(Some(client)) = self.clients.get_mut(slot) else { return true };
                if event.ready.read {
                    client.door_readable(&self.door, now_ms);
                }
                self.advance(slot, now);
            }
            _ => return false,
        }
        true
    }

    fn accept(&mut self, is_remote: bool, now_ms: u64) {
        for _ in 0..ACCEPTS {
            let accepted = match (&self.remote, is_remote) {
                (Some(listener), true) => listener.accept().and_then(|(stream, peer)| {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    Ok((Stream::Tcp(stream), peer.to_string(), peer.ip().to_string()))
                }),
                _ => self.local.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    let uid = unix::peer_uid(&stream)?;
                    Ok((Stream::Unix(stream), format!("uid={uid}"), format!("uid={uid}")))
                }),
            };
            match accepted {
                Ok((stream, peer, name)) => self.admit(stream, peer, &name, now_ms),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // It went away again.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                // Out of descriptors: what waits would be ready for ever.
                Err(_) => {
                    self.paused_until_ms = Some(now_ms + PAUSE_MS);
                    return self.listening(Wish::Nothing);
                }
            }
        }
    }

    fn listening(&self, wish: Wish) {
        // What fails here shows at the next accept.
        let _ = self.poll.modify(&self.local, UNIX, wish);
        if let Some(remote) = &self.remote {
            let _ = self.poll.modify(remote, TCP, wish);
        }
    }

    fn admit(&mut self, mut stream: Stream, peer: String, name: &str, now_ms: u64) {
        let codec = match stream {
            Stream::Unix(_) => Codec::Lines(Editor::new()),
            Stream::Tcp(_) => Codec::Frames(Framer::new()),
        };
        let free = self.clients.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.clients.len());
        let throttle = self.peers.throttle(name, now_ms).filter(|_| slot < self.clients_max);
        let Some(throttle) = throttle else {
            let mut line = Vec::new();
            codec.encode(crate::busy().as_str(), &mut line);
            // Nothing is owed to one that is turned away.
            let _ = unix::write(&mut stream, &line);
            return;
        };
        let token = matches!(stream, Stream::Tcp(_)).then(|| self.token.to_vec());
        let shell = Shell::new(Options { token, throttle });
        if self.poll.add(&stream, CLIENT | slot as u64, Wish::Read).is_err() {
            return;
        }
        if slot == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[slot] = Some(Client::new(stream, codec, shell, peer, now_ms));
    }

    fn advance(&mut self, slot: usize, now: Now) {
        let now_ms = now.mono_ms;
        let Some(Some(client)) = self.clients.get_mut(slot) else { return };
        let is_new = client.advance(&self.door, now_ms);
        let report = &mut self.host.engine.tree.state;
        while let Some(event) = client.talk.shell.event() {
            report.event(&client.talk.peer, &event, now);
        }
        let (wish, door_wish) = client.wishes();
        let mut is_over = client.talk.is_over();
        if let Some(door) = &client.door {
            let token = DOOR | slot as u64;
            let waits = match is_new {
                true => self.poll.add(door, token, door_wish),
                false if client.door_wish != door_wish => self.poll.modify(door, token, door_wish),
                false => Ok(()),
            };
            client.door_wish = door_wish;
            is_over |= waits.is_err();
        }
        if !is_over && wish != client.wish {
            client.wish = wish;
            is_over |= self.poll.modify(&client.stream, CLIENT | slot as u64, wish).is_err();
        }
        if is_over {
            if client.talk.shell.is_attached() {
                report.event(&client.talk.peer, &shell::Event::Detached, now);
            }
            self.clients[slot] = None;
        }
    }
}

/// Where the consoles go in: the local door, else the first Unix listener.
fn door(boot: &Boot) -> PathBuf {
    let unix = |l: &&Listener| l.kind == ListenerKind::Unix;
    let mut listeners = boot.manifest.listeners.iter().filter(unix);
    let local = listeners.clone().find(|l| l.local_queen);
    let addr = local.or_else(|| listeners.next()).map_or("door", |l| l.addr.as_str());
    boot.run.join(addr)
}

fn listen(addr: &str, poll: &Poll) -> Result<TcpListener, BootError> {
    let said = |what: &dyn std::fmt::Display| BootError(format!("console.tcp {addr}: {what}"));
    let listener = Listener::parse(&format!("tcp!{addr}")).map_err(|e| said(&e))?;
    let (host, port) = listener.host_port().ok_or_else(|| said(&"no HOST!PORT"))?;
    let socket = TcpListener::bind((host, port)).map_err(|e| said(&e))?;
    socket.set_nonblocking(true).map_err(|e| said(&e))?;
    poll.add(&socket, TCP, Wish::Read).map_err(|e| said(&e))?;
    Ok(socket)
}
