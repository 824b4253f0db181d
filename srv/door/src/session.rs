//! One client's session: its fids, its requests in flight, its name space, what its ticket leaves it.

use crate::facts::{Public, State};
use alloc::rc::Rc;
use core::cell::RefCell;
use manifest::{Fids as FidRule, Overflow};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Fids, Framer, Who};
use ninep::wire::{MSIZE_MAX, Qid, READ_OVERHEAD};
use ns::Table;
use rt::prelude::*;
use ticket::Meter;

/// Names a session for as long as it lives: its slot, and its number, which never comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionRef {
    pub(crate) slot: usize,
    pub(crate) number: u32,
}

/// The rules of the listener that a session came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether a clunked fid number may come back.
    pub fids: FidRule,
    /// What happens at the bound on requests in flight.
    pub overflow: Overflow,
    /// The hive's own user needs no ticket here.
    pub local_queen: bool,
}

/// Where a fid stands.
#[derive(Debug)]
pub(crate) enum At {
    /// A directory that exists because something is mounted below it.
    Synthetic,
    /// A file of a server, by the table's mount `mount`; Closed once the server's `life` is over.
    Server { mount: u16, channel: u16, life: u32, bfid: u32 },
    /// An afid, with what was written to it.
    Auth(Vec<u8>),
}

/// One entry of a directory that the door lists itself.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: Box<str>,
    pub(crate) qid: Qid,
    pub(crate) kind: u8,
}

/// A client's fid.
#[derive(Debug)]
pub(crate) struct Fid {
    /// The path that led here, `/proc/boot`.
    pub(crate) path: Rc<str>,
    pub(crate) at: At,
    pub(crate) is_ro: bool,
    pub(crate) is_open: bool,
    pub(crate) can_write: bool,
    /// The door lists this directory: mounts lie below it, or scopes hide some of it.
    pub(crate) merges: bool,
    pub(crate) listing: Option<Rc<[Listed]>>,
}

/// The fid of a mount's root at its server, per session, made on first use.
#[derive(Debug)]
pub(crate) enum Root {
    /// Tattach is on its way; requests may follow it at once.
    Asked {
        life: u32,
        bfid: u32,
    },
    Ready {
        life: u32,
        bfid: u32,
        qid: Qid,
    },
    Refused(Refusal),
}

/// The roots of a session's mounts: few, by the table's mount and the channel that has them. A mount has
/// several where its server is several processes, and where other doors show their sessions.
#[derive(Debug, Default)]
pub(crate) struct Roots(Vec<(u16, u16, Root)>);

impl Roots {
    pub(crate) fn get(&self, mount: u16, channel: u16) -> Option<&Root> {
        self.0.iter().find(|(m, c, _)| (*m, *c) == (mount, channel)).map(|(.., root)| root)
    }

    pub(crate) fn get_mut(&mut self, mount: u16, channel: u16) -> Option<&mut Root> {
        self.0.iter_mut().find(|(m, c, _)| (*m, *c) == (mount, channel)).map(|(.., root)| root)
    }

    pub(crate) fn set(&mut self, mount: u16, channel: u16, root: Root) {
        match self.get_mut(mount, channel) {
            Some(old) => *old = root,
            None => self.0.push((mount, channel, root)),
        }
    }

    /// What is to be ended at the servers.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = At> + use<> {
        core::mem::take(&mut self.0).into_iter().filter_map(|(mount, channel, root)| match root {
            Root::Ready { life, bfid, .. } | Root::Asked { life, bfid } => {
                Some(At::Server { mount, channel, life, bfid })
            }
            Root::Refused(_) => None,
        })
    }
}

/// Where a request of the client is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Channel { channel: u16, tag: u16 },
    Job(usize),
}

/// A request that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inflight {
    pub(crate) tag: u16,
    pub(crate) asked: Asked,
    /// Bytes of data that the answer may bring.
    pub(crate) room: u32,
    /// Bytes of its ticket's bandwidth that are set aside for them.
    pub(crate) held: u32,
}

impl Inflight {
    /// One whose answer is small.
    pub(crate) fn new(tag: u16, asked: Asked) -> Inflight {
        Inflight { tag, asked, room: 0, held: 0 }
    }
}

/// A session.
pub(crate) struct Session {
    pub(crate) number: u32,
    pub(crate) rules: Rules,
    /// Who is at the other end, for the throttle and the log: a user id or an address.
    pub(crate) peer: String,
    /// The user id at the other end of a Unix socket.
    pub(crate) peer_uid: Option<u32>,
    pub(crate) state: State,
    pub(crate) has_version: bool,
    pub(crate) framer: Framer,
    pub(crate) fids: Fids<Fid>,
    pub(crate) inflight: Vec<Inflight>,
    /// Fids of walks that may end at a server or in a directory of the door's own: what comes about one of
    /// them waits until that is known, and what comes behind it.
    pub(crate) unsure: Vec<u32>,
    /// Whose it is: `role:subject`.
    pub(crate) uname: Rc<str>,
    pub(crate) ticket: Option<Held>,
    pub(crate) table: Rc<Table>,
    pub(crate) roots: Roots,
    pub(crate) public: Rc<RefCell<Public>>,
    /// Bytes that have come and are not handled yet.
    pub(crate) input: Vec<u8>,
    pub(crate) out: Vec<u8>,
    pub(crate) sent: usize,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    /// When the journal was told last that its ticket's limits are spent.
    pub(crate) quota_ms: Option<u64>,
    pub(crate) is_ending: bool,
    /// Its attach belongs to that door.
    pub(crate) goes_to: Option<u32>,
    /// Already on the list of sessions with output.
    pub(crate) is_dirty: bool,
}

/// What a fid was before a walk in place.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) path: Rc<str>,
    pub(crate) bfid: u32,
    pub(crate) is_ro: bool,
    pub(crate) merges: bool,
}

/// A ticket that a session has shown.
pub(crate) struct Held {
    pub(crate) id: Rc<str>,
    /// The number of the worker that the queen minted it for.
    pub(crate) worker: Option<u64>,
    pub(crate) meter: RefCell<Meter>,
    pub(crate) scopes: Rc<[Rc<str>]>,
    pub(crate) expires_ms: u64,
}

impl Session {
    pub(crate) fn new(
        number: u32,
        rules: Rules,
        peer: String,
        peer_uid: Option<u32>,
        fids_max: usize,
        public: Rc<RefCell<Public>>,
        now_ms: u64,
    ) -> Self {
        let is_strict = rules.fids == FidRule::Strict;
        let table = Rc::clone(&public.borrow().table);
        Session {
            number,
            rules,
            peer,
            peer_uid,
            state: State::Setup,
            has_version: false,
            framer: Framer::new(MSIZE_MAX),
            fids: Fids::new(fids_max, is_strict),
            inflight: Vec::new(),
            unsure: Vec::new(),
            uname: Rc::from(""),
            ticket: None,
            table,
            roots: Roots::default(),
            public,
            input: Vec::new(),
            out: Vec::new(),
            sent: 0,
            first_ms: now_ms,
            last_ms: now_ms,
            quota_ms: None,
            is_ending: false,
            goes_to: None,
            is_dirty: false,
        }
    }

    /// Bytes that wait for the client to read.
    pub(crate) fn queued(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Bytes that will, when all that was asked for comes at once.
    pub(crate) fn awaited(&self) -> usize {
        let reply = |it: &Inflight| (it.room + READ_OVERHEAD) as usize;
        self.inflight.iter().filter(|it| it.room > 0).map(reply).sum()
    }

    /// The most data that one answer can bring this client.
    pub(crate) fn read_max(&self) -> u32 {
        self.framer.msize - READ_OVERHEAD
    }

    /// A request has been answered; gives back what of its ticket's bandwidth was not `moved`.
    pub(crate) fn landed(&mut self, tag: u16, moved: u32) {
        let Some(i) = self.inflight.iter().position(|it| it.tag == tag) else { return };
        let it = self.inflight.swap_remove(i);
        self.release(&it, moved);
    }

    /// The same of one that is not in flight any more.
    pub(crate) fn release(&self, it: &Inflight, moved: u32) {
        let left = it.held.saturating_sub(moved);
        if left > 0
            && let Some(held) = &self.ticket
        {
            held.meter.borrow_mut().give_back(left.into());
        }
    }

    /// Who asks for nothing more than to know what was wrong, or what is his, uses nothing up; nor does who
    /// passes through what he may not see to what he may.
    pub(crate) fn is_free(&self, path: &str) -> bool {
        self.sees(path) == Sight::Way || within(path, "/proc/9p/self")
    }

    /// A walk to `bfid` within a server has not come to be: its fid is what it was before. Gives the path that
    /// was asked for; None where the fid was clunked meanwhile, and its number may be another's.
    pub(crate) fn unwalk(
        &mut self,
        newfid: u32,
        channel: u16,
        bfid: u32,
        old: Option<Before>,
    ) -> Option<Rc<str>> {
        let it = self.fids.get_mut(newfid).ok()?;
        let At::Server { channel: of, bfid: here, .. } = &mut it.at else { return None };
        if (*of, *here) != (channel, bfid) {
            return None;
        }
        let Some(old) = old else { return self.fids.take_back(newfid).ok().map(|it| it.path) };
        *here = old.bfid;
        (it.is_ro, it.merges) = (old.is_ro, old.merges);
        Some(core::mem::replace(&mut it.path, old.path))
    }

    /// Is this a worker's session?
    pub(crate) fn is_worker(&self) -> bool {
        self.uname.starts_with("worker-")
    }

    /// Has it the queen's authority?
    pub(crate) fn is_queen(&self) -> bool {
        self.uname.split(':').next() == Some("queen")
    }

    /// Who asks, as records say it.
    pub(crate) fn who(&self) -> Who {
        Who::from_uname(&self.uname_for_servers(), self.number)
    }

    /// Who asks, as servers are told: `role:subject:ticket`.
    pub(crate) fn uname_for_servers(&self) -> String {
        match &self.ticket {
            None => self.uname.to_string(),
            Some(held) if self.uname.contains(':') => format!("{}:{}", self.uname, held.id),
            Some(held) => format!("{}::{}", self.uname, held.id),
        }
    }

    /// May this session see `path`, or must it pass through it to what it may see?
    pub(crate) fn sees(&self, path: &str) -> Sight {
        let Some(held) = &self.ticket else { return Sight::Full };
        if held.scopes.is_empty() || within(path, "/proc/9p/self") {
            return Sight::Full;
        }
        if held.scopes.iter().any(|scope| within(path, scope)) {
            Sight::Full
        } else if held.scopes.iter().any(|scope| within(scope, path)) || within("/proc/9p/self", path) {
            Sight::Way
        } else {
            Sight::None
        }
    }
}

/// How much of a path a ticket's scopes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    Full,
    /// A directory on the way to a scope: to be walked through and listed, as far as it leads there.
    Way,
    None,
}

/// Is `path` at or below `top`? On whole components.
pub(crate) fn within(path: &str, top: &str) -> bool {
    top == "/" || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `dir` and then `name`.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir == "/" { format!("/{name}") } else { format!("{dir}/{name}") }
}

impl Fid {
    pub(crate) fn synthetic(path: Rc<str>) -> Self {
        Fid {
            path,
            at: At::Synthetic,
            is_ro: true,
            is_open: false,
            can_write: false,
            merges: true,
            listing: None,
        }
    }
}

/// The refusal for a request that came too late.
pub(crate) fn revoked() -> Refusal {
    Refusal::new(Word::Revoked, "the session is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_within_another_on_whole_components() {
        assert!(within("/proc/boot", "/proc"));
        assert!(within("/proc", "/proc"));
        assert!(within("/x", "/"));
        assert!(!within("/process", "/proc"));
    }
}
