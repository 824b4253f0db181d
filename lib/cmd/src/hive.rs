//! A session with a hive: the same operations and the same answers, whether over a mount or a door.

use crate::door::{Door, Fid};
use crate::enter::Entered;
use crate::mount::Mount;
use crate::path::{clean, join};
use crate::policy::Policy;
use crate::run::Out;
use crate::trouble::{Errstr, Trouble};
use ninep::refusal::Word;
use std::fs;
use std::time::{Duration, Instant};

/// The longest line that one write carries: msize 8192 less Twrite's 23 bytes.
pub const LINE_MAX: usize = 8192 - 23;
/// Bytes that one read asks for: msize less Rread's 11.
const READ_MAX: usize = 8192 - 11;

/// A session.
pub struct Hive {
    back: Back,
    policy: Policy,
    /// Is there a hive, in whose time we wait? A recording's is over.
    is_live: bool,
}

enum Back {
    Mount(Mount),
    Door(Box<Door>),
}

/// What an open file may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Both.
    ReadWrite,
}

/// An open file; it goes back through [`Hive::close`].
pub struct File {
    path: String,
    offset: u64,
    has_more: bool,
    handle: Handle,
}

enum Handle {
    Mount(fs::File),
    Door(Fid),
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Is it a directory?
    pub is_dir: bool,
}

/// What there is to know of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Type and permission bits, as in stat(2).
    pub mode: u32,
    /// Bytes that an open now would give to read.
    pub size: u64,
    /// The qid's path: unique in the session. On mounts that do not tell it, the inode.
    pub qid_path: u64,
    /// The qid's type, where it is told.
    pub qid_kind: Option<u8>,
}

/// What kind of file (spec 1.3), as far as can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Dir,
    /// A control file.
    Ctl,
    /// Append-only.
    Append,
    /// A text that is read.
    Text,
    /// A small value that is read and replaced.
    Value,
}

impl Stat {
    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// The kind of node. The protocol does not say it outright: a control file is called `ctl` or is
    /// for one user alone, what anyone may add to (0622) and what the qid calls append-only is a stream.
    pub fn kind(&self, path: &str) -> NodeKind {
        let appends = self.qid_kind.is_some_and(|kind| kind & ninep::wire::QTAPPEND != 0);
        let is_ctl_name = path.rsplit('/').next() == Some("ctl");
        match self.mode & 0o777 {
            _ if self.is_dir() => NodeKind::Dir,
            _ if is_ctl_name => NodeKind::Ctl,
            0o600 => NodeKind::Ctl,
            0o622 => NodeKind::Append,
            _ if appends => NodeKind::Append,
            bits if bits & 0o222 == 0 => NodeKind::Text,
            _ if self.qid_kind.is_some() => NodeKind::Value,
            _ if path.ends_with(".log") || path.ends_with("/telemetry") => NodeKind::Append,
            _ => NodeKind::Value,
        }
    }
}

impl NodeKind {
    /// The kind in lower case.
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::Dir => "dir",
            NodeKind::Ctl => "ctl",
            NodeKind::Append => "append",
            NodeKind::Text => "text",
            NodeKind::Value => "value",
        }
    }
}

impl File {
    /// Its path in the hive.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Puts the next read and write at `offset`.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }
}

impl Hive {
    pub(crate) fn on_mount(mount: Mount) -> Result<Self, Trouble> {
        let policy = Policy::of_mount()?;
        if policy.is_of_a_hive() {
            // What the mount's role does not see is not known.
            policy.check(&mount.place(), &mount.version().unwrap_or_default())?;
        }
        Ok(Hive { back: Back::Mount(mount), policy, is_live: true })
    }

    pub(crate) fn at_door(entered: Entered) -> Self {
        let Entered { conn, place, role, policy, is_played } = entered;
        let door = Door::new(conn, place, role);
        Hive { back: Back::Door(Box::new(door)), policy, is_live: !is_played }
    }

    /// What the hive asks of its clients.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Does what is safe to repeat, again after a wait where its server is saturated or being restarted.
    fn patiently<T>(&mut self, mut ask: impl FnMut(&mut Back) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut waits = self.policy.waits();
        loop {
            let done = ask(&mut self.back);
            match (&done, waits.next()) {
                (Err(trouble), Some(wait)) if trouble.word() == Some(Word::Busy) => {
                    if self.is_live {
                        std::thread::sleep(wait);
                    }
                }
                _ => return done.map_err(|trouble| self.explain(trouble)),
            }
        }
    }

    /// Does the session end with this command? On a mount it does not.
    pub fn is_own_session(&self) -> bool {
        matches!(self.back, Back::Door(_))
    }

    /// How people would name this hive: the mount's directory or the door's address.
    pub fn place(&self) -> String {
        match &self.back {
            Back::Mount(mount) => mount.place(),
            Back::Door(door) => door.place().to_owned(),
        }
    }

    /// Mode, size and qid.
    pub fn stat(&mut self, path: &str) -> Result<Stat, Trouble> {
        let path = clean(path)?;
        self.patiently(|back| match back {
            Back::Mount(mount) => mount.stat(&path),
            Back::Door(door) => door.stat(&path),
        })
    }

    /// A directory's entries, sorted.
    pub fn list(&mut self, path: &str) -> Result<Vec<Entry>, Trouble> {
        let path = clean(path)?;
        let mut entries = self.patiently(|back| match back {
            Back::Mount(mount) => mount.list(&path),
            Back::Door(door) => door.list(&path),
        })?;
        entries.sort();
        Ok(entries)
    }

    /// [`Hive::stat`] of several entries of a directory, in their order. One that has gone meanwhile is
    /// an error of its own.
    pub fn stat_each(&mut self, dir: &str, entries: &[Entry]) -> Result<Vec<Result<Stat, Trouble>>, Trouble> {
        let dir = clean(dir)?;
        let paths: Vec<String> = entries.iter().map(|e| join(&dir, &e.name)).collect();
        Ok(match &mut self.back {
            Back::Mount(mount) => paths.iter().map(|path| mount.stat(path)).collect(),
            Back::Door(door) => door.stat_each(&paths)?,
        })
    }

    /// Opens a file.
    pub fn open(&mut self, path: &str, access: Access) -> Result<File, Trouble> {
        let path = clean(path)?;
        // Nothing happens by an open alone.
        let handle = self.patiently(|back| match back {
            Back::Mount(mount) => mount.open(&path, access).map(Handle::Mount),
            Back::Door(door) => door.open(&path, access).map(Handle::Door),
        })?;
        Ok(File { path, offset: 0, has_more: false, handle })
    }

    /// Reads what comes next into `buf`, emptied first; nothing at the end of the file.
    pub fn read(&mut self, file: &mut File, buf: &mut Vec<u8>) -> Result<(), Trouble> {
        buf.clear();
        let File { path, offset, has_more, handle } = file;
        // One read shows whether there is much; if so the next asks for a window of them.
        let window = if *has_more { 16 } else { 1 };
        self.patiently(|back| match (back, &mut *handle) {
            (Back::Mount(mount), Handle::Mount(open)) => mount.read(path, open, *offset, READ_MAX, buf),
            (Back::Door(door), Handle::Door(fid)) => {
                door.read(path, fid, *offset, READ_MAX as u32, window, buf)
            }
            _ => Err(Trouble::refused(path.clone(), Word::Closed, "")),
        })?;
        file.has_more = buf.len() >= READ_MAX;
        file.offset += buf.len() as u64;
        Ok(())
    }

    /// Writes `data`, at most [`LINE_MAX`] bytes, in one piece.
    pub fn write(&mut self, file: &mut File, data: &[u8]) -> Result<(), Trouble> {
        if data.len() > LINE_MAX {
            let detail = format!("{} bytes in one write; {LINE_MAX} fit", data.len());
            return Err(Trouble::refused(&file.path, Word::TooBig, detail));
        }
        let File { path, offset, handle, .. } = file;
        let written = match (&mut self.back, handle) {
            (Back::Mount(mount), Handle::Mount(open)) => mount.write(path, open, *offset, data),
            (Back::Door(door), Handle::Door(fid)) => door.write(path, fid, data),
            _ => Err(Trouble::refused(path.clone(), Word::Closed, "")),
        };
        written.map_err(|trouble| self.explain(trouble))?;
        file.offset += data.len() as u64;
        Ok(())
    }

    /// Waits until what was written to the open file is durable.
    pub fn sync(&mut self, file: &mut File) -> Result<(), Trouble> {
        let synced = match (&mut self.back, &mut file.handle) {
            (Back::Mount(mount), Handle::Mount(open)) => mount.sync(&file.path, open),
            (Back::Door(door), Handle::Door(fid)) => door.sync(&file.path, fid),
            _ => Err(Trouble::refused(&file.path, Word::Closed, "")),
        };
        synced.map_err(|trouble| self.explain(trouble))
    }

    /// How many bytes the open file has to read.
    pub fn size(&mut self, file: &mut File) -> Result<u64, Trouble> {
        let size = match (&mut self.back, &mut file.handle) {
            (Back::Mount(mount), Handle::Mount(open)) => mount.size(&file.path, open),
            (Back::Door(door), Handle::Door(fid)) => door.size(&file.path, fid),
            _ => Err(Trouble::refused(&file.path, Word::Closed, "")),
        };
        size.map_err(|trouble| self.explain(trouble))
    }

    /// Closes an open file.
    pub fn close(&mut self, file: File) {
        if let (Back::Door(door), Handle::Door(fid)) = (&mut self.back, file.handle) {
            door.close(fid);
        }
    }

    /// Asks `count` times for a file's attributes and tells how long each answer took. At a door this is
    /// one message each way; on a mount, one lookup by the kernel.
    pub fn ping(&mut self, path: &str, count: u32, mut each: impl FnMut(Duration)) -> Result<(), Trouble> {
        let path = clean(path)?;
        let done = match &mut self.back {
            Back::Mount(mount) => (0..count).try_for_each(|_| {
                let start = Instant::now();
                mount.stat(&path)?;
                each(start.elapsed());
                Ok(())
            }),
            Back::Door(door) => door.ping(&path, count, &mut each),
        };
        done.map_err(|trouble| self.explain(trouble))
    }

    /// Hands a whole file over, piece by piece as it arrives.
    pub fn copy(
        &mut self,
        path: &str,
        mut sink: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut file = self.open(path, Access::Read)?;
        let mut buf = Vec::new();
        let done = loop {
            match self.read(&mut file, &mut buf) {
                Ok(()) if buf.is_empty() => break Ok(()),
                Ok(()) => {
                    if let Err(trouble) = sink(&buf) {
                        break Err(trouble);
                    }
                }
                Err(trouble) => break Err(trouble),
            }
        };
        self.close(file);
        done
    }

    /// A whole file as text.
    pub fn text(&mut self, path: &str) -> Result<String, Trouble> {
        let mut bytes = Vec::new();
        self.copy(path, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        String::from_utf8(bytes).map_err(|_| Trouble::failed(format!("{path}: not UTF-8")))
    }

    /// Gives commands to a control file, one after the other, and prints what it acknowledges. One that is
    /// refused is complained of, and the next is tried.
    pub fn order(&mut self, path: &str, lines: &[String], out: &mut Out) -> Result<(), Trouble> {
        for line in lines {
            let line = std::iter::once(Ok(line.clone()));
            if let Err(trouble) = self.write_lines(path, line, |ack| out.line(ack)) {
                out.complain(trouble)?;
            }
        }
        Ok(())
    }

    /// Writes lines to a file, each in a write of its own and with its newline added. `acks` gets the
    /// acknowledgements of a control file, also of the lines before one that failed.
    pub fn write_lines(
        &mut self,
        path: &str,
        lines: impl Iterator<Item = Result<String, Trouble>>,
        mut ack: impl FnMut(&str) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut file = match self.open(path, Access::ReadWrite) {
            // A ticket may allow writing alone; there are no acknowledgements to be had then.
            Err(trouble) if trouble.word() == Some(Word::Permission) => self.open(path, Access::Write)?,
            opened => opened?,
        };
        let size_before = self.size(&mut file).unwrap_or(0);
        let mut kind = None;
        let mut read_to = 0;
        let mut done = Ok(());
        for (i, line) in lines.enumerate() {
            let written = line.and_then(|mut line| {
                let is_repeatable = has_idempotency_key(&line);
                line.push('\n');
                self.write_line(&mut file, line.as_bytes(), is_repeatable)
            });
            if written.is_err() {
                done = if i > 0 { written.map_err(|trouble| number(trouble, i + 1)) } else { written };
                break;
            }
            // A stream has grown; what was written to and is empty is a control file, whose replies are
            // read; a value stays as this open has seen it.
            let size = self.size(&mut file).unwrap_or(size_before);
            let kind = *kind.get_or_insert(match size {
                0 => NodeKind::Ctl,
                _ if size > size_before => NodeKind::Append,
                _ => NodeKind::Value,
            });
            file.seek(if kind == NodeKind::Append { size } else { 0 });
            if kind == NodeKind::Ctl {
                read_to = self.acknowledge(&mut file, read_to, &mut ack)?;
            }
        }
        self.close(file);
        done
    }

    /// A line that the hive knows again has no second effect, and is tried again like a read.
    fn write_line(&mut self, file: &mut File, line: &[u8], is_repeatable: bool) -> Result<(), Trouble> {
        let mut waits = self.policy.waits();
        loop {
            match (self.write(file, line), waits.next()) {
                (Err(trouble), Some(wait)) if is_repeatable && trouble.word() == Some(Word::Busy) => {
                    if self.is_live {
                        std::thread::sleep(wait);
                    }
                }
                (written, _) => return written,
            }
        }
    }

    fn acknowledge(
        &mut self,
        file: &mut File,
        from: u64,
        ack: &mut impl FnMut(&str) -> Result<(), Trouble>,
    ) -> Result<u64, Trouble> {
        let mut buf = Vec::new();
        file.seek(from);
        // A file that takes commands but no reads has none.
        if self.read(file, &mut buf).is_err() {
            buf.clear();
        }
        for line in String::from_utf8_lossy(&buf).lines() {
            ack(line)?;
        }
        let read_to = from + buf.len() as u64;
        file.seek(0);
        Ok(read_to)
    }

    /// Adds what the session's errstr says about a refusal.
    fn explain(&mut self, trouble: Trouble) -> Trouble {
        let (Back::Mount(mount), Trouble::Refused { path, word, .. }) = (&mut self.back, &trouble) else {
            return trouble;
        };
        let Some(text) = mount.errstr() else { return trouble };
        match Errstr::parse(&text).and_then(|errstr| errstr.detail_for(path, *word)) {
            Some(detail) => Trouble::refused(path.clone(), *word, detail),
            None => trouble,
        }
    }
}

/// Is it a command in an envelope with an id and a key of its own (spec 4.1)?
fn has_idempotency_key(line: &str) -> bool {
    let names = |key: &str| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|v| v[key].is_string());
    line.contains("idempotency_key") && names("id") && names("idempotency_key")
}

/// Says which of several lines it was.
fn number(trouble: Trouble, line: usize) -> Trouble {
    match trouble {
        Trouble::Refused { path, word, detail } => {
            Trouble::Refused { path, word, detail: format!("line {line}: {detail}") }
        }
        other => other,
    }
}
