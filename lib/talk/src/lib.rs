//! The user's end of a console: a line out, the lines of its answer back, whether they come from a
//! console or are made here of a door's files.
//! Guarantees: an answer is given whole, line by line as it comes, and over a door and every console in
//! the same lines; a peer that goes silent or speaks wrongly is an error, not a wait for ever.
#![forbid(unsafe_code)]

mod alive;
mod codec;
mod console_end;
mod door_end;
mod error;
mod place;
mod record;
mod script;
mod serial;
mod tap;
mod trace_end;
mod wire;

pub use error::TalkError;
pub use place::{Place, PlaceArgs};
pub use record::{Recording, replay};
pub use script::{Played, play};

use console::{END, Response, Verb};
use console_end::ConsoleEnd;
use door_end::DoorEnd;
use ninep::dial::{Addr, Credentials};
use std::path::Path;
use std::time::{Duration, Instant};
use trace_end::TraceEnd;

/// How long a console may leave a line without any answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

enum End {
    Door(Box<DoorEnd>),
    Console(Box<ConsoleEnd>),
    Trace(Box<TraceEnd>),
}

/// A conversation.
pub struct Talk {
    end: End,
    /// A tail goes on, and says END when the next line comes.
    is_following: bool,
}

/// Takes each line that comes.
pub type Sink<'a> = &'a mut dyn FnMut(&str);

impl Talk {
    /// With a door: a session of our own, its files made into lines here.
    pub fn door(addr: &Addr, who: Credentials, each: Sink) -> Result<Talk, TalkError> {
        let end = DoorEnd::dial(addr, who, None, each)?;
        Ok(Talk { end: End::Door(Box::new(end)), is_following: false })
    }

    /// The same, recorded in at most `bytes_max` bytes; [`Talk::trace`] gives the file.
    pub fn door_recorded(
        addr: &Addr,
        who: Credentials,
        bytes_max: usize,
        each: Sink,
    ) -> Result<Talk, TalkError> {
        let tap = tap::Tap::new(&who, bytes_max);
        let end = DoorEnd::dial(addr, who, Some(tap), each)?;
        Ok(Talk { end: End::Door(Box::new(end)), is_following: false })
    }

    /// What was recorded, as a file of trace(5), and whether it is all; None where nothing was. `manifest`
    /// is the fingerprint of the hive's.
    pub fn trace(&self, manifest: &str) -> Option<(Vec<u8>, bool)> {
        match &self.end {
            End::Door(end) => end.tap().map(|tap| (tap.file(manifest), !tap.is_full())),
            End::Console(_) | End::Trace(_) => None,
        }
    }

    /// With a recording in the place of a door.
    pub(crate) fn recording(file: &[u8], each: Sink) -> Result<Talk, TalkError> {
        let mut end = TraceEnd::new(file)?;
        // The answer to the attach, which no line asked for.
        end.take(each)?;
        Ok(Talk { end: End::Trace(Box::new(end)), is_following: false })
    }

    /// With a console, `unix!PATH` or `tcp!HOST!PORT`: says AUTH where there is a token, and attaches; pings
    /// after `silence`.
    pub fn console(
        addr: &Addr,
        token: Option<&str>,
        who: &Credentials,
        silence: Duration,
        each: Sink,
    ) -> Result<Talk, TalkError> {
        let end = ConsoleEnd::dial(addr, silence)?;
        let mut talk = Talk { end: End::Console(Box::new(end)), is_following: false };
        if let Some(token) = token {
            talk.must(&format!("AUTH {token}"), "AUTH", &mut |_| {})?;
        }
        talk.must(&attach(who), "attach", each)?;
        Ok(talk)
    }

    /// With the console at a serial line. The machine there may be without a hive: it answers its own verbs
    /// all the same, and an attach that is refused is shown and no failure.
    pub fn serial(path: &Path, who: &Credentials, silence: Duration, each: Sink) -> Result<Talk, TalkError> {
        let end = ConsoleEnd::serial(path, silence)?;
        let mut talk = Talk { end: End::Console(Box::new(end)), is_following: false };
        talk.send(&attach(who), each)?;
        Ok(talk)
    }

    fn must(&mut self, line: &str, what: &str, each: Sink) -> Result<(), TalkError> {
        if line.len() > console::LINE_MAX {
            let len = line.len();
            return Err(TalkError::Refused(format!(
                "{what}: a line of {len} bytes; a console takes {}, a door takes any ticket",
                console::LINE_MAX
            )));
        }
        let mut answer = String::new();
        self.send(line, &mut |line| answer = line.to_owned())?;
        if Response::of(&answer, false) != Response::Ok {
            return Err(TalkError::Refused(answer));
        }
        each(&answer);
        Ok(())
    }

    /// Sends a line and hands over what comes back, until its answer is whole. A tail's is with what the
    /// file ends with; what is added comes with [`Talk::wait`], and its END with the next line.
    pub fn send(&mut self, line: &str, each: Sink) -> Result<(), TalkError> {
        let verb = Verb::of(console::check_line(line.as_bytes()));
        let is_ping = verb == Ok(Verb::Ping);
        let mut answer = Answer {
            ends_tail: self.is_following && !is_ping,
            in_tail: self.is_following,
            is_ping,
            is_stream: verb.as_ref().is_ok_and(Verb::is_stream),
            is_tail: matches!(verb, Ok(Verb::Tail { .. })),
            has_begun: false,
        };
        let until = Instant::now() + ANSWER_WITHIN;
        self.give(line)?;
        let mut is_whole = false;
        while !is_whole {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TalkError::Silent);
            }
            self.take(left, &mut |line| {
                each(line);
                is_whole |= answer.is_whole_with(line);
            })?;
        }
        if !is_ping {
            self.is_following = answer.is_tail && answer.has_begun;
        }
        Ok(())
    }

    /// Lets time pass, and hands over what a tail shows meanwhile.
    pub fn wait(&mut self, time: Duration, each: Sink) -> Result<(), TalkError> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.take(left, each)?;
        }
    }

    /// Does a tail go on?
    pub fn is_following(&self) -> bool {
        self.is_following
    }

    fn give(&mut self, line: &str) -> Result<(), TalkError> {
        match &mut self.end {
            End::Door(end) => end.give(line),
            End::Console(end) => end.give(line),
            End::Trace(end) => end.give(line),
        }
    }

    /// Waits for something to come, `time` at most.
    fn take(&mut self, time: Duration, each: Sink) -> Result<(), TalkError> {
        match &mut self.end {
            End::Door(end) => end.take(time, each),
            End::Console(end) => end.take(time, each),
            End::Trace(end) => end.take(each),
        }
    }
}

fn attach(who: &Credentials) -> String {
    match who.ticket.as_str() {
        "" => format!("attach {}", who.uname()),
        ticket => format!("attach {} {ticket}", who.uname()),
    }
}

/// How far the answer to one line has come.
struct Answer {
    /// The END of the tail before is still to come.
    ends_tail: bool,
    in_tail: bool,
    is_ping: bool,
    is_stream: bool,
    is_tail: bool,
    has_begun: bool,
}

impl Answer {
    /// Takes a line; says whether it was the last.
    fn is_whole_with(&mut self, line: &str) -> bool {
        if self.is_ping {
            return Response::of(line, self.in_tail) != Response::Data;
        }
        if self.ends_tail {
            self.ends_tail = Response::of(line, true) != Response::End;
            return false;
        }
        if self.has_begun {
            return Response::of(line, true) == Response::End;
        }
        match Response::of(line, false) {
            // What a machine says of itself on its serial line.
            Response::Data => return false,
            response => self.has_begun = response == Response::Ok,
        }
        !(self.has_begun && self.is_stream) || self.is_tail
    }
}

/// Is this the line that closes a stream?
pub fn is_end(line: &str) -> bool {
    line == END || line.starts_with("END ")
}
