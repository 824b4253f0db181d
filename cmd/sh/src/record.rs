//! Conversations in files.

use crate::{Printer, trouble};
use cohcmd::{Out, Trouble};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use talk::{Place, Sink, Talk};

/// The longest recording, as in client.toml(5).
const TRACE_BYTES: usize = 1 << 20;

/// Begins a conversation, recorded where `path` is given.
pub(crate) fn dial(place: &Place, path: Option<&Path>, each: Sink) -> Result<Talk, Trouble> {
    match path {
        Some(_) => place.dial_recorded(TRACE_BYTES, each),
        None => place.dial(each),
    }
    .map_err(trouble)
}

/// Writes what was recorded.
pub(crate) fn keep(place: &Place, path: Option<&Path>, talk: &Talk, out: &mut Out) -> Result<(), Trouble> {
    let Some(path) = path else { return Ok(()) };
    let Some((file, is_all)) = talk.trace(&place.manifest()) else { return Ok(()) };
    let write = || {
        // What the hive has said is for who was allowed to ask.
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        options?.write_all(&file)
    };
    write().map_err(|e| Trouble::failed(format!("{}: {e}", path.display())))?;
    if !is_all {
        out.note(&format!("{}: the recording ends at {TRACE_BYTES} bytes", path.display()))?;
    }
    Ok(())
}

/// Plays a recording; what the client says is printed.
pub(crate) fn replay(path: &Path, out: &mut Out) -> Result<(), Trouble> {
    let said = |what: &dyn std::fmt::Display| Trouble::failed(format!("{}: {what}", path.display()));
    let file = fs::read(path).map_err(|e| said(&e))?;
    let mut printer = Printer::new(out);
    let played = talk::replay(&file, &mut |line| printer.line(line));
    printer.done?;
    played.map_err(|e| said(&e))
}
