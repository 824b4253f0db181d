//! What the queen's files say: one function a file.

use crate::queen::Queen;
use crate::queen::json;
use authority::{ExportJob, Job, Lease, Preemption, Quoted, Run, State, Window, Worker};
use core::fmt::Write;
use ninep::refusal::{Refusal, Word};
use ninep::srv::Call;
use rt::prelude::*;

type Shown = Result<(), Refusal>;

fn wrote(result: core::fmt::Result) -> Shown {
    result.map_err(|_| Word::Invalid.into())
}

fn count(n: Option<u64>) -> String {
    n.map_or("unlimited".into(), |n| n.to_string())
}

// Lifecycle and root.

pub(crate) fn state(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    wrote(writeln!(out, "state={}", queen.state.phase().name()))
}

pub(crate) fn reason(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    wrote(writeln!(out, "reason={}", Quoted(queen.state.phase_since().0)))
}

pub(crate) fn since(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    wrote(writeln!(out, "since_ms={}", queen.state.phase_since().1))
}

pub(crate) fn reachable(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    let is = if queen.state.cut().is_none() { "yes" } else { "no" };
    wrote(writeln!(out, "reachable={is}"))
}

pub(crate) fn last_seen(queen: &Queen, call: &Call, out: &mut String) -> Shown {
    wrote(writeln!(out, "last_seen_ms={}", queen.state.last_seen_ms(call.now.wall_ms)))
}

pub(crate) fn cut_reason(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    let reason = queen.state.cut().map_or("none", |cut| cut.word());
    wrote(writeln!(out, "cut_reason={reason}"))
}

// Workers.

pub(crate) fn workers(queen: &Queen, call: &Call, out: &mut String) -> Shown {
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

pub(crate) fn dedupe(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    let dedupe = queen.state.dedupe();
    let (entries, limit) = (dedupe.entries().count(), queen.state.config().dedupe_entries);
    wrote(writeln!(out, "dedupe entries={entries} limit={limit}"))?;
    dedupe.entries().try_for_each(|(id, first)| {
        let (id, key, ack) = (Quoted(id), Quoted(&first.key), Quoted(&first.ack));
        wrote(writeln!(out, "{id} key={key} seq={} ack={ack}", first.seq))
    })
}

// Leases, jobs, windows.

pub(crate) fn lease_summary(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    let leases = queen.state.leases();
    wrote(writeln!(
        out,
        "leases active={} expired={} preempted={} mem_mb={}",
        leases.active().count(),
        leases.expired,
        leases.preempted,
        leases.mem_mb()
    ))
}

pub(crate) fn leases(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    queen.state.leases().active().try_for_each(|lease| {
        let Lease { id, resource, subject, mem_mb, streams, priority, expires_ms, .. } = lease;
        wrote(writeln!(
            out,
            "{id} resource={resource} subject={subject} mem_mb={mem_mb} streams={streams} \
             priority={priority} expires_ms={expires_ms}"
        ))
    })
}

pub(crate) fn preemptions(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    queen.state.leases().preemptions().try_for_each(|preemption| {
        let Preemption { ts_ms, lease, by, reason } = preemption;
        wrote(writeln!(out, "ts_ms={ts_ms} lease={lease} by={by} reason={}", Quoted(reason)))
    })
}

pub(crate) fn schedule_summary(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    let schedule = queen.state.schedule();
    let (queued, running) = schedule.counts();
    let (done, cancelled) = (schedule.done, schedule.cancelled);
    wrote(writeln!(out, "schedule queued={queued} running={running} done={done} cancelled={cancelled}"))
}

pub(crate) fn queue(queen: &Queen, call: &Call, out: &mut String) -> Shown {
    queen.state.schedule().jobs().into_iter().try_for_each(|job| {
        let Job { wish, since_ms, lease, .. } = job;
        let age_ms = call.now.wall_ms.saturating_sub(*since_ms);
        let state = if lease.is_some() { "running" } else { "queued" };
        wrote(writeln!(
            out,
            "{} state={state} priority={} resource={} age_ms={age_ms}",
            wish.id, wish.priority, wish.resource
        ))
    })
}

pub(crate) fn windows(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    queen.state.exports().windows().try_for_each(|window| {
        let Window { id, path, until_ms, max_bytes } = window;
        wrote(writeln!(out, "{id} path={} until_ms={until_ms} max_bytes={max_bytes}", Quoted(path)))
    })
}

pub(crate) fn jobs(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    queen.state.exports().jobs().try_for_each(|(ExportJob { id, window, base_model }, _)| {
        wrote(writeln!(out, "{id} window={window} base_model={}", Quoted(base_model)))
    })
}

// For the hive's servers.

/// The state of the hive and the export jobs that must be there, once that is known.
pub(crate) fn exports(queen: &Queen, call: &Call, out: &mut String) -> Shown {
    if !queen.is_in_step {
        return Err(Refusal::new(Word::Busy, "the queen is starting"));
    }
    state(queen, call, out)?;
    queen.state.exports().jobs().try_for_each(|(job, window)| {
        let Window { path, until_ms, max_bytes, .. } = window;
        wrote(writeln!(
            out,
            "{{\"id\":{},\"window\":{},\"base_model\":{},\"path\":{},\"until_ms\":{until_ms},\"max_bytes\":{max_bytes}}}",
            json(&job.id),
            json(&job.window),
            json(&job.base_model),
            json(path)
        ))
    })
}

/// What the door must know.
pub(crate) fn revoked(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    queen.state.revoked().try_for_each(|(id, reason)| wrote(writeln!(out, "{id} {reason}")))
}

/// And which workers have ended, as the orders that say so; one at least, that names the hive.
pub(crate) fn ended(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    ended_orders(&queen.state).into_iter().try_for_each(|line| wrote(writeln!(out, "{line}")))
}

/// Runs of numbers in one order, so that it is no longer than the door takes.
const RUNS_MAX: usize = 16;

pub(crate) fn ended_orders(state: &State) -> Vec<String> {
    let runs = state.ended();
    let order = |runs: &[Run]| ended_order(state.hive(), runs, "ended");
    if runs.is_empty() { vec![order(&runs)] } else { runs.chunks(RUNS_MAX).map(order).collect() }
}

/// The order that closes the sessions of workers, for good.
pub(crate) fn ended_order(hive: &str, runs: &[Run], reason: &str) -> String {
    let runs: Vec<String> = runs.iter().map(|(first, last)| format!("[{first},{last}]")).collect();
    let (hive, runs, reason) = (json(hive), runs.join(","), json(reason));
    format!("{{\"ended\":{{\"hive\":{hive},\"runs\":[{runs}],\"reason\":{reason}}}}}")
}

/// The directories that must be there; a process that has some of the shards is told those.
pub(crate) fn directories(queen: &Queen, call: &Call, out: &mut String) -> Shown {
    let (owners, asks) = (&queen.config.owners, call.who.subject.as_str());
    let is_its = |worker: &&Worker| !owners.is_one(asks) || owners.of(&worker.id) == asks;
    queen.state.workers().filter(is_its).try_for_each(|worker| wrote(writeln!(out, "{}", add(worker))))
}

/// What a replay's end is compared with.
/// Which boot the state is of: `1234-1732150000123 state=ONLINE`.
pub(crate) fn boot(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    wrote(writeln!(out, "{} state={}", queen.state.boot(), queen.state.phase().name()))
}

pub(crate) fn hash(queen: &Queen, _: &Call, out: &mut String) -> Shown {
    let hex: String = queen.state.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    wrote(writeln!(out, "seq={} sha256={hex}", queen.seq))
}

/// The order for a worker's directory, without its verb.
pub(crate) fn add(worker: &Worker) -> String {
    let ticks = if worker.ticks > 0 { format!(",\"ticks\":{}", worker.ticks) } else { String::new() };
    format!("{{\"id\":\"{}\",\"role\":\"{}\"{ticks}}}", worker.id, worker.kind.role())
}
