//! Walks. Within one server a Twalk goes on as it is; one that crosses mounts is taken apart, every
//! part is asked at once, and the client sees one Rwalk (spec 2.3).

use crate::channel::Wait;
use crate::door::Door;
use crate::job::{Job, Kind};
use crate::parts::Owner;
use crate::request::{Outcome, bare, mounted};
use crate::session::{Asked, At, Before, Fid, Inflight, Root, SessionRef, Sight, join};
use alloc::rc::Rc;
use ninep::refusal::{Refusal, Word};
use ninep::wire::{Names, Qid, Qids, Rmsg, Tmsg};
use ns::{Path, Place, Resolved, Table};
use rt::prelude::*;
use ticket::Verb;

/// A walk under way.
pub(crate) struct Walk {
    pub(crate) newfid: u32,
    /// The fid's place before a walk in place, to fall back to.
    old: Option<(Rc<str>, At, bool, bool)>,
    parts: Vec<Part>,
    names: usize,
    /// The server's fid that it ends at.
    end: Option<(u16, u32)>,
    /// Whether only the server can say where it ends.
    is_unsure: bool,
}

/// Consecutive steps of a walk that one mount answers, or one synthetic directory.
struct Part {
    steps: Vec<Step>,
    mount: Option<u16>,
    /// Whom it was asked of.
    keeper: u16,
    /// What the server said to the walk from the mount's root: its qids, or why not.
    answer: Answer,
}

struct Step {
    path: Rc<str>,
    /// Names from the mount's root to here.
    depth: usize,
    /// Something is mounted below: if the server has no such directory, the door has.
    is_above_mount: bool,
}

enum Answer {
    /// No walk was needed: the root's own qid says it.
    Root,
    Waiting,
    Here(Vec<Qid>),
    Refused(Refusal),
    Synthetic,
}

/// The server's fid, if it is one.
fn end_of(at: &At) -> Option<(u16, u32)> {
    match at {
        At::Server { channel, bfid, .. } => Some((*channel, *bfid)),
        At::Synthetic | At::Auth(_) => None,
    }
}

impl Walk {
    /// The channels of those who have not answered their part.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = u16> {
        self.parts.iter().filter(|part| matches!(part.answer, Answer::Waiting)).map(|part| part.keeper)
    }
}

fn end_of_parts(parts: &[Part]) -> Option<&Step> {
    parts.last()?.steps.last()
}

impl Door {
    pub(crate) fn walk(
        &mut self,
        slot: usize,
        tag: u16,
        fid: u32,
        newfid: u32,
        names: &Names,
        frame: &[u8],
    ) -> Outcome {
        let session = &self.sessions[slot];
        let from = session.fids.get(fid).map_err(|word| bare(word.into()))?;
        if matches!(from.at, At::Auth(_)) {
            return Err(bare(Refusal::new(Word::Invalid, "nothing lies below an afid")));
        }
        let start = Rc::clone(&from.path);
        // diod's clients walk on from a directory that they are listing.
        if from.is_open && (newfid == fid || session.rules.fids == manifest::Fids::Strict) {
            return Err(self.said(slot, fid, Word::Invalid, "walk from an open fid"));
        }
        if newfid != fid {
            session.fids.check_new(newfid).map_err(|word| bare(word.into()))?;
        }
        let mut text = String::from(&*start);
        for name in names.iter() {
            if let Err(why) = ns::check_name(name) {
                return Err((Refusal::new(Word::Invalid, format!("{name:?}: {why}")), Some(start)));
            }
            text = join(&text, name);
        }
        let path: Rc<str> = Rc::from(text);
        let refused = |word, detail: String| (Refusal::new(word, detail), Some(Rc::clone(&path)));
        let parsed = Path::parse(&path).map_err(|why| refused(Word::Invalid, why.to_string()))?;
        let sight = session.sees(&path);
        if sight == Sight::None {
            return Err(refused(Word::Permission, "outside the ticket's scopes".into()));
        }
        let place = match session.table.resolve(&parsed) {
            Resolved::Mount(place) => Some((place.entry as u16, place.ro, place.below)),
            Resolved::Synthetic => None,
            Resolved::NotFound if names.len() <= 1 => {
                return Err(refused(Word::NotFound, self.no_such(slot)));
            }
            Resolved::NotFound => None,
        };
        if !session.is_free(&path) {
            self.charge(slot, fid, Verb::Read, 0)?;
        }
        let from = self.fid(slot, fid)?;
        // The common case: the whole walk stays within the server that `fid` is a file of.
        if let (At::Server { mount, channel, life, bfid }, Some((entry, is_ro, below))) = (&from.at, place)
            && *mount == entry
            && !below
            && (self.seat.count == 1
                || self.keeper(slot, entry, &path).is_ok_and(|keeper| keeper == *channel))
        {
            let at = At::Server { mount: *mount, channel: *channel, life: *life, bfid: *bfid };
            let merges = sight == Sight::Way;
            return self.walk_within(slot, tag, fid, newfid, path, at, is_ro, merges, frame);
        }
        self.walk_across(slot, tag, fid, newfid, &start, names, path)
    }

    #[allow(clippy::too_many_arguments, reason = "one call site; each is a part of the request")]
    fn walk_within(
        &mut self,
        slot: usize,
        tag: u16,
        fid: u32,
        newfid: u32,
        path: Rc<str>,
        at: At,
        is_ro: bool,
        merges: bool,
        frame: &[u8],
    ) -> Outcome {
        let At::Server { mount, channel, life, bfid } = at else { return Ok(()) };
        let number = self.sessions[slot].number;
        let link = &mut self.channels[channel as usize];
        if !link.serves(life) {
            return Err((Refusal::new(Word::Closed, format!("{} was restarted", link.name)), Some(path)));
        }
        if !link.has_room() {
            return Err((Refusal::new(Word::Busy, format!("{} does not keep up", link.name)), Some(path)));
        }
        // size[4] type[1] tag[2] fid[4] newfid[4] nwname[2]
        let count = u16::from_le_bytes([frame[15], frame[16]]);
        let target = link.new_fid();
        let at = At::Server { mount, channel, life, bfid: target };
        let old = if newfid == fid {
            // A fid of its own at the server until it is known: what follows a walk that fails must not be
            // about the place that it was to leave.
            let it = self.sessions[slot].fids.get_mut(fid).map_err(|word| bare(word.into()))?;
            it.at = at;
            let path = core::mem::replace(&mut it.path, Rc::clone(&path));
            let old = Before { path, bfid, is_ro: it.is_ro, merges: it.merges };
            (it.is_ro, it.merges) = (is_ro, merges);
            Some(old)
        } else {
            let it = Fid { path, at, is_ro, is_open: false, can_write: false, merges, listing: None };
            // Checked before: the number is free and there is room.
            if self.sessions[slot].fids.insert(newfid, it).is_err() {
                link.free_fid(target);
                return Err(bare(Word::Quota.into()));
            }
            None
        };
        let session = SessionRef { slot, number };
        let wait = Wait::Walk { session, tag, newfid, names: count, bfid: target, old };
        let btag = link.forward(frame, bfid, wait);
        link.tail(frame.len())[11..15].copy_from_slice(&target.to_le_bytes());
        self.sessions[slot].inflight.push(Inflight::new(tag, Asked::Channel { channel, tag: btag }));
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one call site; each is a part of the request")]
    fn walk_across(
        &mut self,
        slot: usize,
        tag: u16,
        fid: u32,
        newfid: u32,
        start: &Rc<str>,
        names: &Names,
        path: Rc<str>,
    ) -> Outcome {
        let (mut parts, is_whole) = self.take_apart(slot, start, names);
        if parts.is_empty() {
            return Err((Refusal::new(Word::NotFound, self.no_such(slot)), Some(path)));
        }
        let number = self.sessions[slot].number;
        let job = self.jobs.vacant_key();
        let (mut left, mut are_silent) = (0, true);
        let mut end = At::Synthetic;
        let mut is_ro = true;
        let last = parts.len() - 1;
        for (i, part) in parts.iter_mut().enumerate() {
            let Some(mount) = part.mount else { continue };
            let is_end = i == last && is_whole;
            let Some(step) = part.steps.last() else { continue };
            let rest = self.rest_of(slot, &step.path);
            let asked = self.asked(slot, mount, &step.path).and_then(|keeper| {
                part.keeper = keeper;
                let (root, is_new) = self.root(slot, mount, keeper, Some(job))?;
                Ok((keeper, root, is_new))
            });
            match asked {
                Err(refusal) => part.answer = Answer::Refused(refusal),
                Ok((channel, root, is_new)) => {
                    left += usize::from(is_new);
                    are_silent &= self.channels[channel as usize].is_silent;
                    if rest.is_empty() && !is_end {
                        continue;
                    }
                    let link = &mut self.channels[channel as usize];
                    let target = link.new_fid();
                    let names: Vec<&str> = rest.iter().map(String::as_str).collect();
                    let wait = Wait::Part { job, part: i };
                    link.send(
                        &Tmsg::Walk { fid: root, newfid: target, names: Names::from(&names[..]) },
                        wait,
                    );
                    left += 1;
                    part.answer = Answer::Waiting;
                    if is_end {
                        end = At::Server { mount, channel, life: link.life, bfid: target };
                    } else {
                        link.clunk(target);
                    }
                }
            }
        }
        if is_whole && parts[last].mount.is_some() {
            is_ro = self.is_ro(slot, &path);
        }
        let merges = self.merges(slot, &path) || matches!(end, At::Synthetic);
        let to = end_of(&end);
        let session = &mut self.sessions[slot];
        let old = if newfid == fid {
            let it = session.fids.get_mut(fid).map_err(|word| bare(word.into()))?;
            let path = core::mem::replace(&mut it.path, Rc::clone(&path));
            let at = core::mem::replace(&mut it.at, end);
            let was = (path, at, it.is_ro, it.merges);
            it.is_ro = is_ro;
            it.merges = merges;
            Some(was)
        } else {
            let it = Fid { path, at: end, is_ro, is_open: false, can_write: false, merges, listing: None };
            session.fids.insert(newfid, it).map_err(|word| bare(word.into()))?;
            None
        };
        let is_unsure = matches!(end_of_parts(&parts), Some(step) if step.is_above_mount && step.depth > 0)
            && to.is_some();
        session.unsure.extend(is_unsure.then_some(newfid));
        let walk = Walk { newfid, old, parts, names: names.len(), end: to, is_unsure };
        let wait_ms = if are_silent { crate::job::SILENT_MS } else { crate::job::DEADLINE_MS };
        let deadline_ms = self.now.mono_ms + wait_ms;
        self.wake_at(deadline_ms);
        let session = SessionRef { slot, number };
        self.jobs.insert(Job { session, tag, deadline_ms, left, kind: Kind::Walk(walk) });
        self.sessions[slot].inflight.push(Inflight::new(tag, Asked::Job(job)));
        if left == 0 {
            self.finish_job(job);
        }
        Ok(())
    }

    /// The steps of a walk, grouped by who answers them, and whether they lead to its end.
    fn take_apart(&self, slot: usize, start: &Rc<str>, names: &Names) -> (Vec<Part>, bool) {
        let session = &self.sessions[slot];
        let mut parts: Vec<Part> = Vec::new();
        let mut text = String::from(&**start);
        let steps = if names.is_empty() { vec![None] } else { names.iter().map(Some).collect() };
        for name in steps {
            if let Some(name) = name {
                text = join(&text, name);
            }
            let Ok(path) = Path::parse(&text) else { return (parts, false) };
            let (mount, depth, is_above_mount) = match session.table.resolve(&path) {
                Resolved::NotFound => return (parts, false),
                Resolved::Synthetic => (None, 0, false),
                Resolved::Mount(place) if self.is_everybodys(&session.table, &place, &path) => {
                    (None, 0, false)
                }
                Resolved::Mount(place) => (Some(place.entry as u16), place.rest(&path).count(), place.below),
            };
            let step = Step { path: Rc::from(text.as_str()), depth, is_above_mount };
            match parts.last_mut() {
                Some(part) if part.mount == mount && mount.is_some() => part.steps.push(step),
                _ => {
                    let answer = if mount.is_some() { Answer::Root } else { Answer::Synthetic };
                    parts.push(Part { steps: vec![step], mount, keeper: 0, answer });
                }
            }
        }
        (parts, true)
    }

    /// A server has answered one part of a walk.
    pub(crate) fn walked(&mut self, walk: &mut Walk, part: usize, answer: Result<Vec<Qid>, Refusal>) {
        if let Some(part) = walk.parts.get_mut(part) {
            part.answer = answer.map_or_else(Answer::Refused, Answer::Here);
        }
    }

    /// Every part has been answered: one Rwalk, or one refusal.
    pub(crate) fn finish_walk(&mut self, session: SessionRef, tag: u16, walk: Walk) {
        let slot = session.slot;
        self.is_sure(slot, &walk);
        let mut qids: Vec<Qid> = Vec::with_capacity(walk.names);
        let mut refusal = None;
        'parts: for part in &walk.parts {
            let root = part.mount.and_then(|mount| self.sessions[slot].roots.get(mount, part.keeper));
            for step in &part.steps {
                match self.step_qid(part, step, root) {
                    Ok(qid) => qids.push(qid),
                    Err(why) => {
                        refusal = Some((why, Rc::clone(&step.path)));
                        break 'parts;
                    }
                }
            }
        }
        let is_clone = walk.names == 0;
        if refusal.is_none() && (is_clone || qids.len() == walk.names) {
            if let Some((_, at, ..)) = walk.old {
                self.end_at(&at);
            }
            // The server has no such directory: it is the door's own, since something is mounted below.
            let is_own = walk.parts.last().is_some_and(|part| match &part.answer {
                Answer::Refused(_) => true,
                Answer::Here(qids) => part.steps.last().is_some_and(|step| qids.len() < step.depth),
                _ => false,
            });
            if is_own && let Ok(it) = self.sessions[slot].fids.get_mut(walk.newfid) {
                let target = core::mem::replace(&mut it.at, At::Synthetic);
                it.is_ro = true;
                it.merges = true;
                if let At::Server { channel, life, bfid, .. } = target
                    && self.channels[channel as usize].serves(life)
                {
                    self.channels[channel as usize].free_fid(bfid);
                }
            }
            let qids = if is_clone { &[][..] } else { &qids[..] };
            return self.answer(slot, tag, &Rmsg::Walk { qids: Qids::from(qids) });
        }
        let asked = self.sessions[slot].fids.get(walk.newfid).map(|fid| Rc::clone(&fid.path));
        let is_late = walk.parts.last().is_some_and(|part| matches!(part.answer, Answer::Waiting));
        let behind = walk.end.filter(|_| is_late && walk.old.is_none()).map(|end| (end, walk.newfid));
        self.unwalk(slot, walk);
        if let Some(((channel, bfid), newfid)) = behind {
            self.end_behind(slot, channel, bfid, newfid, asked.as_deref().ok());
        }
        let (why, path) = match (refusal, asked) {
            (Some((why, path)), _) if why.word != Word::NotFound => (why, path),
            // What is not there is told by the name that was asked for.
            (refusal, asked) => {
                let why = refusal.map_or(Word::NotFound.into(), |(why, _)| why);
                (self.no_such_file(slot, why), asked.unwrap_or_else(|_| Rc::from("/")))
            }
        };
        // A partial walk says that a name is missing; where one could not be asked for, it says so.
        if qids.is_empty() || why.word != Word::NotFound {
            return self.refuse(slot, tag, why, Some(&path));
        }
        self.note(slot, &why, Some(&path));
        self.answer(slot, tag, &Rmsg::Walk { qids: Qids::from(&qids[..]) });
    }

    fn step_qid(&self, part: &Part, step: &Step, root: Option<&Root>) -> Result<Qid, Refusal> {
        let Some(mount) = part.mount else { return Ok(self.synthetic_qid(&step.path)) };
        let found = match (&part.answer, root) {
            (Answer::Here(qids), _) if step.depth > 0 => {
                qids.get(step.depth - 1).copied().ok_or_else(|| Word::NotFound.into())
            }
            (_, Some(Root::Refused(why))) => Err(why.clone()),
            // What is missing is the next name, not the mount.
            (Answer::Refused(why), Some(Root::Ready { qid, .. }))
                if step.depth == 0 && part.steps.len() > 1 && why.word == Word::NotFound =>
            {
                Ok(*qid)
            }
            (Answer::Refused(why), _) => Err(why.clone()),
            (_, Some(Root::Ready { qid, .. })) if step.depth == 0 => Ok(*qid),
            (Answer::Waiting, _) | (_, Some(Root::Asked { .. })) => Err(self.silent(part.keeper)),
            _ => Err(Word::Busy.into()),
        };
        match found {
            Ok(qid) => Ok(mounted(qid, mount)),
            // What lies deeper is another server's: this one's absence does not hide it.
            Err(why) if step.is_above_mount && matches!(why.word, Word::NotFound | Word::Busy) => {
                Ok(self.synthetic_qid(&step.path))
            }
            Err(why) => Err(why),
        }
    }

    /// What is said of a server that has not answered in time.
    fn silent(&self, channel: u16) -> Refusal {
        let name = self.channels.get(channel as usize).map_or("?", |link| &link.name);
        Refusal::new(Word::Busy, format!("the server {name} does not answer; see: coh status"))
    }

    /// A walk has been given up that its server has not answered: neither will it what was sent behind the
    /// walk, about the fid that was to come of it.
    fn end_behind(&mut self, slot: usize, channel: u16, bfid: u32, newfid: u32, path: Option<&str>) {
        let (link, session) = (&self.channels[channel as usize], &self.sessions[slot]);
        // The number may be another fid's by now.
        let is_free = session.fids.get(newfid).is_err();
        let is_about = |it: &Inflight| match it.asked {
            Asked::Channel { channel: at, tag } if at == channel => match link.waits.get(tag as usize) {
                Some(Wait::Client { fid, .. }) => is_free && *fid == newfid,
                Some(Wait::Clunk { bfid: ended, .. }) => *ended == bfid,
                _ => false,
            },
            _ => false,
        };
        let behind: Vec<Inflight> = session.inflight.iter().copied().filter(is_about).collect();
        for it in behind {
            self.sessions[slot].inflight.retain(|other| other.tag != it.tag);
            self.forget(slot, &it);
            let why = self.silent(channel);
            self.refuse(slot, it.tag, why, path);
        }
    }

    /// A walk whose end was not sure has ended: what waits behind it goes on.
    fn is_sure(&mut self, slot: usize, walk: &Walk) {
        if walk.is_unsure {
            let unsure = &mut self.sessions[slot].unsure;
            if let Some(i) = unsure.iter().position(|fid| *fid == walk.newfid) {
                unsure.swap_remove(i);
            }
            self.dirty(slot);
        }
    }

    /// Takes a walk back that nobody waits for any more.
    pub(crate) fn abandon_walk(&mut self, slot: usize, walk: Walk) {
        self.is_sure(slot, &walk);
        self.unwalk(slot, walk);
    }

    /// Undoes what a walk has put in the fid table, where it has not been clunked and its number is not
    /// another's by now.
    fn unwalk(&mut self, slot: usize, walk: Walk) {
        let fids = &mut self.sessions[slot].fids;
        let is_its = fids.get(walk.newfid).is_ok_and(|it| end_of(&it.at) == walk.end);
        match walk.old {
            None if is_its => {
                if let Ok(it) = fids.take_back(walk.newfid) {
                    self.end_at(&it.at);
                }
            }
            None => {}
            Some((path, at, is_ro, merges)) => {
                let Some(it) = fids.get_mut(walk.newfid).ok().filter(|_| is_its) else {
                    return self.end_at(&at);
                };
                it.path = path;
                it.is_ro = is_ro;
                it.merges = merges;
                let target = core::mem::replace(&mut it.at, at);
                self.end_at(&target);
            }
        }
    }

    /// Is this a directory that every process of a server has a part of?
    pub(crate) fn is_everybodys(&self, table: &Table, place: &Place, path: &Path) -> bool {
        match table.entry(place.entry) {
            Some(ns::Entry::Mount { server, spec, .. }) => {
                self.parts.owner(server, spec, place.rest(path)) == Owner::All
            }
            _ => false,
        }
    }

    /// The channel that answers for a path of a mount: its server's; where that is several processes, the
    /// one's that has the file; and for the session of another door, that door's.
    pub(crate) fn keeper(&self, slot: usize, mount: u16, path: &str) -> Result<u16, Refusal> {
        let table = &self.sessions[slot].table;
        let Some(ns::Entry::Mount { server, spec, .. }) = table.entry(mount as usize) else {
            return Err(Word::NotFound.into());
        };
        let Some(channel) = self.channel_of(server) else {
            return Err(Refusal::new(Word::NotFound, format!("no server {server} in this hive")));
        };
        if self.parts.splits(server) {
            let rest = self.rest_of(slot, path);
            return Ok(match self.parts.owner(server, spec, rest.iter().map(String::as_str)) {
                Owner::Part(part) => channel + part,
                Owner::All => channel,
            });
        }
        if self.seat.count == 1 || server != "door" {
            return Ok(channel);
        }
        let rest = self.rest_of(slot, path);
        let mut names =
            spec.split('/').filter(|name| !name.is_empty()).chain(rest.iter().map(String::as_str));
        if (names.next(), names.next()) != (Some("9p"), Some("session")) {
            return Ok(channel);
        }
        let session: Option<u32> = names.next().and_then(|id| id.parse().ok());
        let home = session.map_or(self.seat.index, |session| self.seat.door_of(session));
        let far = self.seat.others().position(|(door, _)| door == home);
        Ok(far.map_or(channel, |i| (self.near + i) as u16))
    }

    /// The same for who asks now: the door itself where it stands in for who is away.
    fn asked(&mut self, slot: usize, mount: u16, path: &str) -> Result<u16, Refusal> {
        let table = Rc::clone(&self.sessions[slot].table);
        if let Some(ns::Entry::Mount { server, spec, .. }) = table.entry(mount as usize)
            && self.stands_in(server, spec)
        {
            return Ok(self.own_channel);
        }
        self.keeper(slot, mount, path)
    }

    /// The fid of a mount's root at `channel`: its number, and whether it has only now been asked for.
    pub(crate) fn root(
        &mut self,
        slot: usize,
        mount: u16,
        channel: u16,
        job: Option<usize>,
    ) -> Result<(u32, bool), Refusal> {
        let table = Rc::clone(&self.sessions[slot].table);
        let Some(ns::Entry::Mount { spec, .. }) = table.entry(mount as usize) else {
            return Err(Word::NotFound.into());
        };
        self.connect(channel);
        let session = &mut self.sessions[slot];
        let (number, uname) = (session.number, session.uname_for_servers());
        let link = &mut self.channels[channel as usize];
        if !link.is_up {
            return Err(Refusal::new(Word::Busy, format!("{} is not running", link.name)));
        }
        if !link.has_room() {
            return Err(Refusal::new(Word::Busy, format!("{} does not keep up", link.name)));
        }
        match session.roots.get(mount, channel) {
            Some(Root::Ready { life, bfid, .. } | Root::Asked { life, bfid }) if *life == link.life => {
                return Ok((*bfid, false));
            }
            _ => {}
        }
        let bfid = link.new_fid();
        session.roots.set(mount, channel, Root::Asked { life: link.life, bfid });
        let who = SessionRef { slot, number };
        let attach =
            Tmsg::Attach { fid: bfid, afid: ninep::wire::NOFID, uname: &uname, aname: spec, n_uname: number };
        link.send(&attach, Wait::Attach { session: who, mount, job });
        Ok((bfid, job.is_some()))
    }

    /// The names from the root of the path's mount to the path.
    pub(crate) fn rest_of(&self, slot: usize, path: &str) -> Vec<String> {
        let Ok(path) = Path::parse(path) else { return Vec::new() };
        match self.sessions[slot].table.resolve(&path) {
            Resolved::Mount(place) => place.rest(&path).map(String::from).collect(),
            _ => Vec::new(),
        }
    }

    fn is_ro(&self, slot: usize, path: &str) -> bool {
        Path::parse(path).is_ok_and(|path| match self.sessions[slot].table.resolve(&path) {
            Resolved::Mount(place) => place.ro,
            _ => true,
        })
    }

    /// Must the door list this directory itself?
    fn merges(&self, slot: usize, path: &str) -> bool {
        let session = &self.sessions[slot];
        session.sees(path) == Sight::Way || Path::parse(path).is_ok_and(|path| session.table.has_below(&path))
    }

    pub(crate) fn no_such(&self, slot: usize) -> String {
        let owner = &self.sessions[slot].uname;
        format!("no such file in {}'s name space", owner.split(':').next().unwrap_or(owner))
    }
}
