//! Verbs that read: cat, ls, log, tail, and the script of a self test.

use crate::link::{Link, ROOT, Reply, decoded, names};
use crate::prelude::*;
use alloc::collections::VecDeque;
use console::{Answer, Data, Verb, write_data};
use ninep::Listing;
use ninep::refusal::Word;
use ninep::wire::{Names, QTDIR, Rmsg, Tmsg};

/// What `log` shows.
const LOG: &str = "/log/queen.log";
/// Lines that `log` and the beginning of a `tail` show.
const LOG_LINES: usize = 20;
const TAIL_LINES: usize = 10;
/// How far before its end a file is read for its last lines.
const BACK_BYTES: u64 = 32 << 10;
/// Longest self test: 256 lines of 256 bytes.
const SCRIPT_MAX: usize = 64 << 10;
/// How often a file that is followed is looked at.
const POLL_MS: u64 = 500;
/// Entries that one `ls` lists.
const ENTRIES_MAX: usize = 65_536;

/// What is done with what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Cat,
    Ls,
    /// The last lines, and then no more.
    Log,
    /// The last lines, and then what is added.
    Tail,
    /// All of it, for a self test.
    Script,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Walk,
    Open,
    Read,
    /// The user is slow: nothing is asked for.
    Held,
    /// At the end of a file that is followed, until then.
    Idle {
        until_ms: u64,
    },
}

/// A file or directory that is read.
pub(crate) struct Read {
    pub(crate) verb: &'static str,
    pub(crate) kind: Kind,
    /// Has the OK been said?
    pub(crate) has_begun: bool,
    pub(crate) text: Vec<u8>,
    path: String,
    fid: u32,
    phase: Phase,
    offset: u64,
    data: Data,
    line: Vec<u8>,
    /// The first line may be the end of one.
    is_amid: bool,
    /// The last lines, while they are looked for.
    last: Option<VecDeque<String>>,
    listing: Listing,
    names: Vec<String>,
}

/// What a reply has come to.
pub(crate) enum Got {
    More,
    Done,
    /// Not what the verb is for.
    Refused(&'static str),
}

impl Read {
    /// Begins a verb that reads; None where it does not.
    pub(crate) fn begin(verb: &Verb, link: &mut Link, now_ms: u64) -> Option<Read> {
        let (kind, path) = match verb {
            Verb::Cat { path } => (Kind::Cat, (*path).to_owned()),
            Verb::Ls { path } => (Kind::Ls, (*path).to_owned()),
            Verb::Tail { path } => (Kind::Tail, (*path).to_owned()),
            Verb::Log => (Kind::Log, LOG.to_owned()),
            Verb::Test(args) => (Kind::Script, format!("/proc/tests/selftest_{}.coh", args.mode.name())),
            _ => return None,
        };
        let fid = link.new_fid();
        let names = names(&path);
        link.ask(&[Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) }], now_ms);
        let last = matches!(kind, Kind::Log | Kind::Tail).then(VecDeque::new);
        Some(Read {
            verb: verb.name(),
            kind,
            has_begun: false,
            text: Vec::new(),
            path,
            fid,
            phase: Phase::Walk,
            offset: 0,
            data: Data::default(),
            line: Vec::new(),
            is_amid: false,
            last,
            listing: Listing::default(),
            names: Vec::new(),
        })
    }

    /// Goes on with replies; lines for the user go to `say`. What has ended has let its fid go.
    pub(crate) fn replied(
        &mut self,
        replies: &[Reply],
        link: &mut Link,
        now_ms: u64,
        say: &mut impl FnMut(String),
    ) -> Result<Got, Word> {
        let got = self.step(replies, link, now_ms, say);
        if !matches!(got, Ok(Got::More)) && self.phase != Phase::Walk {
            link.let_go(self.fid);
        }
        got
    }

    fn step(
        &mut self,
        replies: &[Reply],
        link: &mut Link,
        now_ms: u64,
        say: &mut impl FnMut(String),
    ) -> Result<Got, Word> {
        let frame = replies.first().ok_or(Word::Invalid)?.as_ref().map_err(|word| *word)?;
        match (self.phase, decoded(frame)?) {
            (Phase::Walk, Rmsg::Walk { qids }) => {
                if qids.len() != names(&self.path).len() {
                    return Err(Word::NotFound);
                }
                self.phase = Phase::Open;
                let is_dir = qids.iter().last().is_none_or(|qid| qid.kind & QTDIR != 0);
                match (self.kind, is_dir) {
                    (Kind::Ls, false) => return Ok(Got::Refused("not a directory; see cat")),
                    (Kind::Ls, true) | (_, false) => {}
                    (_, true) => return Ok(Got::Refused("a directory; see ls")),
                }
                let fid = self.fid;
                // The attributes tell how long a stream is.
                let getattr = Tmsg::Getattr { fid, mask: 0x7ff };
                link.ask(&[Tmsg::Lopen { fid, flags: 0 }, getattr], now_ms);
                Ok(Got::More)
            }
            (Phase::Open, Rmsg::Lopen { .. }) => {
                if self.last.is_some()
                    && let Some(Ok(frame)) = replies.get(1)
                    && let Rmsg::Getattr { attr, .. } = decoded(frame)?
                {
                    self.offset = attr.size.saturating_sub(BACK_BYTES);
                    self.is_amid = self.offset > 0;
                }
                if self.kind != Kind::Script {
                    self.has_begun = true;
                    say(Answer::ok(self.verb).with("path", &self.path).as_str().to_owned());
                }
                self.ask(link, now_ms);
                Ok(Got::More)
            }
            (Phase::Read, Rmsg::Read { data: [] }) => Ok(self.at_end(now_ms, say)),
            (Phase::Read, Rmsg::Read { data }) => {
                self.offset += data.len() as u64;
                if self.kind == Kind::Script {
                    self.text.extend_from_slice(data);
                    if self.text.len() > SCRIPT_MAX {
                        return Err(Word::TooBig);
                    }
                } else {
                    self.lines(data, say);
                }
                self.phase = Phase::Held;
                Ok(Got::More)
            }
            (Phase::Read, Rmsg::Readdir { data }) => self.entries(data, say),
            _ => Err(Word::Invalid),
        }
    }

    fn ask(&mut self, link: &mut Link, now_ms: u64) {
        self.phase = Phase::Read;
        let (fid, count) = (self.fid, link.count());
        let msg = match self.kind {
            Kind::Ls => Tmsg::Readdir { fid, offset: self.listing.offset(), count },
            _ => Tmsg::Read { fid, offset: self.offset, count },
        };
        link.ask(&[msg], now_ms);
    }

    /// Asks for more where nothing is asked for and the time has come.
    pub(crate) fn resume(&mut self, link: &mut Link, now_ms: u64) {
        if self.phase == Phase::Held || matches!(self.phase, Phase::Idle { until_ms } if until_ms <= now_ms) {
            self.ask(link, now_ms);
        }
    }

    /// When [`Read::resume`] has something to do, if time alone decides.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Idle { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    /// Is this a tail that has shown what there is? Only then does a line end it.
    pub(crate) fn is_following(&self) -> bool {
        self.kind == Kind::Tail && self.has_begun && self.last.is_none()
    }

    /// Ends a tail.
    pub(crate) fn stop(&mut self, link: &mut Link) {
        link.let_go(self.fid);
    }

    fn at_end(&mut self, now_ms: u64, say: &mut impl FnMut(String)) -> Got {
        for line in self.last.take().into_iter().flatten() {
            say(line);
        }
        if self.kind == Kind::Tail {
            self.phase = Phase::Idle { until_ms: now_ms + POLL_MS };
            return Got::More;
        }
        if !self.line.is_empty() {
            let line = core::mem::take(&mut self.line);
            self.say_line(&line, say);
        }
        Got::Done
    }

    fn lines(&mut self, mut data: &[u8], say: &mut impl FnMut(String)) {
        while !data.is_empty() {
            let (len, used, is_end) = self.data.split(data);
            self.line.extend_from_slice(&data[..len]);
            data = &data[used..];
            if is_end {
                let line = core::mem::take(&mut self.line);
                self.say_line(&line, say);
                self.line = line;
                self.line.clear();
            }
        }
    }

    fn say_line(&mut self, line: &[u8], say: &mut impl FnMut(String)) {
        if core::mem::take(&mut self.is_amid) {
            return;
        }
        let mut text = String::with_capacity(line.len());
        // A string takes everything.
        let _ = write_data(line, &mut text);
        match &mut self.last {
            Some(last) => {
                last.push_back(text);
                let most = if self.kind == Kind::Log { LOG_LINES } else { TAIL_LINES };
                if last.len() > most {
                    last.pop_front();
                }
            }
            None => say(text),
        }
    }

    fn entries(&mut self, data: &[u8], say: &mut impl FnMut(String)) -> Result<Got, Word> {
        let Some(entries) = self.listing.take(data).map_err(|_| Word::Invalid)? else {
            self.names.sort_unstable();
            for name in core::mem::take(&mut self.names) {
                self.say_line(name.as_bytes(), say);
            }
            return Ok(Got::Done);
        };
        for entry in entries.iter().filter(|entry| !matches!(entry.name, "." | "..")) {
            let slash = if entry.qid.kind & QTDIR != 0 { "/" } else { "" };
            self.names.push(format!("{}{slash}", entry.name));
        }
        if self.names.len() > ENTRIES_MAX {
            return Err(Word::TooBig);
        }
        self.phase = Phase::Held;
        Ok(Got::More)
    }
}
