//! The mount table of one session: entries in order, one text arena, resolution by scanning.
//! Two dozen entries scan faster than any tree is followed, and a session's table stays below
//! a kilobyte.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::line::{Error, Quoted};
use crate::path::{Path, PathError, check_name};
use crate::template::{Template, Vars};

/// Most entries in a table.
pub const MAX_ENTRIES: usize = 64;
/// Most text in a table, bytes: servers, paths and specs together.
pub const MAX_TEXT: usize = 32 * 1024;
/// Longest name of a server, bytes.
const MAX_SERVER: usize = 32;

/// A session's name space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    text: String,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    at: u16,
    len: u16,
}

/// `old` and a bind's `from` are kept without the root's slash, so that `""` is the root and
/// prefixes on whole components are prefixes of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    ro: bool,
    bind: bool,
    server: Span,
    old: Span,
    from: Span,
}

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'t> {
    /// `mount [-r] SERVER OLD [SPEC]`
    Mount {
        /// Nothing below is writable.
        ro: bool,
        /// Whose tree.
        server: &'t str,
        /// Where it appears.
        old: &'t str,
        /// What of it, as the attach's aname; empty: all.
        spec: &'t str,
    },
    /// `bind [-r] NEW OLD`
    Bind {
        /// Nothing below is writable.
        ro: bool,
        /// The path that appears …
        new: &'t str,
        /// … here too.
        old: &'t str,
    },
}

impl<'t> Entry<'t> {
    fn old(&self) -> &'t str {
        match *self {
            Entry::Mount { old, .. } | Entry::Bind { old, .. } => old,
        }
    }
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved<'t> {
    /// A file of a server's tree, if the server has it.
    Mount(Place<'t>),
    /// A directory that exists only because something is mounted below it.
    Synthetic,
    /// Nothing is mounted there, above or below.
    NotFound,
}

/// A place in a server's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'t> {
    /// The mount's index: [`Table::entry`].
    pub entry: usize,
    /// Some entry on the way was `-r`.
    pub ro: bool,
    /// Something is mounted strictly below this path. When not, every longer path leads to the
    /// same entry with the further names appended: a walk can be handed on as it is. When so and
    /// the server has no such file, the path is a [`Resolved::Synthetic`] directory.
    pub below: bool,
    /// The names that a bind put before the rest, joined by `/`; mostly empty.
    pub lead: Cow<'t, str>,
    /// The rest of the resolved path is its components from here on.
    pub from: usize,
}

impl Place<'_> {
    /// What to walk in the server's tree, from the mount's spec on; at most 15 names. `path` is
    /// the path that was resolved.
    pub fn rest<'p, S: AsRef<str>>(&'p self, path: &'p [S]) -> impl Iterator<Item = &'p str> {
        let tail = path.get(self.from..).unwrap_or_default();
        self.lead.split('/').filter(|name| !name.is_empty()).chain(tail.iter().map(S::as_ref))
    }
}

/// Why an entry was not added. The table is as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A path is malformed.
    Path(String, PathError),
    /// A control character in a name: a table is text, one entry a line.
    Control(String),
    /// Not a server's name.
    Server(String),
    /// NEW leads nowhere.
    Nowhere(String),
    /// NEW and OLD, or what NEW stands for and OLD, lie within one another.
    Cycle(String, String),
    /// The table holds [`MAX_ENTRIES`], or [`MAX_TEXT`].
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Path(text, why) => write!(f, "{text:?}: {why}"),
            Refused::Control(text) => write!(f, "{text:?}: no control characters in a name space"),
            Refused::Server(text) => write!(f, "{text:?}: a server's name is 1..32 of a-z 0-9 -"),
            Refused::Nowhere(new) => write!(f, "{new}: nothing is mounted there"),
            Refused::Cycle(new, old) => write!(f, "{new} at {old}: one lies within the other"),
            Refused::Full => write!(f, "a name space has at most {MAX_ENTRIES} entries and {MAX_TEXT} bytes"),
        }
    }
}

impl core::error::Error for Refused {}

/// How an OLD lies to a path.
enum Relation<'t> {
    /// At or above it: `lead_at` bytes of the lead and `tail_at` names of the tail are used up.
    Covers { lead_at: usize, tail_at: usize },
    /// Strictly below it, by way of `next`.
    Below { next: &'t str },
    /// Neither.
    Apart,
}

/// Where `old` lies relative to the path `lead` + `tail`. Text, not components: `old` is cut at
/// slashes only where the other side has one, too.
fn relation<'t, S: AsRef<str>>(old: &'t str, lead: &str, tail: &[S]) -> Relation<'t> {
    let slash_at = |text: &str, at: usize| text.as_bytes().get(at) == Some(&b'/');
    // Most often the lead is empty. A memcmp of nothing at an empty str's dangling address costs
    // 100 ns on processors whose libc uses masked loads: the load's fault is suppressed, slowly.
    let begins = |text: &str, start: &str| start.is_empty() || text.starts_with(start);
    if old.len() <= lead.len() {
        let covers = begins(lead, old) && (old.len() == lead.len() || slash_at(lead, old.len()));
        return if covers { Relation::Covers { lead_at: old.len(), tail_at: 0 } } else { Relation::Apart };
    }
    if !begins(old, lead) || !slash_at(old, lead.len()) {
        return Relation::Apart;
    }
    let mut at = lead.len();
    for (i, name) in tail.iter().enumerate() {
        if at == old.len() {
            return Relation::Covers { lead_at: lead.len(), tail_at: i };
        }
        let (name, rest) = (name.as_ref(), &old[at + 1..]);
        if !rest.starts_with(name) || !(rest.len() == name.len() || slash_at(rest, name.len())) {
            return Relation::Apart;
        }
        at += 1 + name.len();
    }
    if at == old.len() {
        return Relation::Covers { lead_at: lead.len(), tail_at: tail.len() };
    }
    Relation::Below { next: old[at + 1..].split('/').next().unwrap_or_default() }
}

/// A path on its way through binds: `lead` is text of the table, the tail is the caller's path
/// from `from` on, and only entries before `limit` count, those that were there when the last
/// bind was made.
struct Way<'t> {
    lead: Cow<'t, str>,
    from: usize,
    limit: usize,
    ro: bool,
}

impl Table {
    /// A table from namespace text without includes, for the session that `vars` describe.
    pub fn parse(text: &str, vars: &Vars<'_>) -> Result<Table, Error> {
        Template::parse("ns", text)?.expand(vars)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none; then only the root exists.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The entry with that index, in the order of the text.
    pub fn entry(&self, index: usize) -> Option<Entry<'_>> {
        self.slots.get(index).map(|slot| self.read(slot))
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slots.iter().map(|slot| self.read(slot))
    }

    /// What the path with these components is. The entry with the longest OLD at or above it
    /// decides, the later one of equals; a bind rewrites the path and asks the entries before it,
    /// so that it shows what was there when it was made, and every path comes to an end.
    pub fn resolve<'t, S: AsRef<str>>(&'t self, path: &[S]) -> Resolved<'t> {
        let mut way = self.start();
        let mut below = false;
        loop {
            let found = self.longest(&way, path, |_| below = true);
            let Some((entry, lead_at, tail_at)) = found else {
                let root = way.lead.is_empty() && way.from >= path.len();
                return if below || root { Resolved::Synthetic } else { Resolved::NotFound };
            };
            if self.slots[entry].bind {
                self.follow(&mut way, entry, lead_at, tail_at);
                continue;
            }
            let lead = match way.lead {
                Cow::Borrowed(text) => Cow::Borrowed(text[lead_at..].trim_start_matches('/')),
                Cow::Owned(text) => Cow::Owned(text[lead_at..].trim_start_matches('/').to_string()),
            };
            let ro = way.ro || self.slots[entry].ro;
            return Resolved::Mount(Place { entry, ro, below, lead, from: way.from + tail_at });
        }
    }

    /// The names in this directory that are there because of mounts and binds, sorted; those of
    /// the server below are the server's to list.
    pub fn children<'t, S: AsRef<str>>(&'t self, path: &[S]) -> Vec<&'t str> {
        let mut names = Vec::new();
        let mut way = self.start();
        while let Some((entry, lead_at, tail_at)) = self.longest(&way, path, |next| names.push(next)) {
            if !self.slots[entry].bind {
                break;
            }
            self.follow(&mut way, entry, lead_at, tail_at);
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether anything is mounted strictly below this path.
    pub fn has_below<S: AsRef<str>>(&self, path: &[S]) -> bool {
        !self.children(path).is_empty()
    }

    /// Adds `mount [-r] SERVER OLD [SPEC]`.
    pub fn mount(&mut self, server: &str, old: &str, spec: &str, ro: bool) -> Result<(), Refused> {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if server.is_empty() || server.len() > MAX_SERVER || !server.bytes().all(sound) {
            return Err(Refused::Server(server.to_string()));
        }
        if !spec.is_empty() {
            check_spec(spec)?;
        }
        self.push(ro, false, server, check_path(old)?, spec)
    }

    /// Adds `bind [-r] NEW OLD`: NEW as it is now appears at OLD.
    pub fn bind(&mut self, new: &str, old: &str, ro: bool) -> Result<(), Refused> {
        let (from, at) = (check_path(new)?, check_path(old)?);
        let path = Path::parse(new).map_err(|why| Refused::Path(new.to_string(), why))?;
        if self.resolve(&path) == Resolved::NotFound {
            return Err(Refused::Nowhere(new.to_string()));
        }
        // A bind that shows a directory within itself resolves, but a reader who descends it
        // cannot tell where he is. Nor may NEW grow beyond a path's bound on the way.
        let mut way = Way { lead: Cow::Borrowed(from), from: 0, limit: self.slots.len(), ro: false };
        loop {
            if within(&way.lead, at) || within(at, &way.lead) {
                return Err(Refused::Cycle(new.to_string(), old.to_string()));
            }
            if way.lead.matches('/').count() > crate::MAX_DEPTH {
                return Err(Refused::Path(way.lead.into_owned(), PathError::TooDeep));
            }
            match self.longest::<&str>(&way, &[], |_| ()) {
                Some((entry, lead_at, tail_at)) if self.slots[entry].bind => {
                    self.follow(&mut way, entry, lead_at, tail_at);
                }
                _ => break,
            }
        }
        self.push(ro, true, "", at, from)
    }

    /// Adds lines of namespace text, `bind …` or `mount …`, as a session writes them to its `ns` file.
    /// Comments, empty lines, and lines that say what is so already change nothing: its own text, fed back to
    /// a table, leaves it as it was. An error has added the lines before it.
    pub fn apply(&mut self, text: &str) -> Result<(), Error> {
        Template::parse("ns", text)?.add_to(self)
    }

    /// Is this the entry that decides at its OLD, and would it show the same if it were made again now?
    pub(crate) fn has(&self, entry: Entry<'_>) -> bool {
        let Some(at) =
            (0..self.len()).rev().find(|i| self.entry(*i).is_some_and(|it| it.old() == entry.old()))
        else {
            return false;
        };
        if self.entry(at) != Some(entry) {
            return false;
        }
        let Entry::Bind { new, .. } = entry else { return true };
        // A bind shows what NEW was when it was made: nothing since may have changed that.
        let later = &self.slots[at..];
        let mut way = Way { lead: Cow::Borrowed(unslashed(new)), from: 0, limit: self.len(), ro: false };
        loop {
            let is_near = |slot: &Slot| {
                let old = self.get(slot.old);
                within(&way.lead, old) || within(old, &way.lead)
            };
            if later.iter().any(is_near) {
                return false;
            }
            match self.longest::<&str>(&way, &[], |_| ()) {
                Some((entry, lead_at, tail_at)) if self.slots[entry].bind => {
                    self.follow(&mut way, entry, lead_at, tail_at);
                }
                _ => return true,
            }
        }
    }

    fn start<'t>(&self) -> Way<'t> {
        Way { lead: Cow::Borrowed(""), from: 0, limit: self.slots.len(), ro: false }
    }

    /// The entry that decides about the path, with what its OLD uses up of it; every entry
    /// strictly below the path is told to `below`.
    fn longest<'t, S: AsRef<str>>(
        &'t self,
        way: &Way<'_>,
        path: &[S],
        mut below: impl FnMut(&'t str),
    ) -> Option<(usize, usize, usize)> {
        let tail = path.get(way.from..).unwrap_or_default();
        let mut best = None;
        let mut longest = 0;
        for (i, slot) in self.slots[..way.limit].iter().enumerate() {
            let old = self.get(slot.old);
            match relation(old, &way.lead, tail) {
                // Covering OLDs are prefixes of one path, so length orders them.
                Relation::Covers { lead_at, tail_at } if best.is_none() || old.len() >= longest => {
                    best = Some((i, lead_at, tail_at));
                    longest = old.len();
                }
                Relation::Below { next } => below(next),
                _ => {}
            }
        }
        best
    }

    /// Rewrites the path's OLD by the bind's NEW.
    fn follow<'t>(&'t self, way: &mut Way<'t>, entry: usize, lead_at: usize, tail_at: usize) {
        let slot = &self.slots[entry];
        let new = self.get(slot.from);
        let kept = &way.lead[lead_at..];
        way.lead = if kept.is_empty() { Cow::Borrowed(new) } else { Cow::Owned([new, kept].concat()) };
        way.from += tail_at;
        way.limit = entry;
        way.ro |= slot.ro;
    }

    fn push(&mut self, ro: bool, bind: bool, server: &str, old: &str, from: &str) -> Result<(), Refused> {
        let length = self.text.len() + server.len() + old.len() + from.len();
        if self.slots.len() == MAX_ENTRIES || length > MAX_TEXT {
            return Err(Refused::Full);
        }
        let mut keep = |text: &str| {
            // MAX_TEXT is checked above and is below 2^16.
            let span = Span { at: self.text.len() as u16, len: text.len() as u16 };
            self.text.push_str(text);
            span
        };
        let slot = Slot { ro, bind, server: keep(server), old: keep(old), from: keep(from) };
        self.slots.push(slot);
        Ok(())
    }

    fn get(&self, span: Span) -> &str {
        let at = usize::from(span.at);
        &self.text[at..at + usize::from(span.len)]
    }

    fn read(&self, slot: &Slot) -> Entry<'_> {
        let path = |span| match self.get(span) {
            "" => "/",
            text => text,
        };
        if slot.bind {
            Entry::Bind { ro: slot.ro, new: path(slot.from), old: path(slot.old) }
        } else {
            Entry::Mount {
                ro: slot.ro,
                server: self.get(slot.server),
                old: path(slot.old),
                spec: self.get(slot.from),
            }
        }
    }
}

/// Whether `inner` is `outer` or lies below it; both without the root's slash.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path of an entry, without the root's slash.
fn unslashed(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

/// A valid path, without the root's slash.
fn check_path(text: &str) -> Result<&str, Refused> {
    Path::parse(text).map_err(|why| Refused::Path(text.to_string(), why))?;
    if text.chars().any(char::is_control) {
        return Err(Refused::Control(text.to_string()));
    }
    Ok(unslashed(text))
}

fn check_spec(spec: &str) -> Result<(), Refused> {
    let wrong = |why| Refused::Path(spec.to_string(), why);
    if spec.split('/').count() > crate::MAX_DEPTH {
        return Err(wrong(PathError::TooDeep));
    }
    spec.split('/').try_for_each(check_name).map_err(wrong)?;
    if spec.chars().any(char::is_control) {
        return Err(Refused::Control(spec.to_string()));
    }
    Ok(())
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |ro: bool| if ro { "-r " } else { "" };
        match *self {
            Entry::Mount { ro, server, old, spec } => {
                write!(f, "mount {}{} {}", flag(ro), server, Quoted(old))?;
                if spec.is_empty() { Ok(()) } else { write!(f, " {}", Quoted(spec)) }
            }
            Entry::Bind { ro, new, old } => write!(f, "bind {}{} {}", flag(ro), Quoted(new), Quoted(old)),
        }
    }
}

/// In bind/ form: what [`Table::parse`] makes the same table from.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

#[cfg(test)]
mod tests;
