//! Who may come in, as what, and for how long: tickets at the attach, and their limits afterwards (spec 3.2).

use crate::door::Door;
use crate::facts::State;
use crate::session::{At, Fid, Held, Session};
use alloc::rc::Rc;
use authority::{Gone, Run, worker_ticket};
use core::cell::RefCell;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Op, Request};
use ninep::wire::{NOFID, Qid};
use ns::{Table, Vars, shard_label};
use rt::prelude::*;
use ticket::{Bounds, Grant, Keys, Refused, Revocations, Role, Throttle, Token};

/// Opens the stream to a server when the door first needs it; says whether it is open.
pub type Dial = Box<dyn FnMut(u16, &str) -> bool>;

/// What the door knows about tickets.
pub struct Admission {
    /// The audience of this hive's tickets.
    pub hive: String,
    /// Accepted issuer keys.
    pub keys: Keys,
    /// The manifest's bounds.
    pub bounds: Bounds,
    /// Peers that failed too often.
    pub throttle: Throttle,
    /// Tickets that were revoked by command.
    pub revocations: Revocations,
    /// Workers whose tickets were revoked with their ends.
    pub gone: Gone,
    /// False until the queen's list of revocations is here: till then no ticket is let in.
    pub is_loaded: bool,
    /// The user who runs the hive.
    pub uid: u32,
    /// How to reach a server.
    pub dial: Option<Dial>,
}

impl Admission {
    /// What the manifest says about tickets; `uid` is the user who runs the hive.
    pub fn from_manifest(boot: &rt::Boot, uid: u32, dial: Dial) -> Result<Admission, rt::BootError> {
        let tickets = &boot.manifest.tickets;
        let mut keys = Keys::default();
        for (id, hex) in &tickets.keys {
            keys.add(id, hex).map_err(|why| rt::BootError(format!("tickets.keys.{id}: {why}")))?;
        }
        Ok(Admission {
            hive: boot.manifest.hive.name.clone(),
            keys,
            bounds: Bounds::from(tickets),
            throttle: Throttle::new(),
            revocations: Revocations::new(boot.manifest.queen.revocations as usize),
            gone: Gone::default(),
            is_loaded: false,
            uid,
            dial: Some(dial),
        })
    }
}

#[cfg(test)]
impl Admission {
    /// No keys, no ticket: what local queens need.
    pub(crate) fn for_tests() -> Admission {
        Admission {
            hive: "hive".into(),
            keys: Keys::default(),
            bounds: Bounds::default(),
            throttle: Throttle::new(),
            revocations: Revocations::new(16),
            gone: Gone::default(),
            is_loaded: true,
            uid: 0,
            dial: None,
        }
    }
}

/// So many characters of a name tell peers apart.
const NAME_MAX: usize = 128;

/// Who a session turns out to be.
struct Identity {
    role: Role,
    subject: String,
    grant: Option<Grant>,
}

impl Door {
    /// Lets a session in, or decides that another door does: then there is no answer yet.
    pub(crate) fn attach(
        &mut self,
        slot: usize,
        fid: u32,
        afid: u32,
        uname: &str,
        aname: &str,
    ) -> Result<Option<Qid>, Refusal> {
        self.sessions[slot].fids.check_new(fid)?;
        let shown = self.shown(slot, afid, aname)?;
        let identity = if shown.is_empty() && self.is_local_queen(slot) {
            self.local(uname)?
        } else {
            self.ticketed(slot, uname, &shown)?
        };
        if matches!(self.sessions[slot].state, State::Active | State::Draining) {
            self.same_identity(slot, &identity)?;
        } else {
            let home = self.home(&identity)?;
            if home != self.seat.index {
                self.sessions[slot].goes_to = Some(home);
                return Ok(None);
            }
            self.enter(slot, identity)?;
        }
        self.sessions[slot].fids.insert(fid, Fid::synthetic(Rc::from("/")))?;
        Ok(Some(self.synthetic_qid("/")))
    }

    /// The door that a session is to live at. All of a ticket are at one: its accounts are there.
    fn home(&mut self, identity: &Identity) -> Result<u32, Refusal> {
        if !self.seat.is_front() {
            // One that was somebody else's here before may be another door's now, and cannot go there.
            return match &identity.grant {
                Some(grant) if self.seat.home_of(&grant.id) != self.seat.index => {
                    Err(Refusal::new(Word::Busy, "the door of this ticket is another; connect anew"))
                }
                _ => Ok(self.seat.index),
            };
        }
        let reach = &mut self.reach;
        let mut is_there = |door| reach.as_mut().is_some_and(|reach| reach(door));
        let Some(grant) = &identity.grant else { return Ok(self.seat.next_home(is_there)) };
        let home = self.seat.home_of(&grant.id);
        if home == self.seat.index || is_there(home) {
            return Ok(home);
        }
        let name = manifest::process_name("door", home);
        Err(Refusal::new(Word::Busy, format!("{name}, the door of this ticket, is not there; try again")))
    }

    /// The ticket: what was written to the afid, or the aname.
    fn shown(&self, slot: usize, afid: u32, aname: &str) -> Result<String, Refusal> {
        if afid == NOFID {
            return Ok(aname.to_owned());
        }
        match &self.sessions[slot].fids.get(afid)?.at {
            At::Auth(written) => core::str::from_utf8(written)
                .map(|text| text.trim().to_owned())
                .map_err(|_| Refusal::new(Word::Permission, "the ticket is not text")),
            _ => Err(Refusal::new(Word::Invalid, "that is no afid")),
        }
    }

    fn is_local_queen(&self, slot: usize) -> bool {
        let session = &self.sessions[slot];
        session.rules.local_queen && session.peer_uid == Some(self.admission.uid)
    }

    /// Without a ticket the hive's own user is the queen, or less: an observer.
    fn local(&self, uname: &str) -> Result<Identity, Refusal> {
        let (role, subject) = uname.split_once(':').unwrap_or((uname, ""));
        let role = if role.is_empty() { Role::Queen } else { known_role(role)? };
        if !matches!(role, Role::Queen | Role::Observer) {
            return Err(Refusal::new(Word::Permission, format!("{} needs a ticket", role.as_str())));
        }
        if !subject.is_empty() {
            // It is told to servers, logged, and shown: it is no more than a ticket could say.
            ticket::check_subject(subject).map_err(|why| Refusal::new(Word::Permission, why.to_string()))?;
        }
        Ok(Identity { role, subject: subject.to_owned(), grant: None })
    }

    fn ticketed(&mut self, slot: usize, uname: &str, shown: &str) -> Result<Identity, Refusal> {
        let session = &self.sessions[slot];
        let is_foreign = session.rules.fids == manifest::Fids::Reuse;
        // Sessions over a Unix socket share one user: there the name that is asked for tells them apart.
        let peer = if session.peer_uid.is_some() {
            let name: String = uname.chars().take(NAME_MAX).collect();
            format!("{} {name}", session.peer)
        } else {
            session.peer.clone()
        };
        let now_ms = self.now.mono_ms;
        if let Err(wait_ms) = self.admission.throttle.check(&peer, now_ms) {
            let detail = format!("too many failed attaches; wait {} s", wait_ms.div_ceil(1000));
            return Err(Refusal::new(Word::RateLimited, detail));
        }
        let checked = self.check_ticket(uname, shown, is_foreign);
        if let Err(refusal) = &checked
            && refusal.word == Word::Permission
        {
            self.admission.throttle.fail(&peer, now_ms);
            self.tell_failed(&peer);
        }
        checked
    }

    /// The other doors keep the same peers out.
    fn tell_failed(&self, peer: &str) {
        let mut facts = self.facts.borrow_mut();
        let line = format!("{{\"failed\":{{\"peer\":{}}}}}\n", json::to_string(&peer));
        let tell = |server| {
            let op = Op::Write(line.clone().into_bytes());
            Request { id: 0, server, root: "ctl", path: "ctl".into(), op }
        };
        let requests: Vec<Request> = facts.far.iter().map(|far| tell(far.name)).collect();
        facts.outbox.extend(requests);
    }

    fn check_ticket(&mut self, uname: &str, shown: &str, is_foreign: bool) -> Result<Identity, Refusal> {
        let admission = &self.admission;
        if shown.is_empty() {
            return Err(Refusal::new(Word::Permission, "this listener wants a ticket"));
        }
        if !admission.is_loaded {
            return Err(Refusal::new(Word::Busy, "the queen has not yet said which tickets are revoked"));
        }
        let no = |why: ticket::TicketError| {
            let word = if why.is_expired() { Word::Revoked } else { Word::Permission };
            Refusal::new(word, why.to_string())
        };
        let token = Token::parse(shown).map_err(no)?;
        let grant = token
            .verify(&admission.keys, &admission.hive, &admission.bounds, self.now.wall_ms)
            .map_err(no)?;
        if let Some(reason) = admission.revocations.reason(&grant.id) {
            return Err(Refusal::new(Word::Revoked, format!("the ticket was revoked: {reason}")));
        }
        if grant.role.is_worker() && admission.gone.has(&grant.subject, &grant.id) {
            let detail = format!("the ticket was revoked: {} has ended", grant.subject);
            return Err(Refusal::new(Word::Revoked, detail));
        }
        let (role, subject) = uname.split_once(':').unwrap_or((uname, ""));
        let role_fits = match known_role(role) {
            Ok(role) => role == grant.role,
            // A kernel's client says a user's name here; the ticket says the role.
            Err(_) => role.is_empty() || is_foreign,
        };
        if !role_fits {
            return Err(Refusal::new(Word::Permission, format!("the ticket is for {}", grant.role.as_str())));
        }
        if !subject.is_empty() && subject != grant.subject {
            return Err(Refusal::new(Word::Permission, "the ticket is for another subject"));
        }
        if grant.role.is_worker() && grant.subject.is_empty() {
            return Err(Refusal::new(Word::Permission, "a worker's ticket names its subject"));
        }
        Ok(Identity { role: grant.role, subject: grant.subject.to_string(), grant: Some(grant) })
    }

    fn same_identity(&self, slot: usize, identity: &Identity) -> Result<(), Refusal> {
        let session = &self.sessions[slot];
        let held = session.ticket.as_ref().map(|held| &*held.id);
        let shown = identity.grant.as_ref().map(|grant| &*grant.id);
        if *session.uname == *uname(identity.role, &identity.subject) && held == shown {
            return Ok(());
        }
        Err(Refusal::new(Word::Permission, "the session is attached as somebody else"))
    }

    /// The session becomes what it has shown itself to be.
    fn enter(&mut self, slot: usize, identity: Identity) -> Result<(), Refusal> {
        let Identity { role, subject, grant } = identity;
        if role.is_worker() && !self.phase.allows_work() {
            let detail = format!("state={} lets no worker in", self.phase.name());
            return Err(Refusal::new(Word::Busy, detail));
        }
        let table = self.table_for(role, &subject)?;
        let uname: Rc<str> = Rc::from(uname(role, &subject));
        let shard = role.is_worker().then(|| {
            let bits = self.facts.borrow().shard_bits;
            ns::ShardLabel::parse(&shard_label(&subject, bits)).unwrap_or(0)
        });
        let ticket = grant.map(|grant| self.hold(grant)).transpose()?;
        let session = &mut self.sessions[slot];
        session.state = State::Active;
        session.uname = Rc::clone(&uname);
        session.table = Rc::clone(&table);
        session.ticket = ticket;
        let mut public = session.public.borrow_mut();
        public.state = State::Active;
        public.since_ms = self.now.wall_ms;
        public.owner = uname.to_string();
        public.table = table;
        public.shard = shard;
        public.is_scoped = session.ticket.as_ref().is_some_and(|held| !held.scopes.is_empty());
        drop(public);
        let who = session.who();
        let cmd = format!("{{\"peer\":{:?}}}", session.peer);
        self.facts.borrow_mut().records.push("attach", &who, "", &cmd, "OK ATTACH", self.now);
        let session = &self.sessions[slot];
        let ticket = session.ticket.as_ref().map_or("none", |held| &held.id);
        let line = format!(
            "door session {} attached owner={uname} ticket={ticket} peer={}",
            session.number, session.peer
        );
        self.log_session(line);
        if role == Role::Queen {
            self.queen_came();
        }
        Ok(())
    }

    /// The accounts of a ticket outlive its sessions: to come again is not to begin again.
    fn hold(&mut self, grant: Grant) -> Result<Held, Refusal> {
        let id: Rc<str> = Rc::from(&*grant.id);
        let now_ms = self.now.wall_ms;
        let meter = self.facts.borrow_mut().accounts.open(&grant, now_ms);
        let meter = meter.ok_or_else(|| Refusal::new(Word::Busy, "too many tickets are in use"))?;
        let scopes = grant.scopes.iter().map(|scope| Rc::from(&*scope.path)).collect();
        let expires_ms = meter.expires_ms();
        if expires_ms <= now_ms {
            return Err(Refusal::new(Word::Revoked, Refused::Expired.to_string()));
        }
        self.wake_at(self.now.mono_ms.saturating_add(expires_ms.saturating_sub(now_ms)));
        let worker = self.admission.gone.number(&grant.subject, &id).filter(|_| grant.role.is_worker());
        Ok(Held { id, worker, meter: RefCell::new(meter), scopes, expires_ms })
    }

    fn table_for(&mut self, role: Role, subject: &str) -> Result<Rc<Table>, Refusal> {
        let name = role.as_str();
        if let Some(table) = self.tables.get(name) {
            return Ok(Rc::clone(table));
        }
        let text = self
            .namespaces
            .get(name)
            .ok_or_else(|| Refusal::new(Word::Permission, format!("this hive has no role {name}")))?;
        let label = shard_label(subject, self.facts.borrow().shard_bits);
        let vars = if subject.is_empty() {
            Vars::default()
        } else {
            Vars { subject: Some(subject), shard: Some(&label) }
        };
        let table = Table::parse(text, &vars)
            .map_err(|why| Refusal::new(Word::Permission, format!("bind/{name}: {why}")))?;
        let table = Rc::new(table);
        if !text.contains('$') {
            self.tables.insert(name.to_owned(), Rc::clone(&table));
        }
        Ok(table)
    }

    /// Closes every session of a ticket, now and for good. What it had used up is of no use any more.
    pub(crate) fn revoke(&mut self, id: &str, reason: &str) {
        self.admission.revocations.add(id, reason);
        self.facts.borrow_mut().accounts.forget(id);
        self.close_all(|held| &*held.id == id, reason);
    }

    /// The same of workers of the queen's that have ended.
    pub(crate) fn ended(&mut self, hive: &str, runs: &[Run], reason: &str) {
        self.admission.gone.add(hive, runs);
        if let [(first, last)] = runs
            && first == last
        {
            self.facts.borrow_mut().accounts.forget(&worker_ticket(hive, *first));
        }
        let is_among = |number: &u64| runs.iter().any(|(first, last)| (first..=last).contains(&number));
        let has_ended = |held: &Held| {
            held.worker.filter(is_among).is_some_and(|number| worker_ticket(hive, number) == *held.id)
        };
        self.close_all(has_ended, reason);
    }

    fn close_all(&mut self, is_revoked: impl Fn(&Held) -> bool, reason: &str) {
        let held = |session: &Session| session.ticket.as_ref().is_some_and(&is_revoked);
        let slots: Vec<usize> =
            self.sessions.iter().filter(|(_, session)| held(session)).map(|(slot, _)| slot).collect();
        let has_queens = slots.iter().any(|slot| {
            let session = &self.sessions[*slot];
            session.is_queen() && session.state != State::Closed
        });
        slots.into_iter().for_each(|slot| self.close_session(slot, &format!("revoked: {reason}")));
        if has_queens {
            self.queens_revoked();
        }
    }

    /// What a spent limit means: Quota now; and the queen hears of spent operations, since a worker's
    /// life ends with them.
    pub(crate) fn over_limit(
        &mut self,
        slot: usize,
        refused: Refused,
        path: Rc<str>,
    ) -> (Refusal, Option<Rc<str>>) {
        if refused == Refused::Ops
            && let Some(held) = &self.sessions[slot].ticket
        {
            let id = held.id.to_string();
            if !self.spent.contains(&id) {
                self.spent.push(id);
            }
        }
        let word = match refused {
            Refused::Scope | Refused::Verb => Word::Permission,
            Refused::Expired => Word::Revoked,
            _ => Word::Quota,
        };
        (Refusal::new(word, refused.to_string()), Some(path))
    }
}

fn uname(role: Role, subject: &str) -> String {
    if subject.is_empty() { role.as_str().to_owned() } else { format!("{}:{subject}", role.as_str()) }
}

fn known_role(name: &str) -> Result<Role, Refusal> {
    name.parse().map_err(|_| Refusal::new(Word::Permission, format!("there is no role {name:?}")))
}
