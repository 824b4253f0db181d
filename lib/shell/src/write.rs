//! Verbs that write one line: echo, and the commands to the queen.

use crate::link::{Link, ROOT, Reply, decoded, names};
use crate::prelude::*;
use console::{Answer, Verb};
use ninep::refusal::Word;
use ninep::wire::{Names, QTDIR, Rmsg, Tmsg};
use serde_json::json;

/// O_RDWR and O_WRONLY of fcntl.h.
const RDWR: u32 = 2;
const WRONLY: u32 = 1;
/// Where commands to the queen go.
const QUEEN: &str = "/queen/ctl";
const LIFECYCLE: &str = "/queen/lifecycle/ctl";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Walk,
    Open {
        flags: u32,
    },
    Write {
        can_read: bool,
    },
    /// The acknowledgement is read; what the write was refused with, if it was.
    Ack {
        refused: Option<Word>,
    },
}

/// A line to be written.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) verb: &'static str,
    path: String,
    line: String,
    fid: u32,
    phase: Phase,
}

/// What a write has come to.
pub(crate) enum Wrote {
    More,
    Done(String),
}

/// The file and the line for a verb that writes.
fn order(verb: &Verb) -> Option<Result<(String, String), String>> {
    let queen = |command: serde_json::Value| Some(Ok((QUEEN.to_owned(), command.to_string())));
    match verb {
        Verb::Echo { text, path } => Some(Ok(((*path).to_owned(), (*text).to_owned()))),
        Verb::Spawn { kind, fields } => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let line = json::spawn(kind, fields.iter().map(String::as_str));
            Some(line.map(|line| (QUEEN.into(), line)).map_err(|error| error.0))
        }
        Verb::Kill { id } => queen(json!({ "kill": id })),
        Verb::Bind { from, to } => queen(json!({"bind": {"from": from, "to": to}})),
        Verb::Mount { server, at } => queen(json!({"mount": {"service": server, "at": at}})),
        Verb::Lifecycle { word } => Some(Ok((LIFECYCLE.to_owned(), (*word).to_owned()))),
        _ => None,
    }
}

/// Would the verb change anything?
pub(crate) fn changes(verb: &Verb) -> bool {
    order(verb).is_some()
}

impl Write {
    /// Begins a verb that writes; None where it does not.
    pub(crate) fn begin(verb: &Verb, link: &mut Link, now_ms: u64) -> Option<Result<Write, String>> {
        let (path, mut line) = match order(verb)? {
            Ok(order) => order,
            Err(why) => return Some(Err(why)),
        };
        line.push('\n');
        let fid = link.new_fid();
        let names = names(&path);
        link.ask(&[Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) }], now_ms);
        Some(Ok(Write { verb: verb.name(), path, line, fid, phase: Phase::Walk }))
    }

    /// Goes on with replies. A refusal has let the fid go.
    pub(crate) fn replied(&mut self, replies: &[Reply], link: &mut Link, now_ms: u64) -> Result<Wrote, Word> {
        let wrote = self.step(replies, link, now_ms);
        let has_fid = self.phase != Phase::Walk;
        if has_fid && !matches!(wrote, Ok(Wrote::More)) {
            link.let_go(self.fid);
        }
        wrote
    }

    fn step(&mut self, replies: &[Reply], link: &mut Link, now_ms: u64) -> Result<Wrote, Word> {
        let first = replies.first().ok_or(Word::Invalid)?;
        match self.phase {
            Phase::Walk => {
                let Rmsg::Walk { qids } = decoded(first.as_ref().map_err(|word| *word)?)? else {
                    return Err(Word::Invalid);
                };
                if qids.len() != names(&self.path).len() {
                    return Err(Word::NotFound);
                }
                self.phase = Phase::Open { flags: RDWR };
                let kind = qids.iter().last().map_or(QTDIR, |qid| qid.kind);
                if kind & QTDIR != 0 {
                    let detail = "a directory";
                    let answer = Answer::err(self.verb, Word::Invalid.reason()).with("detail", detail);
                    return Ok(Wrote::Done(answer.as_str().to_owned()));
                }
                self.open(RDWR, link, now_ms);
                Ok(Wrote::More)
            }
            Phase::Open { flags } => match first {
                Ok(_) => {
                    self.write(flags == RDWR, link, now_ms);
                    Ok(Wrote::More)
                }
                // A ticket may allow writing alone; there are no acknowledgements to be had then.
                Err(Word::Permission) if flags == RDWR => {
                    self.open(WRONLY, link, now_ms);
                    Ok(Wrote::More)
                }
                Err(word) => Err(*word),
            },
            Phase::Write { can_read } => {
                let refused = first.as_ref().err().copied();
                if can_read {
                    self.phase = Phase::Ack { refused };
                    let fid = self.fid;
                    let read = Tmsg::Read { fid, offset: 0, count: link.count() };
                    link.ask(&[read, Tmsg::Getattr { fid, mask: 0x7ff }], now_ms);
                    return Ok(Wrote::More);
                }
                match refused {
                    Some(word) => Err(word),
                    None => Ok(Wrote::Done(self.written())),
                }
            }
            Phase::Ack { refused } => {
                // What was written to and is empty is a control file; what is read there is the replies.
                let is_ctl = replies.get(1).is_some_and(|reply| {
                    let frame = reply.as_ref().map(Vec::as_slice);
                    matches!(frame.map(decoded), Ok(Ok(Rmsg::Getattr { attr, .. })) if attr.size == 0)
                });
                let data = match first.as_ref().map(|frame| decoded(frame)) {
                    Ok(Ok(Rmsg::Read { data })) if is_ctl => String::from_utf8_lossy(data).into_owned(),
                    _ => String::new(),
                };
                // One line was written: the last line is about it.
                let ack = data.lines().last().unwrap_or_default();
                match refused {
                    None if ack.starts_with("OK ") => Ok(Wrote::Done(Answer::relay(ack).as_str().to_owned())),
                    None => Ok(Wrote::Done(self.written())),
                    Some(word) if is_refusal(ack, word) => {
                        Ok(Wrote::Done(Answer::relay(ack).as_str().to_owned()))
                    }
                    Some(word) => Err(word),
                }
            }
        }
    }

    fn written(&self) -> String {
        Answer::ok(self.verb).with("path", &self.path).as_str().to_owned()
    }

    fn open(&mut self, flags: u32, link: &mut Link, now_ms: u64) {
        self.phase = Phase::Open { flags };
        link.ask(&[Tmsg::Lopen { fid: self.fid, flags }], now_ms);
    }

    fn write(&mut self, can_read: bool, link: &mut Link, now_ms: u64) {
        self.phase = Phase::Write { can_read };
        let fid = self.fid;
        // All ones: wherever the end is.
        link.ask(&[Tmsg::Write { fid, offset: u64::MAX, data: self.line.as_bytes() }], now_ms);
    }
}

/// Is this a control file's line about such a refusal?
fn is_refusal(ack: &str, word: Word) -> bool {
    let mut words = ack.split(' ');
    words.next() == Some("ERR")
        && words.nth(1).and_then(|field| field.strip_prefix("reason=")) == Some(word.reason())
}
