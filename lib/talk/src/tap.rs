//! A conversation at a door, recorded; and played again without one.

use crate::Sink;
use crate::error::TalkError;
use console::check_line;
use ninep::dial::Credentials;
use shell::{Options, Shell};
use trace::file::{Head, Kind, Mask, Recorder, parse};

/// What is recorded of a conversation.
pub(crate) struct Tap {
    recorder: Recorder,
    mask: Mask,
    uname: String,
    ticket_len: usize,
}

impl Tap {
    pub(crate) fn new(who: &Credentials, bytes_max: usize) -> Tap {
        let mut mask = Mask::default();
        mask.add(&who.ticket);
        Tap { recorder: Recorder::new(bytes_max), mask, uname: who.uname(), ticket_len: who.ticket.len() }
    }

    pub(crate) fn add(&mut self, kind: Kind, ms: u64, bytes: &[u8]) {
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.recorder.add(kind, ms, &self.mask.masked(bytes));
    }

    /// A line of the user; a ticket in it is a secret from then on.
    pub(crate) fn line(&mut self, ms: u64, line: &str) {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        if words.next() == Some("attach")
            && let Some(ticket) = words.nth(1)
        {
            self.mask.add(ticket);
        }
        self.add(Kind::Line, ms, line.as_bytes());
    }

    /// The file.
    pub(crate) fn file(&self, manifest: &str) -> Vec<u8> {
        let head = Head { manifest: manifest.into(), uname: self.uname.clone(), ticket_len: self.ticket_len };
        self.recorder.file(&head)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.recorder.is_full()
    }
}

/// Plays a trace again: the client is given what it was given, and must send and say what it did. A file
/// that is not whole is refused before anything is played.
pub fn replay(file: &[u8], each: Sink) -> Result<(), TalkError> {
    let (head, records) = parse(file).map_err(|error| TalkError::Trace(error.to_string()))?;
    let (role, subject) = head.uname.split_once(':').unwrap_or((&head.uname, ""));
    let ticket = Mask::stand_in(head.ticket_len);
    let who = Credentials { role: role.into(), subject: subject.into(), ticket, ..Credentials::default() };
    let mut shell = Shell::new(Options::default());
    shell.attach(who, 0);
    for (i, record) in records.iter().enumerate() {
        let wrong = |what: &str| TalkError::Trace(format!("record {}: {what}", i + 1));
        let ms = u64::from(record.ms);
        match record.kind {
            Kind::Dialled => shell.dialled(ms),
            Kind::Tick => shell.tick(ms),
            Kind::Came => shell.door_input(&record.bytes, ms),
            Kind::Line => {
                let line = str::from_utf8(&record.bytes).map_err(|_| wrong("a line is not UTF-8"))?;
                shell.line(check_line(line.as_bytes()), ms);
            }
            Kind::Sent => {
                if shell.door_output() != record.bytes {
                    return Err(wrong("the client sends other bytes than were recorded"));
                }
                shell.door_sent(record.bytes.len());
            }
            Kind::Said => {
                let line =
                    shell.output().ok_or_else(|| wrong("the client does not say what was recorded"))?;
                if line.as_bytes() != record.bytes {
                    return Err(wrong("the client says something else than was recorded"));
                }
                each(&line);
                if records.get(i + 1).is_none_or(|next| next.kind != Kind::Said) {
                    shell.drained(ms);
                }
            }
        }
    }
    Ok(())
}
