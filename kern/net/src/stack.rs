//! The turn: frames in, streams both ways, frames out, and when to look again.

use alloc::vec;
use alloc::vec::Vec;

use chan::mux::{Event, Listener, Peer, Pipe};
use hal::Nic;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, Ipv4Address, Ipv4Cidr};

use crate::address;
use crate::link::Link;
use crate::port::{PORTS_MAX, Port};
use crate::session::{Phase, Session, Stream};
use crate::stats::Stats;
use crate::{Address, Settings};

/// Frames that one turn takes.
const FRAMES: usize = 64;
/// Events of one link that one turn takes.
const EVENTS: usize = 256;
/// Sockets that listen on each port: clients that may come in one turn.
const BACKLOG: usize = 4;
/// A half-open connection this young is not made to give way to another.
const YOUNG_MS: u64 = 100;
/// How long a client may take to take the rest.
const CLOSING_MS: u64 = 10_000;
/// A client is asked whether it is still there after this silence, and is gone after that one.
const ASK_S: u64 = 60;
const GONE_S: u64 = 180;

/// All of TCP/IP.
pub struct Net {
    interface: Interface,
    sockets: SocketSet<'static>,
    settings: Settings,
    /// As many places as the last one in use needs: a turn looks at each of them, several times.
    sessions: Vec<Option<Session>>,
    /// Sockets that nobody uses.
    pool: Vec<Socket<'static>>,
    dhcp: Option<SocketHandle>,
    /// Whose turn comes first: the ring's room goes round.
    first: usize,
    counts: Stats,
}

impl Net {
    /// A network on the card of `port`.
    pub fn new<N: Nic>(settings: Settings, port: &mut Port<N>, now_ms: u64) -> Self {
        assert!(settings.ports.len() <= PORTS_MAX, "{PORTS_MAX} ports at most");
        let mut config = Config::new(EthernetAddress(port.nic().mac()).into());
        config.random_seed = settings.seed;
        let mut interface = Interface::new(config, port, at(now_ms));
        let mut sockets = SocketSet::new(Vec::new());
        let mut dhcp = None;
        match settings.address {
            Address::Static { address, prefix, gateway } => {
                address::set(&mut interface, Ipv4Cidr::new(Ipv4Address::from(address), prefix.min(32)));
                address::set_gateway(&mut interface, gateway.map(Ipv4Address::from));
            }
            Address::Dhcp => dhcp = Some(sockets.add(dhcpv4::Socket::new())),
        }
        let waiting = settings.half_open.max(BACKLOG * settings.ports.len());
        let count = settings.sessions + waiting;
        let pool = (0..count).map(|_| socket(&settings)).collect();
        let sessions = Vec::with_capacity(count);
        Self { interface, sockets, settings, sessions, pool, dhcp, first: 0, counts: Stats::default() }
    }

    /// The machine's address, once it has one.
    #[must_use]
    pub fn address(&self) -> Option<[u8; 4]> {
        self.interface.ipv4_addr().map(|address| address.octets())
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats<N: Nic>(&self, port: &Port<N>) -> Stats {
        let counts = port.counts();
        let count = |is: fn(&Phase) -> bool| {
            self.sessions.iter().flatten().filter(|session| is(&session.phase)).count() as u64
        };
        Stats {
            received: counts.received,
            received_bytes: counts.received_bytes,
            sent: counts.sent,
            sent_bytes: counts.sent_bytes,
            dropped: counts.dropped,
            resets: counts.resets,
            syn_dropped: counts.syn_dropped,
            sessions: count(|phase| matches!(phase, Phase::Open(_))),
            half_open: count(|phase| matches!(phase, Phase::HalfOpen { .. })),
            ..self.counts
        }
    }

    /// One turn: takes what the card and the links have, gives them what there is; returns when the next turn
    /// is due, if nothing happens before: at once where there was more than a turn takes.
    pub fn poll<N: Nic, P: Pipe>(
        &mut self,
        now_ms: u64,
        port: &mut Port<N>,
        links: &mut [Link<P>],
    ) -> Option<u64> {
        let mended = port.mend(now_ms);
        // Before anything is closed in this turn: what is closed has yet to be told the client, at its end.
        self.release_closed();
        self.listen(now_ms, port, links);
        let mut is_more = self.take_frames(now_ms, port, links);
        for at in 0..links.len() {
            is_more |= self.take_events(now_ms, at, links);
        }
        self.move_sessions(now_ms, links);
        for link in links.iter_mut().filter(|link| link.is_alive()) {
            let flushed = link.mux.flush(&mut link.pipe);
            link.note(flushed);
        }
        self.interface.poll_egress(at(now_ms), port, &mut self.sockets);
        if let Some(handle) = self.dhcp {
            address::take(&mut self.interface, self.sockets.get_mut(handle));
        }
        while self.sessions.pop_if(|slot| slot.is_none()).is_some() {}
        if is_more {
            return Some(now_ms);
        }
        let tcp = self.interface.poll_at(at(now_ms), &self.sockets);
        // Something that could not be sent is due at once, and would be for ever.
        let tcp = tcp.map(|at| u64::try_from(at.total_millis()).unwrap_or(0).max(now_ms + 1));
        let aged = self.sessions.iter().flatten().filter_map(|session| self.ends_ms(session)).min();
        [mended, tcp, aged].into_iter().flatten().min().map(|next| next.max(now_ms))
    }

    /// When a session is ended if nothing happens.
    fn ends_ms(&self, session: &Session) -> Option<u64> {
        match session.phase {
            Phase::HalfOpen { since_ms } => Some(since_ms + self.settings.half_open_ms),
            // One that is closed is free at the next turn.
            Phase::Closing { .. } if matches!(self.state(session), State::Closed | State::TimeWait) => {
                Some(0)
            }
            Phase::Closing { since_ms } => Some(since_ms + CLOSING_MS),
            Phase::Listening | Phase::Open(_) => None,
        }
    }

    fn state(&self, session: &Session) -> State {
        self.sockets.get::<Socket>(session.handle).state()
    }

    fn take_frames<N: Nic, P: Pipe>(
        &mut self,
        now_ms: u64,
        port: &mut Port<N>,
        links: &mut [Link<P>],
    ) -> bool {
        for _ in 0..FRAMES {
            match self.interface.poll_ingress_single(at(now_ms), port, &mut self.sockets) {
                PollIngressSingleResult::None => return false,
                PollIngressSingleResult::PacketProcessed => {}
                PollIngressSingleResult::SocketStateChanged => {
                    if self.admit(now_ms, links) {
                        self.listen(now_ms, port, links);
                    }
                }
            }
        }
        true
    }

    /// Looks at the sockets that listen, and at those that are half open; returns whether there are fewer.
    fn admit<P: Pipe>(&mut self, now_ms: u64, links: &mut [Link<P>]) -> bool {
        let open = self.sessions.iter().flatten().filter(|s| matches!(s.phase, Phase::Open(_))).count();
        let mut room = self.settings.sessions.saturating_sub(open);
        let mut is_fewer = false;
        for (number, slot) in self.sessions.iter_mut().enumerate() {
            let Some(session) = slot else { continue };
            if matches!(session.phase, Phase::Open(_) | Phase::Closing { .. }) {
                continue;
            }
            let socket = self.sockets.get_mut::<Socket>(session.handle);
            match socket.state() {
                // A half-open one that the client reset listens again.
                State::Listen => session.phase = Phase::Listening,
                State::SynReceived if session.phase == Phase::Listening => {
                    session.phase = Phase::HalfOpen { since_ms: now_ms };
                    is_fewer = true;
                }
                State::SynReceived => {}
                // Gone again before it was there.
                State::Closed => {
                    session.phase = Phase::Closing { since_ms: now_ms };
                    is_fewer = true;
                }
                _ => {
                    is_fewer = true;
                    let is_in = room > 0 && enter(number, session, socket, links);
                    if is_in {
                        room -= 1;
                        self.counts.accepted += 1;
                    } else {
                        self.counts.refused += 1;
                        socket.abort();
                        session.phase = Phase::Closing { since_ms: now_ms };
                    }
                }
            }
        }
        is_fewer
    }

    /// Keeps sockets listening on each port whose link is up, and none on the others.
    fn listen<N: Nic, P: Pipe>(&mut self, now_ms: u64, port: &mut Port<N>, links: &[Link<P>]) {
        for at in 0..self.settings.ports.len() {
            let (listener, number) = self.settings.ports[at];
            if !links.iter().any(|link| link.takes(listener)) {
                self.release(|session| session.phase == Phase::Listening && session.port == number);
                port.set_full(at, None);
                continue;
            }
            let mut listening = self.listening(number);
            while listening < BACKLOG && self.may_wait(now_ms) {
                // Sockets are as many as there may be sessions.
                let Some(mut socket) = self.pool.pop() else { break };
                // Fails for port 0 alone, which no manifest has.
                let _ = socket.listen(number);
                let handle = self.sockets.add(socket);
                let session = Some(Session { handle, listener, port: number, phase: Phase::Listening });
                match self.sessions.iter_mut().find(|slot| slot.is_none()) {
                    Some(slot) => *slot = session,
                    None => self.sessions.push(session),
                }
                listening += 1;
            }
            port.set_full(at, (listening == 0).then_some(number));
        }
    }

    fn listening(&self, port: u16) -> usize {
        let is_it = |session: &&Session| session.phase == Phase::Listening && session.port == port;
        self.sessions.iter().flatten().filter(is_it).count()
    }

    /// Whether one more socket may listen: it can become half open, of which there is a bound; the oldest gives
    /// way to a new one, unless it had no time to answer.
    fn may_wait(&mut self, now_ms: u64) -> bool {
        let mut count = 0;
        let mut oldest: Option<(u64, usize)> = None;
        for (number, session) in self.sessions.iter().enumerate() {
            match session.as_ref().map(|session| session.phase) {
                Some(Phase::Listening) => count += 1,
                Some(Phase::HalfOpen { since_ms }) => {
                    count += 1;
                    let this = (since_ms, number);
                    oldest = Some(oldest.map_or(this, |old| old.min(this)));
                }
                _ => {}
            }
        }
        if count < self.settings.half_open {
            return true;
        }
        let Some((_, number)) = oldest.filter(|(since_ms, _)| now_ms >= since_ms + YOUNG_MS) else {
            return false;
        };
        self.counts.half_open_dropped += 1;
        self.drop_session(number);
        true
    }

    /// Takes what a link's process did; returns whether there may be more.
    fn take_events<P: Pipe>(&mut self, now_ms: u64, at: usize, links: &mut [Link<P>]) -> bool {
        if !links[at].is_alive() {
            return false;
        }
        let Link { mux, pipe, owners, broken, .. } = &mut links[at];
        for _ in 0..EVENTS {
            let event = match mux.next(pipe) {
                Ok(Some(event)) => event,
                Ok(None) => return false,
                Err(why) => {
                    *broken = Some(why);
                    return false;
                }
            };
            let (Event::Opened { conn, .. }
            | Event::Data { conn, .. }
            | Event::Writable { conn }
            | Event::Ended { conn }
            | Event::Closed { conn }) = event;
            let owner = &mut owners[usize::from(conn)];
            let Some(session) = owner.and_then(|number| self.sessions[number].as_mut()) else { continue };
            let socket = self.sockets.get_mut::<Socket>(session.handle);
            match event {
                Event::Data { bytes, .. } => {
                    if let Some(stream) = session.stream() {
                        // No more than was granted can come.
                        stream.granted = stream.granted.saturating_sub(bytes.len());
                    }
                    // A client that went away takes nothing.
                    let _ = socket.send_slice(bytes);
                }
                Event::Ended { .. } => socket.close(),
                Event::Closed { .. } => {
                    socket.close();
                    session.phase = Phase::Closing { since_ms: now_ms };
                    *owner = None;
                }
                // The opener is offered no streams; there is room at every turn anyway.
                Event::Opened { .. } | Event::Writable { .. } => {}
            }
        }
        true
    }

    /// Carries what clients sent, and ends what is over.
    fn move_sessions<P: Pipe>(&mut self, now_ms: u64, links: &mut [Link<P>]) {
        let count = self.sessions.len();
        self.first = (self.first + 1) % count.max(1);
        for number in (self.first..count).chain(0..self.first) {
            let Some(session) = &mut self.sessions[number] else { continue };
            let socket = self.sockets.get_mut::<Socket>(session.handle);
            let state = socket.state();
            let is_over = match session.phase {
                Phase::Listening => false,
                Phase::HalfOpen { since_ms } => {
                    let is_old = now_ms >= since_ms + self.settings.half_open_ms;
                    self.counts.half_open_dropped += u64::from(is_old);
                    is_old || state == State::Closed
                }
                Phase::Closing { since_ms } => {
                    let is_old = now_ms >= since_ms + CLOSING_MS;
                    if is_old {
                        socket.abort();
                    }
                    false
                }
                Phase::Open(mut stream) => {
                    let link = &mut links[stream.link];
                    if link.epoch != stream.epoch || !link.is_alive() {
                        socket.abort();
                        session.phase = Phase::Closing { since_ms: now_ms };
                        continue;
                    }
                    stream.carry(link, socket);
                    session.phase = Phase::Open(stream);
                    let is_gone = state == State::Closed || state == State::TimeWait && !socket.can_recv();
                    if is_gone {
                        link.mux.close(stream.conn);
                        link.own(stream.conn, None);
                    }
                    is_gone
                }
            };
            if is_over {
                self.drop_session(number);
            }
        }
    }

    fn release(&mut self, is_it: impl Fn(&Session) -> bool) {
        for number in 0..self.sessions.len() {
            if self.sessions[number].as_ref().is_some_and(&is_it) {
                self.drop_session(number);
            }
        }
    }

    fn release_closed(&mut self) {
        for number in 0..self.sessions.len() {
            if let Some(session @ Session { phase: Phase::Closing { .. }, .. }) = &self.sessions[number]
                && matches!(self.state(session), State::Closed | State::TimeWait)
            {
                self.drop_session(number);
            }
        }
    }

    /// The session is over; its socket is free, and what it had yet to say is not said.
    fn drop_session(&mut self, number: usize) {
        let Some(session) = self.sessions[number].take() else { return };
        if let smoltcp::socket::Socket::Tcp(mut socket) = self.sockets.remove(session.handle) {
            socket.abort();
            self.pool.push(socket);
        }
    }
}

fn at(now_ms: u64) -> Instant {
    Instant::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX))
}

fn socket(settings: &Settings) -> Socket<'static> {
    let buffer = |bytes: usize| SocketBuffer::new(vec![0; bytes]);
    let mut socket = Socket::new(buffer(settings.receive_bytes), buffer(settings.send_bytes));
    socket.set_nagle_enabled(false);
    socket.set_keep_alive(Some(Duration::from_secs(ASK_S)));
    socket.set_timeout(Some(Duration::from_secs(GONE_S)));
    socket
}

/// Makes a connection a stream of the link that takes it and has the fewest.
fn enter<P: Pipe>(number: usize, session: &mut Session, socket: &Socket<'_>, links: &mut [Link<P>]) -> bool {
    let Some(IpAddress::Ipv4(address)) = socket.remote_endpoint().map(|endpoint| endpoint.addr) else {
        return false;
    };
    let peer = Peer { address: address.octets(), port: socket.remote_endpoint().map_or(0, |it| it.port) };
    let taking = links.iter_mut().enumerate().filter(|(_, link)| link.takes(session.listener));
    let Some((at, link)) = taking.min_by_key(|(_, link)| link.mux.used()) else { return false };
    let Some(conn) = link.mux.open(session.listener, peer) else { return false };
    link.own(conn, Some(number));
    let epoch = link.epoch;
    session.phase = Phase::Open(Stream { link: at, epoch, conn, granted: 0, has_ended: false });
    true
}

/// The kinds that a door takes.
#[must_use]
pub fn is_ninep(listener: Listener) -> bool {
    listener != Listener::Console
}
