//! The door's loop on seL4: the channels of clients and servers around the pure [`Door`].

use crate::door::{Door, Turn};
use crate::files::Own;
use crate::session::Rules;
use alloc::rc::Rc;
use chan::Moved;
use chan::mux::Listener;
use chan::streams::StreamId;
use core::cell::RefCell;
use manifest::{Fids, ListenerKind};
use rt::prelude::*;
use rt::task::config::Role;
use rt::{Boot, BootError, Host, Network, Poll, Wire};

/// One read: as much as a channel holds.
const READ_BYTES: usize = rt::task::RING_BYTES;
/// Whoever sits at the machine's own console is the user who runs the hive.
const OWNER: u32 = 0;
/// The process whose clients do.
const CONSOLE: &str = "console";

/// Channels that the door has opened and the loop does not yet know.
type Opened = Rc<RefCell<Vec<u16>>>;
/// Which servers can be reached, by name.
type Reachable = Rc<RefCell<Vec<(&'static str, bool)>>>;

/// Where a client is.
enum End {
    /// At the other end of a channel, one after the other.
    Wire(Wire),
    /// Beyond the network, of which there may be more than one.
    Stream { network: usize, id: StreamId },
}

struct Client {
    end: End,
    slot: Option<usize>,
    /// Must not be read until replies have gone out.
    is_waiting: bool,
    is_runnable: bool,
}

struct Server {
    wire: Wire,
    /// The door's number for it, while it is open.
    channel: Option<u16>,
    input: Vec<u8>,
}

struct Loop {
    poll: Poll,
    door: Door,
    host: Host<Own>,
    rules: Rules,
    /// The rules of clients beyond the network.
    beyond: Beyond,
    clients: Vec<Client>,
    networks: Vec<Network>,
    servers: Vec<Server>,
    names: Vec<String>,
    opened: Opened,
    reachable: Reachable,
    buffer: Vec<u8>,
    dirty: Vec<usize>,
}

/// The whole server: admission from the manifest, the door, its loop.
pub fn run() -> Result<(), BootError> {
    let boot = Boot::new("door")?;
    let mut poll = Poll::new();
    let (opened, reachable) = (Opened::default(), Reachable::default());
    let (news, there) = (Rc::clone(&opened), Rc::clone(&reachable));
    let dial = Box::new(move |channel, server: &str| {
        let is_there = there.borrow().iter().any(|(name, is_open)| *name == server && *is_open);
        if is_there {
            news.borrow_mut().push(channel);
        }
        is_there
    });
    let admission = crate::Admission::from_manifest(&boot, OWNER, dial)?;
    let door = Door::new(&boot.manifest, crate::Seat::only(), admission, rt::now());
    let host = Host::new(&boot, door.own_tree(), &mut poll);
    let listener = boot.manifest.listeners.first();
    let listener = listener.ok_or_else(|| BootError("listeners: there is none".into()))?;
    let rules = Rules { fids: listener.fids, overflow: listener.overflow, local_queen: listener.local_queen };
    let clients = poll.take(Role::Admit).into_iter();
    let clients = clients.map(|wire| Client::new(End::Wire(wire)));
    let networks = poll.take_networks();
    let servers = poll.take(Role::Route).into_iter();
    let servers = servers.map(|wire| Server { wire, channel: None, input: Vec::new() });
    let names = door.channel_names().map(|name| name.to_string()).collect();
    let mut it = Loop {
        poll,
        door,
        host,
        rules,
        clients: clients.collect(),
        networks,
        beyond: Beyond::of(&boot.manifest.listeners),
        servers: servers.collect(),
        names,
        opened,
        reachable,
        buffer: vec![0; READ_BYTES],
        dirty: Vec::new(),
    };
    loop {
        it.turn();
    }
}

impl Client {
    fn new(end: End) -> Client {
        Client { end, slot: None, is_waiting: false, is_runnable: false }
    }
}

/// The rules of the ports, as the manifest's first listener of a kind has them.
struct Beyond {
    strict: Option<Rules>,
    compat: Option<Rules>,
}

impl Beyond {
    fn of(listeners: &[manifest::Listener]) -> Beyond {
        let first = |fids: Fids| {
            let mut of_tcp = listeners.iter().filter(|listener| listener.kind == ListenerKind::Tcp);
            let listener = of_tcp.find(|listener| listener.fids == fids)?;
            Some(Rules { fids, overflow: listener.overflow, local_queen: false })
        };
        Beyond { strict: first(Fids::Strict), compat: first(Fids::Reuse) }
    }

    fn rules(&self, listener: Listener) -> Option<Rules> {
        match listener {
            Listener::Ninep => self.strict.clone(),
            Listener::Compat => self.compat.clone(),
            Listener::Console => None,
        }
    }
}

impl Loop {
    fn turn(&mut self) {
        let now = rt::now();
        self.door.set_now(now);
        self.look();
        for at in 0..self.servers.len() {
            self.read_server(at);
        }
        // From the last one on: one that goes is replaced by one that had its turn.
        for at in (0..self.clients.len()).rev() {
            self.read_client(at);
        }
        self.host.receive(now);
        if self.door.deadline_ms().is_some_and(|at| at <= now.mono_ms) {
            for slot in self.door.tick() {
                self.end(slot);
            }
        }
        self.pump();
        if self.clients.iter().any(|client| client.is_runnable) {
            return;
        }
        let deadline = [self.host.deadline_ms(), self.door.deadline_ms()].into_iter().flatten().min();
        self.poll.wait(deadline, rt::now());
    }

    /// Who is there, and who has gone or come anew?
    fn look(&mut self) {
        for at in 0..self.servers.len() {
            let server = &mut self.servers[at];
            if server.wire.has_changed()
                && let Some(channel) = server.channel.take()
            {
                server.input.clear();
                self.door.channel_lost(channel);
            }
        }
        let there = self.servers.iter().map(|server| (server.wire.peer, server.wire.is_open()));
        *self.reachable.borrow_mut() = there.collect();
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            let End::Wire(wire) = &mut client.end else { continue };
            if !wire.has_changed() {
                continue;
            }
            if let Some(slot) = client.slot.take() {
                (client.is_waiting, client.is_runnable) = (false, false);
                self.door.disconnect(slot);
            }
            if wire.is_open() {
                let rules = Rules { local_queen: false, ..self.rules.clone() };
                match self.door.accept(rules, wire.peer.into(), None) {
                    Ok(slot) => client.slot = Some(slot),
                    Err(_) => drop(wire.write(&Door::turn_away())),
                }
            }
        }
        for network in 0..self.networks.len() {
            self.look_beyond(network);
        }
    }

    /// Who has come over the network, and is all of it void?
    fn look_beyond(&mut self, network: usize) {
        if self.networks[network].take() {
            let is_there =
                |client: &Client| matches!(client.end, End::Stream { network: at, .. } if at == network);
            let gone: Vec<usize> = self
                .clients
                .iter()
                .filter(|client| is_there(client))
                .filter_map(|client| client.slot)
                .collect();
            gone.into_iter().for_each(|slot| self.end(slot));
        }
        // Whose streams they are is a matter of the channel.
        let is_console = self.networks[network].peer == CONSOLE;
        while let Some((id, listener, peer)) = self.networks[network].opened() {
            let accepted = match self.beyond.rules(listener) {
                _ if is_console => self.door.accept(self.rules.clone(), CONSOLE.into(), Some(OWNER)).ok(),
                Some(rules) => self.door.accept(rules, peer.to_string(), None).ok(),
                None => None,
            };
            match accepted {
                Some(slot) => {
                    let end = End::Stream { network, id };
                    self.clients.push(Client { slot: Some(slot), ..Client::new(end) });
                }
                None => {
                    let _ = self.networks[network].write(id, &Door::turn_away());
                    self.networks[network].close(id);
                }
            }
        }
    }

    fn read_client(&mut self, at: usize) {
        loop {
            // One that came over the network is gone when its session ends.
            let Some(client) = self.clients.get_mut(at) else { return };
            let Some(slot) = client.slot.filter(|_| !client.is_waiting) else { return };
            let turn = if core::mem::take(&mut client.is_runnable) {
                self.door.client_turn(slot)
            } else {
                let moved = match &mut client.end {
                    End::Wire(wire) => wire.read(&mut self.buffer),
                    End::Stream { network, id } => self.networks[*network].read(*id, &mut self.buffer),
                };
                match moved {
                    Moved::Later => return,
                    Moved::Ended => return self.end(slot),
                    Moved::Bytes(n) => self.door.client_input(slot, &self.buffer[..n]),
                }
            };
            match turn {
                Turn::Idle => {}
                Turn::More => {
                    self.clients[at].is_runnable = true;
                    return;
                }
                Turn::Wait => self.clients[at].is_waiting = true,
                // There is one door: no session goes to another.
                Turn::End | Turn::Leave(_) => {
                    self.flush_client(slot);
                    return self.end(slot);
                }
            }
        }
    }

    fn end(&mut self, slot: usize) {
        let Some(at) = self.clients.iter().position(|client| client.slot == Some(slot)) else { return };
        if let End::Stream { network, id } = self.clients[at].end {
            self.networks[network].close(id);
            self.clients.swap_remove(at);
        } else {
            let client = &mut self.clients[at];
            (client.slot, client.is_waiting, client.is_runnable) = (None, false, false);
        }
        self.door.disconnect(slot);
    }

    /// Everything that is decided goes out: to servers first, whose answers are waited for.
    fn pump(&mut self) {
        self.door.settle(&mut self.host.engine);
        self.host.turn(self.door.now());
        self.door.settle(&mut self.host.engine);
        for channel in self.opened.borrow_mut().drain(..) {
            let name = self.names.get(channel as usize);
            let server = self.servers.iter_mut().find(|server| Some(server.wire.peer) == name.map(|n| &**n));
            if let Some(server) = server {
                server.channel = Some(channel);
            }
        }
        for at in 0..self.servers.len() {
            self.flush_server(at);
        }
        let mut dirty = core::mem::take(&mut self.dirty);
        self.door.take_dirty(&mut dirty);
        for slot in &dirty {
            self.flush_client(*slot);
        }
        dirty.clear();
        self.dirty = dirty;
        // A client that takes its replies slowly rings, and is not said to be dirty again.
        let mut at = 0;
        while let Some(client) = self.clients.get(at) {
            let slot = client.slot;
            if let Some(slot) = slot {
                self.flush_client(slot);
            }
            // Where one went, another is now.
            at += usize::from(self.clients.get(at).is_some_and(|client| client.slot == slot));
        }
        self.networks.iter_mut().for_each(Network::flush);
    }

    fn flush_client(&mut self, slot: usize) {
        let Some(client) = self.clients.iter_mut().find(|client| client.slot == Some(slot)) else { return };
        loop {
            let output = self.door.client_output(slot);
            if output.is_empty() {
                break;
            }
            let moved = match &mut client.end {
                End::Wire(wire) => wire.write(output),
                End::Stream { network, id } => self.networks[*network].write(*id, output),
            };
            match moved {
                Moved::Bytes(n) => self.door.client_sent(slot, n),
                Moved::Later => break,
                Moved::Ended => return self.end(slot),
            }
        }
        if client.is_waiting && self.door.is_reading(slot) {
            client.is_waiting = false;
            client.is_runnable = true;
        }
    }

    fn read_server(&mut self, at: usize) {
        loop {
            let server = &mut self.servers[at];
            let Some(channel) = server.channel else { return };
            let used = match server.wire.read(&mut self.buffer) {
                Moved::Later => return,
                Moved::Ended => None,
                Moved::Bytes(n) => {
                    server.input.extend_from_slice(&self.buffer[..n]);
                    let used = self.door.server_input(channel, &server.input);
                    server.input.drain(..used.unwrap_or(0));
                    used
                }
            };
            if used.is_none() {
                server.channel = None;
                server.input.clear();
                return self.door.channel_lost(channel);
            }
        }
    }

    fn flush_server(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(channel) = server.channel else { return };
        loop {
            let output = self.door.channel_output(channel);
            if output.is_empty() {
                return;
            }
            match server.wire.write(output) {
                Moved::Bytes(n) => self.door.channel_sent(channel, n),
                Moved::Later => return,
                Moved::Ended => {
                    server.channel = None;
                    return self.door.channel_lost(channel);
                }
            }
        }
    }
}
