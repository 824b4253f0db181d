//! What each command does. Every function looks first and changes afterwards, so that a refusal finds
//! the state as it was.

use crate::command::{Action, Entry};
use crate::ctl::{Ctl, Spawn};
use crate::export::ExportCtl;
use crate::lease::{self, Lease, LeaseCtl, Preempt};
use crate::lifecycle::{Order, Outstanding, Phase};
use crate::refused::{Ack, Quoted, Refused, Word};
use crate::schedule::{Reprioritise, ScheduleCtl};
use crate::state::{Effect, Outcome, State};
use crate::system::{Boot, CutOff, Ended, Servers, System, Transition};
use crate::workers::{End, Worker, ticket_id, ticket_life};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

type Done = Result<(Ack, Vec<Effect>), Refused>;

impl Action {
    /// Is this new work, which only some states of the hive allow?
    pub(crate) fn is_work(&self) -> bool {
        matches!(
            self,
            Action::Queen(Ctl::Spawn(_))
                | Action::Lease(LeaseCtl::Grant(_))
                | Action::Schedule(ScheduleCtl::Enqueue(_))
                | Action::System(System::Start(_))
        )
    }
}

/// A line for the log, with the number of the command that it is about.
fn log(seq: u64, line: impl AsRef<str>) -> Effect {
    let line = line.as_ref();
    Effect::Log(if seq == 0 { line.to_string() } else { format!("seq={seq} {line}") })
}

impl State {
    pub(crate) fn act(&mut self, entry: &Entry, ts_ms: u64) -> Result<Outcome, Refused> {
        let (ack, effects) = match &entry.command.action {
            Action::Queen(ctl) => self.queen(ctl, entry.seq, ts_ms),
            Action::Lifecycle(order) => self.order(*order, entry.seq, ts_ms),
            Action::Lease(ctl) => self.lease(ctl, entry.seq, ts_ms),
            Action::Schedule(ctl) => self.job(ctl, entry.seq, ts_ms),
            Action::Export(ctl) => self.export(ctl, entry.seq, ts_ms),
            Action::System(system) => self.system(system, entry.seq, ts_ms),
        }?;
        Ok(Outcome { ack: ack.text(), effects, first: None })
    }

    fn queen(&mut self, ctl: &Ctl, seq: u64, ts_ms: u64) -> Done {
        let ack = Ack::new(ctl.verb());
        match ctl {
            Ctl::Spawn(spawn) => self.spawn(ack, spawn, seq, ts_ms),
            Ctl::Kill(id) => {
                let number = self.workers.number(id)?;
                Ok((ack.with("id", id), self.end(number, End::Killed, seq, ts_ms)))
            }
            Ctl::Budget { worker: None, budget } => {
                let defaults = &mut self.workers.defaults;
                defaults.ttl_s = budget.ttl_s.or(defaults.ttl_s);
                defaults.ops = budget.ops.or(defaults.ops);
                Ok((ack, Vec::new()))
            }
            Ctl::Budget { worker: Some(id), budget } => {
                let number = self.workers.number(id)?;
                let Some(worker) = self.workers.alive.get_mut(&number) else {
                    return Err(Refused::unknown("id", id));
                };
                let until_ms = budget.ttl_s.map_or(worker.until_ms, |ttl_s| lease::ends(ts_ms, ttl_s));
                if until_ms > worker.ticket_ms.1 {
                    let left_s = worker.ticket_ms.1.saturating_sub(ts_ms) / 1000;
                    return Err(Refused::invalid(format!("ttl_s: its ticket is good for {left_s} s more")));
                }
                worker.until_ms = until_ms;
                let mut effects = Vec::new();
                if let Some(ops) = budget.ops {
                    worker.ops = ops;
                    effects.push(Effect::Ops { ticket: worker.ticket.clone(), ops });
                }
                Ok((ack.with("id", id), effects))
            }
            Ctl::Bind { from, to } => {
                let effect = Effect::Bind { from: from.clone(), to: to.clone() };
                Ok((ack.with("from", from).with("to", to), vec![effect]))
            }
            Ctl::Mount { service, at } => {
                let effect = Effect::Mount { service: service.clone(), at: at.clone() };
                Ok((ack.with("service", service).with("at", at), vec![effect]))
            }
            Ctl::Revoke(id) => {
                let number = self.workers.alive.iter().find(|(_, w)| w.ticket == *id).map(|(n, _)| *n);
                let effects = match number {
                    Some(number) => self.end(number, End::Revoked, seq, ts_ms),
                    None => {
                        let (alive, most) = (self.workers.alive.len(), self.most(self.config.max_revoked));
                        // Where those that end are listed, the living will need room.
                        let alive = if self.settings.numbers_ended { 0 } else { alive };
                        self.revocations.has_room(alive, most, ts_ms)?;
                        let reason = "by command";
                        self.revocations.add(id, reason, None, self.settings.revocations, ts_ms);
                        vec![Effect::Revoke { ticket: id.clone(), reason: reason.to_string() }]
                    }
                };
                Ok((ack.with("id", id), effects))
            }
        }
    }

    fn spawn(&mut self, ack: Ack, spawn: &Spawn, seq: u64, ts_ms: u64) -> Done {
        let kind = spawn.kind;
        if !self.is_recorded && !self.config.kinds.contains(&kind) {
            let detail = format!("this hive has no {} server", kind.word());
            return Err(Refused::new(Word::NotFound, detail));
        }
        let (alive, most) = (self.workers.alive.len(), self.most(self.config.max_workers));
        if alive >= most {
            let detail = format!(
                "{alive} of {most} workers are running; kill one or raise queen.max_workers in sys/hive.toml"
            );
            return Err(Refused::new(Word::Quota, detail));
        }
        if alive >= self.most(self.config.max_rings) {
            let detail = format!("{alive} rings are all that telemetry.budget_bytes has room for");
            return Err(Refused::new(Word::Quota, detail));
        }
        if !self.settings.numbers_ended {
            self.revocations.has_room(alive, self.most(self.config.max_revoked), ts_ms)?;
        }
        let id = self.workers.next_id();
        let grant = spawn.lease.as_ref().map(|lease| lease.grant(&id));
        if let Some(grant) = &grant
            && !self.is_recorded
        {
            self.leases.may_grant(&self.config.lease, grant)?;
        }
        let budget = spawn.budget;
        let ttl_s = budget.ttl_s.or(self.workers.defaults.ttl_s).unwrap_or(self.settings.ttl_s);
        let until_ms = lease::ends(ts_ms, ttl_s);
        let worker = Worker {
            ticket: ticket_id(&self.settings.hive, &id),
            ticket_ms: ticket_life(ts_ms, until_ms),
            id: id.clone(),
            kind,
            ticks: spawn.ticks.unwrap_or(self.settings.ticks),
            period_ms: spawn.period_ms.unwrap_or(self.settings.period_ms),
            ops: budget.ops.or(self.workers.defaults.ops).unwrap_or(self.settings.ops),
            until_ms,
            adapter: spawn.adapter.clone(),
        };
        self.workers.add(worker.clone());
        let mut effects =
            vec![Effect::Start(worker), log(seq, format!("queen spawned {id} role={}", kind.word()))];
        let mut ack = ack.with("id", &id);
        if let Some(grant) = grant {
            let lease = self.leases.grant(&grant, None, ts_ms);
            effects.push(granted(&lease, seq));
            ack = ack.with("lease", lease.id);
        }
        Ok((ack, effects))
    }

    /// Ends a worker that is alive: its ticket, its leases, its process.
    fn end(&mut self, number: u64, end: End, seq: u64, ts_ms: u64) -> Vec<Effect> {
        let Some(worker) = self.workers.alive.remove(&number) else { return Vec::new() };
        if !self.settings.numbers_ended {
            let (until_ms, most) = (Some(worker.ticket_ms.1), self.settings.revocations);
            self.revocations.add(&worker.ticket, &end.to_string(), until_ms, most, ts_ms);
        }
        let mut effects = vec![log(seq, format!("queen revoked {} reason={end}", worker.id))];
        let held = self.leases.active.iter().filter(|(_, lease)| lease.subject == worker.id);
        let held: Vec<u64> = held.map(|(n, _)| *n).collect();
        for lease in held.into_iter().filter_map(|n| self.leases.active.remove(&n)) {
            if let Some(job) = &lease.job {
                self.schedule.stopped(job);
            }
            effects.push(log(seq, format!("lease released {} reason=worker-ended", lease.id)));
        }
        effects.push(Effect::Stop { worker, end });
        effects
    }

    fn order(&mut self, order: Order, seq: u64, ts_ms: u64) -> Done {
        let left = Outstanding { leases: self.leases.active.len(), workers: self.workers.alive.len() };
        let ack = Ack::new(order.verb());
        match self.lifecycle.ordered(order, left)? {
            Some(to) => {
                let effects = self.go(to, order.word(), seq, ts_ms);
                Ok((ack.with("state", to.name()), effects))
            }
            None => {
                let ack = ack.with("state", self.phase().name());
                Ok((ack.with("leases", left.leases).with("workers", left.workers), Vec::new()))
            }
        }
    }

    fn go(&mut self, to: Phase, reason: &str, seq: u64, ts_ms: u64) -> Vec<Effect> {
        let line = self.lifecycle.go(to, reason, ts_ms);
        vec![log(seq, line), Effect::Phase(to), Effect::Root(self.cut())]
    }

    fn lease(&mut self, ctl: &LeaseCtl, seq: u64, ts_ms: u64) -> Done {
        let ack = Ack::new(ctl.verb());
        match ctl {
            LeaseCtl::Grant(grant) => {
                if !self.is_recorded {
                    self.leases.may_grant(&self.config.lease, grant)?;
                }
                let lease = self.leases.grant(grant, None, ts_ms);
                let ack = ack.with("lease", &lease.id).with("resource", &lease.resource);
                let ack = ack.with("subject", &lease.subject).with("expires_ms", lease.expires_ms);
                Ok((ack, vec![granted(&lease, seq)]))
            }
            LeaseCtl::Renew(renew) => {
                let number = self.leases.number(&renew.lease)?;
                let expires_ms = lease::ends(ts_ms, renew.ttl_s);
                if let Some(lease) = self.leases.active.get_mut(&number) {
                    lease.expires_ms = expires_ms;
                }
                Ok((ack.with("lease", &renew.lease).with("expires_ms", expires_ms), Vec::new()))
            }
            LeaseCtl::Release(id) => {
                let number = self.leases.number(id)?;
                self.free(number);
                Ok((ack.with("lease", id), vec![log(seq, format!("lease released {id}"))]))
            }
            LeaseCtl::Preempt(preempt) => {
                let Preempt { lease: id, by, reason } = preempt;
                let number = self.leases.number(id)?;
                let job = self.leases.active.remove(&number).and_then(|lease| lease.job);
                if let Some(job) = job {
                    self.schedule.stopped(&job);
                }
                self.leases.preempted(ts_ms, preempt, self.settings.preemptions);
                let line = format!("lease preempted {id} by={by} reason={}", Quoted(reason));
                Ok((ack.with("lease", id).with("by", by), vec![log(seq, line)]))
            }
            LeaseCtl::Quota(quota) => {
                let most = self.most(self.config.lease.max_quotas);
                self.leases.set_quota(quota, most)?;
                let ack = ack.with("subject", &quota.subject).with("max_leases", quota.max_leases);
                Ok((ack.with("max_mem_mb", quota.max_mem_mb), Vec::new()))
            }
        }
    }

    /// Ends a lease whose work is done.
    fn free(&mut self, number: u64) {
        if let Some(job) = self.leases.active.remove(&number).and_then(|lease| lease.job) {
            self.schedule.finished(&job);
        }
    }

    fn job(&mut self, ctl: &ScheduleCtl, seq: u64, ts_ms: u64) -> Done {
        let ack = Ack::new(ctl.verb());
        match ctl {
            ScheduleCtl::Enqueue(wish) => {
                if !self.is_recorded {
                    let resource = lease::find(&self.config.lease, &wish.resource)?;
                    let need = wish.grant(&self.settings, ts_ms);
                    if need.mem_mb > resource.mem_mb || need.streams > resource.streams {
                        let detail = format!(
                            "mem_mb={} streams={} is all there is",
                            resource.mem_mb, resource.streams
                        );
                        return Err(Refused::invalid(detail));
                    }
                }
                let most = self.most(self.config.max_jobs);
                self.schedule.may_enqueue(wish, most, ts_ms)?;
                self.schedule.enqueue(wish, ts_ms);
                Ok((ack.with("id", &wish.id), Vec::new()))
            }
            ScheduleCtl::Cancel(id) => {
                let lease = self.schedule.get(id)?.lease.clone();
                self.schedule.cancelled(id);
                if let Some(number) = lease.and_then(|lease| self.leases.number(&lease).ok()) {
                    self.leases.active.remove(&number);
                }
                Ok((ack.with("id", id), vec![log(seq, format!("schedule cancelled {id}"))]))
            }
            ScheduleCtl::Reprioritise(Reprioritise { id, priority }) => {
                self.schedule.get(id)?;
                self.schedule.reprioritise(id, *priority);
                Ok((ack.with("id", id).with("priority", priority), Vec::new()))
            }
        }
    }

    fn export(&mut self, ctl: &ExportCtl, seq: u64, ts_ms: u64) -> Done {
        let ack = Ack::new(ctl.verb());
        match ctl {
            ExportCtl::Open(window) => {
                let most = self.most(self.config.max_windows);
                self.exports.open(window, most, ts_ms)?;
                let line = format!("export opened {} path={}", window.id, Quoted(&window.path));
                Ok((ack.with("id", &window.id), vec![log(seq, line)]))
            }
            ExportCtl::Close(id) => {
                let mut effects = vec![log(seq, format!("export closed {id}"))];
                effects.extend(self.exports.close(id)?.then_some(Effect::Exports));
                Ok((ack.with("id", id), effects))
            }
            ExportCtl::Job(job) => {
                self.exports.add(job)?;
                let line = format!("export job {} window={}", job.id, job.window);
                let ack = ack.with("id", &job.id).with("window", &job.window);
                Ok((ack, vec![log(seq, line), Effect::Exports]))
            }
        }
    }

    fn system(&mut self, system: &System, seq: u64, ts_ms: u64) -> Done {
        let ack = Ack::new(system.verb());
        match system {
            System::Boot(boot) => Ok(self.boots(ack, boot, seq, ts_ms)),
            System::Servers(Servers { missing }) => {
                self.lifecycle.missing = Some(missing.clone());
                let list = if missing.is_empty() { "none".to_string() } else { missing.join(",") };
                Ok((ack.with("missing", list), Vec::new()))
            }
            System::Transition(Transition { to, reason }) => {
                let effects = self.go(*to, reason, seq, ts_ms);
                Ok((ack.with("state", to.name()).with("reason", reason), effects))
            }
            System::End(Ended { worker, why }) => {
                let number = self.workers.number(worker)?;
                let effects = self.end(number, why.clone(), seq, ts_ms);
                Ok((ack.with("id", worker).with("why", end_word(why)), effects))
            }
            System::Expire(id) => {
                let number = self.leases.number(id)?;
                if self.leases.active.get(&number).is_some_and(|lease| lease.expires_ms > ts_ms) {
                    return Err(early("lease", id));
                }
                self.free(number);
                self.leases.expired += 1;
                Ok((ack.with("lease", id), vec![log(seq, format!("lease expired {id}"))]))
            }
            System::Start(id) => {
                let wish = &self.schedule.get(id)?.wish;
                if self.schedule.get(id)?.lease.is_some() {
                    return Err(Refused::invalid(format!("job={id} is running")));
                }
                let grant = wish.grant(&self.settings, ts_ms);
                if !self.is_recorded {
                    self.leases.may_grant(&self.config.lease, &grant)?;
                }
                let lease = self.leases.grant(&grant, Some(id), ts_ms);
                self.schedule.started(id, &lease.id);
                let started = log(seq, format!("schedule started {id} lease={}", lease.id));
                Ok((ack.with("id", id).with("lease", &lease.id), vec![started]))
            }
            System::Lapse(id) => {
                let job = self.schedule.get(id)?;
                if job.lease.is_some() || job.wish.deadline_ms.is_none_or(|at| at > ts_ms) {
                    return Err(early("job", id));
                }
                self.schedule.cancelled(id);
                Ok((ack.with("id", id), vec![log(seq, format!("schedule lapsed {id} reason=deadline"))]))
            }
            System::Shut(id) => {
                if self.exports.get(id)?.until_ms > ts_ms {
                    return Err(early("window", id));
                }
                let mut effects = vec![log(seq, format!("export shut {id} reason=time"))];
                effects.extend(self.exports.close(id)?.then_some(Effect::Exports));
                Ok((ack.with("id", id), effects))
            }
            System::Cut(CutOff { reason, holds }) => {
                self.root.set(*reason, *holds);
                let line = format!("root cut reason={} holds={holds}", reason.word());
                let effects = vec![log(seq, line), Effect::Root(self.cut())];
                Ok((ack.with("reason", reason.word()).with("holds", holds), effects))
            }
        }
    }

    /// A hive begins. What operators have decided stays; what ran is gone.
    fn boots(&mut self, ack: Ack, boot: &Boot, seq: u64, ts_ms: u64) -> (Ack, Vec<Effect>) {
        self.boot.clone_from(&boot.id);
        if let Some(settings) = &boot.settings {
            self.settings.clone_from(settings);
            if settings.numbers_ended {
                self.revocations.drop_workers();
            }
        }
        self.lifecycle.missing = None;
        self.root.boots();
        let mut effects = vec![Effect::Root(self.cut())];
        let alive: Vec<u64> = self.workers.alive.keys().copied().collect();
        let ended = alive.len();
        for number in alive {
            effects.extend(self.end(number, End::Orphaned, seq, ts_ms));
        }
        if matches!(self.phase(), Phase::Booting | Phase::Degraded | Phase::Online) {
            effects.extend(self.go(Phase::Booting, "boot", seq, ts_ms));
        }
        (ack.with("state", self.phase().name()).with("workers_ended", ended), effects)
    }
}

fn early(what: &str, id: &str) -> Refused {
    Refused::invalid(format!("{what}={id}: its time has not come"))
}

fn granted(lease: &Lease, seq: u64) -> Effect {
    let Lease { id, resource, subject, .. } = lease;
    log(seq, format!("lease granted {id} resource={resource} subject={subject}"))
}

fn end_word(end: &End) -> String {
    match end {
        End::Exited(_) => "exited".to_string(),
        other => other.to_string(),
    }
}
