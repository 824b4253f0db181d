//! `/queen/ctl`'s language (spec 4.1): one JSON object a line, one verb in it, nothing unknown.

use crate::state::{Refused, Word};
use alloc::format;
use alloc::string::{String, ToString};
use serde::Deserialize;

/// What a worker may use up. What is absent is the default's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Seconds to live.
    #[serde(default)]
    pub ttl_s: Option<u64>,
    /// Requests.
    #[serde(default)]
    pub ops: Option<u64>,
}

/// Kinds of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawn {
    /// What.
    pub kind: Kind,
    /// Records it may write.
    pub ticks: Option<u64>,
    /// Time between them.
    pub period_ms: Option<u64>,
    /// What else it may use up.
    pub budget: Budget,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
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

impl Command {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            Command::Spawn(_) => "SPAWN",
            Command::Kill(_) => "KILL",
            Command::Budget { .. } => "BUDGET",
            Command::Bind { .. } => "BIND",
            Command::Mount { .. } => "MOUNT",
            Command::Revoke(_) => "REVOKE",
        }
    }
}

/// Every key that a line may have; which go together is decided afterwards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    spawn: Option<Kind>,
    ticks: Option<u64>,
    period_ms: Option<u64>,
    budget: Option<BudgetKeys>,
    lease: Option<Lease>,
    adapter: Option<String>,
    kill: Option<String>,
    bind: Option<Bind>,
    mount: Option<Mount>,
    revoke: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetKeys {
    worker: Option<String>,
    ttl_s: Option<u64>,
    ops: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "parsed so that a misspelt lease is found; granted where there is a GPU server")]
struct Lease {
    gpu_id: String,
    mem_mb: u64,
    streams: u64,
    ttl_s: u64,
    priority: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mount {
    service: String,
    at: String,
}

/// The longest life that a budget may give: ten years.
const TTL_MAX_S: u64 = 10 * 366 * 24 * 3600;
/// The longest time between two ticks: one day.
const PERIOD_MAX_MS: u64 = 24 * 3600 * 1000;
/// JSON numbers are exact up to here everywhere.
const COUNT_MAX: u64 = 1 << 53;

/// Reads one line. A refusal names the verb that it is about, `CTL` where the line has none.
pub fn parse(line: &str) -> Result<Command, (&'static str, Refused)> {
    let invalid = |verb, detail: String| (verb, Refused { word: Word::Invalid, detail });
    let line: Line = serde_json::from_str(line).map_err(|error| invalid("CTL", error.to_string()))?;
    let verbs = [
        (line.spawn.is_some(), "SPAWN"),
        (line.kill.is_some(), "KILL"),
        (line.budget.is_some() && line.spawn.is_none(), "BUDGET"),
        (line.bind.is_some(), "BIND"),
        (line.mount.is_some(), "MOUNT"),
        (line.revoke.is_some(), "REVOKE"),
    ];
    let mut named = verbs.iter().filter(|(is_there, _)| *is_there).map(|(_, verb)| *verb);
    let Some(verb) = named.next() else {
        return Err(invalid("CTL", "one of spawn, kill, budget, bind, mount, revoke is wanted".into()));
    };
    if let Some(other) = named.next() {
        let detail = format!("{} and {} in one command", verb.to_lowercase(), other.to_lowercase());
        return Err(invalid("CTL", detail));
    }
    let spawns =
        line.ticks.is_some() || line.period_ms.is_some() || line.lease.is_some() || line.adapter.is_some();
    if verb != "SPAWN" && spawns {
        return Err(invalid(verb, "ticks, period_ms, lease and adapter belong to spawn".into()));
    }
    let within = |name: &str, value: Option<u64>, least: u64, most: u64| match value {
        Some(n) if !(least..=most).contains(&n) => {
            Err(invalid(verb, format!("{name}: {n} found; {least}..{most} allowed")))
        }
        _ => Ok(()),
    };
    if let Some(budget) = &line.budget {
        within("ttl_s", budget.ttl_s, 1, TTL_MAX_S)?;
        within("ops", budget.ops, 1, COUNT_MAX)?;
    }
    let budget = |keys: &Option<BudgetKeys>| {
        keys.as_ref().map_or(Budget::default(), |keys| Budget { ttl_s: keys.ttl_s, ops: keys.ops })
    };
    Ok(match line {
        Line { spawn: Some(kind), ticks, period_ms, budget: keys, lease, adapter, .. } => {
            within("ticks", ticks, 1, COUNT_MAX)?;
            within("period_ms", period_ms, 1, PERIOD_MAX_MS)?;
            if keys.as_ref().is_some_and(|keys| keys.worker.is_some()) {
                return Err(invalid(verb, "a spawned worker's name is the queen's to give".into()));
            }
            if (kind == Kind::Gpu) != lease.is_some() {
                return Err(invalid(verb, "a gpu worker, and no other, has a lease".into()));
            }
            if matches!(kind, Kind::Bus | Kind::Lora) != adapter.is_some() {
                return Err(invalid(verb, "a bus or lora worker, and no other, has an adapter".into()));
            }
            Command::Spawn(Spawn { kind, ticks, period_ms, budget: budget(&keys) })
        }
        Line { kill: Some(id), .. } => Command::Kill(id),
        Line { bind: Some(Bind { from, to }), .. } => Command::Bind { from, to },
        Line { mount: Some(Mount { service, at }), .. } => Command::Mount { service, at },
        Line { revoke: Some(id), .. } => Command::Revoke(id),
        Line { budget: keys, .. } => {
            let (worker, budget) = (keys.as_ref().and_then(|keys| keys.worker.clone()), budget(&keys));
            if budget == Budget::default() {
                return Err(invalid(verb, "a budget has ttl_s, ops or both".into()));
            }
            Command::Budget { worker, budget }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_page_parse() {
        for (line, verb) in [
            (
                r#"{"spawn":"heartbeat","ticks":100,"period_ms":1000,"budget":{"ttl_s":120,"ops":500}}"#,
                "SPAWN",
            ),
            (r#"{"spawn":"heartbeat"}"#, "SPAWN"),
            (
                r#"{"spawn":"gpu","lease":{"gpu_id":"GPU-0","mem_mb":4096,"streams":2,"ttl_s":120,"priority":5}}"#,
                "SPAWN",
            ),
            (r#"{"spawn":"bus","adapter":"rs485"}"#, "SPAWN"),
            (r#"{"kill":"worker-7"}"#, "KILL"),
            (r#"{"budget":{"worker":"worker-7","ttl_s":120,"ops":1000}}"#, "BUDGET"),
            (r#"{"budget":{"ops":1000}}"#, "BUDGET"),
            (r#"{"bind":{"from":"/a","to":"/b"}}"#, "BIND"),
            (r#"{"mount":{"service":"gpu","at":"/gpu2"}}"#, "MOUNT"),
            (r#"{"revoke":"00112233445566778899aabbccddeeff"}"#, "REVOKE"),
        ] {
            assert_eq!(parse(line).map(|command| command.verb()), Ok(verb), "{line}");
        }
    }

    #[test]
    fn what_is_not_on_the_page_is_invalid() {
        for line in [
            "",
            "{}",
            "[]",
            "null",
            "heartbeat",
            r#"{"spawn":"heartbeat"} x"#,
            r#"{"spawn":"heartbeat"}{"kill":"a"}"#,
            r#"{"spawn":"heartbeat","kill":"worker-1"}"#,
            r#"{"spawn":"heartbeat","spawn":"heartbeat"}"#,
            r#"{"spawn":"heartbeat","tick":5}"#,
            r#"{"spawn":"heartbeat","ticks":-1}"#,
            r#"{"spawn":"heartbeat","ticks":0}"#,
            r#"{"spawn":"heartbeat","ticks":1.5}"#,
            r#"{"spawn":"heartbeat","ticks":"5"}"#,
            r#"{"spawn":"heartbeat","ticks":99999999999999999999999}"#,
            r#"{"spawn":"heartbeat","budget":{"worker":"worker-1"}}"#,
            r#"{"spawn":"heartbeat","budget":{"ttl_s":0}}"#,
            r#"{"spawn":"heartbeat","lease":{"gpu_id":"G","mem_mb":1,"streams":1,"ttl_s":1,"priority":1}}"#,
            r#"{"spawn":"gpu"}"#,
            r#"{"spawn":"bus"}"#,
            r#"{"spawn":"cpu"}"#,
            r#"{"spawn":["heartbeat"]}"#,
            r#"{"kill":7}"#,
            r#"{"kill":"worker-1","ticks":5}"#,
            r#"{"budget":{}}"#,
            r#"{"budget":{"worker":"worker-1"}}"#,
            r#"{"bind":{"from":"/a"}}"#,
            r#"{"bind":{"from":"/a","to":"/b","x":1}}"#,
        ] {
            let refused = parse(line).expect_err(line).1;
            assert_eq!(refused.word, Word::Invalid, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_a_command_or_a_refusal(line in ".{0,200}") {
            let _ = parse(&line);
        }
    }
}
