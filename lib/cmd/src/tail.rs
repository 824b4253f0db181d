//! The last lines of files, and what is added to them: the loop behind cohtail and cohlog.

use crate::hive::{Access, File, Hive};
use crate::run::Out;
use crate::trouble::Trouble;
use ninep::refusal::Word;
use std::collections::VecDeque;
use std::time::Duration;

/// What to show of each file.
#[derive(Debug, Clone, Copy)]
pub struct Follow {
    /// How many of the last lines; None for all.
    pub lines: Option<usize>,
    /// Whether to go on, and how often to look.
    pub every: Option<Duration>,
}

/// Keeps the last lines of what passes through.
#[derive(Debug, Default)]
pub struct LastLines {
    limit: Option<usize>,
    lines: VecDeque<Vec<u8>>,
}

impl LastLines {
    /// Keeps `limit` lines, or all.
    pub fn new(limit: Option<usize>) -> Self {
        LastLines { limit, lines: VecDeque::new() }
    }

    /// Takes the next bytes, which may end in the middle of a line.
    pub fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            match self.lines.back_mut() {
                Some(last) if last.last() != Some(&b'\n') => last.extend_from_slice(piece),
                _ => self.lines.push_back(piece.to_vec()),
            }
            if self.limit.is_some_and(|limit| self.lines.len() > limit) {
                self.lines.pop_front();
            }
        }
    }

    /// The lines that are kept.
    pub fn take(&mut self) -> Vec<u8> {
        self.lines.drain(..).flatten().collect()
    }
}

/// What is known of one file that is followed.
struct Source {
    path: String,
    state: State,
    /// The last whole line that was shown, to find the place again after its server has come back.
    last_line: Vec<u8>,
    is_lapped: bool,
}

enum State {
    New,
    Open(File),
    /// Gone with its server or its session; looked for again at each turn.
    Lost,
    /// Not there any more; said once.
    Gone,
}

/// What one look at a file gave.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// These bytes, maybe none.
    Bytes(Vec<u8>),
    /// Something to tell the user about; the file is looked at again unless it has vanished.
    Trouble(Trouble),
}

impl Source {
    /// A file to show.
    fn new(path: &str) -> Self {
        Source { path: path.to_owned(), state: State::New, last_line: Vec::new(), is_lapped: false }
    }

    /// May there be more to come?
    fn is_live(&self) -> bool {
        !matches!(self.state, State::Gone)
    }

    /// The first look: opens the file and gives its last lines.
    fn first(&mut self, hive: &mut Hive, lines: Option<usize>) -> Look {
        let mut last = LastLines::new(lines);
        loop {
            match self.next(hive) {
                Look::Bytes(bytes) if bytes.is_empty() => break,
                Look::Bytes(bytes) => last.feed(&bytes),
                Look::Trouble(trouble) if self.is_lapped => {
                    // What was left behind would not have been among the last lines.
                    let _ = trouble;
                }
                Look::Trouble(trouble) => return Look::Trouble(trouble),
            }
        }
        Look::Bytes(last.take())
    }

    /// Opens the file if need be and gives what has been added.
    fn next(&mut self, hive: &mut Hive) -> Look {
        let was_lost = matches!(self.state, State::Lost);
        if matches!(self.state, State::New | State::Lost) {
            match hive.open(&self.path, Access::Read) {
                Ok(file) => self.state = State::Open(file),
                Err(trouble) => {
                    let may_return = was_lost && is_passing(&trouble);
                    self.state = if may_return { State::Lost } else { State::Gone };
                    return if may_return { Look::Bytes(Vec::new()) } else { Look::Trouble(trouble) };
                }
            }
        }
        let State::Open(file) = &mut self.state else { return Look::Bytes(Vec::new()) };
        let mut bytes = Vec::new();
        loop {
            let mut piece = Vec::new();
            match hive.read(file, &mut piece) {
                Ok(()) if piece.is_empty() => break,
                Ok(()) => {
                    self.is_lapped = false;
                    bytes.extend_from_slice(&piece);
                    // A finite step even where a writer is as fast as we are.
                    if !was_lost && bytes.len() >= 1 << 20 {
                        break;
                    }
                }
                Err(_) if !bytes.is_empty() => break,
                Err(trouble) if trouble.word() == Some(Word::Revoked) && !self.is_lapped => {
                    // The ring has gone past us, and says so once: reading goes on.
                    self.is_lapped = true;
                    return Look::Trouble(trouble);
                }
                Err(trouble) => {
                    self.is_lapped = false;
                    self.state = if is_passing(&trouble) { State::Lost } else { State::Gone };
                    return Look::Trouble(trouble);
                }
            }
        }
        if was_lost {
            bytes = after_line(bytes, &self.last_line);
        }
        remember_last_line(&bytes, &mut self.last_line);
        Look::Bytes(bytes)
    }
}

/// May the file come back? Its server is being restarted, or the session's mount reconnects.
fn is_passing(trouble: &Trouble) -> bool {
    matches!(trouble.word(), Some(Word::Busy | Word::Closed | Word::Revoked | Word::Cut))
}

/// What follows `line` in `bytes`, where it occurs; all of it where it does not.
fn after_line(bytes: Vec<u8>, line: &[u8]) -> Vec<u8> {
    if line.is_empty() {
        return bytes;
    }
    let mut end = 0;
    let mut found = 0;
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        end += piece.len();
        if piece == line {
            found = end;
        }
    }
    bytes[found..].to_vec()
}

fn remember_last_line(bytes: &[u8], line: &mut Vec<u8>) {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    if let Some(last) = bytes[..whole].split_inclusive(|b| *b == b'\n').next_back() {
        *line = last.to_vec();
    }
}

/// Shows the last lines of files and follows them. Each is named where there are several. What is
/// wrong with one is said once, and the others go on.
pub fn tail(hive: &mut Hive, paths: &[String], follow: Follow, out: &mut Out) -> Result<(), Trouble> {
    let mut sources: Vec<Source> = paths.iter().map(|path| Source::new(path)).collect();
    let mut shown: Option<usize> = None;
    let mut show = |i: usize, bytes: &[u8], out: &mut Out| -> Result<(), Trouble> {
        if paths.len() > 1 && shown != Some(i) {
            let gap = if shown.is_some() { "\n" } else { "" };
            out.line(format!("{gap}==> {} <==", paths[i]))?;
        }
        shown = Some(i);
        out.bytes(bytes)
    };
    for (i, source) in sources.iter_mut().enumerate() {
        match source.first(hive, follow.lines) {
            Look::Bytes(bytes) => show(i, &bytes, out)?,
            Look::Trouble(trouble) => out.complain(trouble)?,
        }
    }
    out.flush()?;
    let Some(every) = follow.every else { return Ok(()) };
    while sources.iter().any(Source::is_live) {
        std::thread::sleep(every);
        for (i, source) in sources.iter_mut().enumerate().filter(|(_, source)| source.is_live()) {
            match source.next(hive) {
                Look::Bytes(bytes) if bytes.is_empty() => {}
                Look::Bytes(bytes) => show(i, &bytes, out)?,
                Look::Trouble(trouble) => out.complain(trouble)?,
            }
        }
        out.flush()?;
    }
    Ok(())
}

/// Hands over a stream's whole lines, without their newlines, from its beginning; with `every`, also those
/// that are added. What is wrong is said, and goes on where it can.
pub fn lines(
    hive: &mut Hive,
    path: &str,
    every: Option<Duration>,
    out: &mut Out,
    mut each: impl FnMut(&[u8], &mut Out) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut source = Source::new(path);
    let mut part = Vec::new();
    while source.is_live() {
        match source.next(hive) {
            Look::Bytes(bytes) if bytes.is_empty() => {
                out.flush()?;
                let Some(every) = every else { break };
                std::thread::sleep(every);
            }
            Look::Bytes(bytes) => {
                for piece in bytes.split_inclusive(|b| *b == b'\n') {
                    part.extend_from_slice(piece);
                    if let Some(line) = part.strip_suffix(b"\n") {
                        each(line, out)?;
                        part.clear();
                    }
                }
            }
            Look::Trouble(trouble) => {
                part.clear();
                out.complain(trouble)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HiveArgs;
    use std::fs;
    use std::io::Write;

    #[test]
    fn the_last_lines_are_whole_however_they_arrive() {
        let mut last = LastLines::new(Some(2));
        for piece in ["a\nb", "c\nd\n", "", "e"] {
            last.feed(piece.as_bytes());
        }
        assert_eq!(last.take(), b"d\ne");
        let mut none = LastLines::new(Some(0));
        none.feed(b"a\nb\n");
        assert_eq!(none.take(), b"");
    }

    #[test]
    fn a_file_that_came_back_goes_on_behind_the_last_line_shown() {
        assert_eq!(after_line(b"a\nb\nc\n".to_vec(), b"b\n"), b"c\n");
        assert_eq!(after_line(b"x\ny\n".to_vec(), b"b\n"), b"x\ny\n");
        assert_eq!(after_line(b"x\n".to_vec(), b""), b"x\n");
    }

    #[test]
    fn what_is_added_to_a_file_is_seen_on_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let mut hive = HiveArgs { ns: Some(dir.path().into()), ..HiveArgs::default() }.find().unwrap();
        let mut source = Source::new("/log");
        assert_eq!(source.first(&mut hive, Some(2)), Look::Bytes(b"two\nthree\n".to_vec()));
        assert_eq!(source.next(&mut hive), Look::Bytes(vec![]));
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"four\n").unwrap();
        assert_eq!(source.next(&mut hive), Look::Bytes(b"four\n".to_vec()));
        assert_eq!(source.last_line, b"four\n");
    }

    #[test]
    fn a_file_that_is_not_there_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut hive = HiveArgs { ns: Some(dir.path().into()), ..HiveArgs::default() }.find().unwrap();
        let mut source = Source::new("/none");
        assert!(matches!(source.first(&mut hive, None), Look::Trouble(_)));
        assert!(!source.is_live());
    }
}
