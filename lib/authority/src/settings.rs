//! What of the manifest the fold itself stands on. Every boot records it: a replay needs no manifest,
//! and a changed one changes nothing that has been.

use crate::Config;
use crate::bounds::{self, COUNT_MAX, within};
use crate::refused::Refused;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Defaults of commands that leave something out, and how much is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The hive's name, in the ids of its workers' tickets.
    pub hive: String,
    /// Ticks of a worker whose spawn names none; 0: any number.
    pub ticks: u64,
    /// Time between ticks, likewise.
    pub period_ms: u64,
    /// Life of a worker, likewise.
    pub ttl_s: u64,
    /// Requests of a worker, likewise; 0: any number.
    pub ops: u64,
    /// Life of a job's lease, likewise.
    pub lease_ttl_s: u64,
    /// Envelopes remembered.
    pub dedupe_entries: u64,
    /// Revoked tickets remembered.
    pub revocations: u64,
    /// A worker that has ended is known by its number. Boots of earlier programs did not say so: theirs
    /// remembered each one's ticket as revoked, and are folded as they were.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub numbers_ended: bool,
    /// Preemptions remembered.
    pub preemptions: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::from(&Config::default())
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Settings {
        Settings {
            hive: config.hive.clone(),
            ticks: config.ticks,
            period_ms: config.period_ms,
            ttl_s: config.ttl_s,
            ops: config.ops,
            lease_ttl_s: config.lease.ttl_s,
            dedupe_entries: config.dedupe_entries as u64,
            revocations: config.max_revoked as u64,
            numbers_ended: true,
            preemptions: config.lease.preemptions as u64,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let Settings { hive, ticks, period_ms, ttl_s, ops, lease_ttl_s, .. } = self;
        let Settings { dedupe_entries, revocations, preemptions, .. } = self;
        bounds::reason("hive", hive)?;
        [
            ("ticks", ticks),
            ("period_ms", period_ms),
            ("ttl_s", ttl_s),
            ("ops", ops),
            ("lease_ttl_s", lease_ttl_s),
            ("dedupe_entries", dedupe_entries),
            ("revocations", revocations),
            ("preemptions", preemptions),
        ]
        .into_iter()
        .try_for_each(|(key, n)| within(key, *n, 0, COUNT_MAX))
    }
}
