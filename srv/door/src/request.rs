//! One client frame: the checks in their order (spec 2.3), then forward, answer, or refuse.

use crate::channel::Wait;
use crate::door::Door;
use crate::facts::State;
use crate::session::{Asked, At, Fid, Inflight, Session, SessionRef, revoked, within};
use alloc::rc::Rc;
use manifest::Overflow;
use ninep::refusal::{Refusal, Word};
use ninep::wire::{
    self, Attr, MSIZE_MIN, Names, QTAUTH, QTDIR, Qid, READ_OVERHEAD, Rmsg, Statfs, Tmsg, VERSION, kind,
};
use rt::prelude::*;
use ticket::{CursorMove, Verb};

/// `P9_GETATTR_BASIC` of 9P2000.L.
const GETATTR_BASIC: u64 = 0x7ff;
const S_IFDIR: u32 = 0o040_000;
/// O_ACCMODE, O_TRUNC of fcntl.h.
const ACCESS: u32 = 3;
const TRUNC: u32 = 0o1000;

/// What stands in the way of a session's next frame.
pub(crate) enum Gate {
    Open,
    /// The listener's rule is to wait until an answer has gone out.
    Wait,
}

/// What workers measure goes here; whatever else they write is control.
fn is_telemetry(path: &str) -> bool {
    ["/worker", "/shard", "/queen/telemetry", "/host", "/log"].iter().any(|top| within(path, top))
}

/// The verb of a request whose refusal the journal is told of: attaches, and what would write.
fn denied_verb(msg: &Tmsg) -> Option<&'static str> {
    match msg {
        Tmsg::Attach { .. } => Some("ATTACH"),
        Tmsg::Write { .. } => Some("WRITE"),
        Tmsg::Lopen { flags, .. } if flags & (ACCESS | TRUNC) != 0 => Some("OPEN"),
        Tmsg::Lcreate { .. }
        | Tmsg::Mkdir { .. }
        | Tmsg::Symlink { .. }
        | Tmsg::Mknod { .. }
        | Tmsg::Link { .. } => Some("CREATE"),
        Tmsg::Remove { .. } | Tmsg::Unlinkat { .. } => Some("REMOVE"),
        Tmsg::Rename { .. } | Tmsg::Renameat { .. } => Some("RENAME"),
        Tmsg::Setattr { .. } => Some("SETATTR"),
        _ => None,
    }
}

/// Is the frame that begins here about one of these fids, or would it make one?
fn is_about(frame: &[u8], fids: &[u32]) -> bool {
    // size[4] type[1] tag[2], then fid[4] of all that have one; Twalk has newfid[4] behind it.
    let at = |i: usize| frame.get(i..i + 4)?.first_chunk().map(|fid| u32::from_le_bytes(*fid));
    let is_one = |fid: Option<u32>| fid.is_some_and(|fid| fids.contains(&fid));
    match frame.get(4) {
        None | Some(&(kind::TVERSION | kind::TFLUSH)) => false,
        Some(&kind::TWALK) => is_one(at(7)) || is_one(at(11)),
        Some(_) => is_one(at(7)),
    }
}

impl Door {
    /// May the next frame be taken from the session's input now?
    pub(crate) fn gate(&self, slot: usize, input: &[u8]) -> Gate {
        let session = &self.sessions[slot];
        let limits = &self.limits;
        let is_full = session.inflight.len() >= limits.tags_per_session as usize;
        if (!session.unsure.is_empty() && is_about(input, &session.unsure))
            || session.queued() > limits.queue_bytes as usize
            || self.is_crowded(session, input)
            || (is_full && session.rules.overflow == Overflow::Wait)
        {
            return Gate::Wait;
        }
        Gate::Open
    }

    /// Does the next frame ask for more than there is room for, beside what waits for the client and what
    /// will? One answer is always let come.
    fn is_crowded(&self, session: &Session, input: &[u8]) -> bool {
        // size[4] type[1] tag[2] fid[4] offset[8] count[4]
        if !matches!(input.get(4), Some(&(kind::TREAD | kind::TREADDIR))) {
            return false;
        }
        let Some(count) = input.get(19..23).and_then(|bytes| bytes.first_chunk()) else { return false };
        let count = u32::from_le_bytes(*count).min(session.read_max());
        let awaited = session.awaited();
        let would_be = session.queued() + awaited + (count + READ_OVERHEAD) as usize;
        awaited > 0 && would_be > self.limits.queue_bytes as usize
    }

    pub(crate) fn request(&mut self, slot: usize, frame: &[u8]) {
        let session = &mut self.sessions[slot];
        let frame_tag = u16::from_le_bytes([frame[5], frame[6]]);
        let Ok((tag, msg)) = wire::decode_t(frame) else {
            let word = if wire::is_request(frame[4]) { Word::Invalid } else { Word::Unsupported };
            return self.refuse(slot, frame_tag, Refusal::new(word, "malformed frame"), None);
        };
        if session.state == State::Closed {
            return match msg {
                Tmsg::Flush { .. } => self.answer(slot, tag, &Rmsg::Flush),
                _ => self.refuse(slot, tag, revoked(), None),
            };
        }
        if let Tmsg::Version { msize, version } = msg {
            return self.version(slot, tag, msize, version);
        }
        if !session.has_version {
            return self.refuse(slot, tag, Refusal::new(Word::Invalid, "Tversion comes first"), None);
        }
        if session.inflight.iter().any(|it| it.tag == tag) {
            return self.refuse(slot, tag, Refusal::new(Word::Invalid, "tag in flight"), None);
        }
        if let Some(held) = &session.ticket
            && self.now.wall_ms >= held.expires_ms
        {
            self.close_session(slot, "expired");
            return self.refuse(slot, tag, Refusal::new(Word::Revoked, "the ticket has expired"), None);
        }
        if let Tmsg::Flush { oldtag } = msg {
            self.flush(slot, oldtag);
            return self.answer(slot, tag, &Rmsg::Flush);
        }
        if session.inflight.len() >= self.limits.tags_per_session as usize {
            let detail = format!("{} requests are in flight", session.inflight.len());
            return self.refuse(slot, tag, Refusal::new(Word::Busy, detail), None);
        }
        if let Err((refusal, path)) = self.dispatch(slot, tag, &msg, frame) {
            // Of what only looks, that a ticket's limits are spent: that is about a path, what else is Quota is not.
            let is_spent = refusal.word == Word::Quota && path.is_some();
            if let Some(verb) = denied_verb(&msg).or(is_spent.then_some("READ")) {
                self.deny_here(slot, verb, &refusal, path.as_deref());
            }
            self.refuse(slot, tag, refusal, path.as_deref());
        }
    }

    fn dispatch(&mut self, slot: usize, tag: u16, msg: &Tmsg, frame: &[u8]) -> Outcome {
        match *msg {
            Tmsg::Attach { fid, afid, uname, aname, .. } => {
                if let Some(qid) = self.attach(slot, fid, afid, uname, aname).map_err(bare)? {
                    self.answer(slot, tag, &Rmsg::Attach { qid });
                }
                Ok(())
            }
            // diod's clients ask always, and take errno 0 for: the attach alone will do. It will, where
            // the aname already is a ticket.
            Tmsg::Auth { aname, .. }
                if !aname.is_empty() && self.sessions[slot].rules.fids == manifest::Fids::Reuse =>
            {
                self.answer(slot, tag, &Rmsg::Lerror { ecode: 0, detail: wire::Detail("") });
                Ok(())
            }
            Tmsg::Auth { afid, .. } => {
                let fid = Fid { at: At::Auth(Vec::new()), ..Fid::synthetic(Rc::from("")) };
                self.sessions[slot].fids.insert(afid, fid).map_err(|word| bare(word.into()))?;
                let aqid = Qid { kind: QTAUTH, version: 0, path: u64::from(afid) };
                self.answer(slot, tag, &Rmsg::Auth { aqid });
                Ok(())
            }
            Tmsg::Walk { fid, newfid, ref names } => self.walk(slot, tag, fid, newfid, names, frame),
            Tmsg::Lopen { fid, flags } => self.lopen(slot, tag, fid, flags, frame),
            Tmsg::Read { fid, count, .. } => {
                match self.fid(slot, fid)?.at {
                    At::Auth(_) => return Err(bare(Refusal::new(Word::Permission, "an afid is not read"))),
                    At::Synthetic => {
                        return Err(self.said(slot, fid, Word::Invalid, "a directory is read with Treaddir"));
                    }
                    At::Server { .. } => {}
                }
                self.charge(slot, fid, Verb::Read, 0)?;
                self.pass_clipped(slot, tag, fid, count, true, frame)
            }
            Tmsg::Readdir { fid, offset, count } => {
                self.charge(slot, fid, Verb::Read, 0)?;
                if self.fid(slot, fid)?.merges {
                    return self.list(slot, tag, fid, offset, count);
                }
                self.pass_clipped(slot, tag, fid, count, false, frame)
            }
            Tmsg::Write { fid, offset, data } => self.write(slot, tag, fid, offset, data, frame),
            Tmsg::Clunk { fid } => self.clunk(slot, tag, fid),
            Tmsg::Getattr { fid, .. } => {
                self.charge(slot, fid, Verb::Read, 0)?;
                if !matches!(self.fid(slot, fid)?.at, At::Synthetic) {
                    return self.pass(slot, tag, fid, frame);
                }
                let qid = self.synthetic_qid(&Rc::clone(&self.fid(slot, fid)?.path));
                let attr = Attr { mode: S_IFDIR | 0o555, nlink: 2, blksize: 8192, ..self.times() };
                self.answer(slot, tag, &Rmsg::Getattr { valid: GETATTR_BASIC, qid, attr });
                Ok(())
            }
            Tmsg::Setattr { fid, .. } => {
                let it = self.fid(slot, fid)?;
                if it.is_ro || matches!(it.at, At::Synthetic) {
                    return Err(self.denied(slot, fid, "the mount is read-only"));
                }
                self.charge(slot, fid, Verb::Write, 0)?;
                self.pass(slot, tag, fid, frame)
            }
            Tmsg::Statfs { fid } => {
                if !matches!(self.fid(slot, fid)?.at, At::Synthetic) {
                    return self.pass(slot, tag, fid, frame);
                }
                let statfs = Statfs { kind: 0x0102_1997, bsize: 8192, namelen: 255, ..Statfs::default() };
                self.answer(slot, tag, &Rmsg::Statfs { statfs });
                Ok(())
            }
            Tmsg::Fsync { fid, .. } => {
                if !matches!(self.fid(slot, fid)?.at, At::Synthetic) {
                    return self.pass(slot, tag, fid, frame);
                }
                self.answer(slot, tag, &Rmsg::Fsync);
                Ok(())
            }
            Tmsg::Remove { fid } => {
                let refusal = self.denied(slot, fid, "nothing is removed here");
                self.drop_fid(slot, fid).map_err(|word| bare(word.into()))?;
                Err(refusal)
            }
            Tmsg::Rename { fid, .. }
            | Tmsg::Renameat { olddirfid: fid, .. }
            | Tmsg::Unlinkat { dirfid: fid, .. } => {
                self.fid(slot, fid)?;
                Err(self.denied(slot, fid, "nothing is renamed or removed here"))
            }
            Tmsg::Lcreate { fid, .. }
            | Tmsg::Symlink { fid, .. }
            | Tmsg::Mknod { dfid: fid, .. }
            | Tmsg::Link { dfid: fid, .. }
            | Tmsg::Mkdir { dfid: fid, .. } => {
                self.fid(slot, fid)?;
                Err(self.said(slot, fid, Word::Permission, "nothing is created here"))
            }
            _ => Err(bare(Refusal::new(Word::Unsupported, "this system has no such operation"))),
        }
    }

    fn version(&mut self, slot: usize, tag: u16, msize: u32, version: &str) {
        self.restart(slot);
        let is_known = version == VERSION && msize >= MSIZE_MIN;
        let msize = msize.min(self.limits.msize);
        let session = &mut self.sessions[slot];
        session.has_version = is_known;
        if is_known {
            session.framer.msize = msize;
        }
        let version = if is_known { VERSION } else { "unknown" };
        self.answer(slot, tag, &Rmsg::Version { msize, version });
    }

    fn lopen(&mut self, slot: usize, tag: u16, fid: u32, flags: u32, frame: &[u8]) -> Outcome {
        let it = self.fid(slot, fid)?;
        let writes = flags & ACCESS != 0;
        if it.is_open {
            return Err(self.said(slot, fid, Word::Invalid, "the fid is open"));
        }
        if writes && it.is_ro {
            return Err(self.denied(slot, fid, "the mount is read-only"));
        }
        if flags & TRUNC != 0 && it.is_ro {
            return Err(self.denied(slot, fid, "the mount is read-only"));
        }
        let is_synthetic = matches!(it.at, At::Synthetic);
        let reads = flags & ACCESS != 1;
        if reads {
            self.charge(slot, fid, Verb::Read, 0)?;
            self.charge_cursor(slot, fid, CursorMove::Resume)?;
        }
        if writes {
            self.charge(slot, fid, Verb::Write, 0)?;
        }
        let path = Rc::clone(&self.fid(slot, fid)?.path);
        let it = self.sessions[slot].fids.get_mut(fid).map_err(|word| bare(word.into()))?;
        it.can_write = writes;
        if !is_synthetic {
            return self.pass(slot, tag, fid, frame);
        }
        it.is_open = true;
        let (qid, iounit) = (self.synthetic_qid(&path), self.sessions[slot].framer.msize - READ_OVERHEAD);
        self.answer(slot, tag, &Rmsg::Lopen { qid, iounit });
        Ok(())
    }

    fn write(&mut self, slot: usize, tag: u16, fid: u32, offset: u64, data: &[u8], frame: &[u8]) -> Outcome {
        let session = &mut self.sessions[slot];
        let it = session.fids.get_mut(fid).map_err(|word| bare(word.into()))?;
        if let At::Auth(written) = &mut it.at {
            let end = written.len() as u64;
            if offset != end && offset != u64::MAX {
                return Err(bare(Refusal::new(Word::Invalid, "a ticket is written in order")));
            }
            if written.len() + data.len() > ticket::MAX_LEN {
                return Err(bare(Refusal::new(Word::TooBig, "longer than any ticket")));
            }
            written.extend_from_slice(data);
            self.answer(slot, tag, &Rmsg::Write { count: data.len() as u32 });
            return Ok(());
        }
        if it.is_ro {
            return Err(self.denied(slot, fid, "the mount is read-only"));
        }
        if it.is_open && !it.can_write {
            return Err(self.said(slot, fid, Word::Permission, "the fid is not open for writing"));
        }
        self.lets_write(slot, fid)?;
        self.charge(slot, fid, Verb::Write, data.len() as u64)?;
        self.charge_cursor(slot, fid, CursorMove::Advance)?;
        self.pass(slot, tag, fid, frame)
    }

    /// What the hive's state leaves a worker: telemetry while it drains, nothing when it is quiet.
    fn lets_write(&mut self, slot: usize, fid: u32) -> Outcome {
        if self.sessions[slot].is_worker()
            && !is_telemetry(&self.fid(slot, fid)?.path)
            && let Some(cut) = self.cut_now()
        {
            let path = Rc::clone(&self.fid(slot, fid)?.path);
            return Err((Refusal::new(Word::Cut, format!("cut_reason={}", cut.word())), Some(path)));
        }
        let session = &self.sessions[slot];
        if session.state != State::Draining {
            return Ok(());
        }
        let path = &self.fid(slot, fid)?.path;
        if is_telemetry(path) && self.phase.allows_telemetry() {
            return Ok(());
        }
        Err((Refusal::new(Word::Busy, format!("state={}", self.phase.name())), Some(Rc::clone(path))))
    }

    /// Hands a frame on to the server of `fid`; its reply comes back under `tag`.
    pub(crate) fn pass(&mut self, slot: usize, tag: u16, fid: u32, frame: &[u8]) -> Outcome {
        let session = &mut self.sessions[slot];
        let it = session.fids.get(fid).map_err(|word| bare(word.into()))?;
        let At::Server { channel, life, bfid, .. } = it.at else {
            return Err(bare(Refusal::new(Word::Invalid, "not a file of a server")));
        };
        let link = &mut self.channels[channel as usize];
        if !link.serves(life) {
            let detail = format!("{} was restarted", link.name);
            return Err(self.said(slot, fid, Word::Closed, &detail));
        }
        if !link.has_room() {
            let detail = format!("{} does not keep up", link.name);
            return Err(self.said(slot, fid, Word::Busy, &detail));
        }
        let who = SessionRef { slot, number: session.number };
        let btag = link.forward(frame, bfid, Wait::Client { session: who, tag, fid, kind: frame[4] });
        session.inflight.push(Inflight::new(tag, Asked::Channel { channel, tag: btag }));
        Ok(())
    }

    /// The same for Tread and Treaddir, whose reply must fit what this client has agreed to; and, where it is
    /// `metered`, what its ticket has left to move: that is set aside until the answer says how much it was.
    fn pass_clipped(
        &mut self,
        slot: usize,
        tag: u16,
        fid: u32,
        count: u32,
        metered: bool,
        frame: &[u8],
    ) -> Outcome {
        self.pass(slot, tag, fid, frame)?;
        let session = &mut self.sessions[slot];
        let mut room = count.min(session.read_max());
        let Ok(Fid { at: At::Server { channel, .. }, path, .. }) = session.fids.get(fid) else {
            return Ok(());
        };
        let ticket = session.ticket.as_ref().filter(|_| metered && !session.is_free(path));
        if let Some(ticket) = ticket {
            // No more than `room`, which is 32 bits.
            room = ticket.meter.borrow_mut().hold(room.into()) as u32;
        }
        let held = if ticket.is_some() { room } else { 0 };
        if room < count {
            // size[4] type[1] tag[2] fid[4] offset[8] count[4]
            let sent = self.channels[*channel as usize].tail(frame.len());
            sent[19..23].copy_from_slice(&room.to_le_bytes());
        }
        if let Some(it) = session.inflight.last_mut() {
            (it.room, it.held) = (room, held);
        }
        Ok(())
    }

    /// Takes back a request; whatever became of it, it is not answered any more.
    fn flush(&mut self, slot: usize, oldtag: u16) {
        let session = &mut self.sessions[slot];
        let Some(i) = session.inflight.iter().position(|it| it.tag == oldtag) else { return };
        let it = session.inflight.swap_remove(i);
        self.forget(slot, &it);
    }

    /// Nobody waits for the answer to a request any more.
    pub(crate) fn forget(&mut self, slot: usize, it: &Inflight) {
        self.sessions[slot].release(it, 0);
        match it.asked {
            Asked::Channel { channel, tag } => self.abandon(slot, channel, tag),
            Asked::Job(job) => self.abandon_job(job, it.tag),
        }
    }

    /// Tells a server that nobody waits for `tag` any more, and forgets what it would have brought.
    pub(crate) fn abandon(&mut self, slot: usize, channel: u16, tag: u16) {
        let link = &mut self.channels[channel as usize];
        let Some(wait) = link.waits.get_mut(tag as usize) else { return };
        let session = &mut self.sessions[slot];
        // What is to end at the server, if it is there by then.
        let after = match core::mem::replace(wait, Wait::Nothing) {
            Wait::Clunk { bfid, .. } => {
                // It ends all the same, and its number comes back.
                *wait = Wait::Clunk { bfid, client: None };
                return;
            }
            // Where a walk that succeeds now leads, no client knows; where it was clunked, it has ended there,
            // and where it came from it ends now.
            Wait::Walk { newfid, bfid, old, .. } => {
                let before = old.as_ref().map(|old| old.bfid);
                session.unwalk(newfid, channel, bfid, old).map(|_| bfid).or(before)
            }
            // One that is open by now its client takes for one that is not.
            Wait::Client { fid, kind: kind::TLOPEN, .. } => {
                match session.fids.get_mut(fid).map(|it| &mut it.at) {
                    Ok(At::Server { channel: of, life, bfid, .. })
                        if *of == channel && link.serves(*life) && link.has_room() =>
                    {
                        let opened = core::mem::replace(bfid, link.new_fid());
                        let again = Tmsg::Walk { fid: opened, newfid: *bfid, names: Names::from(&[][..]) };
                        link.send(&again, Wait::Nothing);
                        Some(opened)
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        if link.has_room() {
            link.send(&Tmsg::Flush { oldtag: tag }, Wait::Nothing);
        }
        if let Some(bfid) = after {
            link.clunk(bfid);
        }
    }

    pub(crate) fn fid(&self, slot: usize, fid: u32) -> Result<&Fid, (Refusal, Option<Rc<str>>)> {
        self.sessions[slot].fids.get(fid).map_err(|word| bare(word.into()))
    }

    /// Ends a fid here and at its server.
    pub(crate) fn drop_fid(&mut self, slot: usize, fid: u32) -> Result<(), Word> {
        let it = self.sessions[slot].fids.remove(fid)?;
        self.end_at(&it.at);
        Ok(())
    }

    /// Ends a fid for a client. With nothing else in flight the answer need not wait for the server.
    fn clunk(&mut self, slot: usize, tag: u16, fid: u32) -> Outcome {
        let session = &mut self.sessions[slot];
        let who = SessionRef { slot, number: session.number };
        let it = session.fids.remove(fid).map_err(|word| bare(word.into()))?;
        match it.at {
            At::Server { channel, life, bfid, .. }
                if !session.inflight.is_empty()
                    && self.channels[channel as usize].serves(life)
                    && self.channels[channel as usize].has_room() =>
            {
                let wait = Wait::Clunk { bfid, client: Some((who, tag)) };
                let btag = self.channels[channel as usize].send(&Tmsg::Clunk { fid: bfid }, wait);
                session.inflight.push(Inflight::new(tag, Asked::Channel { channel, tag: btag }));
            }
            at => {
                self.end_at(&at);
                self.answer(slot, tag, &Rmsg::Clunk);
            }
        }
        Ok(())
    }

    pub(crate) fn end_at(&mut self, at: &At) {
        if let At::Server { channel, life, bfid, .. } = *at {
            let link = &mut self.channels[channel as usize];
            if link.serves(life) {
                link.clunk(bfid);
            }
        }
    }

    /// Scope, rate, operations and bytes of the session's ticket (spec 3.2).
    pub(crate) fn charge(&mut self, slot: usize, fid: u32, verb: Verb, bytes: u64) -> Outcome {
        let session = &self.sessions[slot];
        let it = session.fids.get(fid).map_err(|word| bare(word.into()))?;
        let Some(held) = &session.ticket else { return Ok(()) };
        let path = Rc::clone(&it.path);
        if session.is_free(&path) {
            return Ok(());
        }
        let charged = held.meter.borrow_mut().charge(&path, verb, bytes, self.now.wall_ms);
        charged.map_err(|refused| self.over_limit(slot, refused, path))
    }

    pub(crate) fn said(&self, slot: usize, fid: u32, word: Word, detail: &str) -> (Refusal, Option<Rc<str>>) {
        let path = self.sessions[slot].fids.get(fid).ok().map(|it| Rc::clone(&it.path));
        (Refusal::new(word, detail.to_owned()), path)
    }

    /// A write that the name space forbids: refused, and said in the log by name.
    fn denied(&mut self, slot: usize, fid: u32, detail: &str) -> (Refusal, Option<Rc<str>>) {
        self.said(slot, fid, Word::Permission, detail)
    }
}

/// A refusal, with the path that it is about.
pub(crate) type Outcome = Result<(), (Refusal, Option<Rc<str>>)>;

pub(crate) fn bare(refusal: Refusal) -> (Refusal, Option<Rc<str>>) {
    (refusal, None)
}

/// The bits of a qid path that belong to the door; see [`ninep::srv::QID_PATH_BITS`].
pub(crate) fn mounted(qid: Qid, mount: u16) -> Qid {
    Qid { path: mounted_path(qid.path, mount), ..qid }
}

pub(crate) fn mounted_path(path: u64, mount: u16) -> u64 {
    const BITS: u32 = ninep::srv::QID_PATH_BITS;
    (path & ((1 << BITS) - 1)) | ((u64::from(mount) + 1) << BITS)
}

/// FNV-1a, to tell synthetic directories apart.
pub(crate) fn path_hash(path: &str) -> u64 {
    let hash = path
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash & ((1 << ninep::srv::QID_PATH_BITS) - 1)
}

impl Door {
    pub(crate) fn synthetic_qid(&self, path: &str) -> Qid {
        Qid { kind: QTDIR, version: 0, path: path_hash(path) }
    }

    fn times(&self) -> Attr {
        let time = (self.born_ms / 1000, (self.born_ms % 1000) * 1_000_000);
        Attr { atime: time, mtime: time, ctime: time, ..Attr::default() }
    }
}
