//! `/queen/ctl`'s language (spec 4.1): one JSON object a line, one verb in it, nothing unknown.

use crate::bounds::{self, COUNT_MAX, PERIOD_MAX_MS, PRIORITY_MAX, TTL_MAX_S, within};
use crate::lease::Grant;
use crate::refused::Refused;
use alloc::string::String;
use json::Value;
use serde::{Deserialize, Serialize};

/// What a worker may use up. What is absent is the default's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Seconds to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops: Option<u64>,
}

/// Kinds of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Writes a heartbeat every period.
    Heartbeat,
    /// Runs jobs on a leased GPU.
    Gpu,
    /// Speaks to a field bus.
    Bus,
    /// Speaks over LoRa.
    Lora,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Heartbeat, Kind::Gpu, Kind::Bus, Kind::Lora];

    /// The word in commands, `heartbeat`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Heartbeat => "heartbeat",
            Kind::Gpu => "gpu",
            Kind::Bus => "bus",
            Kind::Lora => "lora",
        }
    }

    /// The role of its tickets, `worker-heartbeat`.
    pub fn role(self) -> &'static str {
        match self {
            Kind::Heartbeat => "worker-heartbeat",
            Kind::Gpu => "worker-gpu",
            Kind::Bus => "worker-bus",
            Kind::Lora => "worker-lora",
        }
    }
}

/// The parameters of a spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// What.
    pub kind: Kind,
    /// Records it may write.
    pub ticks: Option<u64>,
    /// Time between them.
    pub period_ms: Option<u64>,
    /// What else it may use up.
    pub budget: Budget,
    /// The GPU that it works on; a gpu worker has one.
    pub lease: Option<GpuLease>,
    /// The adapter that it serves; a bus or lora worker has one.
    pub adapter: Option<String>,
}

/// The lease that a gpu worker begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuLease {
    /// Which.
    pub gpu_id: String,
    /// Memory.
    pub mem_mb: u64,
    /// Streams.
    pub streams: u64,
    /// For how long.
    pub ttl_s: u64,
    /// The higher goes first.
    pub priority: u64,
}

impl GpuLease {
    /// The same as a grant to a worker.
    pub(crate) fn grant(&self, worker: &str) -> Grant {
        let GpuLease { gpu_id, mem_mb, streams, ttl_s, priority } = self.clone();
        Grant { resource: gpu_id, subject: worker.into(), mem_mb, streams, ttl_s, priority }
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ctl {
    /// Start a worker.
    Spawn(Spawn),
    /// End one.
    Kill(String),
    /// Change a worker's budget, or the default's.
    Budget {
        /// Whose; None: that of later spawns.
        worker: Option<String>,
        /// What changes.
        budget: Budget,
    },
    /// Make `from` appear at `to` too, in the session that asks.
    Bind {
        /// A path of the session's name space.
        from: String,
        /// Where.
        to: String,
    },
    /// Mount a server in the session that asks.
    Mount {
        /// Which.
        service: String,
        /// Where.
        at: String,
    },
    /// Revoke a ticket.
    Revoke(String),
}

/// Keys that are verbs; the others go with one.
const VERBS: [(&str, &str); 6] = [
    ("spawn", "SPAWN"),
    ("kill", "KILL"),
    ("budget", "BUDGET"),
    ("bind", "BIND"),
    ("mount", "MOUNT"),
    ("revoke", "REVOKE"),
];

/// Every key that a line may have; which go together is decided afterwards.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    spawn: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetKeys>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<GpuLease>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kill: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind: Option<Bind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount: Option<Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ops: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    from: String,
    to: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mount {
    service: String,
    at: String,
}

/// The verb of an object, as far as it can be seen.
pub(crate) fn verb(value: &Value) -> &'static str {
    // A spawn may have a budget; a budget has no spawn.
    let key = VERBS.iter().find(|(key, _)| value.get(key).is_some());
    key.map_or("CTL", |(_, verb)| verb)
}

pub(crate) fn read(value: Value) -> Result<Ctl, Refused> {
    let line: Line = value.into_type().map_err(|error| Refused::invalid(error.0))?;
    let is_spawn = line.spawn.is_some();
    let named = [
        is_spawn,
        line.kill.is_some(),
        line.budget.is_some() && !is_spawn,
        line.bind.is_some(),
        line.mount.is_some(),
        line.revoke.is_some(),
    ];
    if named.into_iter().filter(|is_there| *is_there).count() != 1 {
        return Err(Refused::invalid("exactly one of spawn, kill, budget, bind, mount, revoke is wanted"));
    }
    let with_spawn =
        line.ticks.is_some() || line.period_ms.is_some() || line.lease.is_some() || line.adapter.is_some();
    if !is_spawn && with_spawn {
        return Err(Refused::invalid("ticks, period_ms, lease and adapter belong to spawn"));
    }
    match line {
        Line { spawn: Some(kind), ticks, period_ms, budget, lease, adapter, .. } => {
            spawn(kind, ticks, period_ms, budget, lease, adapter)
        }
        Line { kill: Some(id), .. } => bounds::name("kill", &id).map(|()| Ctl::Kill(id)),
        Line { bind: Some(Bind { from, to }), .. } => {
            bounds::path("from", &from)?;
            bounds::path("to", &to)?;
            Ok(Ctl::Bind { from, to })
        }
        Line { mount: Some(Mount { service, at }), .. } => {
            bounds::name("service", &service)?;
            bounds::path("at", &at)?;
            Ok(Ctl::Mount { service, at })
        }
        Line { revoke: Some(id), .. } => bounds::ticket(&id).map(|()| Ctl::Revoke(id)),
        Line { budget: Some(BudgetKeys { worker, ttl_s, ops }), .. } => {
            if let Some(worker) = &worker {
                bounds::name("worker", worker)?;
            }
            let budget = Budget { ttl_s, ops };
            if budget == Budget::default() {
                return Err(Refused::invalid("a budget has ttl_s, ops or both"));
            }
            sound(budget)?;
            Ok(Ctl::Budget { worker, budget })
        }
        _ => Err(Refused::invalid("a verb is wanted")),
    }
}

fn sound(budget: Budget) -> Result<(), Refused> {
    budget.ttl_s.map_or(Ok(()), |n| within("ttl_s", n, 1, TTL_MAX_S))?;
    budget.ops.map_or(Ok(()), |n| within("ops", n, 1, COUNT_MAX))
}

fn spawn(
    kind: Kind,
    ticks: Option<u64>,
    period_ms: Option<u64>,
    keys: Option<BudgetKeys>,
    lease: Option<GpuLease>,
    adapter: Option<String>,
) -> Result<Ctl, Refused> {
    ticks.map_or(Ok(()), |n| within("ticks", n, 1, COUNT_MAX))?;
    period_ms.map_or(Ok(()), |n| within("period_ms", n, 1, PERIOD_MAX_MS))?;
    let keys = keys.unwrap_or(BudgetKeys { worker: None, ttl_s: None, ops: None });
    if keys.worker.is_some() {
        return Err(Refused::invalid("a spawned worker's name is the queen's to give"));
    }
    let budget = Budget { ttl_s: keys.ttl_s, ops: keys.ops };
    sound(budget)?;
    if (kind == Kind::Gpu) != lease.is_some() {
        return Err(Refused::invalid("a gpu worker, and no other, has a lease"));
    }
    if matches!(kind, Kind::Bus | Kind::Lora) != adapter.is_some() {
        return Err(Refused::invalid("a bus or lora worker, and no other, has an adapter"));
    }
    if let Some(lease) = &lease {
        bounds::name("gpu_id", &lease.gpu_id)?;
        within("mem_mb", lease.mem_mb, 0, COUNT_MAX)?;
        within("streams", lease.streams, 0, COUNT_MAX)?;
        within("ttl_s", lease.ttl_s, 1, TTL_MAX_S)?;
        within("priority", lease.priority, 0, PRIORITY_MAX)?;
    }
    if let Some(adapter) = &adapter {
        bounds::name("adapter", adapter)?;
    }
    Ok(Ctl::Spawn(Spawn { kind, ticks, period_ms, budget, lease, adapter }))
}

impl Ctl {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            Ctl::Spawn(_) => "SPAWN",
            Ctl::Kill(_) => "KILL",
            Ctl::Budget { .. } => "BUDGET",
            Ctl::Bind { .. } => "BIND",
            Ctl::Mount { .. } => "MOUNT",
            Ctl::Revoke(_) => "REVOKE",
        }
    }

    pub(crate) fn to_json(&self) -> String {
        let line = match self.clone() {
            Ctl::Spawn(Spawn { kind, ticks, period_ms, budget, lease, adapter }) => {
                let keys = BudgetKeys { worker: None, ttl_s: budget.ttl_s, ops: budget.ops };
                let budget = (budget != Budget::default()).then_some(keys);
                Line { spawn: Some(kind), ticks, period_ms, budget, lease, adapter, ..Line::default() }
            }
            Ctl::Kill(id) => Line { kill: Some(id), ..Line::default() },
            Ctl::Budget { worker, budget: Budget { ttl_s, ops } } => {
                Line { budget: Some(BudgetKeys { worker, ttl_s, ops }), ..Line::default() }
            }
            Ctl::Bind { from, to } => Line { bind: Some(Bind { from, to }), ..Line::default() },
            Ctl::Mount { service, at } => Line { mount: Some(Mount { service, at }), ..Line::default() },
            Ctl::Revoke(id) => Line { revoke: Some(id), ..Line::default() },
        };
        json::to_string(&line)
    }
}
