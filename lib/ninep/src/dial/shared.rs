//! A session that many threads share: one of them reads, each waits for its own reply.

use super::conn::{AFID, Conn, ROOT};
use super::stream::Stream;
use super::{Addr, Credentials, DialError};
use crate::clnt::{Asked, Client};
use crate::wire::{Names, Rmsg, Tmsg};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::vec::Vec;

/// A shared session. Dropping the last handle ends it.
pub struct SharedConn {
    inner: Arc<Inner>,
    next_fid: AtomicU32,
    msize: u32,
}

struct Inner {
    state: Mutex<State>,
    room: std::sync::Condvar,
    shut: Stream,
}

struct State {
    client: Client,
    writer: Stream,
    waiters: HashMap<Asked, SyncSender<Vec<u8>>>,
    is_lost: bool,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked held nothing half done: the state is bytes and maps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_on(&self, mut reader: Stream) {
        let mut buffer = std::vec![0; 64 << 10];
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut state = self.lock();
            if state.client.input(&buffer[..n]).is_err() {
                break;
            }
            while let Some((asked, frame)) = state.client.any_reply() {
                if let Some(waiter) = state.waiters.remove(&asked) {
                    // A waiter that has given up does not mind.
                    let _ = waiter.try_send(frame);
                }
            }
            drop(state);
            self.room.notify_all();
        }
        let mut state = self.lock();
        state.is_lost = true;
        // Dropping the senders wakes everyone who waits.
        state.waiters.clear();
        drop(state);
        self.room.notify_all();
    }
}

impl Drop for SharedConn {
    fn drop(&mut self) {
        self.inner.shut.shut();
    }
}

fn hung_up() -> DialError {
    DialError::Io(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the door hung up"))
}

impl SharedConn {
    /// Connects, attaches, and starts the thread that reads.
    pub fn dial(addr: &Addr, who: &Credentials) -> Result<SharedConn, DialError> {
        let conn = Conn::dial(addr, who)?;
        let msize = conn.msize();
        let (stream, client) = conn.into_parts();
        stream.read_for_ever()?;
        let (reader, shut) = (stream.second()?, stream.second()?);
        let state = State { client, writer: stream, waiters: HashMap::new(), is_lost: false };
        let inner = Arc::new(Inner { state: Mutex::new(state), room: std::sync::Condvar::new(), shut });
        let reads = Arc::clone(&inner);
        std::thread::Builder::new().name("9p".into()).spawn(move || reads.read_on(reader))?;
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
    pub fn walk(&self, fid: u32, names: &[&str], deadline: Duration) -> Result<(u32, Vec<u8>), DialError> {
        let mut drawn = 0;
        let frame = self.exchange(
            |state, next| {
                drawn = next.fetch_add(1, Ordering::Relaxed);
                state.client.send(&Tmsg::Walk { fid, newfid: drawn, names: Names::from(names) })
            },
            deadline,
        )?;
        Ok((drawn, frame))
    }

    /// One request and its reply, a frame that decodes; an Rlerror is a refusal.
    pub fn call(&self, msg: &Tmsg, deadline: Duration) -> Result<Vec<u8>, DialError> {
        self.exchange(|state, _| state.client.send(msg), deadline)
    }

    fn exchange(
        &self,
        send: impl FnOnce(&mut State, &AtomicU32) -> Option<Asked>,
        deadline: Duration,
    ) -> Result<Vec<u8>, DialError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let mut state = self.inner.lock();
        while !state.is_lost && !state.client.has_room() {
            let (next, waited) =
                self.inner.room.wait_timeout(state, deadline).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() {
                return Err(DialError::Timeout);
            }
        }
        if state.is_lost {
            return Err(hung_up());
        }
        let Some(asked) = send(&mut state, &self.next_fid) else { return Err(hung_up()) };
        state.waiters.insert(asked, sender);
        push(&mut state)?;
        drop(state);
        match receiver.recv_timeout(deadline) {
            Ok(frame) => match super::conn::decoded(&frame)? {
                Rmsg::Lerror { ecode, .. } => Err(DialError::Refused(super::conn::refusal_of(ecode))),
                _ => Ok(frame),
            },
            Err(RecvTimeoutError::Disconnected) => Err(hung_up()),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = self.inner.lock();
                state.waiters.remove(&asked);
                state.client.flush(asked);
                push(&mut state)?;
                drop(state);
                self.inner.room.notify_all();
                Err(DialError::Timeout)
            }
        }
    }
}

fn push(state: &mut State) -> Result<(), DialError> {
    let bytes = state.client.output().to_vec();
    state.client.consume(bytes.len());
    if let Err(error) = state.writer.write_all(&bytes) {
        // Half a frame may be out: nothing that follows would be understood.
        state.is_lost = true;
        state.writer.shut();
        return Err(DialError::Io(error));
    }
    Ok(())
}
