//! The door itself, sans-IO: sessions on one side, servers on the other, bytes and the time in between.

use crate::admit::Admission;
use crate::channel::{Channel, Wait};
use crate::facts::{Facts, Order, Public, State};
use crate::far::{Far, Gather};
use crate::files::{self, Own};
use crate::job::{Brought, Job};
use crate::parts::Parts;
use crate::refuse::LOG_PER_S;
use crate::request::Gate;
use crate::seat::Seat;
use crate::session::{At, Root, Rules, Session, SessionRef, revoked};
use alloc::rc::Rc;
use authority::{Cut, Phase};
use core::cell::RefCell;
use manifest::{Manifest, Ninep};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{ConnId, Engine, Next, Now, Op, Records, Request, Tree, consume};
use ninep::wire::Rmsg;
use ns::Table;
use rt::HashMap;
use rt::prelude::*;
use slab::Slab;

/// What became of a session's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All that came has been handled.
    Idle,
    /// Its batch is done; there is more.
    More,
    /// It must not be read until replies have gone out.
    Wait,
    /// Its session is that door's: see [`Door::hand_over`].
    Leave(u32),
    /// The connection must end.
    End,
}

/// The door.
pub struct Door {
    pub(crate) seat: Seat,
    /// Whether another door takes connections now.
    pub(crate) reach: Option<Reach>,
    /// Connections that are not sessions of this door and take up room here all the same.
    pub(crate) guests: usize,
    pub(crate) limits: Ninep,
    /// There are descriptors for fewer sessions than the manifest allows.
    is_short: bool,
    pub(crate) sessions: Slab<Session>,
    /// The servers of the manifest, in its order, and then the other doors.
    pub(crate) channels: Vec<Channel>,
    /// How many of the channels are servers.
    pub(crate) near: usize,
    /// What waits for the other doors' counts.
    pub(crate) gather: Option<Gather>,
    pub(crate) jobs: Slab<Job>,
    pub(crate) admission: Admission,
    pub(crate) phase: Phase,
    /// What the queen has said of what cuts her off.
    pub(crate) cut: Option<Cut>,
    pub(crate) facts: Rc<RefCell<Facts>>,
    pub(crate) now: Now,
    pub(crate) born_ms: u64,
    born_mono_ms: u64,
    /// Lines for `/log/queen.log`.
    pub(crate) log: Vec<String>,
    /// Tickets whose operations are spent, for the queen.
    pub(crate) spent: Vec<String>,
    /// Role name spaces without variables, shared by their sessions.
    pub(crate) tables: HashMap<String, Rc<Table>>,
    pub(crate) namespaces: alloc::collections::BTreeMap<String, String>,
    /// Sessions that have something to send.
    dirty: Vec<usize>,
    /// The connection to the engine of the door's own files, and their channel.
    own_conn: Option<ConnId>,
    pub(crate) own_channel: u16,
    pub(crate) parts: Parts,
    pub(crate) log_budget: u32,
    pub(crate) log_refill_ms: u64,
    pub(crate) log_suppressed: u64,
    /// When `tick` has something to do.
    wake_ms: Option<u64>,
}

/// Says whether that door takes a connection.
pub type Reach = Box<dyn FnMut(u32) -> bool>;

/// How long after its start the door lets attaches wait for the queen's list of revocations.
const QUEEN_MS: u64 = 2000;
/// Descriptors beside those of sessions and servers: listeners, the poll, the other doors and processes that
/// ask this one, who is being refused.
const SPARE: u64 = 24;
/// Tattach.
const TATTACH: u8 = ninep::wire::kind::TATTACH;

impl Door {
    /// A door for the hive that `manifest` describes. `connect`ing its channels is the caller's part.
    pub fn new(manifest: &Manifest, seat: Seat, admission: Admission, now: Now) -> Self {
        let queue = manifest.ninep.channel_queue_bytes as usize;
        // Of the doors, this one is the server of that name.
        let mut names: Vec<String> = Vec::new();
        for server in &manifest.servers {
            let processes = if server.name == "door" { 1 } else { usize::MAX };
            names.extend(server.processes().take(processes));
        }
        let near = names.len();
        names.extend(seat.others().map(|(_, name)| name));
        let channels: Vec<Channel> = names.iter().map(|name| Channel::new(name, queue)).collect();
        // A few names for the life of the process.
        let far = seat.others().map(|(_, name)| Far::new(name.leak()));
        let facts = Facts {
            tags_per_session: manifest.ninep.tags_per_session,
            shard_bits: manifest.telemetry.shard_bits,
            servers: manifest.servers.iter().map(|server| server.name.clone()).collect(),
            records: Records::new(manifest.servers.iter().any(|server| server.name == "audit")),
            far: far.collect(),
            ..Facts::default()
        };
        let facts = Rc::new(RefCell::new(facts));
        let own_channel = channels.iter().position(|c| c.name == "door").unwrap_or(usize::MAX) as u16;
        Door {
            seat,
            reach: None,
            guests: 0,
            limits: manifest.ninep.clone(),
            is_short: false,
            sessions: Slab::new(),
            channels,
            near,
            gather: None,
            jobs: Slab::new(),
            admission,
            phase: Phase::default(),
            cut: None,
            facts,
            now,
            born_ms: now.wall_ms,
            born_mono_ms: now.mono_ms,
            log: Vec::new(),
            spent: Vec::new(),
            tables: HashMap::new(),
            namespaces: manifest.namespaces.clone(),
            dirty: Vec::new(),
            own_conn: None,
            own_channel,
            parts: Parts::from_manifest(manifest),
            log_budget: LOG_PER_S,
            log_refill_ms: 0,
            log_suppressed: 0,
            wake_ms: None,
        }
    }

    /// Lets in no more sessions than there are descriptors for, so that the servers, and whoever is refused,
    /// have theirs.
    pub fn limit_to(&mut self, descriptors: u64) {
        let room = descriptors.saturating_sub(self.channels.len() as u64 + SPARE).max(1);
        if let Ok(room) = u32::try_from(room)
            && room < self.limits.sessions
        {
            self.limits.sessions = room;
            self.is_short = true;
        }
    }

    /// The time for everything until it is set again.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// The tree of the door's own files.
    pub fn own_tree(&self) -> Tree<Own> {
        files::tree(Rc::clone(&self.facts))
    }

    /// A client has connected. Quota where there are too many: the caller answers with
    /// [`Door::turn_away`].
    pub fn accept(&mut self, rules: Rules, peer: String, peer_uid: Option<u32>) -> Result<usize, Refusal> {
        if self.sessions.len() + self.guests >= self.limits.sessions as usize {
            self.facts.borrow_mut().count(Word::Busy);
            let n = self.limits.sessions;
            let what = if self.is_short { "the limit on open files" } else { "ninep.sessions" };
            let detail = format!("{n} sessions are there, as many as {what} allows");
            self.log_refusal(format!("door refused a connection peer={peer} reason=busy detail={detail}"));
            return Err(Refusal::new(Word::Busy, detail));
        }
        let number = self.seat.number();
        let public = Rc::new(RefCell::new(Public::new(self.empty_table(), self.now)));
        self.facts.borrow_mut().sessions.insert(number, Rc::clone(&public));
        self.wake_at(self.now.mono_ms + u64::from(self.limits.handshake_s) * 1000);
        if self.limits.idle_s > 0 {
            self.wake_at(self.now.mono_ms + u64::from(self.limits.idle_s) * 1000);
        }
        let fids = self.limits.fids_per_session as usize;
        let session = Session::new(number, rules, peer, peer_uid, fids, public, self.now.mono_ms);
        Ok(self.sessions.insert(session))
    }

    fn empty_table(&mut self) -> Rc<Table> {
        Rc::clone(self.tables.entry(String::new()).or_default())
    }

    /// What a client that finds no room is told before the connection ends: Rlerror Busy.
    pub fn turn_away() -> Vec<u8> {
        let mut out = Vec::new();
        Rmsg::Lerror { ecode: Word::Busy.errno(), detail: ninep::wire::Detail("") }
            .encode(ninep::wire::NOTAG, &mut out);
        out
    }

    /// Bytes have come from a client; handles what its turn allows.
    pub fn client_input(&mut self, slot: usize, fresh: &[u8]) -> Turn {
        let session = &mut self.sessions[slot];
        session.last_ms = self.now.mono_ms;
        if session.input.is_empty() {
            let (used, turn) = self.frames(slot, fresh);
            if let Some(session) = self.sessions.get_mut(slot) {
                session.input.extend_from_slice(&fresh[used..]);
            }
            return turn;
        }
        session.input.extend_from_slice(fresh);
        self.client_turn(slot)
    }

    /// Goes on with what had come before.
    pub fn client_turn(&mut self, slot: usize) -> Turn {
        let mut input = core::mem::take(&mut self.sessions[slot].input);
        let (used, turn) = self.frames(slot, &input);
        let Some(session) = self.sessions.get_mut(slot) else { return Turn::End };
        if used < input.len() {
            input.drain(..used);
            session.input = input;
        }
        turn
    }

    fn frames(&mut self, slot: usize, input: &[u8]) -> (usize, Turn) {
        let mut used = 0;
        for _ in 0..self.limits.batch_frames {
            if matches!(self.gate(slot, &input[used..]), Gate::Wait) || self.waits_for_queen(&input[used..]) {
                return (used, Turn::Wait);
            }
            let (n, next) = self.sessions[slot].framer.next(&input[used..]);
            used += n;
            match next {
                Next::More => return (used, Turn::Idle),
                Next::Close(tag) => {
                    self.refuse(slot, tag, Refusal::new(Word::TooBig, "a frame beyond 1 MiB"), None);
                    return (used, Turn::End);
                }
                Next::Refuse(tag, word) => {
                    self.refuse(slot, tag, Refusal::new(word, "the frame's size"), None);
                }
                Next::Frame(frame) => {
                    self.request(slot, frame);
                    if let Some(home) = self.sessions[slot].goes_to {
                        // Over there the same attach is done again.
                        return (used - frame.len(), Turn::Leave(home));
                    }
                }
            }
            if self.sessions[slot].is_ending {
                return (used, Turn::End);
            }
        }
        (used, Turn::More)
    }

    /// An attach waits a moment for a queen who has not yet said which tickets are revoked: as at every
    /// start of the door.
    fn waits_for_queen(&mut self, input: &[u8]) -> bool {
        let until = self.born_mono_ms + QUEEN_MS;
        if self.admission.is_loaded || input.get(4) != Some(&TATTACH) || self.now.mono_ms >= until {
            return false;
        }
        self.wake_at(until);
        true
    }

    /// Sessions that may wait for the queen have another look.
    fn wake_all(&mut self) {
        let slots: Vec<usize> = self.sessions.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| self.dirty(slot));
    }

    /// A client's connection has ended.
    pub fn disconnect(&mut self, slot: usize) {
        self.drop_everything(slot);
        self.told_end(slot);
        let session = self.sessions.remove(slot);
        self.facts.borrow_mut().sessions.remove(&session.number);
    }

    /// Takes back what a session has in flight and ends its fids and roots.
    pub(crate) fn drop_everything(&mut self, slot: usize) {
        let inflight = core::mem::take(&mut self.sessions[slot].inflight);
        inflight.iter().for_each(|it| self.forget(slot, it));
        let fids: Vec<At> = self.sessions[slot].fids.reset().map(|(_, fid)| fid.at).collect();
        fids.iter().for_each(|at| self.end_at(at));
        let roots = self.sessions[slot].roots.take();
        roots.for_each(|at| self.end_at(&at));
    }

    /// A session begins anew, as nobody's, in no name space (spec 1.1).
    pub(crate) fn restart(&mut self, slot: usize) {
        self.drop_everything(slot);
        if self.sessions[slot].state == State::Setup {
            return;
        }
        self.told_end(slot);
        let (table, now) = (self.empty_table(), self.now);
        let session = &mut self.sessions[slot];
        session.state = State::Setup;
        session.first_ms = now.mono_ms;
        session.quota_ms = None;
        session.uname = Rc::from("");
        session.ticket = None;
        session.table = Rc::clone(&table);
        *session.public.borrow_mut() = Public::new(table, now);
        self.wake_at(now.mono_ms + u64::from(self.limits.handshake_s) * 1000);
    }

    /// The journal and the log hear of the end of who was attached.
    fn told_end(&mut self, slot: usize) {
        let session = &self.sessions[slot];
        if session.uname.is_empty() {
            return;
        }
        self.facts.borrow_mut().records.push("detach", &session.who(), "", "{}", "OK DETACH", self.now);
        let line = format!("door session {} ended owner={}", session.number, session.uname);
        self.log_session(line);
    }

    /// Says that a session came, went or was closed.
    pub(crate) fn log_session(&mut self, line: String) {
        trace::trace!(Session, Info, "{line}");
        self.log.push(line);
    }

    /// Closes a session for good: what is outstanding and what comes later is Revoked.
    pub(crate) fn close_session(&mut self, slot: usize, reason: &str) {
        let session = &mut self.sessions[slot];
        if session.state == State::Closed {
            return;
        }
        session.state = State::Closed;
        let tags: Vec<u16> = session.inflight.iter().map(|it| it.tag).collect();
        let mut public = session.public.borrow_mut();
        public.state = State::Closed;
        public.since_ms = self.now.wall_ms;
        drop(public);
        let line = format!("door session {} closed owner={} reason={reason}", session.number, session.uname);
        self.log_session(line);
        self.drop_everything(slot);
        for tag in tags {
            self.refuse(slot, tag, revoked(), None);
        }
    }

    /// Does this session still exist?
    pub(crate) fn is_live(&self, session: SessionRef) -> bool {
        self.sessions.get(session.slot).is_some_and(|it| it.number == session.number)
    }

    /// A server's channel; the first, where it is several processes.
    pub(crate) fn channel_of(&self, server: &str) -> Option<u16> {
        self.channels.iter().position(|c| c.name == server).map(|i| i as u16)
    }

    /// Is this the hive's only door?
    #[cfg_attr(target_os = "none", allow(dead_code, reason = "the image has one door"))]
    pub(crate) fn is_alone(&self) -> bool {
        self.seat.count == 1
    }

    /// The servers' processes in channel order, by name, and the other doors.
    pub fn channel_names(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().map(|c| c.name.as_str())
    }

    pub(crate) fn answer(&mut self, slot: usize, tag: u16, msg: &Rmsg) {
        msg.encode(tag, &mut self.sessions[slot].out);
        self.dirty(slot);
    }

    pub(crate) fn dirty(&mut self, slot: usize) {
        let session = &mut self.sessions[slot];
        if !session.is_dirty {
            session.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Sessions with replies to send, each once.
    pub fn take_dirty(&mut self, into: &mut Vec<usize>) {
        into.clear();
        core::mem::swap(into, &mut self.dirty);
        for slot in into.iter() {
            if let Some(session) = self.sessions.get_mut(*slot) {
                session.is_dirty = false;
            }
        }
    }

    /// Replies that wait for a session's client.
    pub fn client_output(&self, slot: usize) -> &[u8] {
        self.sessions.get(slot).map_or(&[], |session| &session.out[session.sent..])
    }

    /// `n` bytes of them have been sent.
    pub fn client_sent(&mut self, slot: usize, n: usize) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let (used, room) = (session.out.len(), session.out.capacity());
        consume(&mut session.out, &mut session.sent, n);
        if session.out.is_empty() {
            // Room that was used is kept for the next answers; room that was not is given back.
            if used < room / 4 {
                session.out.shrink_to((room / 2).max(4096));
            }
        } else {
            self.facts.borrow_mut().short_writes += 1;
        }
    }

    /// Is the session's client to be read now?
    pub fn is_reading(&self, slot: usize) -> bool {
        matches!(self.gate(slot, &self.sessions[slot].input), Gate::Open)
    }

    /// Asks for a channel to be opened if it is not; the loop does so at once, see [`Door::new`].
    pub(crate) fn connect(&mut self, channel: u16) {
        let link = &mut self.channels[channel as usize];
        if link.is_up {
            return;
        }
        if channel == self.own_channel {
            link.open();
        } else if let Some(dial) = &mut self.admission.dial
            && dial(channel, &link.name)
        {
            link.open();
        }
    }

    /// A server's stream has ended: what was asked of it is Busy, its fids are Closed.
    pub fn channel_lost(&mut self, channel: u16) {
        let link = &mut self.channels[channel as usize];
        let name = link.name.clone();
        let waits = link.close();
        for wait in waits {
            match wait {
                Wait::Client { session, tag, fid, .. } => self.lost(session, tag, Some(fid), &name),
                Wait::Walk { session, tag, newfid, bfid, old, .. } => {
                    self.lost(session, tag, Some(newfid), &name);
                    if self.is_live(session) {
                        self.sessions[session.slot].unwalk(newfid, channel, bfid, old);
                    }
                }
                Wait::Attach { session, mount, job } => {
                    if self.is_live(session)
                        && let Some(root) = self.sessions[session.slot].roots.get_mut(mount, channel)
                    {
                        *root = Root::Refused(gone(&name));
                    }
                    if let Some(job) = job {
                        self.advance(job, 0, Brought::Root);
                    }
                }
                Wait::Part { job, part } => self.advance(job, part, Brought::Walk(Err(gone(&name)))),
                Wait::Entries { job, source } => {
                    self.advance(job, source, Brought::Entries(Err(gone(&name))));
                }
                Wait::Clunk { client, .. } => self.clunked(client),
                Wait::Nothing => {}
            }
        }
        // Since when she is away.
        if name == crate::root::QUEEN {
            self.cut_now();
        }
    }

    fn lost(&mut self, session: SessionRef, tag: u16, fid: Option<u32>, name: &str) {
        if !self.is_live(session) {
            return;
        }
        let it = &mut self.sessions[session.slot];
        it.landed(tag, 0);
        let path = fid.and_then(|fid| it.fids.get(fid).ok()).map(|fid| Rc::clone(&fid.path));
        self.refuse(session.slot, tag, gone(name), path.as_deref());
    }

    /// Requests that wait for a server.
    pub fn channel_output(&self, channel: u16) -> &[u8] {
        self.channels[channel as usize].output()
    }

    /// `n` bytes of them have been sent.
    pub fn channel_sent(&mut self, channel: u16, n: usize) {
        self.channels[channel as usize].consume(n);
    }

    /// Bytes have come from a server; None where it must be let go.
    pub fn server_input(&mut self, channel: u16, input: &[u8]) -> Option<usize> {
        self.channel_input(channel, input)
    }

    /// Runs what the door asks of its own files, and what the queen has ordered, until nothing is left.
    pub fn settle(&mut self, own: &mut Engine<Own>) {
        let conn = *self.own_conn.get_or_insert_with(|| own.connect());
        loop {
            self.orders();
            let Some(link) = self.channels.get(self.own_channel as usize) else { break };
            let asked = link.output().to_vec();
            let ready = self.fresh(&asked);
            if ready == 0 {
                break;
            }
            self.channels[self.own_channel as usize].consume(ready);
            self.count_outstanding();
            own.feed(conn, &asked[..ready], self.now);
            let said = own.output(conn).to_vec();
            own.consume(conn, said.len());
            // The engine is ours: what it says is the protocol.
            let _ = self.channel_input(self.own_channel, &said);
        }
        if self.log.is_empty() && self.spent.is_empty() {
            return;
        }
        let mut facts = self.facts.borrow_mut();
        facts.outbox.extend(self.log.drain(..).map(Request::log));
        facts.outbox.extend(self.spent.drain(..).map(|id| Request {
            id: 0,
            server: "queen",
            root: "in",
            path: "events".into(),
            op: Op::Write(format!("{{\"spent\":{{\"ticket\":\"{id}\",\"what\":\"ops\"}}}}\n").into_bytes()),
        }));
    }

    /// Counts the requests under way, for who looks now.
    pub(crate) fn count_outstanding(&self) {
        self.facts.borrow_mut().outstanding = self.sessions.iter().map(|(_, s)| s.inflight.len()).sum();
    }

    fn orders(&mut self) {
        let orders = core::mem::take(&mut self.facts.borrow_mut().orders);
        for order in orders {
            match order {
                Order::Revoke { id, reason } => self.revoke(&id, &reason),
                Order::Ended { hive, runs, reason } => self.ended(&hive, &runs, &reason),
                Order::Loaded => {
                    self.admission.is_loaded = true;
                    self.wake_all();
                }
                Order::Phase(phase) => self.enter_phase(phase),
                Order::Cut(cut) => self.cut(cut),
                Order::Failed { peer } => self.admission.throttle.fail(&peer, self.now.mono_ms),
                Order::Remounted { session } => {
                    let Some((_, it)) = self.sessions.iter_mut().find(|(_, it)| it.number == session) else {
                        continue;
                    };
                    it.table = Rc::clone(&it.public.borrow().table);
                    let (table, fids) = (Rc::clone(&it.table), &mut it.fids);
                    for (_, fid) in fids.iter_mut() {
                        if let Ok(path) = ns::Path::parse(&fid.path) {
                            fid.merges = fid.merges || table.has_below(&path);
                        }
                    }
                }
            }
        }
    }

    /// The hive's state has changed: workers' sessions drain while it lets none in.
    fn enter_phase(&mut self, phase: Phase) {
        self.phase = phase;
        let (from, to) = match phase.allows_work() {
            true => (State::Draining, State::Active),
            false => (State::Active, State::Draining),
        };
        for (_, session) in &mut self.sessions {
            if session.state == from && session.is_worker() {
                session.state = to;
                let mut public = session.public.borrow_mut();
                public.state = to;
                public.since_ms = self.now.wall_ms;
            }
        }
    }

    /// The time that was set.
    pub fn now(&self) -> Now {
        self.now
    }

    /// When [`Door::tick`] must run, if nothing else happens.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.wake_ms
    }

    /// Something is due at this monotonic millisecond.
    pub(crate) fn wake_at(&mut self, at_ms: u64) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |wake| wake.min(at_ms)));
    }

    /// Time has passed: late jobs, silent peers, expired tickets. Returns the sessions to end.
    pub fn tick(&mut self) -> Vec<usize> {
        self.wake_ms = None;
        if !self.admission.is_loaded {
            self.wake_all();
        }
        if let Some(at) = self.expire_jobs() {
            self.wake_at(at);
        }
        let (mono, wall) = (self.now.mono_ms, self.now.wall_ms);
        let handshake = u64::from(self.limits.handshake_s) * 1000;
        let idle = u64::from(self.limits.idle_s) * 1000;
        let (mut ends, mut expired, mut next) = (Vec::new(), Vec::new(), u64::MAX);
        for (slot, session) in &self.sessions {
            let limit = match session.state {
                State::Setup => session.first_ms + handshake,
                _ if idle > 0 => session.last_ms + idle,
                _ => u64::MAX,
            };
            if limit <= mono {
                ends.push(slot);
            } else {
                next = next.min(limit);
            }
            let Some(held) = session.ticket.as_ref().filter(|_| session.state != State::Closed) else {
                continue;
            };
            match held.expires_ms.saturating_sub(wall) {
                0 => expired.push(slot),
                left => next = next.min(mono.saturating_add(left)),
            }
        }
        if next < u64::MAX {
            self.wake_at(next);
        }
        for slot in expired {
            self.close_session(slot, "expired");
        }
        ends
    }
}

fn gone(server: &str) -> Refusal {
    Refusal::new(Word::Busy, format!("{server} has died and is being restarted"))
}
