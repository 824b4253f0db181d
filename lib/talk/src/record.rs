//! Conversations in files of trace(5).

use crate::trace_end::TraceEnd;
use crate::{Sink, Talk, TalkError};
use cohcmd::{Out, Trouble};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use trace::file::TRACE_MAX;

/// The file that a conversation goes into.
pub struct Recording {
    file: File,
    path: PathBuf,
    /// Of the hive's manifest.
    pub(crate) manifest: String,
}

fn said(path: &Path, what: impl std::fmt::Display) -> Trouble {
    Trouble::failed(format!("{}: {what}", path.display()))
}

impl Recording {
    /// Makes the file at once: one that cannot be written is told before anything happens.
    pub(crate) fn new(path: &Path) -> Result<Recording, Trouble> {
        // What the hive has said is for who was allowed to ask.
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        Ok(Recording {
            file: options.map_err(|e| said(path, e))?,
            path: path.to_owned(),
            manifest: String::new(),
        })
    }

    /// Writes what was recorded.
    pub fn keep(mut self, talk: &Talk, out: &mut Out) -> Result<(), Trouble> {
        let Some((file, is_all)) = talk.trace(&self.manifest) else { return Ok(()) };
        self.file.write_all(&file).map_err(|e| said(&self.path, e))?;
        if !is_all {
            out.note(&format!("{}: the recording ends at its bound", self.path.display()))?;
        }
        Ok(())
    }
}

/// Reads a recording.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| said(path, e))?;
    // One byte more than there may be: then it is refused.
    file.take(TRACE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| said(path, e))?;
    Ok(bytes)
}

/// Plays a recording; what the client says is handed over. A file that is not whole is refused before
/// anything is played.
pub fn replay(path: &Path, each: Sink) -> Result<(), Trouble> {
    let file = read(path)?;
    TraceEnd::new(&file).and_then(|end| end.play(each)).map_err(|error: TalkError| said(path, error))
}
