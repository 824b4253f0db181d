//! Replies of servers, on their way to the client that waits.

use crate::channel::Wait;
use crate::door::Door;
use crate::job::Brought;
use crate::request::mounted_path;
use crate::session::{At, Before, Root, SessionRef};
use alloc::rc::Rc;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{HEADER, Next};
use ninep::wire::{self, READ_OVERHEAD, Rmsg, kind};
use rt::prelude::*;

impl Door {
    /// Bytes have come from a server; returns how many are done with, or None where the server does
    /// not speak the protocol and must be let go.
    pub(crate) fn channel_input(&mut self, channel: u16, input: &[u8]) -> Option<usize> {
        let mut used = 0;
        loop {
            let (n, next) = self.channels[channel as usize].framer.next(&input[used..]);
            used += n;
            match next {
                Next::More => return Some(used),
                Next::Refuse(..) | Next::Close(_) => return None,
                Next::Frame(frame) => self.reply(channel, frame)?,
            }
        }
    }

    fn reply(&mut self, channel: u16, frame: &[u8]) -> Option<()> {
        let tag = u16::from_le_bytes([frame[5], frame[6]]);
        self.channels[channel as usize].is_silent = false;
        if frame[4] == kind::RVERSION {
            return match wire::decode_r(frame) {
                Ok((_, Rmsg::Version { version: wire::VERSION, .. })) => Some(()),
                _ => None,
            };
        }
        let wait = self.channels[channel as usize].answered(tag)?;
        match wait {
            Wait::Nothing => {}
            Wait::Clunk { bfid, client } => {
                self.channels[channel as usize].free_fid(bfid);
                self.clunked(client);
            }
            Wait::Client { session, tag: ctag, fid, kind } => {
                if frame[4] != kind + 1 && frame[4] != kind::RLERROR {
                    return None;
                }
                self.reply_client(session, ctag, fid, kind, frame);
            }
            Wait::Walk { session, tag: ctag, newfid, names, bfid, old } => {
                self.reply_walk(channel, session, ctag, newfid, names, bfid, old, frame)?;
            }
            Wait::Attach { session, mount, job } => {
                let answer = match wire::decode_r(frame) {
                    Ok((_, Rmsg::Attach { qid })) => Ok(qid),
                    Ok((_, Rmsg::Lerror { ecode, detail })) => Err(told(ecode, detail.0)),
                    _ => return None,
                };
                if self.is_live(session)
                    && let Some(root) = self.sessions[session.slot].roots.get_mut(mount, channel)
                    && let Root::Asked { life, bfid } = *root
                {
                    *root = match answer {
                        Ok(qid) => Root::Ready { life, bfid, qid },
                        Err(why) => Root::Refused(why),
                    };
                }
                if let Some(job) = job {
                    self.advance(job, 0, Brought::Root);
                }
            }
            Wait::Part { job, part } => {
                let brought = match wire::decode_r(frame) {
                    Ok((_, Rmsg::Walk { qids })) => Brought::Walk(Ok(qids.iter().collect())),
                    Ok((_, Rmsg::Lerror { ecode, detail })) => Brought::Walk(Err(told(ecode, detail.0))),
                    _ => return None,
                };
                self.advance(job, part, brought);
            }
            Wait::Entries { job, source } => {
                let brought = match wire::decode_r(frame) {
                    Ok((_, Rmsg::Readdir { data })) => Ok(data.to_vec()),
                    Ok((_, Rmsg::Lerror { ecode, detail })) => Err(told(ecode, detail.0)),
                    _ => return None,
                };
                self.advance(job, source, Brought::Entries(brought));
            }
        }
        Some(())
    }

    /// A client that has waited for the end of a fid has it.
    pub(crate) fn clunked(&mut self, client: Option<(SessionRef, u16)>) {
        if let Some((session, tag)) = client.filter(|(session, _)| self.is_live(*session)) {
            self.sessions[session.slot].landed(tag, 0);
            self.answer(session.slot, tag, &Rmsg::Clunk);
        }
    }

    fn reply_client(&mut self, session: SessionRef, tag: u16, fid: u32, asked: u8, frame: &[u8]) {
        if !self.is_live(session) {
            return;
        }
        let slot = session.slot;
        let it = &mut self.sessions[slot];
        // count[4] data[count]
        let moved = if frame[4] == kind::RREAD { frame.len().saturating_sub(HEADER + 4) } else { 0 };
        it.landed(tag, moved as u32);
        if frame[4] == kind::RLERROR {
            let path = it.fids.get(fid).ok().map(|fid| Rc::clone(&fid.path));
            let why = told_by(frame);
            if asked == kind::TWRITE {
                self.deny(slot, "WRITE", &why, path.as_deref());
                self.log_quiet(slot, &why, path.as_deref());
            }
            return self.refuse(slot, tag, why, path.as_deref());
        }
        let at = it.out.len();
        it.out.extend_from_slice(frame);
        let out = &mut it.out[at..];
        out[5..7].copy_from_slice(&tag.to_le_bytes());
        let body = HEADER;
        let Ok(fid) = it.fids.get_mut(fid) else { return self.dirty(slot) };
        let At::Server { mount, .. } = fid.at else { return self.dirty(slot) };
        match frame[4] {
            // qid[13] iounit[4]
            kind::RLOPEN if frame.len() >= body + 17 => {
                fid.is_open = true;
                remount(&mut out[body..], mount);
                let most = it.framer.msize - READ_OVERHEAD;
                out[body + 13..body + 17].copy_from_slice(&most.to_le_bytes());
            }
            // valid[8] qid[13] mode[4] …
            kind::RGETATTR if frame.len() >= body + 25 => {
                remount(&mut out[body + 8..], mount);
                if fid.is_ro {
                    // 0222 in the two low bytes of the little-endian mode.
                    out[body + 21] &= !0o222_u8;
                }
            }
            // count[4] then entries: qid[13] offset[8] type[1] name[s]
            kind::RREADDIR => {
                let mut at = body + 4;
                while at + 24 <= out.len() {
                    remount(&mut out[at..], mount);
                    at += 24 + usize::from(u16::from_le_bytes([out[at + 22], out[at + 23]]));
                }
            }
            _ => {}
        }
        self.dirty(slot);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one Wait")]
    fn reply_walk(
        &mut self,
        channel: u16,
        session: SessionRef,
        tag: u16,
        newfid: u32,
        names: u16,
        bfid: u32,
        old: Option<Before>,
        frame: &[u8],
    ) -> Option<()> {
        // size[4] type[1] tag[2] nwqid[2]
        let walked = match frame[4] {
            kind::RWALK if frame.len() >= HEADER + 2 => {
                Some(u16::from_le_bytes([frame[HEADER], frame[HEADER + 1]]))
            }
            kind::RLERROR => None,
            _ => return None,
        };
        let is_there = walked == Some(names);
        // Who has gone has taken his walks back.
        if !self.is_live(session) {
            return Some(());
        }
        let slot = session.slot;
        let it = &mut self.sessions[slot];
        it.landed(tag, 0);
        let mount = match it.fids.get(newfid) {
            Ok(fid) => match fid.at {
                At::Server { mount, .. } => mount,
                _ => 0,
            },
            Err(_) => 0,
        };
        let before = old.as_ref().map(|old| old.bfid);
        let path = if is_there { None } else { it.unwalk(newfid, channel, bfid, old) };
        let link = &mut self.channels[channel as usize];
        match (&path, before) {
            // It is what it was; the number that it was to have is nobody's.
            (Some(_), _) => link.free_fid(bfid),
            // It has moved, or has been clunked where it was to be: it is not any more where it was.
            (None, Some(before)) => link.clunk(before),
            (None, None) => {}
        }
        if frame[4] == kind::RLERROR {
            let why = self.no_such_file(slot, told_by(frame));
            self.refuse(slot, tag, why, path.as_deref());
            return Some(());
        }
        let at = it.out.len();
        it.out.extend_from_slice(frame);
        let out = &mut it.out[at..];
        out[5..7].copy_from_slice(&tag.to_le_bytes());
        out[HEADER + 2..].chunks_exact_mut(13).for_each(|qid| remount(qid, mount));
        self.dirty(slot);
        if !is_there {
            let why = self.no_such_file(slot, Word::NotFound.into());
            self.note(slot, &why, path.as_deref());
        }
        Some(())
    }

    /// A missing file, said in the terms of who asked.
    pub(crate) fn no_such_file(&self, slot: usize, why: Refusal) -> Refusal {
        if why.word == Word::NotFound && why.detail.is_empty() {
            return Refusal::new(Word::NotFound, self.no_such(slot));
        }
        why
    }
}

/// Puts the mount's number into a qid: type[1] version[4] path[8].
fn remount(qid: &mut [u8], mount: u16) {
    let Some(path) = qid.get_mut(5..13) else { return };
    let mut bytes = [0; 8];
    bytes.copy_from_slice(path);
    path.copy_from_slice(&mounted_path(u64::from_le_bytes(bytes), mount).to_le_bytes());
}

/// The refusal in an Rlerror of a server.
fn told_by(frame: &[u8]) -> Refusal {
    match wire::decode_r(frame) {
        Ok((_, Rmsg::Lerror { ecode, detail })) => told(ecode, detail.0),
        _ => Refusal::new(Word::Busy, "the server's answer is malformed"),
    }
}

/// A server's refusal, read back.
fn told(ecode: u32, detail: &str) -> Refusal {
    Refusal::new(Word::from_errno(ecode).unwrap_or(Word::Invalid), detail.to_owned())
}
