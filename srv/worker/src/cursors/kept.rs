//! The cursors' file.

use super::Cursors;
use ninep::refusal::{Refusal, Word};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Cursors {
    /// Those of `dir/cursors`, and how many lines there were not readable. A last line that was torn is
    /// none: nobody was told that it was taken.
    pub fn open(dir: &Path) -> io::Result<(Cursors, usize)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join("cursors");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut cursors = Cursors::new();
        let unread = cursors.take(&String::from_utf8_lossy(&text[..whole]));
        let (live, lines) = cursors.text();
        cursors.kept = Some(write(path, &live, lines)?);
        Ok((cursors, unread))
    }
}

impl Kept {
    pub(super) fn sync(&self) -> Result<(), Refusal> {
        self.file.sync_data().map_err(|error| failed(&error))
    }

    pub(super) fn push(&mut self, line: &str) -> Result<(), Refusal> {
        self.file.write_all(line.as_bytes()).map_err(|error| failed(&error))?;
        self.lines += 1;
        Ok(())
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// The file with `text`, and nothing else.
    pub(super) fn rewritten(&self, text: &str, lines: usize) -> Result<Kept, Refusal> {
        write(self.path.clone(), text, lines).map_err(|error| failed(&error))
    }
}

fn write(path: PathBuf, text: &str, lines: usize) -> io::Result<Kept> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&new, &path)?;
    Ok(Kept { path, file, lines })
}

fn failed(error: &io::Error) -> Refusal {
    Refusal::new(Word::Busy, format!("the cursors' file: {error}; is the data directory's disk full?"))
}
