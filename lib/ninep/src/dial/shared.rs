//! A session that many threads share: one of them moves bytes, each waits for its own reply. Nobody waits
//! longer than it said it would, not for a lock either: the socket never blocks.

use super::conn::{AFID, Conn, ROOT};
use super::stream::Stream;
use super::{Addr, Credentials, DialError};
use crate::clnt::{Asked, Client};
use crate::wire::{Names, Rmsg, Tmsg};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::vec::Vec;

/// Bytes that may wait for a server that takes none: more, and requests wait for room.
const OUT_MAX: usize = 256 << 10;
/// Clunks whose replies nobody waits for: at most so many tags of the window are theirs.
const CLUNKS_MAX: usize = 8;
/// Fids that wait to be clunked; with more, nobody has answered for minutes.
const OWED_MAX: usize = 1024;

/// A shared session. Dropping the last handle ends it.
pub struct SharedConn {
    inner: Arc<Inner>,
    next_fid: AtomicU32,
    msize: u32,
}

struct Inner {
    state: Mutex<State>,
    /// Room in the window, or the end.
    room: Condvar,
    /// A byte here tells the thread that there is something to send.
    wake: UnixStream,
}

struct State {
    client: Client,
    stream: Stream,
    buffer: Vec<u8>,
    waiters: HashMap<Asked, SyncSender<Vec<u8>>>,
    /// Tclunks under way, oldest first.
    clunks: VecDeque<Asked>,
    /// Fids to clunk when there is room.
    owed: VecDeque<u32>,
    is_lost: bool,
}

impl State {
    fn has_room(&self) -> bool {
        self.client.has_room() && self.client.output().len() < OUT_MAX
    }

    /// Sends what the socket takes now.
    fn push(&mut self) -> io::Result<()> {
        while !self.owed.is_empty() && self.has_room() {
            if self.clunks.len() >= CLUNKS_MAX {
                // Its server is slow; the fid is gone at the door all the same.
                self.clunks.pop_front().into_iter().for_each(|oldest| self.client.flush(oldest));
            }
            let Some(fid) = self.owed.pop_front() else { break };
            self.clunks.extend(self.client.send(&Tmsg::Clunk { fid }));
        }
        loop {
            let n = match self.client.output() {
                [] => break,
                bytes => match self.stream.write(bytes) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(n) => n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                },
            };
            self.client.consume(n);
        }
        match self.stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn has_backlog(&self) -> bool {
        !self.client.output().is_empty() || self.stream.is_backed_up()
    }

    /// Takes what has come, and hands the replies out.
    fn pull(&mut self) -> io::Result<()> {
        loop {
            let n = match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.client.input(&self.buffer[..n]).map_err(io::Error::other)?;
            while let Some((asked, frame)) = self.client.any_reply() {
                if let Some(waiter) = self.waiters.remove(&asked) {
                    // A waiter that has given up does not mind.
                    let _ = waiter.try_send(frame);
                } else {
                    self.clunks.retain(|clunk| *clunk != asked);
                }
            }
        }
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.stream.shut();
        // Dropping the senders wakes everyone who waits.
        self.waiters.clear();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked held nothing half done: the state is bytes and maps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does until the connection ends.
    fn move_bytes(&self, socket: &OwnedFd, mut woken: UnixStream) {
        loop {
            let mut state = self.lock();
            if !state.is_lost && state.pull().and_then(|()| state.push()).is_err() {
                state.lose();
            }
            let (is_lost, has_backlog) = (state.is_lost, state.has_backlog());
            drop(state);
            self.room.notify_all();
            if is_lost {
                return;
            }
            let out = if has_backlog { PollFlags::OUT } else { PollFlags::empty() };
            let mut fds = [PollFd::new(socket, PollFlags::IN | out), PollFd::new(&woken, PollFlags::IN)];
            // A signal is a reason to look, too.
            let _ = poll(&mut fds, None);
            // It does not block: empty is as good as read.
            let _ = woken.read(&mut [0; 64]);
        }
    }

    /// Sends, and leaves to the thread what the socket does not take.
    fn push(&self, state: &mut State) -> Result<(), DialError> {
        if let Err(error) = state.push() {
            state.lose();
            return Err(DialError::Io(error));
        }
        if state.has_backlog() {
            // Full of bytes that wake it already, if this fails.
            let _ = (&self.wake).write(&[0]);
        }
        Ok(())
    }
}

impl Drop for SharedConn {
    fn drop(&mut self) {
        self.inner.lock().lose();
    }
}

fn hung_up() -> DialError {
    DialError::Io(io::Error::new(ErrorKind::UnexpectedEof, "the door hung up"))
}

impl SharedConn {
    /// Connects, attaches, and starts the thread that moves bytes.
    pub fn dial(addr: &Addr, who: &Credentials) -> Result<SharedConn, DialError> {
        let conn = Conn::dial(addr, who)?;
        let msize = conn.msize();
        let (stream, client) = conn.into_parts();
        stream.set_nonblocking()?;
        let socket = stream.pollable()?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let state = State {
            client,
            stream,
            buffer: std::vec![0; 64 << 10],
            waiters: HashMap::new(),
            clunks: VecDeque::new(),
            owed: VecDeque::new(),
            is_lost: false,
        };
        let inner = Arc::new(Inner { state: Mutex::new(state), room: Condvar::new(), wake });
        let moves = Arc::clone(&inner);
        std::thread::Builder::new().name("9p".into()).spawn(move || moves.move_bytes(&socket, woken))?;
        Ok(SharedConn { inner, next_fid: AtomicU32::new(AFID + 1), msize })
    }

    /// The root of the session's name space.
    pub fn root(&self) -> u32 {
        ROOT
    }

    /// The largest frame that was agreed on.
    pub fn msize(&self) -> u32 {
        self.msize
    }

    /// Has the connection ended?
    pub fn is_lost(&self) -> bool {
        self.inner.lock().is_lost
    }

    /// A Twalk to a fid number that was not used before, which it gives with the reply. Numbers go out
    /// in the order in which they are drawn, as a strict door wants them.
    pub fn walk(&self, fid: u32, names: &[&str], until: Instant) -> Result<(u32, Vec<u8>), DialError> {
        let mut drawn = None;
        let walked = self.exchange(
            |state, next| {
                let newfid = next.fetch_add(1, Ordering::Relaxed);
                drawn = Some(newfid);
                state.client.send(&Tmsg::Walk { fid, newfid, names: Names::from(names) })
            },
            until,
        );
        match (walked, drawn) {
            (Ok(frame), Some(newfid)) => Ok((newfid, frame)),
            (Err(DialError::Timeout), Some(newfid)) => {
                // The walk may have been before the flush.
                self.let_go(newfid);
                Err(DialError::Timeout)
            }
            (walked, _) => Err(walked.err().unwrap_or_else(hung_up)),
        }
    }

    /// One request and its reply, a frame that decodes; an Rlerror is a refusal.
    pub fn call(&self, msg: &Tmsg, until: Instant) -> Result<Vec<u8>, DialError> {
        self.exchange(|state, _| state.client.send(msg), until)
    }

    /// Ends a fid, and waits for nothing.
    pub fn let_go(&self, fid: u32) {
        let mut state = self.inner.lock();
        if state.is_lost {
            return;
        }
        state.owed.push_back(fid);
        if state.owed.len() > OWED_MAX {
            state.lose();
        } else {
            // A connection that ends shows at the next call.
            let _ = self.inner.push(&mut state);
        }
    }

    fn exchange(
        &self,
        send: impl FnOnce(&mut State, &AtomicU32) -> Option<Asked>,
        until: Instant,
    ) -> Result<Vec<u8>, DialError> {
        let left = || until.saturating_duration_since(Instant::now());
        let (sender, receiver) = mpsc::sync_channel(1);
        let mut state = self.inner.lock();
        while !state.is_lost && !state.has_room() {
            if left().is_zero() {
                return Err(DialError::Timeout);
            }
            state = self.inner.room.wait_timeout(state, left()).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.is_lost {
            return Err(hung_up());
        }
        let Some(asked) = send(&mut state, &self.next_fid) else { return Err(hung_up()) };
        state.waiters.insert(asked, sender);
        self.inner.push(&mut state)?;
        drop(state);
        let frame = match receiver.recv_timeout(left()) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Disconnected) => return Err(hung_up()),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = self.inner.lock();
                // It may have come just now, and its tag be another's by then.
                let Ok(frame) = receiver.try_recv() else {
                    state.waiters.remove(&asked);
                    state.client.flush(asked);
                    self.inner.push(&mut state)?;
                    drop(state);
                    self.inner.room.notify_all();
                    return Err(DialError::Timeout);
                };
                frame
            }
        };
        match super::conn::decoded(&frame)? {
            Rmsg::Lerror { ecode, .. } => Err(DialError::Refused(super::conn::refusal_of(ecode))),
            _ => Ok(frame),
        }
    }
}
