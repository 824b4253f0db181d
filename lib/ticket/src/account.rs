//! What a ticket has used up: one account for its first block and one for each further block that sets
//! a limit, kept until they expire or are revoked. Bounded, in all and by ticket.

use crate::claims::{Grant, Level, Scope, within};
use crate::meter::{CursorMove, Meter, Refused, Verb};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Further blocks of one ticket that are accounted for at once: who narrows a ticket without end fills
/// up that ticket, and no other.
const LEVELS_MAX: usize = 64;

/// What one block leaves.
#[derive(Debug)]
pub(crate) struct Account {
    ops_left: Option<u64>,
    bytes_left: Option<u64>,
    /// The end of the time to live, which began when it was opened.
    pub(crate) ends_ms: u64,
    /// Scopes, where one of them has a rate.
    scopes: Vec<Metered>,
    cursors: Cursors,
}

/// Moves of cursors that are left.
#[derive(Debug)]
struct Cursors {
    advances: Option<u64>,
    resumes: Option<u64>,
    /// One has been moved, so there is one to take up.
    has_any: bool,
}

/// A scope in use. Tokens are thousandths of a request, so that a slow rate refills evenly.
#[derive(Debug)]
struct Metered {
    scope: Scope,
    tokens: u64,
    filled_ms: u64,
}

impl Account {
    pub(crate) fn new(level: &Level, now_ms: u64) -> Account {
        let ttl_ms = level.budget.ttl_s.map_or(u64::MAX, |s| s.saturating_mul(1000));
        let has_rate = level.scopes.iter().any(|scope| scope.rate_per_s > 0);
        let scopes = level.scopes.iter().filter(|_| has_rate).map(|scope| Metered {
            scope: scope.clone(),
            tokens: u64::from(scope.rate_per_s) * 1000,
            filled_ms: now_ms,
        });
        Account {
            ops_left: level.budget.ops,
            bytes_left: level.quota.bandwidth_bytes,
            ends_ms: now_ms.saturating_add(ttl_ms),
            scopes: scopes.collect(),
            cursors: Cursors {
                advances: level.quota.cursor_advances,
                resumes: level.quota.cursor_resumes,
                has_any: false,
            },
        }
    }

    /// Would `move_cursor` be within the limits?
    pub(crate) fn may_move(&self, what: CursorMove) -> Result<(), Refused> {
        let Cursors { advances, resumes, has_any } = self.cursors;
        match what {
            CursorMove::Advance if advances == Some(0) => Err(Refused::Advances),
            CursorMove::Resume if has_any && resumes == Some(0) => Err(Refused::Resumes),
            _ => Ok(()),
        }
    }

    /// One move, after `may_move`.
    pub(crate) fn move_cursor(&mut self, what: CursorMove) {
        let Cursors { advances, resumes, has_any } = &mut self.cursors;
        let left = match what {
            CursorMove::Advance => {
                *has_any = true;
                advances
            }
            CursorMove::Resume if *has_any => resumes,
            CursorMove::Resume => return,
        };
        if let Some(left) = left {
            *left = left.saturating_sub(1);
        }
    }

    /// Would `take` be within the limits?
    pub(crate) fn check(&mut self, path: &str, verb: Verb, bytes: u64, now_ms: u64) -> Result<(), Refused> {
        if self.ops_left == Some(0) {
            return Err(Refused::Ops);
        }
        if self.bytes_left.is_some_and(|left| left == 0 || left < bytes) {
            return Err(Refused::Bytes);
        }
        for metered in &mut self.scopes {
            metered.fill(now_ms);
        }
        if !self.scopes.is_empty() && self.ready(path, verb).is_none() {
            return Err(Refused::Rate);
        }
        Ok(())
    }

    /// One request, after `check`.
    pub(crate) fn take(&mut self, path: &str, verb: Verb, bytes: u64) {
        if let Some(left) = &mut self.ops_left {
            *left = left.saturating_sub(1);
        }
        self.hold(bytes);
        if let Some(metered) = self.ready(path, verb) {
            metered.tokens = metered.tokens.saturating_sub(1000);
        }
    }

    /// Bytes that may still be moved.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.bytes_left.unwrap_or(u64::MAX)
    }

    pub(crate) fn hold(&mut self, bytes: u64) {
        if let Some(left) = &mut self.bytes_left {
            *left = left.saturating_sub(bytes);
        }
    }

    pub(crate) fn give_back(&mut self, bytes: u64) {
        if let Some(left) = &mut self.bytes_left {
            *left = left.saturating_add(bytes);
        }
    }

    /// The first scope that covers the request and has a token for it.
    fn ready(&mut self, path: &str, verb: Verb) -> Option<&mut Metered> {
        self.scopes.iter_mut().find(|metered| {
            let scope = &metered.scope;
            (scope.rate_per_s == 0 || metered.tokens >= 1000)
                && verb.fits_in(scope.verbs)
                && within(path, &scope.path)
        })
    }
}

impl Metered {
    fn fill(&mut self, now_ms: u64) {
        let rate = u64::from(self.scope.rate_per_s);
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        self.tokens = self.tokens.saturating_add(elapsed_ms.saturating_mul(rate)).min(rate * 1000);
        // A clock that went back refills nothing until it has caught up.
        self.filled_ms = self.filled_ms.max(now_ms);
    }
}

/// The accounts of one ticket id.
#[derive(Debug)]
struct Ticket {
    expires_ms: u64,
    first: Rc<RefCell<Account>>,
    further: BTreeMap<[u8; 16], (u64, Rc<RefCell<Account>>)>,
}

/// The accounts of every ticket that was shown, until the tickets expire.
#[derive(Debug)]
pub struct Accounts {
    tickets: BTreeMap<String, Ticket>,
    max: usize,
}

impl Default for Accounts {
    /// Room for 65,536 tickets.
    fn default() -> Accounts {
        Accounts::new(1 << 16)
    }
}

impl Accounts {
    /// Room for `max` tickets.
    pub fn new(max: usize) -> Accounts {
        Accounts { tickets: BTreeMap::new(), max }
    }

    /// The meter of one more session of a ticket. None: too many tickets are in use, or too many ways
    /// of narrowing this one.
    pub fn open(&mut self, grant: &Grant, now_ms: u64) -> Option<Meter> {
        let (first, further) = grant.levels.split_first()?;
        if !self.tickets.contains_key(&grant.id) {
            if self.tickets.len() >= self.max {
                self.tickets.retain(|_, ticket| ticket.expires_ms > now_ms);
            }
            if self.tickets.len() >= self.max {
                return None;
            }
        }
        let ticket = self.tickets.entry(grant.id.clone()).or_insert_with(|| Ticket {
            expires_ms: first.expires_ms,
            first: Rc::new(RefCell::new(Account::new(first, now_ms))),
            further: BTreeMap::new(),
        });
        let mut accounts = Vec::from([Rc::clone(&ticket.first)]);
        for level in further.iter().filter(|level| level.is_limited()) {
            if !ticket.further.contains_key(&level.key) && ticket.further.len() >= LEVELS_MAX {
                ticket.further.retain(|_, (expires_ms, _)| *expires_ms > now_ms);
                if ticket.further.len() >= LEVELS_MAX {
                    return None;
                }
            }
            let new = || (level.expires_ms, Rc::new(RefCell::new(Account::new(level, now_ms))));
            accounts.push(Rc::clone(&ticket.further.entry(level.key).or_insert_with(new).1));
        }
        Some(Meter::over(grant, accounts))
    }

    /// How many tickets there are accounts of.
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// A ticket is not let in any more.
    pub fn forget(&mut self, id: &str) {
        self.tickets.remove(id);
    }

    /// Requests that each ticket has left, by id, where there is a bound.
    pub fn ops_left(&self) -> impl Iterator<Item = (&str, u64)> {
        self.tickets.iter().filter_map(|(id, ticket)| Some((id.as_str(), ticket.first.borrow().ops_left?)))
    }

    /// Gives a ticket so many requests from now on. One that nobody has shown yet has all that it was
    /// minted with.
    pub fn set_ops(&mut self, id: &str, ops: u64) {
        if let Some(ticket) = self.tickets.get(id) {
            ticket.first.borrow_mut().ops_left = Some(ops);
        }
    }
}
