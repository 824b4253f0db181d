//! Verbs that write one line: echo, and the commands to the queen.

use crate::link::{Link, ROOT, Reply, decoded, names};
use crate::spawn::spawn_line;
use console::{Answer, Verb};
use ninep::refusal::Word;
use ninep::wire::{Names, QTAPPEND, QTDIR, Rmsg, Tmsg};
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
    Open { flags: u32 },
    Write { can_read: bool },
}

/// A line to be written.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) verb: &'static str,
    path: String,
    line: String,
    fid: u32,
    phase: Phase,
    appends: bool,
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
            Some(spawn_line(kind, fields.iter()).map(|line| (QUEEN.into(), line)))
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
        Some(Ok(Write { verb: verb.name(), path, line, fid, phase: Phase::Walk, appends: false }))
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
                self.appends = kind & QTAPPEND != 0;
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
                first.as_ref().map_err(|word| *word)?;
                let ack = replies.get(1).filter(|_| can_read).and_then(|reply| reply.as_ref().ok());
                Ok(Wrote::Done(self.answer(ack.map(Vec::as_slice)).as_str().to_owned()))
            }
        }
    }

    fn open(&mut self, flags: u32, link: &mut Link, now_ms: u64) {
        self.phase = Phase::Open { flags };
        link.ask(&[Tmsg::Lopen { fid: self.fid, flags }], now_ms);
    }

    fn write(&mut self, can_read: bool, link: &mut Link, now_ms: u64) {
        self.phase = Phase::Write { can_read };
        let fid = self.fid;
        // All ones: wherever the end is.
        let write = Tmsg::Write { fid, offset: u64::MAX, data: self.line.as_bytes() };
        let read = Tmsg::Read { fid, offset: 0, count: link.count() };
        if can_read && !self.appends {
            link.ask(&[write, read], now_ms);
        } else {
            link.ask(&[write], now_ms);
        }
    }

    /// A control file's own acknowledgement, else that the line was written.
    fn answer(&self, ack: Option<&[u8]>) -> Answer {
        let text = match ack.map(decoded) {
            Some(Ok(Rmsg::Read { data })) => String::from_utf8_lossy(data).into_owned(),
            _ => String::new(),
        };
        match text.lines().find(|line| line.starts_with("OK ") || line.starts_with("ERR ")) {
            Some(line) => Answer::relay(line),
            None => Answer::ok(self.verb).with("path", &self.path),
        }
    }
}
