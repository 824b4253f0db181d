//! The door's own files: `/proc/9p` [9p], `/proc/pressure` [pressure], and the word that the queen has
//! with it [ctl].

use crate::facts::{Facts, Order, Public, WORDS};
use crate::far::{COUNTS, Counts};
use crate::orders::{self, ended, order};
use alloc::rc::Rc;
use authority::Phase;
use core::cell::RefCell;
use core::fmt::Write;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, File, Now, Op, Request, Service, Tree};
use rt::prelude::*;

/// The state behind the door's files: a view of the door. It asks the queen for the revoked tickets,
/// the workers that have ended and the hive's state until she answers; tickets wait until then.
pub struct Own {
    pub(crate) facts: Rc<RefCell<Facts>>,
    ask_ms: Option<u64>,
    now: Now,
}

/// The requests for the list of revocations, for the workers that have ended and for the hive's state; and how
/// long to wait between tries.
const LIST: u64 = 1;
const STATE: u64 = 2;
/// That of an append to the journal.
const APPEND: u64 = 3;
const ENDED: u64 = 4;
const ASK_AGAIN_MS: u64 = 10;

impl Own {
    fn ask(&self, id: u64, root: &'static str, path: &str) {
        let ask = Request { id, server: "queen", root, path: path.into(), op: Op::Read };
        self.facts.borrow_mut().outbox.push(ask);
    }

    /// What the queen has said; None where it is not an answer.
    fn told(&self, id: u64, text: &str) -> Option<()> {
        if id == LIST {
            let mut facts = self.facts.borrow_mut();
            for line in text.lines() {
                let (id, reason) = line.split_once(' ').unwrap_or((line, "revoked"));
                facts.orders.push(Order::Revoke { id: id.into(), reason: reason.into() });
            }
            drop(facts);
            self.ask(ENDED, "in", "ended");
            return Some(());
        }
        if id == ENDED {
            text.lines().try_for_each(|line| ended(self, line))?;
            self.ask(STATE, "lifecycle", "state");
            return Some(());
        }
        let phase = Phase::shown(text)?;
        self.facts.borrow_mut().orders.extend([Order::Phase(phase), Order::Loaded]);
        Some(())
    }
}

impl Service for Own {
    fn start(&mut self, now: Now) {
        self.ask_ms = Some(now.mono_ms);
    }

    fn deadline_ms(&self) -> Option<u64> {
        [self.ask_ms, self.facts.borrow().records.deadline_ms()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        if self.ask_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            self.ask(LIST, "in", "revoked");
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        let mut facts = self.facts.borrow_mut();
        let append = facts.records.append(APPEND, self.now);
        let mut requests = core::mem::take(&mut facts.outbox);
        requests.extend(append);
        requests
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        self.now = now;
        if id == APPEND {
            let answer = answer.map(drop).map_err(|why| why.word);
            let mut facts = self.facts.borrow_mut();
            if let Some(lost) = facts.records.appended(answer, now) {
                facts
                    .outbox
                    .push(Request::log(format!("door audit records lost count={lost} reason=audit-away")));
            }
            return;
        }
        if id >= COUNTS {
            return self.facts.borrow_mut().door_answered(id, answer);
        }
        let said = answer.ok().and_then(|text| self.told(id, &String::from_utf8_lossy(&text)));
        if said.is_none() {
            self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS);
        }
    }
}

const CTL_LINE: usize = 1024;

/// The tree:
///
/// ```text
/// 9p/        sessions outstanding short_writes  session/{active,<id>/{state,since_ms,owner,ns}}  self/{errstr,ns}
/// pressure/  busy quota cut policy …            one file a word
/// root/      reachable last_seen_ms cut_reason  while the queen is away
/// ctl/       ctl left counts                    for the queen and the other doors
/// ```
pub(crate) fn tree(facts: Rc<RefCell<Facts>>) -> Tree<Own> {
    let session = Dir::new()
        .text("state", |own: &Own, call, out| show(own, call, |s| writeln!(out, "state={}", s.state.word())))
        .text("since_ms", |own: &Own, call, out| {
            show(own, call, |s| writeln!(out, "since_ms={}", s.since_ms))
        })
        .text("owner", |own: &Own, call, out| show(own, call, |s| writeln!(out, "owner={}", s.owner)))
        .text("ns", |own: &Own, call, out| show(own, call, |s| write!(out, "{}", s.table)));
    let sessions = Dir::new()
        .text("active", |own: &Own, _, out| {
            own.facts.borrow().active_text(out);
            Ok(())
        })
        .each(
            |own: &Own, _, f| {
                let facts = own.facts.borrow();
                let far = facts.far_counts().flat_map(|door| &door.sessions);
                facts.sessions.keys().chain(far).for_each(|id| f(&id.to_string(), u64::from(*id)))
            },
            |own: &Own, _, name| {
                let id: u32 = name.parse().ok()?;
                (own.facts.borrow().sessions.contains_key(&id) && id.to_string() == name)
                    .then_some(u64::from(id))
            },
            session,
        );
    let this = Dir::new()
        .text("errstr", |own: &Own, call, out| mine(own, call, |s| writeln!(out, "{}", s.errstr)))
        .with(
            "ns",
            File::value(
                0o644,
                |own: &Own, call, out| mine(own, call, |s| write!(out, "{}", s.table)),
                remount,
            ),
        );
    let ninep = Dir::new()
        .text("sessions", |own: &Own, _, out| {
            own.facts.borrow().sessions_text(out);
            Ok(())
        })
        .text("outstanding", |own: &Own, _, out| {
            let facts = own.facts.borrow();
            let current = facts.sum(facts.outstanding as u64, |door| door.outstanding);
            line(writeln!(out, "outstanding current={current} limit={}", facts.tags_per_session))
        })
        .text("short_writes", |own: &Own, _, out| {
            let facts = own.facts.borrow();
            let total = facts.sum(facts.short_writes, |door| door.short_writes);
            let retries = facts.sum(facts.short_retries, |door| door.short_retries);
            line(writeln!(out, "short_writes total={total} retries={retries}"))
        })
        .dir("session", sessions)
        .dir("self", this);
    let mut pressure = Dir::new();
    for (i, word) in WORDS.iter().enumerate() {
        let name = word.reason();
        pressure = pressure.text(name, move |own: &Own, _, out| {
            let facts = own.facts.borrow();
            line(writeln!(out, "{name}={}", facts.sum(facts.refused[i], |door| door.refused[i])))
        });
    }
    let ctl = Dir::new()
        .orders("ctl", 0o600, CTL_LINE, order)
        .text("left", left)
        .text("counts", |own: &Own, _, out| line(Counts::tell(&own.facts.borrow(), out)));
    Tree::new(Own { facts, ask_ms: None, now: Now::default() }, Dir::new())
        .root("9p", ninep)
        .root("pressure", pressure)
        .root("root", crate::root::dir())
        .internal("ctl", ctl)
}

fn line(wrote: core::fmt::Result) -> Result<(), Refusal> {
    wrote.map_err(|_| Word::Invalid.into())
}

/// Shows the session of the directory.
fn show(own: &Own, call: &Call, f: impl FnOnce(&Public) -> core::fmt::Result) -> Result<(), Refusal> {
    view(own, call.key as u32, f)
}

/// Shows the session that asks.
fn mine(own: &Own, call: &Call, f: impl FnOnce(&Public) -> core::fmt::Result) -> Result<(), Refusal> {
    view(own, call.who.session, f)
}

fn view(own: &Own, id: u32, f: impl FnOnce(&Public) -> core::fmt::Result) -> Result<(), Refusal> {
    let facts = own.facts.borrow();
    let session = facts.sessions.get(&id).ok_or(Word::NotFound)?;
    line(f(&session.borrow()))
}

/// `echo 'bind /shard /shadow' > /proc/9p/self/ns`: lines of namespace(5), all or none.
fn remount(own: &mut Own, call: &Call, text: &str) -> Result<(), Refusal> {
    if call.who.role != "queen" {
        return Err(Refusal::new(Word::Permission, "only the queen changes a name space, and only her own"));
    }
    let table = changed(own, call.who.session, |table, servers| {
        table.apply(text).map_err(|error| {
            let word = error.refused.as_ref().map_or(Word::Invalid, orders::word);
            Refusal::new(word, error.to_string())
        })?;
        known_servers(table, servers)
    })?;
    set(own, call.who.session, table)
}

pub(crate) fn known_servers(table: &ns::Table, servers: &[String]) -> Result<(), Refusal> {
    for entry in table.entries() {
        if let ns::Entry::Mount { server, .. } = entry
            && !servers.iter().any(|known| known == server)
        {
            return Err(Refusal::new(Word::NotFound, format!("no server {server} in this hive")));
        }
    }
    Ok(())
}

/// A session's table as `edit` would make it.
pub(crate) fn changed(
    own: &Own,
    id: u32,
    edit: impl FnOnce(&mut ns::Table, &[String]) -> Result<(), Refusal>,
) -> Result<ns::Table, Refusal> {
    let facts = own.facts.borrow();
    let session = facts.sessions.get(&id).ok_or(Word::NotFound)?;
    if session.borrow().is_scoped {
        let detail = "a ticket with scopes does not change its name space: it could move things into them";
        return Err(Refusal::new(Word::Permission, detail));
    }
    let mut table = (*session.borrow().table).clone();
    edit(&mut table, &facts.servers)?;
    Ok(table)
}

/// Gives it to the session.
pub(crate) fn set(own: &Own, id: u32, table: ns::Table) -> Result<(), Refusal> {
    let mut facts = own.facts.borrow_mut();
    let session = facts.sessions.get(&id).ok_or(Word::NotFound)?;
    session.borrow_mut().table = Rc::new(table);
    facts.orders.push(Order::Remounted { session: id });
    Ok(())
}

/// Operations that tickets have left, `<ticket> <ops>` a line.
fn left(own: &Own, _: &Call, out: &mut String) -> Result<(), Refusal> {
    for (id, ops) in own.facts.borrow().accounts.ops_left() {
        line(writeln!(out, "{id} {ops}"))?;
    }
    Ok(())
}
