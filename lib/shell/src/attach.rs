//! How a session at the door begins: Tversion, the ticket, Tattach.

use crate::link::{AFID, Link, ROOT, Reply, decoded};
use crate::prelude::*;
use ninep::Credentials;
use ninep::refusal::Word;
use ninep::wire::{MSIZE_MAX, MSIZE_MIN, NOFID, Rmsg, Tmsg, VERSION};

/// Longest ticket that goes in Tattach's aname; a longer one is written to an afid.
const ANAME_MAX: usize = 1024;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The caller connects.
    Dialling,
    Version,
    Ticket,
    Attach,
}

#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) who: Credentials,
    pub(crate) phase: Phase,
}

impl Attach {
    pub(crate) fn new(who: Credentials) -> Attach {
        Attach { who, phase: Phase::Dialling }
    }

    /// The stream is there.
    pub(crate) fn dialled(&mut self, link: &mut Link, now_ms: u64) {
        self.phase = Phase::Version;
        link.ask(&[Tmsg::Version { msize: MSIZE_MAX, version: VERSION }], now_ms);
    }

    /// Goes on with a reply; says whether that was the last.
    pub(crate) fn replied(&mut self, replies: &[Reply], link: &mut Link, now_ms: u64) -> Result<bool, Word> {
        if let Some(Err(word)) = replies.iter().find(|reply| reply.is_err()) {
            return Err(*word);
        }
        let uname = self.who.uname();
        let n_uname = self.who.n_uname;
        let ticket = self.who.ticket.as_str();
        let is_long = ticket.len() > ANAME_MAX;
        match self.phase {
            Phase::Version => {
                let Some(Ok(frame)) = replies.first() else { return Err(Word::Invalid) };
                match decoded(frame)? {
                    Rmsg::Version { msize, version: VERSION } if (MSIZE_MIN..=MSIZE_MAX).contains(&msize) => {
                        link.set_msize(msize);
                    }
                    _ => return Err(Word::Unsupported),
                }
                if is_long {
                    self.phase = Phase::Ticket;
                    let auth = Tmsg::Auth { afid: AFID, uname: &uname, aname: "", n_uname };
                    let room = link.count() as usize - 16;
                    let pieces = ticket.as_bytes().chunks(room);
                    let mut offset = 0;
                    let writes = pieces.map(|data| {
                        let at = offset;
                        offset += data.len() as u64;
                        Tmsg::Write { fid: AFID, offset: at, data }
                    });
                    let batch: Vec<Tmsg> = core::iter::once(auth).chain(writes).collect();
                    link.ask(&batch, now_ms);
                    return Ok(false);
                }
            }
            Phase::Ticket => {}
            Phase::Dialling | Phase::Attach => return Ok(true),
        }
        self.phase = Phase::Attach;
        let (afid, aname) = if is_long { (AFID, "") } else { (NOFID, ticket) };
        link.ask(&[Tmsg::Attach { fid: ROOT, afid, uname: &uname, aname, n_uname }], now_ms);
        Ok(false)
    }
}

/// `role` or `role:subject`, and a ticket.
pub(crate) fn credentials(role: &str, ticket: Option<&str>) -> Credentials {
    let (role, subject) = role.split_once(':').unwrap_or((role, ""));
    Credentials {
        role: role.into(),
        subject: subject.into(),
        ticket: ticket.unwrap_or_default().into(),
        ..Credentials::default()
    }
}
