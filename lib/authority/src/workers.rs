//! What the queen knows of a worker.

use crate::command::Kind;
use alloc::string::String;
use core::fmt;

/// Why a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The authority that had started it is gone.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// `worker-3`.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Its ticket's id, 32 hex digits.
    pub ticket: String,
    /// Records it may write; 0: any number.
    pub ticks: u64,
    /// Time between them.
    pub period_ms: u64,
    /// Requests it may make; 0: any number.
    pub ops: u64,
    /// When it must end, milliseconds since the Unix epoch.
    pub until_ms: u64,
}
