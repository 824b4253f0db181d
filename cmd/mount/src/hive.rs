//! The session behind the mount: operations by path and by open file, and a new session when the door
//! was restarted.

use ninep::dial::{Addr, Credentials, DialError, SharedConn};
use ninep::refusal::Word;
use ninep::wire::{self, Attr, Dirent, Qid, READ_OVERHEAD, Rmsg, SetAttr, Tmsg, WRITE_OVERHEAD};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one operation may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long an operation waits for a door that is being restarted, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

/// errno.h, beyond the words of the protocol.
pub(crate) const EIO: i32 = 5;
const ESTALE: i32 = 116;
const ETIMEDOUT: i32 = 110;
const ENOTCONN: i32 = 107;

/// An operation's result; a failure is an errno.
pub(crate) type Done<T> = Result<T, i32>;

/// A file that a program has open.
struct Open {
    conn: Arc<SharedConn>,
    fid: u32,
    path: String,
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

/// The session and what is open in it.
pub(crate) struct Hive {
    addr: Addr,
    who: Credentials,
    conn: Mutex<Option<Arc<SharedConn>>>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

fn decoded(frame: &[u8]) -> Done<Rmsg<'_>> {
    wire::decode_r(frame).map(|(_, msg)| msg).map_err(|_| EIO)
}

impl Hive {
    pub(crate) fn dial(addr: Addr, who: Credentials) -> Result<Hive, DialError> {
        let conn = SharedConn::dial(&addr, &who)?;
        Ok(Hive {
            addr,
            who,
            conn: Mutex::new(Some(Arc::new(conn))),
            open: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    /// The session, or a new one where the door has hung up.
    fn conn(&self) -> Done<Arc<SharedConn>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut held = lock(&self.conn);
            if let Some(conn) = held.as_ref().filter(|conn| !conn.is_lost()) {
                return Ok(Arc::clone(conn));
            }
            match SharedConn::dial(&self.addr, &self.who) {
                Ok(conn) => {
                    let conn = Arc::new(conn);
                    *held = Some(Arc::clone(&conn));
                    return Ok(conn);
                }
                Err(DialError::Refused(refusal)) if refusal.word != Word::Busy => {
                    return Err(refusal.word.errno() as i32);
                }
                Err(_) if Instant::now() >= until => return Err(ENOTCONN),
                Err(_) => {}
            }
            drop(held);
            std::thread::sleep(LOOK);
        }
    }

    /// What a failure is to the program that asked. `path` is told where nobody answered.
    fn errno(&self, error: &DialError, path: &str) -> i32 {
        match error {
            DialError::Refused(refusal) => refusal.word.errno() as i32,
            DialError::Timeout => {
                eprintln!(
                    "coh-mount: {path}: no answer within {} s; which server has it: cohstat {path}",
                    DEADLINE.as_secs()
                );
                ETIMEDOUT
            }
            _ => ESTALE,
        }
    }

    /// An operation on a path: it may begin anew where the door was lost on the way.
    fn by_path<T>(&self, path: &str, work: impl Fn(&SharedConn, u32) -> Result<T, DialError>) -> Done<T> {
        let mut is_second = false;
        loop {
            let conn = self.conn()?;
            let done = self.walk(&conn, path).and_then(|fid| {
                let done = work(&conn, fid);
                // A fid that cannot be clunked is gone with its session.
                let _ = conn.call(&Tmsg::Clunk { fid }, DEADLINE);
                done
            });
            match done {
                Ok(done) => return Ok(done),
                Err(error) if conn.is_lost() && !is_second => {
                    is_second = true;
                    drop(error);
                }
                Err(error) => return Err(self.errno(&error, path)),
            }
        }
    }

    fn walk(&self, conn: &SharedConn, path: &str) -> Result<u32, DialError> {
        let names = names(path);
        let (fid, frame) = conn.walk(conn.root(), &names, DEADLINE)?;
        match wire::decode_r(&frame) {
            Ok((_, Rmsg::Walk { qids })) if qids.len() == names.len() => Ok(fid),
            _ => Err(DialError::Refused(Word::NotFound.into())),
        }
    }

    /// An operation on an open file; it is stale when its session is gone.
    fn by_handle<T>(
        &self,
        handle: u64,
        work: impl FnOnce(&SharedConn, u32) -> Result<T, DialError>,
    ) -> Done<T> {
        let (conn, fid, path) = match lock(&self.open).get(&handle) {
            Some(open) => (Arc::clone(&open.conn), open.fid, open.path.clone()),
            None => return Err(ESTALE),
        };
        work(&conn, fid).map_err(|error| self.errno(&error, &path))
    }

    pub(crate) fn getattr(&self, path: &str, handle: Option<u64>) -> Done<(Qid, Attr)> {
        let ask = |conn: &SharedConn, fid| conn.call(&Tmsg::Getattr { fid, mask: 0x7ff }, DEADLINE);
        let frame = match handle {
            Some(handle) => self.by_handle(handle, ask)?,
            None => self.by_path(path, ask)?,
        };
        match decoded(&frame)? {
            Rmsg::Getattr { qid, attr, .. } => Ok((qid, attr)),
            _ => Err(EIO),
        }
    }

    pub(crate) fn setattr(&self, path: &str, handle: Option<u64>, attr: SetAttr) -> Done<()> {
        let ask = |conn: &SharedConn, fid| conn.call(&Tmsg::Setattr { fid, attr }, DEADLINE);
        match handle {
            Some(handle) => self.by_handle(handle, ask)?,
            None => self.by_path(path, ask)?,
        };
        Ok(())
    }

    /// Asks a directory for what this system does not do, so that the hive refuses, counts and logs it.
    pub(crate) fn refused(&self, dir: &str, make: impl Fn(u32) -> Tmsg<'static>) -> i32 {
        match self.by_path(dir, |conn, fid| conn.call(&make(fid), DEADLINE)) {
            Err(errno) => errno,
            Ok(_) => EIO,
        }
    }

    /// Takes `name` away, which the hive refuses.
    pub(crate) fn unlink(&self, dir: &str, name: &str) -> i32 {
        match self
            .by_path(dir, |conn, fid| conn.call(&Tmsg::Unlinkat { dirfid: fid, name, flags: 0 }, DEADLINE))
        {
            Err(errno) => errno,
            Ok(_) => EIO,
        }
    }

    /// Renames within a directory, which the hive refuses.
    pub(crate) fn rename(&self, dir: &str, oldname: &str, newname: &str) -> i32 {
        let ask = |conn: &SharedConn, fid| {
            conn.call(&Tmsg::Renameat { olddirfid: fid, oldname, newdirfid: fid, newname }, DEADLINE)
        };
        match self.by_path(dir, ask) {
            Err(errno) => errno,
            Ok(_) => EIO,
        }
    }

    pub(crate) fn open(&self, path: &str, flags: u32) -> Done<u64> {
        let mut is_second = false;
        loop {
            let conn = self.conn()?;
            let opened = self.walk(&conn, path).and_then(|fid| {
                let opened = conn.call(&Tmsg::Lopen { fid, flags }, DEADLINE);
                if opened.is_err() {
                    let _ = conn.call(&Tmsg::Clunk { fid }, DEADLINE);
                }
                opened.map(|_| fid)
            });
            match opened {
                Ok(fid) => {
                    let handle = self.next.fetch_add(1, Ordering::Relaxed);
                    let open = Open { conn, fid, path: path.into(), entries: None, failed: None };
                    lock(&self.open).insert(handle, open);
                    return Ok(handle);
                }
                Err(_) if conn.is_lost() && !is_second => is_second = true,
                Err(error) => return Err(self.errno(&error, path)),
            }
        }
    }

    pub(crate) fn close(&self, handle: u64) {
        if let Some(open) = lock(&self.open).remove(&handle) {
            let _ = open.conn.call(&Tmsg::Clunk { fid: open.fid }, DEADLINE);
        }
    }

    /// At most `size` bytes: what is there, up to the first short answer. A failure behind data is
    /// kept for the next read: a ring says only once that it has overtaken its reader.
    pub(crate) fn read(&self, handle: u64, offset: u64, size: u32) -> Done<Vec<u8>> {
        if let Some(number) = lock(&self.open).get_mut(&handle).and_then(|open| open.failed.take()) {
            return Err(number);
        }
        let mut all = Vec::new();
        while all.len() < size as usize {
            let at = offset + all.len() as u64;
            match self.read_some(handle, at, size - all.len() as u32) {
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
    fn read_some(&self, handle: u64, offset: u64, size: u32) -> Done<(Vec<u8>, bool)> {
        let (frame, count) = self.by_handle(handle, |conn, fid| {
            let count = size.min(conn.msize() - READ_OVERHEAD);
            conn.call(&Tmsg::Read { fid, offset, count }, DEADLINE).map(|frame| (frame, count as usize))
        })?;
        match decoded(&frame)? {
            Rmsg::Read { data } => Ok((data[..data.len().min(count)].to_vec(), data.len() >= count)),
            _ => Err(EIO),
        }
    }

    /// One write is one Twrite, and so one record or one set of commands, up to msize.
    pub(crate) fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Done<u32> {
        let frame = self.by_handle(handle, |conn, fid| {
            let most = (conn.msize() - WRITE_OVERHEAD) as usize;
            conn.call(&Tmsg::Write { fid, offset, data: &data[..data.len().min(most)] }, DEADLINE)
        })?;
        match decoded(&frame)? {
            Rmsg::Write { count } => Ok(count),
            _ => Err(EIO),
        }
    }

    pub(crate) fn fsync(&self, handle: u64) -> Done<()> {
        self.by_handle(handle, |conn, fid| conn.call(&Tmsg::Fsync { fid, datasync: 0 }, DEADLINE)).map(drop)
    }

    /// The entries of an open directory, read when `is_start`.
    pub(crate) fn entries(&self, handle: u64, is_start: bool) -> Done<Arc<Vec<Entry>>> {
        if !is_start
            && let Some(entries) = lock(&self.open).get(&handle).and_then(|open| open.entries.clone())
        {
            return Ok(entries);
        }
        let path = lock(&self.open).get(&handle).map(|open| open.path.clone()).ok_or(ESTALE)?;
        let mut entries = self.by_handle(handle, |conn, fid| {
            let mut entries = Vec::new();
            let mut offset = 0;
            loop {
                let count = conn.msize() - READ_OVERHEAD;
                let frame = conn.call(&Tmsg::Readdir { fid, offset, count }, DEADLINE)?;
                let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&frame) else { return Ok(entries) };
                let before = entries.len();
                for entry in Dirent::iter(data).map_while(Result::ok) {
                    offset = entry.offset;
                    entries.push((entry.kind, entry.qid, entry.name.to_owned()));
                }
                if entries.len() == before {
                    return Ok(entries);
                }
            }
        })?;
        let entries: Vec<Entry> = entries
            .drain(..)
            .map(|(kind, qid, name)| {
                // d_type 0: the server of a mounted name is away. Ask once more, else call it a directory.
                let is_dir = match kind {
                    0 => self
                        .getattr(&crate::nodes::join(&path, &name), None)
                        .map_or(true, |(qid, _)| qid.kind & wire::QTDIR != 0),
                    kind => kind == 4,
                };
                Entry { name, is_dir, qid }
            })
            .collect();
        let entries = Arc::new(entries);
        if let Some(open) = lock(&self.open).get_mut(&handle) {
            open.entries = Some(Arc::clone(&entries));
        }
        Ok(entries)
    }
}
