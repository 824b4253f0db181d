//! The door's loop: listeners, clients and servers around the pure [`Door`].

use crate::door::{Door, Turn};
use crate::files::Own;
use crate::links::{Arrivals, Links};
use crate::listeners::Listeners;
use crate::relay::Relays;
use crate::stream::Stream;
use chan::unix::{self, Moved};
use rt::{Boot, BootError, Event, Host, Poll, Signals, Wish};
use std::cell::RefCell;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;

const SIGNAL: u64 = 0;
const LISTEN: u64 = 0x10 << 56;
const CLIENT: u64 = 0x11 << 56;
const SERVER: u64 = 0x12 << 56;
pub(crate) const LINK: u64 = 0x13 << 56;
const ARRIVAL: u64 = 0x14 << 56;
const RELAY: u64 = 0x15 << 56;
const KIND: u64 = 0xff << 56;
/// One read of a client or a server.
const READ_BYTES: usize = 256 << 10;
/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// The whole server: admission from the manifest, the door, its loop.
pub fn run() -> Result<(), BootError> {
    let boot = Boot::from_args("door", std::env::args())?;
    rt::alone()?;
    let signals = Signals::new(&[15, 2]).map_err(|e| BootError(format!("signals: {e}")))?;
    let opened = Opened::default();
    let dial = dialler(boot.run.join("srv"), Rc::clone(&opened));
    let uid = rustix::process::geteuid().as_raw();
    let admission = crate::Admission::from_manifest(&boot, uid, dial)?;
    let count = boot.manifest.server("door").map_or(1, |door| door.count);
    let (next, reserve) = crate::links::numbers(&boot);
    let seat = crate::Seat::new(boot.index, count, next, reserve);
    let mut door = Door::new(&boot.manifest, seat, admission, rt::now());
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    door.limit_to(limit.current.unwrap_or(u64::MAX));
    let links = Rc::new(RefCell::new(Links::new(&boot.run, count, LINK)));
    let reach = Rc::clone(&links);
    door.reach = Some(Box::new(move |door| reach.borrow_mut().reach(door)));
    Loop::new(&boot, door, opened, links)?.run(signals)
}

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
    listeners: Listeners,
    /// To the other doors, from the first.
    links: Rc<RefCell<Links>>,
    /// From the first door, at the others.
    arrivals: Arrivals,
    /// Clients of other doors whose TLS ends here.
    relays: Relays,
    clients: Vec<Option<Client>>,
    servers: Vec<Option<(UnixStream, Vec<u8>, Wish)>>,
    opened: Opened,
    runnable: Vec<usize>,
    buffer: Vec<u8>,
    dirty: Vec<usize>,
}

impl Loop {
    pub(crate) fn new(
        boot: &Boot,
        door: Door,
        opened: Opened,
        links: Rc<RefCell<Links>>,
    ) -> Result<Loop, BootError> {
        let poll = Poll::new().map_err(|e| BootError(format!("epoll: {e}")))?;
        let said = |e| BootError(format!("{}: {e}", boot.own_socket().display()));
        let host = Host::new(boot, door.own_tree(), &poll).map_err(said)?;
        let (listeners, arrivals) = if boot.index == 0 {
            (Listeners::new(boot, &poll, LISTEN)?, Arrivals::none())
        } else {
            let path = crate::links::path(&boot.run, boot.index);
            let said = |e| BootError(format!("{}: {e}", path.display()));
            (Listeners::none(), Arrivals::listen(&path, &poll, ARRIVAL).map_err(said)?)
        };
        let servers = door.channel_names().map(|_| None).collect();
        Ok(Loop {
            poll,
            door,
            host,
            listeners,
            links,
            arrivals,
            relays: Relays::new(RELAY),
            clients: Vec::new(),
            servers,
            opened,
            runnable: Vec::new(),
            buffer: vec![0; READ_BYTES],
            dirty: Vec::new(),
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
            let unpause = self.listeners.unpause(&self.poll, now.mono_ms);
            let deadline = if self.runnable.is_empty() && !self.relays.is_runnable() {
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
            self.relays.run(&self.poll);
            self.door.guests = self.relays.len();
        }
    }

    fn event(&mut self, event: Event) {
        let at = (event.token & !KIND) as usize;
        match event.token & KIND {
            LISTEN => self.accept(at),
            CLIENT => {
                // Nothing is waited for but its end.
                if self.clients.get(at).and_then(Option::as_ref).is_some_and(|it| it.wish == Wish::Nothing) {
                    return self.end(at);
                }
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
            LINK => self.links.borrow_mut().event(&self.poll, at),
            ARRIVAL => self.arrive(at),
            RELAY => self.relays.event(&self.poll, at),
            _ => {
                if Host::<Own>::is_asked(event) && !self.door.is_alone() {
                    self.door.count_outstanding();
                }
                self.host.event(&self.poll, event, self.door.now());
            }
        }
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..ACCEPTS {
            let accepted = self.listeners.accept(&self.poll, at, self.door.now().mono_ms);
            let Some(arrival) = accepted else { return };
            let Some(mut arrival) = arrival else { continue };
            match self.door.accept(arrival.rules, arrival.peer, arrival.uid) {
                Ok(slot) => self.admit(slot, arrival.stream),
                Err(_) => drop(arrival.stream.write(&Door::turn_away())),
            }
        }
    }

    fn admit(&mut self, slot: usize, stream: Stream) {
        if self.poll.add(&stream, CLIENT | slot as u64, Wish::Read).is_err() {
            return self.door.disconnect(slot);
        }
        if self.clients.len() <= slot {
            self.clients.resize_with(slot + 1, || None);
        }
        let client = Client { stream, wish: Wish::Read, is_waiting: false, is_runnable: false };
        self.clients[slot] = Some(client);
    }

    /// The first door has let clients in for this one.
    fn arrive(&mut self, at: usize) {
        for (handover, mut stream) in self.arrivals.event(&self.poll, at) {
            match self.door.take_over(handover) {
                Ok(slot) => {
                    self.admit(slot, stream);
                    self.after(slot, Turn::More);
                }
                Err(_) => drop(stream.write(&Door::turn_away())),
            }
        }
    }

    /// A client's session is another door's.
    fn leave(&mut self, slot: usize, home: u32) {
        let Some(client) = self.clients.get_mut(slot).and_then(Option::take) else { return };
        self.runnable.retain(|other| *other != slot);
        // The file stays open over there: closing it here does not take it out of the poll.
        let is_out = self.poll.remove(&client.stream).is_ok();
        let is_tcp = matches!(client.stream, Stream::Tcp(_));
        let handover = self.door.hand_over(slot, is_tcp);
        let fd = match client.stream {
            _ if !is_out => None,
            Stream::Unix(stream) => Some(stream.into()),
            Stream::Tcp(stream) => Some(stream.into()),
            // Its keys cannot be handed on: its bytes are, in the clear, within the hive.
            tls @ Stream::Tls(_) => self.relays.add(&self.poll, tls),
        };
        if let Some(fd) = fd {
            self.links.borrow_mut().send(&self.poll, home, &handover, fd);
        }
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
            Turn::Wait => {
                client.is_waiting = true;
                self.watch_client(slot);
            }
            Turn::Leave(home) => self.leave(slot, home),
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
        self.links.borrow_mut().watch(&self.poll);
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
        if client.is_waiting && self.door.is_reading(slot) {
            client.is_waiting = false;
            if !client.is_runnable {
                client.is_runnable = true;
                self.runnable.push(slot);
            }
        }
        self.watch_client(slot);
    }

    /// Waits for what the client can do next: of one that must wait nothing is read, however much it sends.
    fn watch_client(&mut self, slot: usize) {
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return };
        let is_backed_up = client.stream.is_backed_up() || !self.door.client_output(slot).is_empty();
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
