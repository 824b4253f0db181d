//! How a refusal is told: its word, and what the door says about it.

use super::{Job, Shell};
use crate::link::{ROOT, names};
use crate::prelude::*;
use console::Answer;
use ninep::refusal::Word;
use ninep::wire::{Names, Tmsg};

impl Shell {
    /// Asks the door what it has to say about its refusal.
    pub(super) fn ask_why(&mut self, verb: &'static str, word: Word, has_begun: bool, now_ms: u64) {
        let Some(link) = &mut self.link else { return self.refuse(verb, word, has_begun, "") };
        let fid = link.new_fid();
        let names = names("/proc/9p/self/errstr");
        link.ask(
            &[
                Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) },
                Tmsg::Lopen { fid, flags: 0 },
                Tmsg::Read { fid, offset: 0, count: link.count() },
                Tmsg::Clunk { fid },
            ],
            now_ms,
        );
        self.job = Job::Why { verb, word, has_begun };
    }

    /// Refuses a verb, or breaks its stream off.
    pub(super) fn refuse(&mut self, verb: &'static str, word: Word, has_begun: bool, detail: &str) {
        let answer = if has_begun {
            Answer::end().with("reason", word.reason())
        } else {
            Answer::err(verb, word.reason())
        };
        let detail = match word {
            Word::NotFound if detail.is_empty() => "no such file in this session's name space",
            _ => detail,
        };
        let answer = if detail.is_empty() { answer } else { answer.with("detail", detail) };
        self.say(answer.as_str());
    }

    /// What was being done ends without an answer of the door.
    pub(super) fn end_with(&mut self, word: Word, detail: &str) {
        match core::mem::replace(&mut self.job, Job::Idle) {
            Job::Idle => {}
            Job::Attach(_) => {
                self.link = None;
                self.refuse("ATTACH", Word::Busy, false, detail);
            }
            Job::Read(read, _) => self.refuse(read.verb, word, read.has_begun, detail),
            Job::Write(write) => self.refuse(write.verb, word, false, detail),
            Job::Why { verb, word, has_begun } => self.refuse(verb, word, has_begun, ""),
        }
    }
}

/// The detail of an errstr, if it is about this refusal: `reason=… path=… detail=…`.
pub(super) fn detail_of(errstr: &str, word: Word) -> String {
    let line = errstr.lines().next().unwrap_or_default();
    let is_this = line.strip_prefix("reason=").and_then(|rest| rest.split(' ').next()) == Some(word.reason());
    let detail = line.split_once(" detail=").map_or("", |(_, detail)| detail);
    if is_this { detail.to_owned() } else { String::new() }
}
