//! The queue of jobs (spec 4.3): by priority, then arrival; a job starts when a lease for it can be
//! granted. A job that waits for room holds back those behind it on the same resource, so that a
//! large one is not passed by small ones for ever.

use crate::bounds::{self, COUNT_MAX, PRIORITY_MAX, TTL_MAX_S, within};
use crate::lease::{self, Grant, Leases};
use crate::refused::{Refused, Word};
use crate::settings::Settings;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use json::Value;
use serde::{Deserialize, Serialize};

/// A command of `/queen/schedule/ctl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ScheduleCtl {
    /// One more.
    Enqueue(Enqueue),
    /// One less.
    Cancel(String),
    /// Another place in the queue.
    Reprioritise(Reprioritise),
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enqueue {
    /// Its name, given by who enqueues it.
    pub id: String,
    /// What kind of worker runs it.
    pub kind: String,
    /// What it needs a lease of.
    pub resource: String,
    /// The higher goes first.
    #[serde(default)]
    pub priority: u64,
    /// Not to be started before.
    #[serde(default)]
    pub not_before_ms: u64,
    /// Not to be started after; its lease ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What to do. `mem_mb`, `streams`, `ttl_s` and `subject` are its lease's.
    #[serde(default = "empty", skip_serializing_if = "is_empty")]
    pub spec: Value,
}

fn empty() -> Value {
    Value::Object(Vec::new())
}

fn is_empty(value: &Value) -> bool {
    *value == empty()
}

/// Another place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reprioritise {
    /// Which job.
    pub id: String,
    /// The higher goes first.
    pub priority: u64,
}

impl ScheduleCtl {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            ScheduleCtl::Enqueue(_) => "ENQUEUE",
            ScheduleCtl::Cancel(_) => "CANCEL",
            ScheduleCtl::Reprioritise(_) => "REPRIORITISE",
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        match self {
            ScheduleCtl::Enqueue(job) => {
                bounds::name("id", &job.id)?;
                bounds::name("kind", &job.kind)?;
                bounds::name("resource", &job.resource)?;
                within("priority", job.priority, 0, PRIORITY_MAX)?;
                within("not_before_ms", job.not_before_ms, 0, COUNT_MAX)?;
                job.deadline_ms.map_or(Ok(()), |n| within("deadline_ms", n, 1, COUNT_MAX))?;
                if job.deadline_ms.is_some_and(|deadline| deadline <= job.not_before_ms) {
                    return Err(Refused::invalid("deadline_ms: it is not behind not_before_ms"));
                }
                job.check_spec()
            }
            ScheduleCtl::Cancel(id) => bounds::name("cancel", id),
            ScheduleCtl::Reprioritise(Reprioritise { id, priority }) => {
                bounds::name("id", id)?;
                within("priority", *priority, 0, PRIORITY_MAX)
            }
        }
    }
}

impl Enqueue {
    fn check_spec(&self) -> Result<(), Refused> {
        if self.spec.object().is_none() {
            return Err(Refused::invalid(format!("spec: {} found; an object is wanted", self.spec.kind())));
        }
        for (key, least, most) in
            [("mem_mb", 0, COUNT_MAX), ("streams", 0, COUNT_MAX), ("ttl_s", 1, TTL_MAX_S)]
        {
            match self.spec.get(key).map(Value::number) {
                None => {}
                Some(Some(n)) => within(key, n, least, most)?,
                Some(None) => return Err(Refused::invalid(format!("spec: {key}: a number is wanted"))),
            }
        }
        match self.spec.get("subject").map(Value::text) {
            None => Ok(()),
            Some(Some(subject)) => bounds::name("subject", subject),
            Some(None) => Err(Refused::invalid("spec: subject: text is wanted")),
        }
    }

    /// The lease that it needs, were it to start at `ts_ms`.
    pub(crate) fn grant(&self, settings: &Settings, ts_ms: u64) -> Grant {
        let number = |key: &str| self.spec.get(key).and_then(Value::number);
        let left_s = self.deadline_ms.map(|at| at.saturating_sub(ts_ms).div_ceil(1000).max(1));
        let ttl_s = number("ttl_s").unwrap_or(settings.lease_ttl_s);
        Grant {
            resource: self.resource.clone(),
            subject: self.spec.get("subject").and_then(Value::text).unwrap_or(&self.id).into(),
            mem_mb: number("mem_mb").unwrap_or(0),
            streams: number("streams").unwrap_or(1),
            ttl_s: left_s.map_or(ttl_s, |left_s| ttl_s.min(left_s)),
            priority: self.priority,
        }
    }
}

/// A job that is queued or running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// As it was enqueued; its priority may have changed since.
    pub wish: Enqueue,
    /// Its place among those of the same priority.
    pub arrival: u64,
    /// When it was enqueued.
    pub since_ms: u64,
    /// Its lease, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// All jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    next: u64,
    jobs: BTreeMap<String, Job>,
    /// Jobs whose lease ended by release or by time.
    pub done: u64,
    /// Jobs that were taken back, or whose deadline came first.
    pub cancelled: u64,
}

impl Schedule {
    /// Jobs in the order in which they are served.
    pub fn jobs(&self) -> Vec<&Job> {
        let mut jobs: Vec<&Job> = self.jobs.values().collect();
        jobs.sort_by_key(|job| (Reverse(job.wish.priority), job.arrival));
        jobs
    }

    /// How many are queued, and how many run.
    pub fn counts(&self) -> (usize, usize) {
        let running = self.jobs.values().filter(|job| job.lease.is_some()).count();
        (self.jobs.len() - running, running)
    }

    pub(crate) fn get(&self, id: &str) -> Result<&Job, Refused> {
        self.jobs.get(id).ok_or_else(|| Refused::unknown("job", id))
    }

    /// May one more be enqueued?
    pub(crate) fn may_enqueue(&self, wish: &Enqueue, most: usize, ts_ms: u64) -> Result<(), Refused> {
        if self.jobs.contains_key(&wish.id) {
            return Err(Refused::invalid(format!("id={}: there is such a job", wish.id)));
        }
        if wish.deadline_ms.is_some_and(|deadline| deadline <= ts_ms) {
            return Err(Refused::invalid("deadline_ms: it is over"));
        }
        if self.jobs.len() >= most {
            let detail = format!("{most} jobs are queued or run, as many as schedule.max_items allows");
            return Err(Refused::new(Word::Busy, detail));
        }
        Ok(())
    }

    pub(crate) fn enqueue(&mut self, wish: &Enqueue, ts_ms: u64) {
        let job = Job { wish: wish.clone(), arrival: self.next, since_ms: ts_ms, lease: None };
        self.next += 1;
        self.jobs.insert(wish.id.clone(), job);
    }

    pub(crate) fn reprioritise(&mut self, id: &str, priority: u64) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.wish.priority = priority;
        }
    }

    pub(crate) fn started(&mut self, id: &str, lease: &str) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.lease = Some(lease.into());
        }
    }

    /// Its lease has ended though it was not done: it waits in its old place.
    pub(crate) fn stopped(&mut self, id: &str) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.lease = None;
        }
    }

    pub(crate) fn finished(&mut self, id: &str) {
        self.done += u64::from(self.jobs.remove(id).is_some());
    }

    pub(crate) fn cancelled(&mut self, id: &str) {
        self.cancelled += u64::from(self.jobs.remove(id).is_some());
    }

    /// The job that is to start now, if there is one.
    pub(crate) fn startable(
        &self,
        leases: &Leases,
        config: &lease::Config,
        settings: &Settings,
        now_ms: u64,
    ) -> Option<&Job> {
        if self.jobs.is_empty() {
            return None;
        }
        let mut held_back: Vec<&str> = Vec::new();
        let is_time = |job: &&Job| job.lease.is_none() && job.wish.not_before_ms <= now_ms;
        for job in self.jobs().into_iter().filter(is_time) {
            let resource = job.wish.resource.as_str();
            if held_back.contains(&resource) || job.wish.deadline_ms.is_some_and(|at| at <= now_ms) {
                continue;
            }
            match leases.may_grant(config, &job.wish.grant(settings, now_ms)) {
                Ok(()) => return Some(job),
                // Its subject's quota is no reason for others to wait.
                Err(refused) if refused.word == Word::Quota => {}
                Err(_) => held_back.push(resource),
            }
        }
        None
    }

    /// Queued jobs whose deadline has come.
    pub(crate) fn late(&self, now_ms: u64) -> impl Iterator<Item = &Job> {
        self.jobs
            .values()
            .filter(move |job| job.lease.is_none() && job.wish.deadline_ms.is_some_and(|at| at <= now_ms))
    }

    /// When a queued job's time comes next, after `now_ms`.
    pub(crate) fn next_ms(&self, now_ms: u64) -> Option<u64> {
        self.jobs
            .values()
            .filter(|job| job.lease.is_none())
            .flat_map(|job| [Some(job.wish.not_before_ms), job.wish.deadline_ms])
            .flatten()
            .filter(|at| *at > now_ms)
            .min()
    }
}
