//! Requests of a client that several answers of servers make up: walks across mounts, merged listings.

use crate::door::Door;
use crate::list::List;
use crate::session::{Asked, SessionRef};
use crate::walk::Walk;
use ninep::refusal::Refusal;
use ninep::wire::Qid;
use rt::prelude::*;

/// A part that has not been answered by then is taken to be absent, so that one silent server does not
/// hide the others.
pub(crate) const DEADLINE_MS: u64 = 2000;

/// The same where all that is waited for is servers that have left another walk without an answer: whoever
/// needs one is told soon, and looks whether it answers again.
pub(crate) const SILENT_MS: u64 = 100;

/// A request under way.
pub(crate) struct Job {
    pub(crate) session: SessionRef,
    /// The client's tag (a listing has one for each Treaddir that waits for it).
    pub(crate) tag: u16,
    pub(crate) deadline_ms: u64,
    /// Answers that are still out.
    pub(crate) left: usize,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Walk(Walk),
    List(List),
    /// Nobody waits any more; only answers are still to come.
    Dropped,
}

/// What a part of a job brought.
pub(crate) enum Brought {
    /// An attach was answered; the session's roots say how.
    Root,
    Walk(Result<Vec<Qid>, Refusal>),
    Entries(Result<Vec<u8>, Refusal>),
}

impl Door {
    /// One answer has come for a job.
    pub(crate) fn advance(&mut self, job: usize, part: usize, brought: Brought) {
        let Some(it) = self.jobs.get_mut(job) else { return };
        it.left -= 1;
        let session = it.session;
        match (core::mem::replace(&mut it.kind, Kind::Dropped), brought) {
            (Kind::Walk(mut walk), Brought::Walk(answer)) => {
                self.walked(&mut walk, part, answer);
                self.jobs[job].kind = Kind::Walk(walk);
            }
            (Kind::List(mut list), Brought::Entries(answer)) => {
                let more = self.gathered(session, job, part, &mut list, answer);
                self.jobs[job].left += usize::from(more);
                self.jobs[job].kind = Kind::List(list);
            }
            (Kind::List(mut list), Brought::Walk(answer)) => {
                list.named(part, answer);
                self.jobs[job].kind = Kind::List(list);
            }
            (kind, _) => self.jobs[job].kind = kind,
        }
        if self.jobs[job].left == 0 {
            self.finish_job(job);
        }
    }

    /// Answers the client with what there is.
    pub(crate) fn finish_job(&mut self, job: usize) {
        let (session, tag) = (self.jobs[job].session, self.jobs[job].tag);
        let kind = core::mem::replace(&mut self.jobs[job].kind, Kind::Dropped);
        if self.jobs[job].left == 0 {
            self.jobs.remove(job);
        }
        if let Kind::List(list) = &kind {
            self.end_sources(list);
        }
        if !self.is_live(session) {
            return;
        }
        self.sessions[session.slot].inflight.retain(|it| it.asked != Asked::Job(job));
        match kind {
            Kind::Walk(walk) => self.finish_walk(session, tag, walk),
            Kind::List(list) => self.finish_list(session, list),
            Kind::Dropped => {}
        }
    }

    /// A client has flushed the request `tag` of a job.
    pub(crate) fn abandon_job(&mut self, job: usize, tag: u16) {
        let Some(it) = self.jobs.get_mut(job) else { return };
        let session = it.session;
        match core::mem::replace(&mut it.kind, Kind::Dropped) {
            Kind::Walk(walk) => self.abandon_walk(session.slot, walk),
            Kind::List(mut list) => {
                list.forget(tag);
                it.kind = Kind::List(list);
            }
            Kind::Dropped => {}
        }
    }

    /// Ends the jobs whose time is up; returns when the next one's is.
    pub(crate) fn expire_jobs(&mut self) -> Option<u64> {
        let now = self.now.mono_ms;
        let late: Vec<usize> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.deadline_ms <= now && !matches!(job.kind, Kind::Dropped))
            .map(|(i, _)| i)
            .collect();
        for job in late {
            if let Some(Kind::Walk(walk)) = self.jobs.get(job).map(|it| &it.kind) {
                let owe: Vec<u16> = walk.waits_for().collect();
                owe.into_iter().for_each(|channel| self.channels[channel as usize].is_silent = true);
            }
            self.finish_job(job);
        }
        self.jobs
            .iter()
            .filter(|(_, job)| !matches!(job.kind, Kind::Dropped))
            .map(|(_, job)| job.deadline_ms)
            .min()
    }
}
