//! Whether a request moves a worker's cursor, which tickets have a quota of (spec 3.2).

use crate::door::Door;
use crate::request::{Outcome, bare};
use crate::session::At;
use ticket::CursorMove;

/// The files of a worker: what its cursor is in, and what is read from where it is.
const WORKER: &str = "worker";
const FILES: [(CursorMove, &str); 2] = [(CursorMove::Advance, "cursor"), (CursorMove::Resume, "telemetry")];

impl Door {
    /// Accounts for a write (an advance) or an open for reading (a resume) of a worker's file.
    pub(crate) fn charge_cursor(&mut self, slot: usize, fid: u32, what: CursorMove) -> Outcome {
        let session = &self.sessions[slot];
        let Some(held) = &session.ticket else { return Ok(()) };
        let it = session.fids.get(fid).map_err(|word| bare(word.into()))?;
        let At::Server { channel, .. } = it.at else { return Ok(()) };
        let server = &*self.channels[channel as usize].name;
        let is_workers =
            server.strip_prefix(WORKER).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let name = it.path.rsplit('/').next().unwrap_or_default();
        if !is_workers || !FILES.contains(&(what, name)) {
            return Ok(());
        }
        let path = it.path.clone();
        let moved = held.meter.borrow_mut().move_cursor(what);
        moved.map_err(|refused| self.over_limit(slot, refused, path))
    }
}
