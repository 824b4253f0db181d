//! Directories that the door lists itself: those above mounts, and those that scopes hide some of.

use crate::channel::Wait;
use crate::door::Door;
use crate::job::{DEADLINE_MS, Job, Kind};
use crate::request::{Outcome, bare, mounted};
use crate::session::{Asked, At, Fid, Listed, Root, SessionRef, Sight, join};
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

/// A listing under way.
pub(crate) struct List {
    fid: u32,
    /// Treaddirs that wait: tag, offset, count.
    waiters: Vec<(u16, u64, u32)>,
    entries: BTreeMap<Box<str>, (Qid, u8)>,
    /// Names that mounts put here: each with its mount and, once known, its qid.
    mounted: Vec<Child>,
    failed: Option<Refusal>,
}

struct Child {
    name: Box<str>,
    mount: Option<u16>,
    is_root: bool,
    qid: Option<Qid>,
}

impl List {
    /// A walk to one of the mounted names was answered.
    pub(crate) fn named(&mut self, part: usize, answer: Result<Vec<Qid>, Refusal>) {
        if let (Some(child), Ok(qids)) = (self.mounted.get_mut(part), answer) {
            child.qid = qids.last().copied();
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
        let jobs = self.sessions[slot].inflight.iter().filter_map(|(_, asked)| match asked {
            Asked::Job(job) => Some(*job),
            Asked::Channel { .. } => None,
        });
        for job in jobs.collect::<Vec<usize>>() {
            if let Kind::List(list) = &mut self.jobs[job].kind
                && list.fid == fid
            {
                list.waiters.push((tag, offset, count));
                self.sessions[slot].inflight.push((tag, Asked::Job(job)));
                return Ok(());
            }
        }
        self.gather(slot, tag, fid, offset, count)
    }

    /// Asks everyone who has something to say about a directory.
    fn gather(&mut self, slot: usize, tag: u16, fid: u32, offset: u64, count: u32) -> Outcome {
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
            let mut child = Child { name: name.into(), mount: None, is_root: false, qid: None };
            if let Resolved::Mount(place) = table.resolve(&below) {
                let mount = place.entry as u16;
                child.mount = Some(mount);
                let rest: Vec<&str> = place.rest(&below).collect();
                child.is_root = rest.is_empty();
                let below = join(&path, name);
                let asked = self.keeper(slot, mount, &below).and_then(|keeper| {
                    let (root, is_new) = self.root(slot, mount, keeper, Some(job))?;
                    Ok((keeper, root, is_new))
                });
                if let Ok((channel, root, is_new)) = asked {
                    left += usize::from(is_new);
                    if !child.is_root {
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
        if let At::Server { channel, life, bfid, .. } = self.fid(slot, fid)?.at {
            self.ask_entries(job, channel, life, bfid, 0).map_err(|why| (why, Some(Rc::clone(&path))))?;
            left += 1;
        }
        let list = List {
            fid,
            waiters: vec![(tag, offset, count)],
            entries: BTreeMap::new(),
            mounted,
            failed: None,
        };
        let session = SessionRef { slot, number };
        let deadline_ms = self.now.mono_ms + DEADLINE_MS;
        self.wake_at(deadline_ms);
        self.jobs.insert(Job { session, tag, deadline_ms, left, kind: Kind::List(list) });
        self.sessions[slot].inflight.push((tag, Asked::Job(job)));
        if left == 0 {
            self.finish_job(job);
        }
        Ok(())
    }

    fn ask_entries(
        &mut self,
        job: usize,
        channel: u16,
        life: u32,
        bfid: u32,
        offset: u64,
    ) -> Result<(), Refusal> {
        let msize = self.limits.msize;
        let link = &mut self.channels[channel as usize];
        if !link.serves(life) {
            return Err(Refusal::new(Word::Closed, format!("{} was restarted", link.name)));
        }
        if !link.has_room() {
            return Err(Refusal::new(Word::Busy, format!("{} does not keep up", link.name)));
        }
        let wait = Wait::Part { job, part: usize::MAX };
        link.send(&Tmsg::Readdir { fid: bfid, offset, count: msize - READ_OVERHEAD }, wait);
        Ok(())
    }

    /// The server below has listed some of its names; says whether more have been asked for.
    pub(crate) fn gathered(
        &mut self,
        session: SessionRef,
        job: usize,
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
        let Ok(Fid { at: At::Server { mount, channel, life, bfid }, path, .. }) =
            self.sessions[session.slot].fids.get(list.fid)
        else {
            return false;
        };
        let (mount, channel, life, bfid) = (*mount, *channel, *life, *bfid);
        let mut next = None;
        for entry in Dirent::iter(&data).map_while(Result::ok) {
            next = Some(entry.offset);
            if self.sessions[session.slot].sees(&join(path, entry.name)) != Sight::None {
                list.entries.insert(entry.name.into(), (mounted(entry.qid, mount), entry.kind));
            }
        }
        match next {
            None => false,
            Some(offset) => match self.ask_entries(job, channel, life, bfid, offset) {
                Ok(()) => true,
                Err(why) => {
                    list.failed = Some(why);
                    false
                }
            },
        }
    }

    pub(crate) fn finish_list(&mut self, session: SessionRef, mut list: List) {
        let slot = session.slot;
        let path = self.sessions[slot].fids.get(list.fid).map(|it| Rc::clone(&it.path));
        let path = path.unwrap_or_else(|_| Rc::from("/"));
        if let Some(why) = list.failed {
            for (tag, ..) in list.waiters {
                self.refuse(slot, tag, why.clone(), Some(&path));
            }
            return;
        }
        for child in list.mounted {
            let root = child.mount.and_then(|mount| {
                let keeper = self.keeper(slot, mount, &join(&path, &child.name)).ok()?;
                self.sessions[slot].root(mount, keeper, self.is_far(slot, mount, keeper))
            });
            let known = match (child.qid, root) {
                (Some(qid), _) => Some(qid),
                (None, Some(Root::Ready { qid, .. })) if child.is_root => Some(*qid),
                _ => None,
            };
            let entry = match (child.mount, known) {
                (Some(mount), Some(qid)) => {
                    (mounted(qid, mount), if qid.kind & QTDIR != 0 { DT_DIR } else { DT_REG })
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
        let count = count.min(session.framer.msize - READ_OVERHEAD) as usize;
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
