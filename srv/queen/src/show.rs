//! What the queen's files say.

use crate::queen::Queen;
use authority::Worker;
use ninep::refusal::{Refusal, Word};
use ninep::srv::Call;
use std::fmt::Write;

/// One line.
pub(crate) fn line(out: &mut String, text: &str) -> Result<(), Refusal> {
    wrote(writeln!(out, "{text}"))
}

fn wrote(result: std::fmt::Result) -> Result<(), Refusal> {
    result.map_err(|_| Word::Invalid.into())
}

fn count(n: Option<u64>) -> String {
    n.map_or("unlimited".into(), |n| n.to_string())
}

/// `/proc/queen/workers`.
pub(crate) fn workers(queen: &Queen, call: &Call, out: &mut String) -> Result<(), Refusal> {
    for worker in queen.state.workers() {
        let Worker { id, kind, until_ms, .. } = worker;
        let limit = |n: u64| (n > 0).then_some(n);
        let ticks = queen.ticks_left.get(id).copied().or(limit(worker.ticks));
        let ops = queen.ops_left.get(&worker.ticket).copied().or(limit(worker.ops));
        let ttl_s = until_ms.saturating_sub(call.now.wall_ms).div_ceil(1000);
        wrote(writeln!(
            out,
            "{id} role={} state=running ticks_left={} ops_left={} ttl_left_s={ttl_s}",
            kind.role(),
            count(ticks),
            count(ops)
        ))?;
    }
    for (id, role) in queen.ending() {
        wrote(writeln!(out, "{id} role={role} state=ending ticks_left=0 ops_left=0 ttl_left_s=0"))?;
    }
    Ok(())
}

/// `revoked`: what the door must know.
pub(crate) fn revoked(queen: &Queen, out: &mut String) -> Result<(), Refusal> {
    queen.state.revoked().try_for_each(|(id, reason)| wrote(writeln!(out, "{id} {reason}")))
}

/// `workers`: the directories that must be there.
pub(crate) fn directories(queen: &Queen, out: &mut String) -> Result<(), Refusal> {
    queen.state.workers().try_for_each(|worker| line(out, &add(worker)))
}

/// The order for a worker's directory, without its verb.
pub(crate) fn add(worker: &Worker) -> String {
    let ticks = if worker.ticks > 0 { format!(",\"ticks\":{}", worker.ticks) } else { String::new() };
    format!("{{\"id\":\"{}\",\"role\":\"{}\"{ticks}}}", worker.id, worker.kind.role())
}
