//! What the queen knows of workers, and of tickets that are good no more.

use crate::ctl::{Budget, Kind};
use crate::gone::Run;
use crate::refused::{Refused, Word};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A worker's ticket outlives any budget that it is likely to be given: its life is the queen's to end.
const TICKET_LIFE_MS: u64 = 7 * 24 * 3600 * 1000;

/// Why a worker ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// By command.
    Killed,
    /// It has written all its records.
    Ticks,
    /// It has made all its requests.
    Ops,
    /// Its time is over.
    Ttl,
    /// Its process ended.
    Exited(String),
    /// Its ticket was revoked.
    Revoked,
    /// It never began.
    Failed,
    /// The hive that had started it is gone.
    Orphaned,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Killed => "killed",
            End::Ticks => "ticks-spent",
            End::Ops => "ops-spent",
            End::Ttl => "ttl-spent",
            End::Exited(status) => return write!(f, "exited status={status:?}"),
            End::Revoked => "ticket-revoked",
            End::Failed => "start-failed",
            End::Orphaned => "orphaned",
        })
    }
}

/// A worker that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// `worker-3`.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Its ticket's id, 32 hex digits: the same on every replay.
    pub ticket: String,
    /// When its ticket was issued and when it expires, milliseconds since the Unix epoch.
    pub ticket_ms: (u64, u64),
    /// Records it may write; 0: any number.
    pub ticks: u64,
    /// Time between them.
    pub period_ms: u64,
    /// Requests it may make; 0: any number.
    pub ops: u64,
    /// When it must end, milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// The adapter that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
}

impl Worker {
    /// The number in its id.
    pub fn number(&self) -> u64 {
        number_of(&self.id).unwrap_or(0)
    }
}

/// All workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workers {
    next: u64,
    pub(crate) defaults: Budget,
    /// By number, so that worker-10 comes behind worker-9.
    pub(crate) alive: BTreeMap<u64, Worker>,
}

impl Default for Workers {
    fn default() -> Self {
        Workers { next: 1, defaults: Budget::default(), alive: BTreeMap::new() }
    }
}

impl Workers {
    pub(crate) fn number(&self, id: &str) -> Result<u64, Refused> {
        number_of(id).filter(|n| self.alive.contains_key(n)).ok_or_else(|| Refused::unknown("id", id))
    }

    /// The id that the next spawn gives.
    pub(crate) fn next_id(&self) -> String {
        id_of(self.next)
    }

    /// The numbers of those that have ended: what the living leave of all that were given.
    pub(crate) fn ended(&self) -> Vec<Run> {
        let (mut runs, mut from) = (Vec::new(), 1);
        for until in self.alive.keys().copied().chain([self.next]) {
            if from < until {
                runs.push((from, until - 1));
            }
            from = until + 1;
        }
        runs
    }

    pub(crate) fn skip(&mut self, highest: u64) {
        self.next = self.next.max(highest.saturating_add(1));
    }

    pub(crate) fn add(&mut self, worker: Worker) {
        self.alive.insert(self.next, worker);
        self.next += 1;
    }
}

/// `worker-3`.
fn id_of(number: u64) -> String {
    format!("worker-{number}")
}

/// The id of the ticket that the queen mints for a worker.
pub fn worker_ticket(hive: &str, number: u64) -> String {
    ticket_id(hive, &id_of(number))
}

/// The number of `worker-3`, and of nothing that is written otherwise.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix("worker-")?.parse().ok().filter(|number| id_of(*number) == id)
}

/// The life of a ticket that is issued now for a worker that may live until then.
pub(crate) fn ticket_life(ts_ms: u64, until_ms: u64) -> (u64, u64) {
    (ts_ms, until_ms.max(ts_ms.saturating_add(TICKET_LIFE_MS)))
}

/// The id of a worker's ticket: no two workers of a hive ever have the same.
pub(crate) fn ticket_id(hive: &str, worker: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["cohesix worker ticket", hive, worker] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hex(&hash.finalize()[..16])
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Revoked {
    reason: String,
    /// When the ticket expires by itself; None: nobody here knows. A worker's, from the time when those that
    /// had ended were listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
}

/// Tickets that were revoked by command, and those of workers that ended when such were listed. One that may
/// still be valid is never forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Revocations {
    tickets: BTreeMap<String, Revoked>,
}

impl Revocations {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tickets.iter().map(|(id, revoked)| (id.as_str(), revoked.reason.as_str()))
    }

    /// Is there room for one more, when each of `alive` workers will need room at its end?
    pub(crate) fn has_room(&self, alive: usize, most: usize, ts_ms: u64) -> Result<(), Refused> {
        let full = |known: usize| known.saturating_add(alive) >= most;
        let counts = |revoked: &&Revoked| revoked.until_ms.is_none_or(|until| until > ts_ms);
        if full(self.tickets.len()) && full(self.tickets.values().filter(counts).count()) {
            let detail =
                format!("{most} revoked tickets are remembered, as many as queen.revocations allows");
            return Err(Refused::new(Word::Quota, detail));
        }
        Ok(())
    }

    /// Workers are known by their numbers from now on.
    pub(crate) fn drop_workers(&mut self) {
        self.tickets.retain(|_, revoked| revoked.until_ms.is_none());
    }

    pub(crate) fn add(&mut self, ticket: &str, reason: &str, until_ms: Option<u64>, most: u64, ts_ms: u64) {
        if self.tickets.len() as u64 >= most {
            self.tickets.retain(|_, revoked| revoked.until_ms.is_none_or(|until| until > ts_ms));
        }
        let revoked = Revoked { reason: reason.to_string(), until_ms };
        self.tickets.entry(ticket.to_string()).or_insert(revoked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_ticket_id_follows_from_hive_and_name() {
        let id = ticket_id("hive", "worker-1");
        assert_eq!(id.len(), 32);
        assert_eq!(id, ticket_id("hive", "worker-1"));
        assert_ne!(id, ticket_id("hive", "worker-2"));
        assert_ne!(id, ticket_id("hive2", "worker-1"));
        assert_ne!(ticket_id("a", "b\0c"), ticket_id("a\0b", "c\0"));
    }

    #[test]
    fn a_revocation_is_forgotten_when_its_ticket_has_expired_and_not_before() {
        let mut revocations = Revocations::default();
        revocations.add("a", "killed", Some(1000), 2, 0);
        revocations.add("b", "by command", None, 2, 0);
        assert_eq!(revocations.has_room(0, 2, 999).unwrap_err().word, Word::Quota);
        assert_eq!(revocations.has_room(0, 2, 1000), Ok(()));
        assert_eq!(revocations.has_room(1, 2, 1000).unwrap_err().word, Word::Quota);
        revocations.add("c", "killed", Some(5000), 2, 1000);
        assert_eq!(revocations.iter().map(|(id, _)| id).collect::<alloc::vec::Vec<_>>(), ["b", "c"]);
    }
}
