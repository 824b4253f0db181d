//! The shell: a console's session with what its verbs do.

mod testing;
mod why;

use crate::attach::{Attach, credentials};
use crate::held::{Arc, Mutex, lock};
use crate::link::{Link, Reply, decoded};
use crate::output::Output;
use crate::prelude::*;
use crate::read::{Got, Read};
use crate::selftest::{Test, Wants};
use crate::write::{Write, Wrote};
use alloc::collections::VecDeque;
use console::{Answer, END, Fault, HELP, PONG, Session, Step, TestArgs, Throttle, Verb};
use ninep::Credentials;
use ninep::refusal::Word;
use ninep::wire::Rmsg;

/// Lines that may wait for the one before them.
pub const LINES_MAX: usize = 16;

/// What differs between consoles.
#[derive(Clone, Default)]
pub struct Options {
    /// What AUTH must say; None: nothing is asked.
    pub token: Option<Vec<u8>>,
    /// What is held against the peer; shared by its connections.
    pub throttle: Arc<Mutex<Throttle>>,
}

/// What an operator may want to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An AUTH or attach was refused.
    Denied {
        /// AUTH or ATTACH.
        verb: &'static str,
        /// For how long the peer is locked out, if this has done it.
        lock_ms: Option<u64>,
    },
    /// A session has begun.
    Attached {
        /// `role` or `role:subject`.
        uname: String,
    },
    /// It has ended.
    Detached,
}

enum Job {
    Idle,
    Attach(Attach),
    Read(Box<Read>, Option<TestArgs>),
    Write(Write),
    /// The door is asked why it said no.
    Why {
        verb: &'static str,
        word: Word,
        has_begun: bool,
    },
}

/// A console's session, its session at the door, and what it is doing.
pub struct Shell {
    session: Session,
    options: Options,
    link: Option<Link>,
    job: Job,
    /// What waits for the line before it.
    lines: VecDeque<Result<String, Fault>>,
    test: Option<Box<Test>>,
    out: Output,
    events: VecDeque<Event>,
    is_closing: bool,
}

impl Shell {
    /// A session that has said nothing yet.
    pub fn new(options: Options) -> Shell {
        Shell {
            session: Session::new(options.token.is_some(), false),
            options,
            link: None,
            job: Job::Idle,
            lines: VecDeque::new(),
            test: None,
            out: Output::default(),
            events: VecDeque::new(),
            is_closing: false,
        }
    }

    /// May another line be given now? Not where [`LINES_MAX`] wait, nor while the reader of what was said
    /// is slow.
    pub fn takes_lines(&self) -> bool {
        !self.is_closing && self.lines.len() < LINES_MAX && self.out.has_room()
    }

    /// A line of the user. One that comes while another is being carried out waits, but for ping.
    pub fn line(&mut self, line: Result<&str, Fault>, now_ms: u64) {
        if self.session.is_authenticated() && Verb::of(line) == Ok(Verb::Ping) {
            self.out.push(PONG.to_owned());
            return;
        }
        self.lines.push_back(line.map(str::to_owned));
        self.advance(now_ms);
    }

    /// A frame's length was wrong; says so, and ends what has not said who it is.
    pub fn bad_frame(&mut self) {
        self.out.push(Answer::err("FRAME", "invalid-length").as_str().to_owned());
        self.is_closing |= !self.session.is_authenticated();
    }

    /// The next line for the user.
    pub fn output(&mut self) -> Option<String> {
        self.out.pop()
    }

    /// Goes on with what a slow reader has held up.
    pub fn drained(&mut self, now_ms: u64) {
        self.resume(now_ms);
        self.advance(now_ms);
    }

    /// What an operator may want to know of.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Is the connection to be closed, once what was said has gone out?
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Has the user said who he is, as far as that is asked?
    pub fn is_authenticated(&self) -> bool {
        self.session.is_authenticated()
    }

    /// Is there a session at the door?
    pub fn is_attached(&self) -> bool {
        self.session.is_attached()
    }

    /// Has every line had its answer? A tail that follows its file counts as answered.
    pub fn is_idle(&self) -> bool {
        let is_job_idle = match &self.job {
            Job::Idle => true,
            Job::Read(read, _) => read.is_following(),
            _ => false,
        };
        is_job_idle && self.test.is_none() && self.lines.is_empty()
    }

    /// Attaches as a line would, but with a ticket of any length.
    pub fn attach(&mut self, who: Credentials, now_ms: u64) {
        self.job = Job::Attach(Attach::new(who));
        self.advance(now_ms);
    }

    /// Is a connection with the door wanted? Then [`Shell::dialled`] or [`Shell::lost`] comes next.
    pub fn wants_door(&self) -> bool {
        matches!(self.job, Job::Attach(_)) && self.link.is_none()
    }

    /// Is the connection with the door still of use?
    pub fn uses_door(&self) -> bool {
        self.link.is_some()
    }

    /// The connection that was wanted is there.
    pub fn dialled(&mut self, now_ms: u64) {
        let mut link = Link::new();
        if let Job::Attach(attach) = &mut self.job {
            attach.dialled(&mut link, now_ms);
        }
        self.link = Some(link);
    }

    /// Bytes for the door.
    pub fn door_output(&self) -> &[u8] {
        self.link.as_ref().map_or(&[], Link::output)
    }

    /// `n` of them are sent.
    pub fn door_sent(&mut self, n: usize) {
        if let Some(link) = &mut self.link {
            link.consume(n);
        }
    }

    /// Bytes of the door.
    pub fn door_input(&mut self, bytes: &[u8], now_ms: u64) {
        let Some(link) = &mut self.link else { return };
        match link.input(bytes) {
            Ok(None) => {}
            Ok(Some(replies)) => self.replied(&replies, now_ms),
            Err(_) => return self.lost("the door answered what was not asked", now_ms),
        }
        self.advance(now_ms);
    }

    /// The connection with the door has ended, or could not be made.
    pub fn lost(&mut self, why: &str, now_ms: u64) {
        self.link = None;
        let was_attached = self.session.is_attached();
        self.session.lost();
        if was_attached {
            self.events.push_back(Event::Detached);
        }
        let word = if was_attached { Word::Closed } else { Word::Busy };
        self.end_with(word, why);
        if let Some(test) = &mut self.test {
            test.broken(why);
            self.end_test(now_ms);
        }
        self.advance(now_ms);
    }

    /// When [`Shell::tick`] has something to do.
    pub fn deadline_ms(&self) -> Option<u64> {
        let read = match &self.job {
            Job::Read(read, _) if self.out.has_room() => read.deadline_ms(),
            _ => None,
        };
        let link = self.link.as_ref().and_then(Link::deadline_ms);
        let test = self.test.as_ref().map(|test| test.deadline_ms());
        [read, link, test].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) {
        if self.link.as_mut().is_some_and(|link| link.is_overdue(now_ms)) {
            self.end_with(Word::Busy, "no answer within 10 s");
        }
        if self.test.as_mut().is_some_and(|test| test.is_late(now_ms)) {
            self.stop_following();
            self.end_test(now_ms);
        }
        self.resume(now_ms);
        self.advance(now_ms);
    }

    fn resume(&mut self, now_ms: u64) {
        if let (Job::Read(read, _), Some(link)) = (&mut self.job, &mut self.link)
            && self.out.has_room()
        {
            read.resume(link, now_ms);
        }
    }

    /// Says a line: to the test that runs, else to the user.
    fn say(&mut self, line: &str) {
        match &mut self.test {
            Some(test) => test.response(line),
            None => self.out.push(line.to_owned()),
        }
    }

    /// Takes what waits, as long as nothing holds it up.
    fn advance(&mut self, now_ms: u64) {
        while !self.is_closing {
            let is_following = matches!(&self.job, Job::Read(read, _) if read.is_following());
            if !is_following && !matches!(self.job, Job::Idle) {
                return;
            }
            if let Some(test) = &mut self.test {
                match test.next(now_ms) {
                    Wants::Nothing => return,
                    Wants::End => {
                        self.stop_following();
                        self.end_test(now_ms);
                    }
                    Wants::Send(line) => {
                        self.stop_following();
                        self.carry_out_for_test(&line, now_ms);
                    }
                }
                continue;
            }
            if !self.out.has_room() {
                return;
            }
            let Some(line) = self.lines.pop_front() else { return };
            self.stop_following();
            self.carry_out(&line, now_ms);
        }
    }

    fn stop_following(&mut self) {
        if let Job::Read(read, _) = &mut self.job {
            if let Some(link) = &mut self.link {
                read.stop(link);
            }
            self.job = Job::Idle;
            self.say(END);
        }
    }

    fn carry_out(&mut self, line: &Result<String, Fault>, now_ms: u64) {
        let line = line.as_ref().map(String::as_str).map_err(|fault| *fault);
        let token = self.options.token.as_deref().unwrap_or_default();
        let step = self.session.line(line, token, &mut lock(&self.options.throttle), now_ms);
        match step {
            Step::Say(answer) => self.say(answer.as_str()),
            Step::Denied(answer, lock_ms) => {
                self.events.push_back(Event::Denied { verb: "AUTH", lock_ms });
                self.say(answer.as_str());
            }
            Step::Pong => self.say(PONG),
            Step::Close(answer) => {
                self.say(answer.as_str());
                self.is_closing = true;
                self.hang_up();
            }
            Step::Do(Verb::Attach { role, ticket }) => {
                self.job = Job::Attach(Attach::new(credentials(role, ticket)));
            }
            Step::Do(Verb::Detach) => {
                self.hang_up();
                self.say(Answer::ok("DETACH").as_str());
            }
            Step::Do(verb) => self.begin(&verb, now_ms),
        }
    }

    fn hang_up(&mut self) {
        if self.session.is_attached() {
            self.events.push_back(Event::Detached);
        }
        self.session.detached();
        self.link = None;
    }

    /// Begins a verb that is for the door, and those that need none.
    fn begin(&mut self, verb: &Verb, now_ms: u64) {
        if *verb == Verb::Help {
            self.say(Answer::ok("HELP").as_str());
            HELP.iter().for_each(|line| self.say(line));
            return self.say(END);
        }
        let Some(link) = &mut self.link else {
            return self.say(Answer::err(verb.name(), "closed").as_str());
        };
        if let Some(read) = Read::begin(verb, link, now_ms) {
            let test = if let Verb::Test(args) = verb { Some(*args) } else { None };
            self.job = Job::Read(Box::new(read), test);
            return;
        }
        match Write::begin(verb, link, now_ms) {
            Some(Ok(write)) => self.job = Job::Write(write),
            Some(Err(why)) => {
                self.say(Answer::err(verb.name(), "invalid").with("detail", &why).as_str());
            }
            None => self.say(Answer::err(verb.name(), "unsupported").as_str()),
        }
    }

    fn replied(&mut self, replies: &[Reply], now_ms: u64) {
        let Some(link) = &mut self.link else { return };
        let mut said = Vec::new();
        match core::mem::replace(&mut self.job, Job::Idle) {
            Job::Idle => {}
            Job::Attach(mut attach) => match attach.replied(replies, link, now_ms) {
                Ok(false) => self.job = Job::Attach(attach),
                Ok(true) => self.attached(&attach.who),
                Err(word) => self.attach_refused(word, now_ms),
            },
            Job::Read(mut read, args) => {
                let got = read.replied(replies, link, now_ms, &mut |line| said.push(line));
                said.iter().for_each(|line| self.say(line));
                match got {
                    Ok(Got::More) => {
                        self.job = Job::Read(read, args);
                        self.resume(now_ms);
                    }
                    Ok(Got::Done) => match args {
                        Some(args) => self.begin_test(args, core::mem::take(&mut read.text), now_ms),
                        None => self.say(END),
                    },
                    Ok(Got::Refused(detail)) => {
                        let answer = Answer::err(read.verb, Word::Invalid.reason()).with("detail", detail);
                        self.say(answer.as_str());
                    }
                    Err(word) => self.ask_why(read.verb, word, read.has_begun, now_ms),
                }
            }
            Job::Write(mut write) => match write.replied(replies, link, now_ms) {
                Ok(Wrote::More) => self.job = Job::Write(write),
                Ok(Wrote::Done(answer)) => self.say(&answer),
                Err(word) => self.ask_why(write.verb, word, false, now_ms),
            },
            Job::Why { verb, word, has_begun } => {
                let why = replies.get(2).and_then(|reply| reply.as_ref().ok()).map(|frame| decoded(frame));
                let text = match why {
                    Some(Ok(Rmsg::Read { data })) => String::from_utf8_lossy(data).into_owned(),
                    _ => String::new(),
                };
                self.refuse(verb, word, has_begun, &why::detail_of(&text, word));
            }
        }
    }

    fn attached(&mut self, who: &Credentials) {
        self.session.attached();
        self.events.push_back(Event::Attached { uname: who.uname() });
        let answer = Answer::ok("ATTACH").with("role", &who.role);
        let answer = if who.subject.is_empty() { answer } else { answer.with("subject", &who.subject) };
        self.say(answer.as_str());
    }

    fn attach_refused(&mut self, word: Word, now_ms: u64) {
        self.link = None;
        if !matches!(word, Word::Busy | Word::Unsupported | Word::Quota) {
            let lock_ms = self.session.refused(&mut lock(&self.options.throttle), now_ms);
            self.events.push_back(Event::Denied { verb: "ATTACH", lock_ms });
        }
        self.say(Answer::err("ATTACH", word.reason()).as_str());
    }
}
