//! Operations of the hive, by path and by open file. Each ends by its deadline.

use crate::link::Link;
use crate::silence::Silence;
use crate::turns::{Turn, Turns};
use ninep::dial::{DialError, Listing, SharedConn};
use ninep::refusal::Word;
use ninep::wire::{self, Attr, Qid, READ_OVERHEAD, Rmsg, SetAttr, Tmsg, WRITE_OVERHEAD};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one operation may take, all its messages together.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a directory on the way to other servers waits for its own.
const WAY: Duration = Duration::from_millis(500);
/// How long a directory's listing may take to find out what kind of file an entry is.
const KIND: Duration = Duration::from_millis(300);

/// errno.h, beyond the words of the protocol. ENOTCONN is never an answer: it is what the kernel says of
/// a mount whose process is gone.
pub(crate) const EIO: i32 = 5;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ETIMEDOUT: i32 = 110;
pub(crate) const EHOSTDOWN: i32 = 112;
const ESTALE: i32 = 116;

/// An operation's result; a failure is an errno.
pub(crate) type Done<T> = Result<T, i32>;

/// A file that a program has open.
struct Open {
    conn: Arc<SharedConn>,
    fid: u32,
    path: String,
    qid: Qid,
    /// Of the directory above, where the walk has been there.
    above: Option<Qid>,
    /// The entries of a directory, once read.
    entries: Option<Arc<Vec<Entry>>>,
    /// A failure behind data that was given: the next read's answer.
    failed: Option<i32>,
}

/// One entry of a directory.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
    pub(crate) qid: Qid,
}

/// What is open, and the session.
pub(crate) struct Hive {
    link: Link,
    silence: Silence,
    turns: Turns,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn decoded(frame: &[u8]) -> Done<Rmsg<'_>> {
    wire::decode_r(frame).map(|(_, msg)| msg).map_err(|_| EIO)
}

/// One request.
pub(crate) fn ask(conn: &SharedConn, msg: &Tmsg, until: Instant) -> Result<Vec<u8>, DialError> {
    conn.call(msg, until)
}

/// A fid at `path`, and the qids on the way.
pub(crate) fn walk(conn: &SharedConn, path: &str, until: Instant) -> Result<(u32, Vec<Qid>), DialError> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let (fid, frame) = conn.walk(conn.root(), &names, until)?;
    match wire::decode_r(&frame) {
        Ok((_, Rmsg::Walk { qids })) if qids.len() == names.len() => Ok((fid, qids.iter().collect())),
        _ => Err(DialError::Refused(Word::NotFound.into())),
    }
}

/// A small file, whole.
pub(crate) fn read(conn: &SharedConn, path: &str, until: Instant) -> Result<Vec<u8>, DialError> {
    let (fid, _) = walk(conn, path, until)?;
    let count = conn.msize() - READ_OVERHEAD;
    let text = ask(conn, &Tmsg::Lopen { fid, flags: 0 }, until)
        .and_then(|_| ask(conn, &Tmsg::Read { fid, offset: 0, count }, until));
    conn.let_go(fid);
    match wire::decode_r(&text?) {
        Ok((_, Rmsg::Read { data })) => Ok(data.to_vec()),
        _ => Ok(Vec::new()),
    }
}

/// What the hive says of itself; nothing where the role does not see it.
pub(crate) fn version(link: &Link) -> String {
    let until = Instant::now() + DEADLINE;
    let text = link.conn(until).ok().and_then(|conn| read(&conn, "/proc/version", until).ok());
    String::from_utf8(text.unwrap_or_default()).unwrap_or_default()
}

impl Hive {
    pub(crate) fn new(link: Link, silence: Silence) -> Hive {
        Hive { link, silence, turns: Turns::default(), open: Mutex::default(), next: AtomicU64::new(1) }
    }

    /// What a failure is to the program that asked; `lost` where the session has ended.
    fn errno(&self, error: &DialError, path: &str, lost: i32) -> i32 {
        match error {
            DialError::Refused(refusal) => refusal.word.errno() as i32,
            DialError::Timeout => {
                self.silence.noticed(&self.link, path, DEADLINE, true);
                ETIMEDOUT
            }
            _ => lost,
        }
    }

    /// Work on a session; it begins anew where the door was lost on the way.
    fn in_session<T>(
        &self,
        path: &str,
        until: Instant,
        work: impl Fn(&Arc<SharedConn>) -> Result<T, DialError>,
    ) -> Done<T> {
        let _turn = self.turn(path, until)?;
        self.try_session(until, work)?.map_err(|error| self.errno(&error, path, EHOSTDOWN))
    }

    /// A turn at the server of `path`, and none where it is known not to answer.
    fn turn(&self, path: &str, until: Instant) -> Done<Turn<'_>> {
        let is_silent = || self.silence.is_silent(path);
        if is_silent() {
            return Err(ETIMEDOUT);
        }
        self.turns.take(self.silence.server(path), until, is_silent).ok_or(ETIMEDOUT)
    }

    fn try_session<T>(
        &self,
        until: Instant,
        work: impl Fn(&Arc<SharedConn>) -> Result<T, DialError>,
    ) -> Done<Result<T, DialError>> {
        let mut is_second = false;
        loop {
            let conn = self.link.conn(until)?;
            let done = work(&conn);
            if done.is_ok() || is_second || !conn.is_lost() {
                return Ok(done);
            }
            is_second = true;
        }
    }

    /// One request about a path.
    fn by_path(&self, path: &str, until: Instant, make: impl Fn(u32) -> Tmsg<'static>) -> Done<Vec<u8>> {
        self.in_session(path, until, |conn| {
            let (fid, _) = walk(conn, path, until)?;
            let done = ask(conn, &make(fid), until);
            conn.let_go(fid);
            done
        })
    }

    /// An operation on an open file; it is stale when its session is gone.
    fn by_handle<T>(
        &self,
        handle: u64,
        until: Instant,
        work: impl FnOnce(&SharedConn, u32) -> Result<T, DialError>,
    ) -> Done<T> {
        let (conn, fid, path) = match lock(&self.open).get(&handle) {
            Some(open) => (Arc::clone(&open.conn), open.fid, open.path.clone()),
            None => return Err(ESTALE),
        };
        // What is open in a session that has ended is stale, whoever is silent.
        let _turn = if conn.is_lost() { None } else { Some(self.turn(&path, until)?) };
        work(&conn, fid).map_err(|error| self.errno(&error, &path, ESTALE))
    }

    pub(crate) fn getattr(&self, path: &str, handle: Option<u64>, until: Instant) -> Done<(Qid, Attr)> {
        let make = |fid| Tmsg::Getattr { fid, mask: 0x7ff };
        let frame = match handle {
            None if self.silence.is_way(path) => return self.way(path, until),
            Some(handle) => self.by_handle(handle, until, |conn, fid| ask(conn, &make(fid), until))?,
            None => self.by_path(path, until, make)?,
        };
        match decoded(&frame)? {
            Rmsg::Getattr { qid, attr, .. } => Ok((qid, attr)),
            _ => Err(EIO),
        }
    }

    /// The attributes of a directory above mounts. Its own server may be silent, and it is there all the
    /// same: what is below it answers.
    fn way(&self, path: &str, until: Instant) -> Done<(Qid, Attr)> {
        const DIR: u32 = 0o040_555;
        let known = || {
            let made =
                || (Qid { kind: wire::QTDIR, ..Qid::default() }, Attr { mode: DIR, ..Attr::default() });
            self.silence.remembered(path).unwrap_or_else(made)
        };
        if self.silence.is_silent(path) {
            return Ok(known());
        }
        let soon = || until.min(Instant::now() + WAY);
        let Ok(_turn) = self.turn(path, soon()) else { return Ok(known()) };
        // A door that is being restarted is waited for as ever.
        let asked = self.try_session(until, |conn| {
            let soon = soon();
            let (fid, _) = walk(conn, path, soon)?;
            let done = ask(conn, &Tmsg::Getattr { fid, mask: 0x7ff }, soon);
            conn.let_go(fid);
            done
        });
        let frame = match asked? {
            Ok(frame) => frame,
            Err(DialError::Timeout) => {
                self.silence.noticed(&self.link, path, WAY, false);
                return Ok(known());
            }
            Err(error) => return Err(self.errno(&error, path, EHOSTDOWN)),
        };
        match decoded(&frame)? {
            Rmsg::Getattr { qid, attr, .. } => {
                self.silence.remember(path, (qid, attr));
                Ok((qid, attr))
            }
            _ => Err(EIO),
        }
    }

    pub(crate) fn setattr(&self, path: &str, handle: Option<u64>, attr: SetAttr, until: Instant) -> Done<()> {
        let make = |fid| Tmsg::Setattr { fid, attr };
        match handle {
            Some(handle) => self.by_handle(handle, until, |conn, fid| ask(conn, &make(fid), until))?,
            None => self.by_path(path, until, make)?,
        };
        Ok(())
    }

    /// Asks a directory for what this system does not do, so that the hive refuses, counts and logs it.
    pub(crate) fn refused<'m>(&self, dir: &str, until: Instant, make: impl Fn(u32) -> Tmsg<'m>) -> i32 {
        let asked = self.in_session(dir, until, |conn| {
            let (fid, _) = walk(conn, dir, until)?;
            let done = ask(conn, &make(fid), until);
            conn.let_go(fid);
            done
        });
        asked.err().unwrap_or(EIO)
    }

    pub(crate) fn open(&self, path: &str, flags: u32, until: Instant) -> Done<u64> {
        let open = self.in_session(path, until, |conn| {
            let (fid, qids) = walk(conn, path, until)?;
            let frame = match ask(conn, &Tmsg::Lopen { fid, flags }, until) {
                Ok(frame) => frame,
                Err(error) => {
                    conn.let_go(fid);
                    return Err(error);
                }
            };
            let opened = match wire::decode_r(&frame) {
                Ok((_, Rmsg::Lopen { qid, .. })) => qid,
                _ => Qid::default(),
            };
            let above = qids.len().checked_sub(2).map(|i| qids[i]);
            let (conn, path) = (Arc::clone(conn), path.to_owned());
            Ok(Open { conn, fid, path, qid: opened, above, entries: None, failed: None })
        })?;
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(handle, open);
        Ok(handle)
    }

    pub(crate) fn close(&self, handle: u64, until: Instant) {
        if let Some(open) = lock(&self.open).remove(&handle) {
            // Waited for, where it can be, so that whoever has closed a ctl finds its last line done.
            if self.silence.is_silent(&open.path) {
                return open.conn.let_go(open.fid);
            }
            let _ = ask(&open.conn, &Tmsg::Clunk { fid: open.fid }, until);
        }
    }

    /// At most `size` bytes: what is there, up to the first short answer. A failure behind data is
    /// kept for the next read: a ring says only once that it has overtaken its reader.
    pub(crate) fn read(&self, handle: u64, offset: u64, size: u32, until: Instant) -> Done<Vec<u8>> {
        if let Some(number) = lock(&self.open).get_mut(&handle).and_then(|open| open.failed.take()) {
            return Err(number);
        }
        let mut all = Vec::new();
        while all.len() < size as usize {
            let at = offset + all.len() as u64;
            match self.read_some(handle, at, size - all.len() as u32, until) {
                Ok((data, is_full)) => {
                    all.extend(data);
                    if !is_full {
                        break;
                    }
                }
                Err(number) if all.is_empty() => return Err(number),
                Err(number) => {
                    if let Some(open) = lock(&self.open).get_mut(&handle) {
                        open.failed = Some(number);
                    }
                    break;
                }
            }
        }
        Ok(all)
    }

    /// One Tread, and whether it brought all that it asked for.
    fn read_some(&self, handle: u64, offset: u64, size: u32, until: Instant) -> Done<(Vec<u8>, bool)> {
        let (frame, count) = self.by_handle(handle, until, |conn, fid| {
            let count = size.min(conn.msize() - READ_OVERHEAD);
            ask(conn, &Tmsg::Read { fid, offset, count }, until).map(|frame| (frame, count as usize))
        })?;
        match decoded(&frame)? {
            Rmsg::Read { data } => Ok((data[..data.len().min(count)].to_vec(), data.len() >= count)),
            _ => Err(EIO),
        }
    }

    /// One write is one Twrite, and so one record or one set of commands, up to msize.
    pub(crate) fn write(&self, handle: u64, offset: u64, data: &[u8], until: Instant) -> Done<u32> {
        let frame = self.by_handle(handle, until, |conn, fid| {
            let most = (conn.msize() - WRITE_OVERHEAD) as usize;
            ask(conn, &Tmsg::Write { fid, offset, data: &data[..data.len().min(most)] }, until)
        })?;
        match decoded(&frame)? {
            Rmsg::Write { count } => Ok(count),
            _ => Err(EIO),
        }
    }

    pub(crate) fn fsync(&self, handle: u64, until: Instant) -> Done<()> {
        self.by_handle(handle, until, |conn, fid| ask(conn, &Tmsg::Fsync { fid, datasync: 0 }, until))
            .map(drop)
    }

    /// The entries of an open directory, read when `is_start`; `.` and `..` come first.
    pub(crate) fn entries(&self, handle: u64, is_start: bool, until: Instant) -> Done<Arc<Vec<Entry>>> {
        let (path, own, above) = match lock(&self.open).get(&handle) {
            Some(Open { entries: Some(entries), .. }) if !is_start => return Ok(Arc::clone(entries)),
            Some(open) => (open.path.clone(), open.qid, open.above),
            None => return Err(ESTALE),
        };
        let listed = self.by_handle(handle, until, |conn, fid| {
            let (mut entries, mut listing) = (Vec::new(), Listing::default());
            loop {
                let count = conn.msize() - READ_OVERHEAD;
                let frame = ask(conn, &Tmsg::Readdir { fid, offset: listing.offset(), count }, until)?;
                let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&frame) else { return Ok(entries) };
                let Some(more) = listing.take(data).map_err(DialError::Protocol)? else { return Ok(entries) };
                entries.extend(more.iter().map(|entry| (entry.kind, entry.qid, entry.name.to_owned())));
            }
        })?;
        let above = match above {
            Some(qid) => qid,
            None => self.getattr("/", None, until)?.0,
        };
        let dots = [(".", own), ("..", above)];
        let mut entries: Vec<Entry> =
            dots.map(|(name, qid)| Entry { name: name.into(), is_dir: true, qid }).into();
        let soon = until.min(Instant::now() + KIND);
        entries.extend(listed.into_iter().map(|(kind, qid, name)| match kind {
            0 => self.unknown(&path, name, qid, soon),
            kind => Entry { name, is_dir: kind == 4, qid },
        }));
        let entries = Arc::new(entries);
        if let Some(open) = lock(&self.open).get_mut(&handle) {
            open.entries = Some(Arc::clone(&entries));
        }
        Ok(entries)
    }

    /// An entry without d_type: the server of a mounted name is away. Asks once more, else calls it a
    /// directory; no listing waits long for that.
    fn unknown(&self, dir: &str, name: String, qid: Qid, until: Instant) -> Entry {
        let path = crate::nodes::join(dir, &name);
        let conn = if self.silence.is_silent(&path) { None } else { self.link.conn(until).ok() };
        let found = conn.and_then(|conn| {
            let (fid, qids) = walk(&conn, &path, until).ok()?;
            conn.let_go(fid);
            qids.last().copied()
        });
        let is_dir = found.is_none_or(|qid| qid.kind & wire::QTDIR != 0);
        Entry { name, is_dir, qid: found.unwrap_or(qid) }
    }
}
