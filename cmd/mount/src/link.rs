//! The session with the door, and a new one when the door was restarted. Dialling is a thread's own
//! business: an operation waits for it no longer than it has, and holds nothing that others need.

use crate::hive::{Done, EHOSTDOWN, ETIMEDOUT};
use ninep::dial::{Addr, Credentials, DialError, SharedConn};
use ninep::refusal::Word;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an operation waits for a door that is being restarted, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);

/// Where the door is, and the session there.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    addr: Addr,
    who: Credentials,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    conn: Option<Arc<SharedConn>>,
    is_dialling: bool,
    /// Attempts that are over, and the errno with which the door refused the last.
    attempts: u64,
    refused: Option<i32>,
}

impl Link {
    pub(crate) fn dial(addr: Addr, who: Credentials) -> Result<Link, DialError> {
        let conn = Some(Arc::new(SharedConn::dial(&addr, &who)?));
        let state = State { conn, is_dialling: false, attempts: 0, refused: None };
        let shared = Shared { addr, who, state: Mutex::new(state), changed: Condvar::new() };
        Ok(Link { shared: Arc::new(shared) })
    }

    pub(crate) fn addr(&self) -> &Addr {
        &self.shared.addr
    }

    /// The session, or a new one where the door has hung up.
    pub(crate) fn conn(&self, until: Instant) -> Done<Arc<SharedConn>> {
        let now = Instant::now();
        if now >= until {
            return Err(ETIMEDOUT);
        }
        let until = until.min(now + PATIENCE);
        let mut state = self.shared.lock();
        let mut known = state.attempts;
        loop {
            if let Some(conn) = state.conn.as_ref().filter(|conn| !conn.is_lost()) {
                return Ok(Arc::clone(conn));
            }
            if state.attempts != known {
                known = state.attempts;
                if let Some(errno) = state.refused {
                    return Err(errno);
                }
            }
            if !state.is_dialling {
                let link = self.clone();
                let thread = std::thread::Builder::new().name("dial".into()).spawn(move || link.redial());
                // Without a thread now, one of the next operations has it.
                state.is_dialling = thread.is_ok();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(EHOSTDOWN);
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One attempt.
    fn redial(&self) {
        let dialled = SharedConn::dial(&self.shared.addr, &self.shared.who);
        let refused = match &dialled {
            Err(DialError::Refused(refusal)) if refusal.word != Word::Busy => {
                Some(refusal.word.errno() as i32)
            }
            _ => None,
        };
        if dialled.is_err() && refused.is_none() {
            std::thread::sleep(AGAIN);
        }
        let mut state = self.shared.lock();
        state.conn = dialled.ok().map(Arc::new);
        state.is_dialling = false;
        state.attempts += 1;
        state.refused = refused;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
