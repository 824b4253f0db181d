//! What stands at the edge of the hive tells the journal: sessions that begin and end, and what is denied
//! (spec 6.1). Nobody waits for these records; they are bounded, and what was lost is counted.

use super::super::service::{Now, Op, Request};
use super::super::tree::Who;
use super::record;
use crate::refusal::{Refusal, Word};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

/// Records that wait for a journal that is away.
const WAITING: usize = 4096;
/// Denials recorded in a second; the rest are counted.
const DENIALS_PER_S: u32 = 50;
/// The most bytes of one append.
const BATCH_BYTES: usize = 7 << 10;
const RETRY_MS: u64 = 100;

/// Records on their way.
#[derive(Debug, Default)]
pub struct Records {
    is_kept: bool,
    waiting: VecDeque<String>,
    /// How many of the first are in the append that is out.
    sent: usize,
    retry_ms: Option<u64>,
    lost: u64,
    second_ms: u64,
    denials: u32,
    suppressed: u64,
}

impl Records {
    /// Nothing yet; `is_kept` where the hive has a journal.
    pub fn new(is_kept: bool) -> Records {
        Records { is_kept, ..Records::default() }
    }

    /// One record; `cmd` is a JSON object.
    pub fn push(&mut self, kind: &str, who: &Who, path: &str, cmd: &str, ack: &str, now: Now) {
        if !self.is_kept {
            return;
        }
        if self.waiting.len() >= WAITING {
            self.lost += 1;
            return;
        }
        self.waiting.push_back(record(now.wall_ms, kind, who, path, cmd, ack));
    }

    /// A denial, one of not too many.
    pub fn deny(&mut self, who: &Who, path: &str, verb: &str, refusal: &Refusal, now: Now) {
        let cmd = format!("{{\"op\":\"{}\"}}", verb.to_lowercase());
        let ack = format!("ERR {verb} reason={}", refusal.word.reason());
        self.denied(who, path, &cmd, &ack, now);
    }

    /// The same in the caller's words; `cmd` is a JSON object.
    pub fn denied(&mut self, who: &Who, path: &str, cmd: &str, ack: &str, now: Now) {
        if now.mono_ms >= self.second_ms {
            self.second_ms = now.mono_ms + 1000;
            self.denials = 0;
            let more = core::mem::take(&mut self.suppressed);
            if more > 0 {
                let cmd = format!("{{\"more\":{more}}}");
                self.push("deny", &Who::default(), "", &cmd, "ERR MORE", now);
            }
        }
        if self.denials >= DENIALS_PER_S {
            self.suppressed += 1;
            return;
        }
        self.denials += 1;
        self.push("deny", who, path, cmd, ack, now);
    }

    /// The next append, where none is out, as a request of that id.
    pub fn append(&mut self, id: u64, now: Now) -> Option<Request> {
        if self.sent > 0 || self.waiting.is_empty() || self.retry_ms.is_some_and(|at| at > now.mono_ms) {
            return None;
        }
        self.retry_ms = None;
        let mut line = String::new();
        for body in &self.waiting {
            if self.sent > 0 && line.len() + body.len() > BATCH_BYTES {
                break;
            }
            line.push_str(if self.sent == 0 { "[{" } else { ",{" });
            line.push_str(body);
            line.push('}');
            self.sent += 1;
        }
        line.push_str("]\n");
        let op = Op::Write(line.into_bytes());
        Some(Request { id, server: "audit", root: "in", path: "append".into(), op })
    }

    /// The append has been answered; says how many records were lost since it was said last.
    pub fn appended(&mut self, answer: Result<(), Word>, now: Now) -> Option<u64> {
        let sent = core::mem::take(&mut self.sent);
        match answer {
            Ok(()) => drop(self.waiting.drain(..sent)),
            // What was durable all the same comes twice.
            Err(Word::Busy) => self.retry_ms = Some(now.mono_ms + RETRY_MS),
            Err(_) => self.lost += self.waiting.drain(..sent).count() as u64,
        }
        (answer.is_ok() && self.lost > 0).then(|| core::mem::take(&mut self.lost))
    }

    /// When the next try is due.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.retry_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 5 }
    }

    #[test]
    fn records_wait_for_the_journal_and_go_once() {
        let mut records = Records::new(true);
        records.push("attach", &Who::from_uname("queen", 7), "", "{}", "OK ATTACH", at(0));
        assert!(records.append(1, at(0)).is_some());
        assert!(records.append(1, at(0)).is_none(), "one is out");
        records.appended(Err(Word::Busy), at(0));
        assert!(records.append(1, at(50)).is_none());
        assert!(records.append(1, at(100)).is_some());
        assert_eq!(records.appended(Ok(()), at(100)), None);
        assert!(records.append(1, at(200)).is_none());
    }

    #[test]
    fn denials_are_bounded_and_counted() {
        let mut records = Records::new(true);
        let refusal = Refusal::from(Word::Permission);
        for _ in 0..60 {
            records.deny(&Who::default(), "/queen/ctl", "WRITE", &refusal, at(0));
        }
        assert_eq!(records.waiting.len(), 50);
        records.deny(&Who::default(), "/queen/ctl", "WRITE", &refusal, at(1000));
        assert_eq!(records.waiting.len(), 52);
        assert!(records.waiting[50].contains("{\"more\":10}"));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut records = Records::new(true);
        for _ in 0..WAITING + 3 {
            records.push("attach", &Who::default(), "", "{}", "OK ATTACH", at(0));
        }
        assert!(records.append(1, at(0)).is_some());
        assert_eq!(records.appended(Ok(()), at(0)), Some(3));
    }
}
