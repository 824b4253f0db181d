//! What the door knows about itself, shared with the files that show it: `/proc/9p`, `/proc/pressure`.

use crate::far::{Counts, Far};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use authority::{Cut, Phase, Run};
use core::cell::RefCell;
use core::fmt::Write;
use ninep::refusal::Word;
use ninep::srv::{Now, Records, Request};
use ns::Table;
use rt::prelude::*;
use ticket::Accounts;

/// Where a session is in its life (spec 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Connected, not attached.
    Setup,
    /// Attached.
    Active,
    /// No new control writes; telemetry may finish.
    Draining,
    /// Revoked or expired: every request is refused, for good.
    Closed,
}

impl State {
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Setup => "SETUP",
            State::Active => "ACTIVE",
            State::Draining => "DRAINING",
            State::Closed => "CLOSED",
        }
    }
}

/// What others may see of a session.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) state: State,
    pub(crate) since_ms: u64,
    /// `role` or `role:subject`; empty before the attach.
    pub(crate) owner: String,
    /// The session's last refusal (DESIGN 5).
    pub(crate) errstr: String,
    pub(crate) table: Rc<Table>,
    /// The shard of a worker's session.
    pub(crate) shard: Option<u8>,
    /// Its ticket has scopes: they are about the paths of the role's own name space, which stays.
    pub(crate) is_scoped: bool,
}

impl Public {
    /// Of a session that nobody has attached to.
    pub(crate) fn new(table: Rc<Table>, now: Now) -> Public {
        Public {
            state: State::Setup,
            since_ms: now.wall_ms,
            owner: String::new(),
            errstr: String::new(),
            table,
            shard: None,
            is_scoped: false,
        }
    }
}

/// A command that another server of the hive gave the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close every session of this ticket.
    Revoke { id: String, reason: String },
    /// Close the sessions of these workers of the queen's, for good.
    Ended { hive: String, runs: Vec<Run>, reason: String },
    /// The queen's list of revocations is here, whole.
    Loaded,
    /// The hive's state is this from now on.
    Phase(Phase),
    /// The queen is cut off for this reason, or not.
    Cut(Option<Cut>),
    /// The table of this session has changed.
    Remounted { session: u32 },
    /// Another door has seen an attach fail.
    Failed { peer: String },
}

/// Every word of DESIGN 5, in the order in which `/proc/pressure` counts them.
pub(crate) const WORDS: [Word; 12] = [
    Word::Busy,
    Word::Quota,
    Word::Cut,
    Word::Policy,
    Word::NotFound,
    Word::Permission,
    Word::Invalid,
    Word::TooBig,
    Word::Closed,
    Word::Revoked,
    Word::RateLimited,
    Word::Unsupported,
];

/// Counters and the sessions' public side.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) sessions: BTreeMap<u32, Rc<RefCell<Public>>>,
    pub(crate) outstanding: usize,
    pub(crate) tags_per_session: u32,
    pub(crate) shard_bits: u8,
    pub(crate) short_writes: u64,
    pub(crate) short_retries: u64,
    pub(crate) refused: [u64; WORDS.len()],
    /// Servers of this hive that a mount may name.
    pub(crate) servers: Vec<String>,
    pub(crate) orders: Vec<Order>,
    /// What tickets have used up, shared by their sessions.
    pub(crate) accounts: Accounts,
    /// What the door asks of other servers.
    pub(crate) outbox: Vec<Request>,
    /// What the journal is told.
    pub(crate) records: Records,
    /// The other doors of the hive.
    pub(crate) far: Vec<Far>,
    /// Why the queen is not to be reached, as was last seen, and since when.
    pub(crate) root: Option<(Cut, u64)>,
}

impl Facts {
    pub(crate) fn count(&mut self, word: Word) {
        if let Some(i) = WORDS.iter().position(|w| *w == word) {
            self.refused[i] += 1;
        }
    }

    /// What all doors count of one thing.
    pub(crate) fn sum(&self, here: u64, there: impl Fn(&Counts) -> u64) -> u64 {
        here + self.far_counts().map(there).sum::<u64>()
    }

    /// `/proc/9p/sessions`.
    pub(crate) fn sessions_text(&self, out: &mut String) {
        let Counts { mut shards, mut workers, .. } = Counts::of_sessions(self);
        let mut total = self.sessions.len();
        for door in self.far_counts() {
            workers += door.workers;
            total += door.sessions.len();
            door.shards.iter().for_each(|(shard, n)| *shards.entry(*shard).or_insert(0) += n);
        }
        let bits = self.shard_bits;
        let _ = writeln!(
            out,
            "sessions total={total} worker={workers} shard_bits={bits} shard_count={}",
            1u32 << bits
        );
        for (shard, n) in shards {
            let _ = writeln!(out, "shard {shard:02x} {n}");
        }
    }

    /// `/proc/9p/session/active`.
    pub(crate) fn active_text(&self, out: &mut String) {
        let Counts { mut active, mut draining, .. } = Counts::of_sessions(self);
        for door in self.far_counts() {
            active += door.active;
            draining += door.draining;
        }
        let _ = writeln!(out, "active={active} draining={draining}");
    }
}
