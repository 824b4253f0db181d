//! A recorded conversation in the place of a door: the shell here is given what it was given, and must send
//! and say what it did.

use crate::Sink;
use crate::error::TalkError;
use console::check_line;
use ninep::dial::Credentials;
use shell::{Options, Shell};
use std::collections::VecDeque;
use trace::file::{Kind, Mask, Record, parse};

pub(crate) struct TraceEnd {
    shell: Shell,
    records: Vec<Record>,
    /// The record that is next.
    at: usize,
    /// What was said before the line it did not belong to.
    early: VecDeque<String>,
}

/// What playing has come to.
enum Played {
    /// Nothing to be seen.
    Inside,
    /// This was said.
    Said(String),
    /// This line was given.
    Line(String),
    /// It is over.
    End,
}

impl TraceEnd {
    /// Takes a file; one that is not whole is refused before anything is played.
    pub(crate) fn new(file: &[u8]) -> Result<TraceEnd, TalkError> {
        let (head, records) = parse(file).map_err(|error| TalkError::Trace(error.to_string()))?;
        let (role, subject) = head.uname.split_once(':').unwrap_or((&head.uname, ""));
        let ticket = Mask::stand_in(head.ticket_len);
        let who =
            Credentials { role: role.into(), subject: subject.into(), ticket, ..Credentials::default() };
        let mut shell = Shell::new(Options::default());
        shell.attach(who, 0);
        Ok(TraceEnd { shell, records, at: 0, early: VecDeque::new() })
    }

    fn wrong(&self, what: &str) -> TalkError {
        TalkError::Trace(format!("record {}: {what}", self.at + 1))
    }

    /// Plays the next record, but for a line, which is only looked at.
    fn step(&mut self) -> Result<Played, TalkError> {
        let Some(record) = self.records.get(self.at) else { return Ok(Played::End) };
        let ms = u64::from(record.ms);
        let mut played = Played::Inside;
        match record.kind {
            Kind::Dialled => self.shell.dialled(ms),
            Kind::Tick => self.shell.tick(ms),
            Kind::Came => self.shell.door_input(&record.bytes, ms),
            Kind::Line => {
                let line = str::from_utf8(&record.bytes).map_err(|_| self.wrong("a line is not UTF-8"))?;
                return Ok(Played::Line(line.to_owned()));
            }
            Kind::Sent => {
                if self.shell.door_output() != record.bytes {
                    return Err(self.wrong("the client sends other bytes than were recorded"));
                }
                self.shell.door_sent(record.bytes.len());
            }
            Kind::Said => {
                let line = self.shell.output();
                let line = line.ok_or_else(|| self.wrong("the client does not say what was recorded"))?;
                if line.as_bytes() != record.bytes {
                    return Err(self.wrong("the client says something else than was recorded"));
                }
                if self.records.get(self.at + 1).is_none_or(|next| next.kind != Kind::Said) {
                    self.shell.drained(ms);
                }
                played = Played::Said(line);
            }
        }
        self.at += 1;
        Ok(played)
    }

    /// The line that is next is given.
    fn line(&mut self, line: &str) {
        let ms = self.records.get(self.at).map_or(0, |record| u64::from(record.ms));
        self.shell.line(check_line(line.as_bytes()), ms);
        self.at += 1;
    }

    /// Gives a line, which must be the one that was given.
    pub(crate) fn give(&mut self, line: &str) -> Result<(), TalkError> {
        loop {
            match self.step()? {
                Played::Inside => {}
                Played::Said(said) => self.early.push_back(said),
                Played::Line(recorded) if recorded == line => {
                    self.line(line);
                    return Ok(());
                }
                Played::Line(recorded) => {
                    return Err(self.wrong(&format!("`{line}` is given, `{recorded}` was")));
                }
                Played::End => return Err(TalkError::Trace(format!("it ends before `{line}`"))),
            }
        }
    }

    /// Hands over what was said next.
    pub(crate) fn take(&mut self, each: Sink) -> Result<(), TalkError> {
        while let Some(line) = self.early.pop_front() {
            each(&line);
        }
        loop {
            match self.step()? {
                Played::Inside => {}
                Played::Said(line) => {
                    each(&line);
                    return Ok(());
                }
                Played::Line(line) => return Err(self.wrong(&format!("`{line}` was given here"))),
                Played::End => return Err(TalkError::Trace("it ends here".into())),
            }
        }
    }

    /// Plays all that is left, with the lines that were given.
    pub(crate) fn play(mut self, each: Sink) -> Result<(), TalkError> {
        loop {
            match self.step()? {
                Played::Inside => {}
                Played::Said(line) => each(&line),
                Played::Line(line) => self.line(&line),
                Played::End => return Ok(()),
            }
        }
    }
}
