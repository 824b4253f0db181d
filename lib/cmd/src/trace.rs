//! A command's conversation with a door, kept in a file of trace(5); and had again without a hive.
//!
//! Both stand where the connection's bytes pass, so that a command knows of neither. A process has one
//! trace at most: `--record-trace` or `--replay-trace` names it, [`finish`] ends it.

mod play;
mod tape;

use crate::policy::fingerprint;
use crate::trouble::Trouble;
use ninep::dial::{Addr, Credentials, DEADLINE, DialError, Stream};
use play::Player;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tape::Tape;

/// The trace of this process.
static TRACE: Mutex<Option<Trace>> = Mutex::new(None);

/// Where a connection's bytes come from and go to.
#[derive(Clone)]
pub(crate) enum Trace {
    /// A door, and a file.
    Recording(Arc<Mutex<Tape>>),
    /// A file alone.
    Playing(Arc<Mutex<Player>>),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trace {
    /// Begins to record into `file`, which is made at once: one that cannot be written is told before
    /// anything happens. What a signal ends is kept, too.
    pub(crate) fn record(file: &Path, who: &Credentials, bytes_max: u64) -> Result<Trace, Trouble> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let tape = Arc::new(Mutex::new(Tape::new(file, who, bytes_max)?));
        let trace = Trace::Recording(Arc::clone(&tape));
        *locked(&TRACE) = Some(trace.clone());
        tape::keep_at_signals(tape)?;
        Ok(trace)
    }

    /// Reads all of `file` and refuses one that is not as it was written. Gives who attached, too, with a
    /// ticket as long as the one that was shown.
    pub(crate) fn play(file: &Path) -> Result<(Trace, Credentials), Trouble> {
        let player = Player::read(file)?;
        let who = player.who();
        let trace = Trace::Playing(Arc::new(Mutex::new(player)));
        *locked(&TRACE) = Some(trace.clone());
        Ok((trace, who))
    }

    /// The stream to talk through.
    pub(crate) fn stream(&self, addr: Option<&Addr>) -> Result<Stream, DialError> {
        match (self, addr) {
            (Trace::Recording(tape), Some(addr)) => {
                let stream = Stream::dial(addr, DEADLINE)?;
                Ok(Stream::Other(Box::new(tape::Recorded::new(stream, Arc::clone(tape)))))
            }
            (Trace::Recording(_), None) => Err(DialError::Addr("no door to record".into())),
            (Trace::Playing(player), _) => {
                locked(player).dialled().map_err(DialError::Addr)?;
                Ok(Stream::Other(Box::new(play::Played::new(Arc::clone(player)))))
            }
        }
    }

    /// What `/proc/version` said, for the recording's head.
    pub(crate) fn version(&self, text: &str) {
        if let Trace::Recording(tape) = self {
            locked(tape).manifest = fingerprint(text).unwrap_or_default().to_owned();
        }
    }
}

/// Ends the process's trace: writes what was recorded, or holds what was played to its end. What there is
/// to say of a recording comes back.
pub(crate) fn finish() -> Result<Option<String>, Trouble> {
    match locked(&TRACE).take() {
        None => Ok(None),
        Some(Trace::Recording(tape)) => locked(&tape).keep(),
        Some(Trace::Playing(player)) => locked(&player).finish().map(|()| None),
    }
}

/// A complaint about a trace's file.
fn said(file: &Path, what: impl std::fmt::Display) -> Trouble {
    Trouble::failed(format!("{}: {what}", file.display()))
}
