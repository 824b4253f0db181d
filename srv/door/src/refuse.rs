//! What becomes of a refusal: counted, kept as errstr, logged as far as a second has room, put on record, answered.

use crate::door::Door;
use ninep::refusal::{Refusal, Word, one_line};
use ninep::wire::Rmsg;
use rt::prelude::*;

/// Refusals logged in a second; the rest are counted.
pub(crate) const LOG_PER_S: u32 = 20;

impl Door {
    /// Refuses a request: counted, kept as errstr, logged, answered.
    pub(crate) fn refuse(&mut self, slot: usize, tag: u16, refusal: Refusal, path: Option<&str>) {
        self.note(slot, &refusal, path);
        self.answer(
            slot,
            tag,
            &Rmsg::Lerror { ecode: refusal.word.errno(), detail: ninep::wire::Detail("") },
        );
    }

    /// Counts and keeps a refusal without answering.
    pub(crate) fn note(&mut self, slot: usize, refusal: &Refusal, path: Option<&str>) {
        self.facts.borrow_mut().count(refusal.word);
        let text = told(refusal, path);
        // Asking for what is not there is how programs look around; it is counted, not reported.
        if !is_quiet(refusal) {
            self.log_refused(slot, &text);
        }
        self.sessions[slot].public.borrow_mut().errstr = text;
    }

    /// Reports what [`Door::note`] only counts: the command that names what is not there was meant.
    pub(crate) fn log_quiet(&mut self, slot: usize, refusal: &Refusal, path: Option<&str>) {
        if is_quiet(refusal) {
            self.log_refused(slot, &told(refusal, path));
        }
    }

    fn log_refused(&mut self, slot: usize, text: &str) {
        let session = &self.sessions[slot];
        let line = format!("door session {} refused owner={} {text}", session.number, session.uname);
        self.log_refusal(line);
    }

    pub(crate) fn log_refusal(&mut self, line: String) {
        if self.now.mono_ms >= self.log_refill_ms {
            if self.log_suppressed > 0 {
                self.log.push(format!("door {} more refusals were counted, not logged", self.log_suppressed));
            }
            self.log_suppressed = 0;
            self.log_budget = LOG_PER_S;
            self.log_refill_ms = self.now.mono_ms + 1000;
        }
        match self.log_budget.checked_sub(1) {
            Some(left) => {
                self.log_budget = left;
                self.log.push(line);
            }
            None => self.log_suppressed += 1,
        }
    }

    /// A refused attach or write, for the journal, whatever the reason (spec 6.1); a fid that is none has no
    /// file that it could be about.
    pub(crate) fn deny(&mut self, slot: usize, verb: &str, refusal: &Refusal, path: Option<&str>) {
        if refusal.word != Word::Closed {
            let who = self.sessions[slot].who();
            self.facts.borrow_mut().records.deny(&who, path.unwrap_or(""), verb, refusal, self.now);
        }
    }

    /// The same of what the door itself has refused: that a ticket's limits are spent is recorded once a
    /// second at most (spec 3.2).
    pub(crate) fn deny_here(&mut self, slot: usize, verb: &str, refusal: &Refusal, path: Option<&str>) {
        if refusal.word == Word::Quota {
            let (now_ms, session) = (self.now.mono_ms, &mut self.sessions[slot]);
            if session.quota_ms.is_some_and(|last| now_ms < last + 1000) {
                return;
            }
            session.quota_ms = Some(now_ms);
        }
        self.deny(slot, verb, refusal, path);
    }
}

/// A refusal as errstr and the log have it (DESIGN 5).
fn told(refusal: &Refusal, path: Option<&str>) -> String {
    // Either may quote what a client has sent: it does not get to write lines of its own.
    let (detail, path) = (one_line(&refusal.detail), one_line(path.unwrap_or("/")));
    let reason = refusal.word.reason();
    if detail.is_empty() {
        format!("reason={reason} path={path}")
    } else {
        format!("reason={reason} path={path} detail={detail}")
    }
}

fn is_quiet(refusal: &Refusal) -> bool {
    matches!(refusal.word, Word::NotFound | Word::Closed | Word::Unsupported)
}
