//! The queen's authority, as a pure fold: a state, a command and its time in; an acknowledgement and
//! effects out. Guarantees: the same commands at the same times give the same ids, acknowledgements
//! and state, on any machine; a refused command changes nothing. Carries out no effect itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod act;
pub mod bounds;
mod command;
mod ctl;
mod dedupe;
mod due;
mod export;
mod gone;
pub mod lease;
pub mod lifecycle;
mod manifest;
mod refused;
mod root;
mod schedule;
mod settings;
mod state;
mod system;
mod workers;

use alloc::string::String;
use alloc::vec::Vec;
pub use command::{Action, Command, EXPORT, Entry, LEASE, LIFECYCLE, QUEEN, SCHEDULE, SYSTEM, owns, parse};
pub use ctl::{Budget, Ctl, GpuLease, Kind, Spawn};
pub use dedupe::{Dedupe, Envelope, First};
pub use export::{ExportCtl, ExportJob, Exports, Window};
pub use gone::{Gone, Run, Runs};
pub use lease::{Lease, LeaseCtl, Leases, Preemption};
pub use lifecycle::{Order, Phase};
pub use refused::{Ack, Quoted, Refused, Word};
pub use root::Cut;
pub use schedule::{Enqueue, Job, Schedule, ScheduleCtl};
pub use settings::Settings;
pub use state::{Effect, Outcome, State};
pub use system::{Boot, CutOff, Ended, Servers, System, Transition};
pub use workers::{End, Worker, worker_ticket};

/// Bounds and defaults, from the manifest. A change of them changes what later commands come to, never
/// what has been: the journal's commands were within the bounds of their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The hive's name.
    pub hive: String,
    /// Workers alive at once.
    pub max_workers: usize,
    /// Workers whose rings the telemetry budget has room for.
    pub max_rings: usize,
    /// Tickets revoked by command that are remembered.
    pub max_revoked: usize,
    /// Ticks of a worker whose spawn names none; 0: any number.
    pub ticks: u64,
    /// Time between ticks, likewise.
    pub period_ms: u64,
    /// Life of a worker, likewise.
    pub ttl_s: u64,
    /// Requests of a worker, likewise; 0: any number.
    pub ops: u64,
    /// Kinds that there are programs for.
    pub kinds: Vec<Kind>,
    /// Envelopes remembered.
    pub dedupe_entries: usize,
    /// Does `/queen/ctl` take commands in envelopes only?
    pub needs_envelope: bool,
    /// Which transitions happen by themselves.
    pub automatic: lifecycle::Automatic,
    /// What can be leased.
    pub lease: lease::Config,
    /// Jobs queued or running at once.
    pub max_jobs: usize,
    /// Export windows open at once.
    pub max_windows: usize,
}

impl Default for Config {
    /// The manifest's own defaults, for a hive called `hive`.
    fn default() -> Config {
        Config {
            hive: "hive".into(),
            max_workers: 256,
            max_rings: 256,
            max_revoked: 65_536,
            ticks: 0,
            period_ms: 1000,
            ttl_s: 86_400,
            ops: 0,
            kinds: alloc::vec![Kind::Heartbeat],
            dedupe_entries: 4096,
            needs_envelope: false,
            automatic: lifecycle::Automatic::default(),
            lease: lease::Config::default(),
            max_jobs: 1024,
            max_windows: 64,
        }
    }
}
