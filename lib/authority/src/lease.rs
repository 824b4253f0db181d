//! Leases of resources (spec 4.3): who may use how much of what, until when.

use crate::bounds::{self, COUNT_MAX, PRIORITY_MAX, TTL_MAX_S, within};
use crate::refused::{Refused, Word};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What can be leased, as the manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `GPU-0`.
    pub id: String,
    /// Its memory.
    pub mem_mb: u64,
    /// Its streams.
    pub streams: u64,
}

/// Bounds of leases, from the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What there is.
    pub resources: Vec<Resource>,
    /// Leases at once.
    pub max_active: usize,
    /// Subjects with a quota.
    pub max_quotas: usize,
    /// Preemptions remembered.
    pub preemptions: usize,
    /// Life of a job's lease whose spec says none.
    pub ttl_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { resources: Vec::new(), max_active: 1024, max_quotas: 1024, preemptions: 64, ttl_s: 3600 }
    }
}

/// A command of `/queen/lease/ctl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum LeaseCtl {
    /// A new lease.
    Grant(Grant),
    /// A longer one.
    Renew(Renew),
    /// The end of one.
    Release(String),
    /// The end of one, for another's sake.
    Preempt(Preempt),
    /// How much a subject may hold.
    Quota(Quota),
}

/// A new lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Of what.
    pub resource: String,
    /// For whom.
    pub subject: String,
    /// Memory.
    pub mem_mb: u64,
    /// Streams.
    pub streams: u64,
    /// For how long.
    pub ttl_s: u64,
    /// The higher goes first.
    #[serde(default)]
    pub priority: u64,
}

/// A longer lease, from now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// `lease-4`.
    pub lease: String,
    /// For how long.
    pub ttl_s: u64,
}

/// The end of a lease, for another's sake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preempt {
    /// `lease-4`.
    pub lease: String,
    /// Whose.
    pub by: String,
    /// For people.
    pub reason: String,
}

/// How much a subject may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Who.
    pub subject: String,
    /// Leases at once.
    pub max_leases: u64,
    /// Memory of all of them.
    pub max_mem_mb: u64,
}

impl LeaseCtl {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            LeaseCtl::Grant(_) => "GRANT",
            LeaseCtl::Renew(_) => "RENEW",
            LeaseCtl::Release(_) => "RELEASE",
            LeaseCtl::Preempt(_) => "PREEMPT",
            LeaseCtl::Quota(_) => "QUOTA",
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        match self {
            LeaseCtl::Grant(Grant { resource, subject, mem_mb, streams, ttl_s, priority }) => {
                bounds::name("resource", resource)?;
                bounds::name("subject", subject)?;
                within("mem_mb", *mem_mb, 0, COUNT_MAX)?;
                within("streams", *streams, 0, COUNT_MAX)?;
                within("ttl_s", *ttl_s, 1, TTL_MAX_S)?;
                within("priority", *priority, 0, PRIORITY_MAX)
            }
            LeaseCtl::Renew(Renew { lease, ttl_s }) => {
                bounds::name("lease", lease)?;
                within("ttl_s", *ttl_s, 1, TTL_MAX_S)
            }
            LeaseCtl::Release(lease) => bounds::name("release", lease),
            LeaseCtl::Preempt(Preempt { lease, by, reason }) => {
                bounds::name("lease", lease)?;
                bounds::name("by", by)?;
                bounds::reason("reason", reason)
            }
            LeaseCtl::Quota(Quota { subject, max_leases, max_mem_mb }) => {
                bounds::name("subject", subject)?;
                within("max_leases", *max_leases, 0, COUNT_MAX)?;
                within("max_mem_mb", *max_mem_mb, 0, COUNT_MAX)
            }
        }
    }
}

/// A lease that is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// `lease-4`.
    pub id: String,
    /// Of what.
    pub resource: String,
    /// Whose.
    pub subject: String,
    /// Memory.
    pub mem_mb: u64,
    /// Streams.
    pub streams: u64,
    /// The higher goes first.
    pub priority: u64,
    /// When it ends, milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// The job that it was granted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// One that was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preemption {
    /// When.
    pub ts_ms: u64,
    /// `lease-4`.
    pub lease: String,
    /// Whose command or job it was for.
    pub by: String,
    /// For people.
    pub reason: String,
}

/// All leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    next: u64,
    /// By number, so that lease-10 comes behind lease-9.
    pub(crate) active: BTreeMap<u64, Lease>,
    quotas: BTreeMap<String, Quota>,
    /// The last ones, oldest first.
    pub(crate) preemptions: VecDeque<Preemption>,
    /// Leases that came to their end by time.
    pub expired: u64,
    /// Leases that were taken away.
    pub preempted: u64,
}

impl Default for Leases {
    fn default() -> Self {
        Leases {
            next: 1,
            active: BTreeMap::new(),
            quotas: BTreeMap::new(),
            preemptions: VecDeque::new(),
            expired: 0,
            preempted: 0,
        }
    }
}

impl Leases {
    /// Active leases in the order of their numbers.
    pub fn active(&self) -> impl Iterator<Item = &Lease> {
        self.active.values()
    }

    /// The last preemptions, oldest first.
    pub fn preemptions(&self) -> impl Iterator<Item = &Preemption> {
        self.preemptions.iter()
    }

    /// Memory of all active leases.
    pub fn mem_mb(&self) -> u64 {
        self.active.values().fold(0, |sum, lease| sum.saturating_add(lease.mem_mb))
    }

    pub(crate) fn number(&self, id: &str) -> Result<u64, Refused> {
        id.strip_prefix("lease-")
            .and_then(|n| n.parse().ok())
            .filter(|n| self.active.get(n).is_some_and(|lease| lease.id == id))
            .ok_or_else(|| Refused::unknown("lease", id))
    }

    /// Is there room, and quota?
    pub(crate) fn may_grant(&self, config: &Config, grant: &Grant) -> Result<(), Refused> {
        let resource = find(config, &grant.resource)?;
        if self.active.len() >= config.max_active {
            let detail =
                format!("{} leases are active, as many as lease.max_active allows", config.max_active);
            return Err(Refused::new(Word::Busy, detail));
        }
        let held = |key: fn(&Lease) -> u64, of: &dyn Fn(&Lease) -> bool| {
            self.active.values().filter(|l| of(l)).fold(0u64, |sum, lease| sum.saturating_add(key(lease)))
        };
        let here = |lease: &Lease| lease.resource == grant.resource;
        let mem_left = resource.mem_mb.saturating_sub(held(|l| l.mem_mb, &here));
        let streams_left = resource.streams.saturating_sub(held(|l| l.streams, &here));
        if grant.mem_mb > mem_left || grant.streams > streams_left {
            let detail =
                format!("resource={} mem_mb_left={mem_left} streams_left={streams_left}", grant.resource);
            return Err(Refused::new(Word::Busy, detail));
        }
        if let Some(quota) = self.quotas.get(&grant.subject) {
            let theirs = |lease: &Lease| lease.subject == grant.subject;
            let (leases, mem_mb) = (held(|_| 1, &theirs), held(|l| l.mem_mb, &theirs));
            let would = mem_mb.saturating_add(grant.mem_mb);
            if leases >= quota.max_leases || would > quota.max_mem_mb {
                let detail = format!(
                    "subject={} leases={leases} max_leases={} mem_mb={mem_mb} max_mem_mb={}",
                    grant.subject, quota.max_leases, quota.max_mem_mb
                );
                return Err(Refused::new(Word::Quota, detail));
            }
        }
        Ok(())
    }

    /// The id that the next grant gives.
    pub(crate) fn next_id(&self) -> String {
        format!("lease-{}", self.next)
    }

    /// Grants what [`Leases::may_grant`] has allowed.
    pub(crate) fn grant(&mut self, grant: &Grant, job: Option<&str>, ts_ms: u64) -> Lease {
        let Grant { resource, subject, mem_mb, streams, ttl_s, priority } = grant.clone();
        let id = self.next_id();
        let expires_ms = ends(ts_ms, ttl_s);
        let job = job.map(Into::into);
        let lease = Lease { id, resource, subject, mem_mb, streams, priority, expires_ms, job };
        self.active.insert(self.next, lease.clone());
        self.next += 1;
        lease
    }

    /// Sets a quota; Busy where it would be one more than may be.
    pub(crate) fn set_quota(&mut self, quota: &Quota, most: usize) -> Result<(), Refused> {
        if !self.quotas.contains_key(&quota.subject) && self.quotas.len() >= most {
            let detail = format!("{most} subjects have quotas, as many as lease.max_quotas allows");
            return Err(Refused::new(Word::Busy, detail));
        }
        self.quotas.insert(quota.subject.clone(), quota.clone());
        Ok(())
    }

    pub(crate) fn preempted(&mut self, ts_ms: u64, preempt: &Preempt, most: u64) {
        self.preempted += 1;
        while self.preemptions.len() as u64 >= most.max(1) {
            self.preemptions.pop_front();
        }
        let Preempt { lease, by, reason } = preempt.clone();
        self.preemptions.push_back(Preemption { ts_ms, lease, by, reason });
    }
}

/// The resource with that id.
pub(crate) fn find<'a>(config: &'a Config, id: &str) -> Result<&'a Resource, Refused> {
    config.resources.iter().find(|resource| resource.id == id).ok_or_else(|| Refused::unknown("resource", id))
}

pub(crate) fn ends(ts_ms: u64, ttl_s: u64) -> u64 {
    ts_ms.saturating_add(ttl_s.saturating_mul(1000))
}
