//! The queen's authority, as a pure fold: a state, a command and the time in; an acknowledgement and
//! effects out. Guarantees: the same commands at the same times give the same ids, acknowledgements
//! and state, on any machine; a refused command changes nothing. Carries out no effect itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod state;
mod workers;

pub use command::{Budget, Command, Kind, Spawn, parse};
pub use state::{Effect, Outcome, Refused, State, Word};
pub use workers::{End, Worker};

/// Bounds and defaults, from the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Workers alive at once.
    pub max_workers: usize,
    /// Revoked tickets remembered.
    pub max_revoked: usize,
    /// Ticks of a worker whose spawn names none; 0: any number.
    pub ticks: u64,
    /// Time between ticks, likewise.
    pub period_ms: u64,
    /// Life of a worker, likewise.
    pub ttl_s: u64,
    /// Requests of a worker, likewise; 0: any number.
    pub ops: u64,
}
