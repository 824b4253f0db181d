//! The door's own files: `/proc/9p` [9p], `/proc/pressure` [pressure], and the word that the queen has
//! with it [ctl].

use crate::facts::{Facts, Order, Public, WORDS};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, File, Now, Op, Request, Service, Tree, Verdict};
use serde::Deserialize;
use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

/// The state behind the door's files: a view of the door. It asks the queen for the revoked tickets
/// until she answers; tickets wait until then.
pub struct Own {
    facts: Rc<RefCell<Facts>>,
    ask_ms: Option<u64>,
}

/// The request for the list of revocations; and how long to wait between tries.
const LIST: u64 = 1;
const ASK_AGAIN_MS: u64 = 10;

impl Service for Own {
    fn start(&mut self, now: Now) {
        self.ask_ms = Some(now.mono_ms);
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.ask_ms
    }

    fn tick(&mut self, _: Now) {
        if self.ask_ms.take().is_some() {
            let (root, path) = ("in", "revoked".into());
            let ask = Request { id: LIST, server: "queen", root, path, op: Op::Read };
            self.facts.borrow_mut().outbox.push(ask);
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.facts.borrow_mut().outbox)
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        match answer {
            Ok(list) if id == LIST => {
                let mut facts = self.facts.borrow_mut();
                for line in String::from_utf8_lossy(&list).lines() {
                    let (id, reason) = line.split_once(' ').unwrap_or((line, "revoked"));
                    facts.orders.push(Order::Revoke { id: id.into(), reason: reason.into() });
                }
                facts.orders.push(Order::Loaded);
            }
            _ => self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS),
        }
    }
}

const CTL_LINE: usize = 1024;

/// The tree:
///
/// ```text
/// 9p/        sessions outstanding short_writes  session/{active,<id>/{state,since_ms,owner,ns}}  self/{errstr,ns}
/// pressure/  busy quota cut policy …            one file a word
/// ctl/       ctl left                           for the queen only
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
                own.facts.borrow().sessions.keys().for_each(|id| f(&id.to_string(), u64::from(*id)))
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
            line(writeln!(out, "outstanding current={} limit={}", facts.outstanding, facts.tags_per_session))
        })
        .text("short_writes", |own: &Own, _, out| {
            let facts = own.facts.borrow();
            line(writeln!(out, "short_writes total={} retries={}", facts.short_writes, facts.short_retries))
        })
        .dir("session", sessions)
        .dir("self", this);
    let mut pressure = Dir::new();
    for (i, word) in WORDS.iter().enumerate() {
        let name = word.reason();
        pressure = pressure.text(name, move |own: &Own, _, out| {
            line(writeln!(out, "{name}={}", own.facts.borrow().refused[i]))
        });
    }
    Tree::new(Own { facts, ask_ms: None }, Dir::new())
        .root("9p", ninep)
        .root("pressure", pressure)
        .internal("ctl", Dir::new().orders("ctl", 0o600, CTL_LINE, order).text("left", left))
}

fn line(wrote: std::fmt::Result) -> Result<(), Refusal> {
    wrote.map_err(|_| Word::Invalid.into())
}

/// Shows the session of the directory.
fn show(own: &Own, call: &Call, f: impl FnOnce(&Public) -> std::fmt::Result) -> Result<(), Refusal> {
    view(own, call.key as u32, f)
}

/// Shows the session that asks.
fn mine(own: &Own, call: &Call, f: impl FnOnce(&Public) -> std::fmt::Result) -> Result<(), Refusal> {
    view(own, call.who.session, f)
}

fn view(own: &Own, id: u32, f: impl FnOnce(&Public) -> std::fmt::Result) -> Result<(), Refusal> {
    let facts = own.facts.borrow();
    let session = facts.sessions.get(&id).ok_or(Word::NotFound)?;
    line(f(&session.borrow()))
}

/// `echo 'bind /shard /shadow' > /proc/9p/self/ns`: lines of namespace(5), all or none.
fn remount(own: &mut Own, call: &Call, text: &str) -> Result<(), Refusal> {
    if call.who.role != "queen" {
        return Err(Refusal::new(Word::Permission, "only the queen changes a name space, and only her own"));
    }
    change(own, call.who.session, |table, servers| {
        text.lines().try_for_each(|line| {
            table.apply(line).map_err(|error| Refusal::new(Word::Invalid, error.to_string()))
        })?;
        known_servers(table, servers)
    })
}

fn known_servers(table: &ns::Table, servers: &[String]) -> Result<(), Refusal> {
    for entry in table.entries() {
        if let ns::Entry::Mount { server, .. } = entry
            && !servers.iter().any(|known| known == server)
        {
            return Err(Refusal::new(Word::NotFound, format!("no server {server} in this hive")));
        }
    }
    Ok(())
}

fn change(
    own: &mut Own,
    id: u32,
    edit: impl FnOnce(&mut ns::Table, &[String]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut facts = own.facts.borrow_mut();
    let session = Rc::clone(facts.sessions.get(&id).ok_or(Word::NotFound)?);
    if session.borrow().is_scoped {
        let detail = "a ticket with scopes does not change its name space: it could move things into them";
        return Err(Refusal::new(Word::Permission, detail));
    }
    let mut table = (*session.borrow().table).clone();
    edit(&mut table, &facts.servers)?;
    session.borrow_mut().table = Rc::new(table);
    facts.orders.push(Order::Remounted { session: id });
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Revoke(Revoke),
    Budget(Budget),
    Bind(Bind),
    Mount(Mount),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    id: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    ticket: String,
    ops: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    session: u32,
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mount {
    session: u32,
    service: String,
    at: String,
}

/// Operations that tickets have left, `<ticket> <ops>` a line.
fn left(own: &Own, _: &Call, out: &mut String) -> Result<(), Refusal> {
    for (id, ops) in own.facts.borrow().accounts.ops_left() {
        line(writeln!(out, "{id} {ops}"))?;
    }
    Ok(())
}

/// One command of the queen.
fn order(own: &mut Own, _: &Call, text: &str) -> Verdict {
    let (verb, done) = match json::from_str(text) {
        Err(error) => ("CTL", Err(Refusal::new(Word::Invalid, error.to_string()))),
        Ok(Command::Revoke(Revoke { id, reason })) => {
            own.facts.borrow_mut().orders.push(Order::Revoke { id, reason });
            ("REVOKE", Ok(()))
        }
        Ok(Command::Budget(Budget { ticket, ops })) => {
            own.facts.borrow_mut().accounts.set_ops(&ticket, ops);
            ("BUDGET", Ok(()))
        }
        Ok(Command::Bind(Bind { session, from, to })) => {
            let bind = |table: &mut ns::Table, _: &[String]| {
                table.bind(&from, &to, false).map_err(|why| refused(&why))
            };
            ("BIND", change(own, session, bind))
        }
        Ok(Command::Mount(Mount { session, service, at })) => {
            let mount = |table: &mut ns::Table, servers: &[String]| {
                table.mount(&service, &at, "", false).map_err(|why| refused(&why))?;
                known_servers(table, servers)
            };
            ("MOUNT", change(own, session, mount))
        }
    };
    match done {
        Ok(()) => Verdict::Ack(format!("OK {verb}")),
        Err(refusal) => Verdict::Refuse { verb: verb.into(), refusal },
    }
}

fn refused(why: &ns::Refused) -> Refusal {
    let word = match why {
        ns::Refused::Nowhere(_) => Word::NotFound,
        ns::Refused::Full => Word::Quota,
        _ => Word::Invalid,
    };
    Refusal::new(word, why.to_string())
}
