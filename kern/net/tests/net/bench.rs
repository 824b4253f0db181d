//! The bench: the network under test, a process that echoes behind each of its links, and a client's machine.

use std::collections::BTreeMap;

use chan::mux::{Conn, Event, Listener, Mux, Peer};
use chan::ring::{Reader, Ring, Writer};
use net::{Address, Link, Net, Port, STREAMS, Settings, is_ninep};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

use crate::wire::{Card, pair};

pub(crate) const OURS: [u8; 4] = [10, 0, 0, 1];
pub(crate) const THEIRS: [u8; 4] = [10, 0, 0, 2];
pub(crate) const CONSOLE: u16 = 31337;
pub(crate) const NINEP: u16 = 5640;
const RING: usize = 16 << 10;

type Pipe = (Writer<'static, RING>, Reader<'static, RING>);

/// What a stream's other end has of it.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) listener: Option<Listener>,
    pub(crate) peer: Option<Peer>,
    pub(crate) received: Vec<u8>,
    to_send: Vec<u8>,
    has_ended: bool,
}

/// A process that answers with what it is sent.
pub(crate) struct Echo {
    mux: Mux<STREAMS>,
    pub(crate) pipe: Pipe,
    pub(crate) streams: BTreeMap<Conn, Stream>,
    pub(crate) closed: usize,
    /// It takes nothing.
    pub(crate) is_stuck: bool,
}

impl Echo {
    pub(crate) fn turn(&mut self) {
        if self.is_stuck {
            return;
        }
        while let Some(event) = self.mux.next(&mut self.pipe).unwrap() {
            match event {
                Event::Opened { conn, listener, peer } => {
                    let stream = Stream { listener: Some(listener), peer: Some(peer), ..Stream::default() };
                    self.streams.insert(conn, stream);
                    self.mux.grant(conn, 4096);
                }
                Event::Data { conn, bytes } => {
                    let stream = self.streams.get_mut(&conn).unwrap();
                    stream.received.extend_from_slice(bytes);
                    stream.to_send.extend_from_slice(bytes);
                }
                Event::Ended { conn } => self.streams.get_mut(&conn).unwrap().has_ended = true,
                Event::Closed { conn } => {
                    self.streams.remove(&conn);
                    self.closed += 1;
                }
                Event::Writable { .. } => {}
            }
        }
        let mut over = Vec::new();
        for (&conn, stream) in &mut self.streams {
            let sent = self.mux.send(&mut self.pipe, conn, &stream.to_send).unwrap();
            stream.to_send.drain(..sent);
            self.mux.grant(conn, sent);
            if stream.has_ended && stream.to_send.is_empty() {
                over.push(conn);
            }
        }
        for conn in over {
            self.close(conn);
        }
        self.mux.flush(&mut self.pipe).unwrap();
    }

    pub(crate) fn close(&mut self, conn: Conn) {
        self.mux.close(conn);
        self.streams.remove(&conn);
    }
}

/// A link and the process behind it.
fn linked(takes: fn(Listener) -> bool) -> (Link<Pipe>, Echo) {
    let (there, back): (&'static Ring<RING>, &'static Ring<RING>) =
        (Box::leak(Box::default()), Box::leak(Box::default()));
    let mut link = Link::new((Writer::new(there), Reader::new(back)), takes);
    link.restart(true);
    let pipe = (Writer::new(back), Reader::new(there));
    let mux = Mux::acceptor();
    (link, Echo { mux, pipe, streams: BTreeMap::new(), closed: 0, is_stuck: false })
}

pub(crate) fn settings() -> Settings {
    Settings {
        address: Address::Static { address: OURS, prefix: 24, gateway: None },
        ports: vec![(Listener::Console, CONSOLE), (Listener::Ninep, NINEP)],
        sessions: 200,
        half_open: 32,
        half_open_ms: 5000,
        receive_bytes: 4096,
        send_bytes: 8192,
        seed: 7,
    }
}

pub(crate) struct Bench {
    pub(crate) net: Net,
    pub(crate) port: Port<Card>,
    pub(crate) links: Vec<Link<Pipe>>,
    pub(crate) echoes: Vec<Echo>,
    pub(crate) client: Client,
    pub(crate) now_ms: u64,
    pub(crate) next_ms: Option<u64>,
}

pub(crate) struct Client {
    pub(crate) port: Port<Card>,
    interface: Interface,
    sockets: SocketSet<'static>,
    next_port: u16,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let (ours, theirs) = pair();
        let mut port = Port::new(ours);
        let net = Net::new(settings, &mut port, 0);
        let (door, door_echo) = linked(is_ninep);
        let (console, console_echo) = linked(|listener| !is_ninep(listener));
        let mut client_port = Port::new(theirs);
        let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 2]).into());
        let mut interface = Interface::new(config, &mut client_port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(Ipv4Address::from(THEIRS).into(), 24)).unwrap();
        });
        let client =
            Client { port: client_port, interface, sockets: SocketSet::new(Vec::new()), next_port: 40_000 };
        Self {
            net,
            port,
            links: vec![door, console],
            echoes: vec![door_echo, console_echo],
            client,
            now_ms: 0,
            next_ms: None,
        }
    }

    /// One turn of everybody.
    pub(crate) fn turn(&mut self) {
        self.now_ms += 1;
        let now = Instant::from_millis(self.now_ms as i64);
        self.client.interface.poll(now, &mut self.client.port, &mut self.client.sockets);
        self.next_ms = self.net.poll(self.now_ms, &mut self.port, &mut self.links);
        self.echoes.iter_mut().for_each(Echo::turn);
    }

    /// Turns until it is so, 10 s at most.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..10_000 {
            if is_so(self) {
                return;
            }
            self.turn();
        }
        panic!("not within 10 s: {what}; {:?}", self.net.stats(&self.port));
    }

    pub(crate) fn connect(&mut self, port: u16) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 2048]);
        let handle = self.client.sockets.add(Socket::new(buffer(), buffer()));
        self.client.next_port += 1;
        let from = self.client.next_port;
        let to = (Ipv4Address::from(OURS), port);
        let Client { interface, sockets, .. } = &mut self.client;
        sockets.get_mut::<Socket>(handle).connect(interface.context(), to, from).unwrap();
        handle
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.client.sockets.get_mut::<Socket>(handle)
    }

    pub(crate) fn connected(&mut self, port: u16) -> SocketHandle {
        let handle = self.connect(port);
        self.until("connected", |bench| bench.socket(handle).may_send());
        handle
    }

    /// Sends and takes the echo.
    pub(crate) fn echo(&mut self, handle: SocketHandle, data: &[u8]) {
        let (mut sent, mut got) = (0, Vec::new());
        self.until("the echo is there", |bench| {
            let socket = bench.socket(handle);
            if sent < data.len() && socket.can_send() {
                sent += socket.send_slice(&data[sent..]).unwrap();
            }
            while socket.can_recv() {
                let mut out = [0; 2048];
                let count = socket.recv_slice(&mut out).unwrap();
                got.extend_from_slice(&out[..count]);
            }
            got.len() == data.len()
        });
        assert_eq!(got, data);
    }
}
