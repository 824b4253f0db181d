//! What an open fid remembers, per kind of file: the snapshot, the base of a stream, the acknowledgements.

use super::service::Now;
use super::tree::{At, Call, Kind, Token, Tree, Who};
use crate::refusal::{Refusal, Word};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use hashbrown::HashMap;

/// A fid: a place in the tree, whose it is, and what its open remembers.
pub(super) struct Fid {
    pub(super) at: At,
    pub(super) who: Rc<Who>,
    pub(super) open: Option<Open>,
}

pub(super) struct Open {
    can_read: bool,
    can_write: bool,
    view: View,
}

/// The part that differs by kind of file.
enum View {
    Dir(Option<Vec<(Box<str>, At)>>),
    /// Text and Value: what the file said when it was opened.
    Snapshot(Vec<u8>),
    /// Offsets count from `base`, the oldest offset retained at the open; `end` was the end then.
    Stream {
        base: u64,
        end: u64,
        has_written: bool,
        /// The refusal of the first read.
        passed: Option<Box<Refusal>>,
    },
    /// `last` is what a reader sees before it has written; `acks` what it has been answered since.
    Ctl {
        last: String,
        acks: String,
        written: u64,
    },
    Blob,
}

/// Linux's open flags, as 9P2000.L carries them (octal in fcntl.h).
mod flag {
    pub(super) const ACCESS: u32 = 3;
    pub(super) const EXCL: u32 = 0o200;
    pub(super) const CREAT: u32 = 0o100;
    pub(super) const TRUNC: u32 = 0o1000;
    pub(super) const DIRECTORY: u32 = 0o200_000;
}

fn call<'w>(at: At, who: &'w Who, now: Now) -> Call<'w> {
    Call { key: at.key, who, now, token: Token::default() }
}

impl Open {
    pub(super) fn new<S>(
        tree: &mut Tree<S>,
        at: At,
        who: &Who,
        flags: u32,
        acks: &HashMap<(u16, u64), String>,
        now: Now,
    ) -> Result<Open, Refusal> {
        let (can_read, can_write) = match flags & flag::ACCESS {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => return Err(Refusal::new(Word::Invalid, "no such access mode")),
        };
        let call = call(at, who, now);
        let (file, state) = tree.file_and_state(at);
        if can_write && file.mode & 0o222 == 0 {
            return Err(Refusal::new(Word::Permission, "the file is read-only"));
        }
        if flags & (flag::CREAT | flag::EXCL) == flag::CREAT | flag::EXCL {
            return Err(Refusal::new(Word::Permission, "the file is there"));
        }
        let is_dir = matches!(file.kind, Kind::Dir { .. });
        if flags & flag::DIRECTORY != 0 && !is_dir {
            return Err(Refusal::new(Word::Invalid, "not a directory"));
        }
        let truncates = flags & flag::TRUNC != 0;
        let view = match &file.kind {
            Kind::Dir { .. } if can_write => {
                return Err(Refusal::new(Word::Permission, "a directory is not written"));
            }
            Kind::Dir { .. } => View::Dir(None),
            Kind::Text(_) if truncates => {
                return Err(Refusal::new(Word::Permission, "the file is read-only"));
            }
            Kind::Text(render) | Kind::Value { get: render, .. } => {
                let mut text = String::new();
                render(state, &call, &mut text)?;
                View::Snapshot(text.into_bytes())
            }
            Kind::Append { .. } if truncates => {
                return Err(Refusal::new(Word::Permission, "append-only: it cannot be truncated"));
            }
            Kind::Append { view, start, .. } => {
                let start = start.as_ref().filter(|_| can_read);
                let start = start.map(|start| start(state, &call)).transpose()?;
                let stream = view(state, &call)?;
                let (base, end) = (start.as_ref().map_or(stream.base(), |start| start.at), stream.end());
                let passed = start.and_then(|start| start.passed).map(Box::new);
                View::Stream { base, end, has_written: false, passed }
            }
            Kind::Ctl { .. } | Kind::Orders { .. } => {
                let last = acks.get(&(at.node, at.key)).filter(|_| can_read).cloned().unwrap_or_default();
                View::Ctl { last, acks: String::new(), written: 0 }
            }
            Kind::Blob(_) => View::Blob,
        };
        Ok(Open { can_read, can_write, view })
    }

    pub(super) fn read<S>(
        &mut self,
        tree: &mut Tree<S>,
        at: At,
        who: &Who,
        offset: u64,
        out: &mut [u8],
        now: Now,
    ) -> Result<usize, Refusal> {
        if !self.can_read {
            return Err(Refusal::new(Word::Permission, "the fid is not open for reading"));
        }
        let (file, state) = tree.file_and_state(at);
        match (&mut self.view, &file.kind) {
            (View::Dir(_), _) => Err(Refusal::new(Word::Invalid, "a directory is read with Treaddir")),
            (View::Snapshot(bytes), _) => Ok(copy(bytes, offset, out)),
            (View::Ctl { last, acks, written }, _) => {
                Ok(copy(if *written == 0 { last } else { acks }.as_bytes(), offset, out))
            }
            (View::Stream { base, passed, .. }, Kind::Append { view, .. }) => {
                let stream = view(state, &call(at, who, now))?;
                if let Some(refusal) = passed.take() {
                    // What the stream has dropped since the open is part of what this refusal tells.
                    if base.wrapping_add(offset) < stream.base() {
                        *base = stream.base().wrapping_sub(offset);
                    }
                    return Err(*refusal);
                }
                let from = base.wrapping_add(offset);
                if from >= stream.end() || offset > u64::MAX / 2 {
                    return Ok(0);
                }
                stream.read(from, out).map_err(|lapped| {
                    // Said once: from here on this offset means the first record that is retained.
                    *base = lapped.first.wrapping_sub(offset);
                    Refusal::new(Word::Revoked, alloc::format!("first={} is retained", lapped.first))
                })
            }
            (View::Blob, Kind::Blob(blob)) => blob.read(state, &call(at, who, now), offset, out),
            _ => Err(Word::Invalid.into()),
        }
    }

    pub(super) fn write<S>(
        &mut self,
        tree: &mut Tree<S>,
        at: At,
        who: &Who,
        offset: u64,
        data: &[u8],
        now: Now,
    ) -> Result<(), Refusal> {
        if !self.can_write {
            return Err(Refusal::new(Word::Permission, "the fid is not open for writing"));
        }
        let call = call(at, who, now);
        let (file, state) = tree.file_and_state(at);
        match (&mut self.view, &file.kind) {
            (View::Snapshot(snapshot), Kind::Value { set, .. }) => {
                if offset > snapshot.len() as u64 && offset != u64::MAX {
                    return Err(Refusal::new(Word::Invalid, "a value is written whole, at 0"));
                }
                let text = core::str::from_utf8(data)
                    .map_err(|_| Refusal::new(Word::Invalid, "the value is not UTF-8"))?;
                set(state, &call, text.trim_end_matches('\n'))
            }
            (View::Stream { base, end, has_written, .. }, Kind::Append { view, write, .. }) => {
                let stream = view(state, &call)?;
                let is_first = offset == 0 && !*has_written;
                let (oldest, newest) = (end.wrapping_sub(*base), stream.end().wrapping_sub(*base));
                if offset != u64::MAX && !is_first && !(oldest..=newest).contains(&offset) {
                    let at = alloc::format!("a write at {offset}; this file only grows, at {newest}");
                    return Err(Refusal::new(Word::Invalid, at));
                }
                match write {
                    Some(write) => write(state, &call, data)?,
                    None => stream
                        .append(data)
                        .map_err(|_| Refusal::new(Word::TooBig, "the record does not fit the ring"))?,
                }
                *has_written = true;
                Ok(())
            }
            (View::Blob, Kind::Blob(blob)) => {
                let have = blob.len(state, &call)?;
                if offset != have && offset != u64::MAX {
                    return Err(Refusal::new(Word::Invalid, alloc::format!("the next byte is {have}")));
                }
                blob.write(state, &call, data)
            }
            _ => Err(Word::Invalid.into()),
        }
    }

    /// A ctl takes a write wherever a shell or a kernel says its end is, but not beyond what was written.
    pub(super) fn may_write_ctl(&mut self, offset: u64, len: usize) -> Result<(), Refusal> {
        let View::Ctl { written, .. } = &mut self.view else { return Err(Word::Invalid.into()) };
        if !self.can_write {
            return Err(Refusal::new(Word::Permission, "the fid is not open for writing"));
        }
        if offset != u64::MAX && offset > *written {
            return Err(Refusal::new(Word::Invalid, alloc::format!("a write at {offset} of a control file")));
        }
        *written = written.saturating_add(len as u64);
        Ok(())
    }

    pub(super) fn push_ack(&mut self, ack: &str, max: usize) {
        if let View::Ctl { acks, .. } = &mut self.view
            && self.can_read
        {
            push_bounded(acks, ack, max);
        }
    }

    /// The directory's entries, fixed when it is read from its beginning.
    pub(super) fn entries<S>(
        &mut self,
        tree: &Tree<S>,
        at: At,
        is_start: bool,
    ) -> Result<&[(Box<str>, At)], Refusal> {
        let View::Dir(entries) = &mut self.view else {
            return Err(Refusal::new(Word::Invalid, "not a directory"));
        };
        if is_start {
            *entries = None;
        }
        Ok(entries.get_or_insert_with(|| tree.list(at)))
    }

    pub(super) fn size<S>(&self, tree: &mut Tree<S>, at: At, who: &Who, now: Now) -> Result<u64, Refusal> {
        match &self.view {
            View::Snapshot(bytes) => Ok(bytes.len() as u64),
            View::Stream { base, .. } => {
                let (file, state) = tree.file_and_state(at);
                let Kind::Append { view, .. } = &file.kind else { return Ok(0) };
                Ok(view(state, &call(at, who, now))?.end().wrapping_sub(*base))
            }
            _ => size(tree, at, who, now),
        }
    }
}

/// The size of a file that is not open: what an open now would give to read.
pub(super) fn size<S>(tree: &mut Tree<S>, at: At, who: &Who, now: Now) -> Result<u64, Refusal> {
    let call = call(at, who, now);
    let (file, state) = tree.file_and_state(at);
    match &file.kind {
        Kind::Dir { .. } | Kind::Ctl { .. } | Kind::Orders { .. } => Ok(0),
        Kind::Text(render) | Kind::Value { get: render, .. } => {
            let mut text = String::new();
            render(state, &call, &mut text)?;
            Ok(text.len() as u64)
        }
        Kind::Append { view, start, .. } => {
            let start = start.as_ref().map(|start| start(state, &call)).transpose()?;
            let stream = view(state, &call)?;
            Ok(stream.end().saturating_sub(start.map_or(stream.base(), |start| start.at)))
        }
        Kind::Blob(blob) => blob.len(state, &call),
    }
}

fn copy(bytes: &[u8], offset: u64, out: &mut [u8]) -> usize {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let n = out.len().min(bytes.len() - from);
    out[..n].copy_from_slice(&bytes[from..from + n]);
    n
}

/// Adds a line and drops whole lines from the front until at most `max` bytes are left.
pub(super) fn push_bounded(lines: &mut String, line: &str, max: usize) {
    lines.push_str(line);
    while lines.len() > max {
        let first = lines.find('\n').map_or(lines.len(), |i| i + 1);
        lines.drain(..first);
    }
}
