//! The door's loop: listeners, clients and servers around the pure [`Door`].

use crate::door::{Door, Turn};
use crate::files::Own;
use crate::session::Rules;
use crate::stream::{Stream, tls_config};
use chan::unix::{self, Moved};
use manifest::{Listener, ListenerKind};
use rt::{Boot, BootError, Event, Host, Poll, Signals, Wish};
use rustls::ServerConfig;
use std::cell::RefCell;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

const SIGNAL: u64 = 0;
const LISTEN: u64 = 0x10 << 56;
const CLIENT: u64 = 0x11 << 56;
const SERVER: u64 = 0x12 << 56;
const KIND: u64 = 0xff << 56;
/// One read of a client or a server.
const READ_BYTES: usize = 256 << 10;
/// How long a listener is left alone when there are no descriptors.
const ACCEPT_AGAIN_MS: u64 = 100;
/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// Streams that the door has opened and the loop does not yet know.
pub(crate) type Opened = Rc<RefCell<Vec<(u16, UnixStream)>>>;

/// Opens a server's stream at once, for [`crate::Admission::dial`].
pub(crate) fn dialler(dir: PathBuf, opened: Opened) -> crate::Dial {
    Box::new(move |channel, server| match unix::connect(&dir.join(server)) {
        Ok(stream) => {
            opened.borrow_mut().push((channel, stream));
            true
        }
        Err(_) => false,
    })
}

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener, Arc<ServerConfig>),
}

struct Client {
    stream: Stream,
    wish: Wish,
    /// Must not be read until replies have gone out.
    is_waiting: bool,
    is_runnable: bool,
}

pub(crate) struct Loop {
    poll: Poll,
    door: Door,
    host: Host<Own>,
    listeners: Vec<(Socket, Rules)>,
    clients: Vec<Option<Client>>,
    servers: Vec<Option<(UnixStream, Vec<u8>, Wish)>>,
    opened: Opened,
    runnable: Vec<usize>,
    buffer: Vec<u8>,
    dirty: Vec<usize>,
    /// Listeners that are left alone, and until when.
    paused: Vec<(usize, u64)>,
}

impl Loop {
    pub(crate) fn new(boot: &Boot, door: Door, opened: Opened) -> Result<Loop, BootError> {
        let poll = Poll::new().map_err(|e| BootError(format!("epoll: {e}")))?;
        let host = Host::new(boot, door.own_tree(), &poll)
            .map_err(|e| BootError(format!("{}: {e}", boot.socket(boot.name).display())))?;
        let mut listeners = Vec::new();
        for (i, listener) in boot.manifest.listeners.iter().enumerate() {
            let socket = listen(boot, listener)?;
            let token = LISTEN | i as u64;
            let added = match &socket {
                Socket::Unix(s) => poll.add(s, token, Wish::Read),
                Socket::Tcp(s) | Socket::Tls(s, _) => poll.add(s, token, Wish::Read),
            };
            added.map_err(|e| BootError(format!("{}: {e}", listener.addr)))?;
            let rules = Rules {
                fids: listener.fids,
                overflow: listener.overflow,
                local_queen: listener.local_queen && listener.kind == ListenerKind::Unix,
            };
            listeners.push((socket, rules));
        }
        let servers = door.channel_names().map(|_| None).collect();
        Ok(Loop {
            poll,
            door,
            host,
            listeners,
            clients: Vec::new(),
            servers,
            opened,
            runnable: Vec::new(),
            buffer: vec![0; READ_BYTES],
            dirty: Vec::new(),
            paused: Vec::new(),
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
            self.door.set_now(now);
            if self.door.deadline_ms().is_some_and(|at| at <= now.mono_ms) {
                for slot in self.door.tick() {
                    self.end(slot);
                }
            }
            self.pump();
            let unpause = self.unpause(now.mono_ms);
            let deadline = if self.runnable.is_empty() {
                [self.host.deadline_ms(), self.door.deadline_ms(), unpause].into_iter().flatten().min()
            } else {
                Some(0)
            };
            self.poll.wait(deadline, now, &mut events).map_err(io)?;
            self.door.set_now(rt::now());
            for event in events.drain(..) {
                if event.token == SIGNAL {
                    if !signals.take().is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                self.event(event);
            }
            for slot in std::mem::take(&mut self.runnable) {
                self.resume(slot);
            }
        }
    }

    fn event(&mut self, event: Event) {
        let at = (event.token & !KIND) as usize;
        match event.token & KIND {
            LISTEN => self.accept(at),
            CLIENT => {
                if event.ready.read {
                    self.read_client(at);
                }
                if event.ready.write {
                    self.flush_client(at);
                }
            }
            SERVER => {
                if event.ready.read {
                    self.read_server(at);
                }
                if event.ready.write {
                    self.flush_server(at);
                }
            }
            _ => {
                self.host.event(&self.poll, event, self.door.now());
            }
        }
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..ACCEPTS {
            let Some((socket, rules)) = self.listeners.get(at) else { return };
            let accepted = match socket {
                Socket::Unix(listener) => listener.accept().map(|(stream, _)| {
                    let uid = unix::peer_uid(&stream).ok();
                    let name = uid.map_or("unix".into(), |uid| format!("uid={uid}"));
                    let is_set = stream.set_nonblocking(true).is_ok();
                    (is_set.then_some(Stream::Unix(stream)), name, uid)
                }),
                Socket::Tcp(listener) => listener.accept().map(|(stream, peer)| {
                    let is_set = stream.set_nonblocking(true).and(stream.set_nodelay(true)).is_ok();
                    (is_set.then_some(Stream::Tcp(stream)), peer.ip().to_string(), None)
                }),
                Socket::Tls(listener, config) => listener.accept().map(|(stream, peer)| {
                    let is_set = stream.set_nonblocking(true).and(stream.set_nodelay(true)).is_ok();
                    let stream = is_set.then(|| Stream::tls(config, stream)).flatten();
                    (stream, peer.ip().to_string(), None)
                }),
            };
            let (stream, peer, uid) = match accepted {
                Ok(accepted) => accepted,
                // Out of descriptors: who is waiting waits.
                Err(error) if unix::is_exhausted(&error) => return self.pause(at),
                Err(_) => return,
            };
            let Some(mut stream) = stream else { continue };
            let slot = match self.door.accept(rules.clone(), peer, uid) {
                Ok(slot) => slot,
                Err(_) => {
                    stream.write(&Door::turn_away());
                    continue;
                }
            };
            if self.poll.add(&stream, CLIENT | slot as u64, Wish::Read).is_err() {
                self.door.disconnect(slot);
                continue;
            }
            if self.clients.len() <= slot {
                self.clients.resize_with(slot + 1, || None);
            }
            let client = Client { stream, wish: Wish::Read, is_waiting: false, is_runnable: false };
            self.clients[slot] = Some(client);
        }
    }

    /// Leaves a listener alone for a while.
    fn pause(&mut self, at: usize) {
        if self.watch(at, Wish::Nothing) {
            self.paused.push((at, self.door.now().mono_ms + ACCEPT_AGAIN_MS));
        }
    }

    fn watch(&self, at: usize, wish: Wish) -> bool {
        let token = LISTEN | at as u64;
        self.listeners.get(at).is_some_and(|(socket, _)| {
            let watched = match socket {
                Socket::Unix(s) => self.poll.modify(s, token, wish),
                Socket::Tcp(s) | Socket::Tls(s, _) => self.poll.modify(s, token, wish),
            };
            watched.is_ok()
        })
    }

    /// Looks at paused listeners again whose time has come; says when the next one's does.
    fn unpause(&mut self, now_ms: u64) -> Option<u64> {
        let (due, later) =
            std::mem::take(&mut self.paused).into_iter().partition(|(_, until)| *until <= now_ms);
        self.paused = later;
        let due: Vec<(usize, u64)> = due;
        due.into_iter().for_each(|(at, _)| {
            self.watch(at, Wish::Read);
        });
        self.paused.iter().map(|(_, until)| *until).min()
    }

    fn read_client(&mut self, slot: usize) {
        loop {
            let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return };
            if client.is_waiting || client.is_runnable {
                return;
            }
            let may_hold_more = client.stream.may_hold_more();
            match client.stream.read(&mut self.buffer) {
                Moved::Later => return,
                Moved::Ended => return self.end(slot),
                Moved::Bytes(n) => {
                    let turn = self.door.client_input(slot, &self.buffer[..n]);
                    self.after(slot, turn);
                }
            }
            if !may_hold_more {
                return;
            }
        }
    }

    fn resume(&mut self, slot: usize) {
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return };
        client.is_runnable = false;
        let turn = self.door.client_turn(slot);
        let may_hold_more = client.stream.may_hold_more();
        self.after(slot, turn);
        if turn == Turn::Idle && may_hold_more {
            self.read_client(slot);
        }
    }

    fn after(&mut self, slot: usize, turn: Turn) {
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return };
        match turn {
            Turn::Idle => {}
            Turn::More => {
                client.is_runnable = true;
                self.runnable.push(slot);
            }
            Turn::Wait => client.is_waiting = true,
            Turn::End => {
                self.flush_client(slot);
                self.end(slot);
            }
        }
    }

    fn end(&mut self, slot: usize) {
        if self.clients.get_mut(slot).and_then(Option::take).is_some() {
            self.runnable.retain(|other| *other != slot);
            self.door.disconnect(slot);
        }
    }

    /// Everything that is decided goes out: to servers first, whose answers are waited for.
    fn pump(&mut self) {
        self.door.settle(&mut self.host.engine);
        self.host.turn(&self.poll, self.door.now());
        self.door.settle(&mut self.host.engine);
        for (channel, stream) in self.opened.borrow_mut().drain(..) {
            let at = channel as usize;
            // A stream that cannot be waited on shows as lost at its first write.
            let _ = self.poll.add(&stream, SERVER | u64::from(channel), Wish::Read);
            self.servers[at] = Some((stream, Vec::new(), Wish::Read));
        }
        for at in 0..self.servers.len() {
            self.flush_server(at);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        self.door.take_dirty(&mut dirty);
        for slot in &dirty {
            self.flush_client(*slot);
        }
        self.dirty = dirty;
    }

    fn flush_client(&mut self, slot: usize) {
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return };
        loop {
            let output = self.door.client_output(slot);
            if output.is_empty() {
                break;
            }
            match client.stream.write(output) {
                Moved::Bytes(n) => self.door.client_sent(slot, n),
                Moved::Later => break,
                Moved::Ended => return self.end(slot),
            }
        }
        let is_backed_up = client.stream.is_backed_up() || !self.door.client_output(slot).is_empty();
        if client.is_waiting && self.door.is_reading(slot) {
            client.is_waiting = false;
            if !client.is_runnable {
                client.is_runnable = true;
                self.runnable.push(slot);
            }
        }
        let wish = match (client.is_waiting, is_backed_up) {
            (false, false) => Wish::Read,
            (false, true) => Wish::Both,
            (true, true) => Wish::Write,
            (true, false) => Wish::Nothing,
        };
        if wish != client.wish {
            client.wish = wish;
            if self.poll.modify(&client.stream, CLIENT | slot as u64, wish).is_err() {
                self.end(slot);
            }
        }
    }

    fn read_server(&mut self, at: usize) {
        let Some(Some((stream, input, _))) = self.servers.get_mut(at) else { return };
        let used = match unix::read(stream, &mut self.buffer) {
            Moved::Later => return,
            Moved::Ended => None,
            Moved::Bytes(n) if input.is_empty() => {
                let used = self.door.server_input(at as u16, &self.buffer[..n]);
                if let Some(used) = used {
                    input.extend_from_slice(&self.buffer[used..n]);
                }
                used
            }
            Moved::Bytes(n) => {
                input.extend_from_slice(&self.buffer[..n]);
                let used = self.door.server_input(at as u16, input);
                input.drain(..used.unwrap_or(0));
                used
            }
        };
        if used.is_none() {
            self.lose(at);
        }
    }

    fn lose(&mut self, at: usize) {
        if let Some(server) = self.servers.get_mut(at) {
            *server = None;
        }
        self.door.channel_lost(at as u16);
    }

    fn flush_server(&mut self, at: usize) {
        let Some(Some((stream, _, wish))) = self.servers.get_mut(at) else { return };
        loop {
            let output = self.door.channel_output(at as u16);
            if output.is_empty() {
                break;
            }
            match unix::write(stream, output) {
                Moved::Bytes(n) => self.door.channel_sent(at as u16, n),
                Moved::Later => break,
                Moved::Ended => return self.lose(at),
            }
        }
        let is_backed_up = !self.door.channel_output(at as u16).is_empty();
        let wanted = if is_backed_up { Wish::Both } else { Wish::Read };
        if wanted != *wish {
            *wish = wanted;
            if self.poll.modify(stream.as_fd(), SERVER | at as u64, wanted).is_err() {
                self.lose(at);
            }
        }
    }
}

fn listen(boot: &Boot, listener: &Listener) -> Result<Socket, BootError> {
    let said = |what: String| {
        BootError(format!("cannot listen at {}!{}: {what}", listener.kind.word(), listener.addr))
    };
    if listener.kind == ListenerKind::Unix {
        // An absolute address replaces the run directory in the join.
        let path = boot.run.join(&listener.addr);
        return unix::listen(&path).map(Socket::Unix).map_err(|e| said(e.to_string()));
    }
    let (host, port) = listener.host_port().ok_or_else(|| said("not HOST!PORT".into()))?;
    let tcp = TcpListener::bind((host, port)).map_err(|e| said(e.to_string()))?;
    tcp.set_nonblocking(true).map_err(|e| said(e.to_string()))?;
    if listener.kind == ListenerKind::Tcp {
        return Ok(Socket::Tcp(tcp));
    }
    let (Some(cert), Some(key)) = (&listener.cert, &listener.key) else {
        return Err(said("tls needs cert and key in the manifest".into()));
    };
    let read = |reference: &str| read_reference(boot, reference).map_err(&said);
    let config = tls_config(&read(cert)?, &read(key)?).map_err(&said)?;
    Ok(Socket::Tls(tcp, config))
}

/// What a `file:PATH` or `env:NAME` of the manifest refers to; a relative path is one of the data
/// directory.
fn read_reference(boot: &Boot, reference: &str) -> Result<Vec<u8>, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        let path = boot.data.join(path);
        return std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
    }
    let name = reference.strip_prefix("env:").unwrap_or(reference);
    std::env::var(name).map(String::into_bytes).map_err(|e| format!("${name}: {e}"))
}
