//! Directories that the door lists itself: those above mounts, and those that scopes hide some of.

use crate::channel::Wait;
use crate::door::Door;
use crate::job::{DEADLINE_MS, Job, Kind};
use crate::request::{Outcome, bare, mounted};
use crate::session::{Asked, At, Fid, Inflight, Listed, Root, SessionRef, Sight, join};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use ninep::refusal::{Refusal, Word};
use ninep::wire::{Dirent, Names, QTDIR, Qid, READ_OVERHEAD, Rmsg, Tmsg};
use ns::{Path, Resolved};
use rt::prelude::*;

/// `d_type` of dirent.h: unknown, directory, regular file.
const DT_UNKNOWN: u8 = 0;
const DT_DIR: u8 = 4;
const DT_REG: u8 = 8;
/// O_RDONLY of fcntl.h.
const O_RDONLY: u32 = 0;

/// A listing under way.
pub(crate) struct List {
    fid: u32,
    /// Treaddirs that wait: tag, offset, count.
    waiters: Vec<(u16, u64, u32)>,
    entries: BTreeMap<Box<str>, (Qid, u8)>,
    /// Names that mounts put here: each with its mount and, once known, its qid.
    mounted: Vec<Child>,
    /// Who is asked for names.
    sources: Vec<Source>,
    /// How many of them have said all.
    said: usize,
    failed: Option<Refusal>,
}

/// An open directory of a server.
struct Source {
    mount: u16,
    channel: u16,
    life: u32,
    bfid: u32,
    /// The fid is the listing's, not the client's.
    is_own: bool,
}

struct Child {
    name: Box<str>,
    mount: Option<u16>,
    /// Names from the mount's root to it.
    depth: usize,
    /// Something is mounted below: if the server has no such directory, the door has.
    is_above_mount: bool,
    qid: Option<Qid>,
}

impl List {
    /// A walk to one of the mounted names was answered.
    pub(crate) fn named(&mut self, part: usize, answer: Result<Vec<Qid>, Refusal>) {
        if let (Some(child), Ok(qids)) = (self.mounted.get_mut(part), answer) {
            // A walk that ended before it is about what lies above it.
            child.qid = qids.get(child.depth.wrapping_sub(1)).copied();
        }
    }

    /// One of the waiting Treaddirs was flushed.
    pub(crate) fn forget(&mut self, tag: u16) {
        self.waiters.retain(|(waits, ..)| *waits != tag);
    }
}

impl Door {
    pub(crate) fn list(&mut self, slot: usize, tag: u16, fid: u32, offset: u64, count: u32) -> Outcome {
        let it = self.fid(slot, fid)?;
        if !it.is_open {
            return Err(self.said(slot, fid, Word::Invalid, "the fid is not open"));
        }
        if offset != 0 && it.listing.is_some() {
            self.answer_list(slot, tag, fid, offset, count);
            return Ok(());
        }
        let room = count.min(self.sessions[slot].read_max());
        let waits = |job| Inflight { room, ..Inflight::new(tag, Asked::Job(job)) };
        let jobs = self.sessions[slot].inflight.iter().filter_map(|it| match it.asked {
            Asked::Job(job) => Some(job),
            Asked::Channel { .. } => None,
        });
        for job in jobs.collect::<Vec<usize>>() {
            if let Kind::List(list) = &mut self.jobs[job].kind
                && list.fid == fid
            {
                list.waiters.push((tag, offset, count));
                self.sessions[slot].inflight.push(waits(job));
                return Ok(());
            }
        }
        let job = self.gather(slot, tag, fid, offset, count)?;
        self.sessions[slot].inflight.push(waits(job));
        if self.jobs[job].left == 0 {
            self.finish_job(job);
        }
        Ok(())
    }

    /// Asks everyone who has something to say about a directory: the job.
    fn gather(
        &mut self,
        slot: usize,
        tag: u16,
        fid: u32,
        offset: u64,
        count: u32,
    ) -> Result<usize, (Refusal, Option<Rc<str>>)> {
        let path = Rc::clone(&self.fid(slot, fid)?.path);
        let job = self.jobs.vacant_key();
        let number = self.sessions[slot].number;
        let table = Rc::clone(&self.sessions[slot].table);
        let parsed = Path::parse(&path).map_err(|why| bare(Refusal::new(Word::Invalid, why.to_string())))?;
        let mut left = 0;
        let mut mounted = Vec::new();
        for name in table.children(&parsed) {
            let below = join(&path, name);
            if self.sessions[slot].sees(&below) == Sight::None {
                continue;
            }
            let Ok(below) = Path::parse(&below) else { continue };
            let mut child =
                Child { name: name.into(), mount: None, depth: 0, is_above_mount: false, qid: None };
            if let Resolved::Mount(place) = table.resolve(&below)
                && !self.is_everybodys(&table, &place, &below)
            {
                let mount = place.entry as u16;
                child.mount = Some(mount);
                let rest: Vec<&str> = place.rest(&below).collect();
                (child.depth, child.is_above_mount) = (rest.len(), place.below);
                let below = join(&path, name);
                let asked = self.keeper(slot, mount, &below).and_then(|keeper| {
                    let (root, is_new) = self.root(slot, mount, keeper, Some(job))?;
                    Ok((keeper, root, is_new))
                });
                if let Ok((channel, root, is_new)) = asked {
                    left += usize::from(is_new);
                    if child.depth > 0 {
                        let link = &mut self.channels[channel as usize];
                        let target = link.new_fid();
                        let part = mounted.len();
                        let walk = Tmsg::Walk { fid: root, newfid: target, names: Names::from(&rest[..]) };
                        link.send(&walk, Wait::Part { job, part });
                        link.clunk(target);
                        left += 1;
                    }
                }
            }
            mounted.push(child);
        }
        let mut failed = None;
        let mut sources = Vec::new();
        if let At::Server { mount, channel, life, bfid } = self.fid(slot, fid)?.at {
            sources.push(Source { mount, channel, life, bfid, is_own: false });
        } else if let Resolved::Mount(place) = table.resolve(&parsed)
            && self.is_everybodys(&table, &place, &parsed)
        {
            let mount = place.entry as u16;
            let first = self.keeper(slot, mount, &path).map_err(bare)?;
            for process in 0..self.parts.count {
                match self.open_root(slot, mount, first + process, job) {
                    Ok((source, is_new)) => {
                        left += usize::from(is_new);
                        sources.push(source);
                    }
                    Err(why) => failed = Some(why),
                }
            }
        }
        for (i, source) in sources.iter().enumerate() {
            match self.ask_entries(job, i, source, 0) {
                Ok(()) => left += 1,
                Err(why) => failed = Some(why),
            }
        }
        let entries = BTreeMap::new();
        let waiters = vec![(tag, offset, count)];
        let list = List { fid, waiters, entries, mounted, sources, said: 0, failed };
        let session = SessionRef { slot, number };
        let deadline_ms = self.now.mono_ms + DEADLINE_MS;
        self.wake_at(deadline_ms);
        self.jobs.insert(Job { session, tag, deadline_ms, left, kind: Kind::List(list) });
        Ok(job)
    }

    /// Opens the root of a mount at one process of its server for a listing.
    fn open_root(
        &mut self,
        slot: usize,
        mount: u16,
        channel: u16,
        job: usize,
    ) -> Result<(Source, bool), Refusal> {
        let (root, is_new) = self.root(slot, mount, channel, Some(job))?;
        let link = &mut self.channels[channel as usize];
        let bfid = link.new_fid();
        // Should either fail, so does what is asked of the fid next.
        link.send(&Tmsg::Walk { fid: root, newfid: bfid, names: Names::from(&[][..]) }, Wait::Nothing);
        link.send(&Tmsg::Lopen { fid: bfid, flags: O_RDONLY }, Wait::Nothing);
        Ok((Source { mount, channel, life: link.life, bfid, is_own: true }, is_new))
    }

    /// Ends what a listing has opened.
    pub(crate) fn end_sources(&mut self, list: &List) {
        for source in list.sources.iter().filter(|source| source.is_own) {
            let Source { mount, channel, life, bfid, .. } = *source;
            self.end_at(&At::Server { mount, channel, life, bfid });
        }
    }

    fn ask_entries(&mut self, job: usize, i: usize, source: &Source, offset: u64) -> Result<(), Refusal> {
        let msize = self.limits.msize;
        let link = &mut self.channels[source.channel as usize];
        if !link.serves(source.life) {
            return Err(Refusal::new(Word::Closed, format!("{} was restarted", link.name)));
        }
        if !link.has_room() {
            return Err(Refusal::new(Word::Busy, format!("{} does not keep up", link.name)));
        }
        let wait = Wait::Entries { job, source: i };
        link.send(&Tmsg::Readdir { fid: source.bfid, offset, count: msize - READ_OVERHEAD }, wait);
        Ok(())
    }

    /// A source has listed some of its names; says whether more have been asked for.
    pub(crate) fn gathered(
        &mut self,
        session: SessionRef,
        job: usize,
        source: usize,
        list: &mut List,
        answer: Result<Vec<u8>, Refusal>,
    ) -> bool {
        let data = match answer {
            Ok(data) => data,
            Err(why) => {
                list.failed = Some(why);
                return false;
            }
        };
        if !self.is_live(session) {
            return false;
        }
        let Ok(Fid { path, .. }) = self.sessions[session.slot].fids.get(list.fid) else { return false };
        let from = &list.sources[source];
        let mut next = None;
        for entry in Dirent::iter(&data).map_while(Result::ok) {
            next = Some(entry.offset);
            if self.sessions[session.slot].sees(&join(path, entry.name)) != Sight::None {
                list.entries.insert(entry.name.into(), (mounted(entry.qid, from.mount), entry.kind));
            }
        }
        let asked = next.map(|offset| self.ask_entries(job, source, from, offset));
        match asked {
            None => list.said += 1,
            Some(Ok(())) => return true,
            Some(Err(why)) => list.failed = Some(why),
        }
        false
    }

    pub(crate) fn finish_list(&mut self, session: SessionRef, mut list: List) {
        let slot = session.slot;
        let path = self.sessions[slot].fids.get(list.fid).map(|it| Rc::clone(&it.path));
        let path = path.unwrap_or_else(|_| Rc::from("/"));
        // A process that is away does not hide what the others have.
        if let Some(why) = list.failed.filter(|_| list.said == 0) {
            for (tag, ..) in list.waiters {
                self.refuse(slot, tag, why.clone(), Some(&path));
            }
            return;
        }
        for child in list.mounted {
            let root = child.mount.and_then(|mount| {
                let keeper = self.keeper(slot, mount, &join(&path, &child.name)).ok()?;
                self.sessions[slot].roots.get(mount, keeper)
            });
            let known = match (child.qid, root) {
                (Some(qid), _) => Some(qid),
                (None, Some(Root::Ready { qid, .. })) if child.depth == 0 => Some(*qid),
                _ => None,
            };
            let entry = match (child.mount, known) {
                (Some(mount), Some(qid)) => {
                    (mounted(qid, mount), if qid.kind & QTDIR != 0 { DT_DIR } else { DT_REG })
                }
                // A walk there finds a directory, whether or not its server has one.
                (Some(_), None) if child.is_above_mount => {
                    (self.synthetic_qid(&join(&path, &child.name)), DT_DIR)
                }
                (None, _) => (self.synthetic_qid(&join(&path, &child.name)), DT_DIR),
                // Its server is away: the name stays, what it is remains open.
                (Some(_), None) => {
                    (Qid { kind: 0, ..self.synthetic_qid(&join(&path, &child.name)) }, DT_UNKNOWN)
                }
            };
            list.entries.insert(child.name, entry);
        }
        let listing: Rc<[Listed]> =
            list.entries.into_iter().map(|(name, (qid, kind))| Listed { name, qid, kind }).collect();
        if let Ok(it) = self.sessions[slot].fids.get_mut(list.fid) {
            it.listing = Some(listing);
        }
        for (tag, offset, count) in list.waiters {
            self.answer_list(slot, tag, list.fid, offset, count);
        }
    }

    fn answer_list(&mut self, slot: usize, tag: u16, fid: u32, offset: u64, count: u32) {
        let session = &self.sessions[slot];
        let listing = session.fids.get(fid).ok().and_then(|it| it.listing.clone());
        let listing = listing.unwrap_or_else(|| Rc::from([]));
        let count = count.min(session.read_max()) as usize;
        let mut data = Vec::with_capacity(count);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (i, entry) in listing.iter().enumerate().skip(from) {
            let entry = Dirent { qid: entry.qid, offset: i as u64 + 1, kind: entry.kind, name: &entry.name };
            if !entry.push(&mut data, count) {
                break;
            }
        }
        self.answer(slot, tag, &Rmsg::Readdir { data: &data });
    }
}
