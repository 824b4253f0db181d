//! A conversation at a door, recorded.

use ninep::dial::Credentials;
use trace::file::{Head, Kind, Mask, Recorder};

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
