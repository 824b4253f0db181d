//! How a server declares its files: a tree of directories and file kinds, each file a short function
//! over the server's state (spec 1.3). What the protocol does with them is the engine's business.

use super::control::{Control, Journal, Ledger, Pipeline};
use super::service::Now;
use crate::refusal::{Refusal, Word};
use crate::wire::{QTAPPEND, QTDIR, QTFILE, Qid};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use ring::Stream;

/// Tells the entries of a table apart: worker 3 of `/worker/<id>`. At most 40 bits reach a qid.
/// Children inherit their directory's key unless they are entries of a table themselves.
pub type Key = u64;

/// Who asks: the role and subject that the door has checked, and the door's number for the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// `queen`, `worker-gpu`, …, or `server` for another server of the hive.
    pub role: String,
    /// Whose ticket, or which server; may be empty.
    pub subject: String,
    /// The id of the ticket, 32 hex digits; empty for the hive's own user.
    pub ticket: String,
    /// The door's session number (n_uname of Tattach).
    pub session: u32,
}

impl Who {
    /// Takes `role`, `role:subject` or `role:subject:ticket` apart.
    pub fn from_uname(uname: &str, session: u32) -> Self {
        let mut parts = uname.splitn(3, ':').map(String::from);
        let mut next = || parts.next().unwrap_or_default();
        Who { role: next(), subject: next(), ticket: next(), session }
    }

    /// Is this another server of the hive, and not a session of the door?
    pub fn is_server(&self) -> bool {
        self.role == "server"
    }
}

/// Names one deferred command until it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Token {
    pub(super) conn: u32,
    pub(super) serial: u64,
}

/// What a file's function is told besides its own state.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Which entry of the tables above.
    pub key: Key,
    /// Who asks.
    pub who: &'a Who,
    /// When.
    pub now: Now,
    /// Under which name a deferred answer comes back; meaningful in control files only.
    pub token: Token,
}

/// What became of one command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done; the acknowledgement without its newline: `OK SPAWN id=worker-3 seq=118`.
    Ack(String),
    /// Not done, and without effect. The verb is for the line that a reader gets.
    Refuse {
        /// Upper-case verb, or `CTL` where the line did not get that far.
        verb: String,
        /// Why.
        refusal: Refusal,
    },
    /// Not decided yet: the state gives the verdict under the call's token through `completions`.
    Later,
}

impl Verdict {
    /// The line that a reader of the ctl gets (spec 4.5).
    pub fn line(&self) -> Option<String> {
        match self {
            Verdict::Ack(line) => Some(line.clone()),
            Verdict::Refuse { verb, refusal } => {
                let mut line = alloc::format!("ERR {verb} reason={}", refusal.word.reason());
                let detail = refusal.detail.as_ref();
                if is_fields(detail) && !detail.contains(char::is_control) {
                    line.push(' ');
                    line.push_str(detail);
                } else if !detail.is_empty() {
                    line.push_str(&alloc::format!(" detail={detail:?}"));
                }
                Some(line)
            }
            Verdict::Later => None,
        }
    }
}

/// Is `text` already in `key=value` form, all of it, with what holds spaces in quotes?
fn is_fields(text: &str) -> bool {
    let mut rest = text;
    loop {
        let Some((key, value)) = rest.split_once('=') else { return false };
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return false;
        }
        let end = match value.strip_prefix('"') {
            Some(quoted) => match closing_quote(quoted) {
                Some(at) => at + 2,
                None => return false,
            },
            None => value.find(' ').unwrap_or(value.len()),
        };
        rest = match value[end..].strip_prefix(' ') {
            Some(more) => more,
            None => return value.len() == end,
        };
    }
}

/// Where a quoted text ends; a backslash takes the character behind it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| match c {
        _ if is_escaped => {
            is_escaped = false;
            None
        }
        '\\' => {
            is_escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

/// Where an open of a stream begins to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The stream's offset that is the open's offset 0.
    pub at: u64,
    /// What the open's first read is refused with, for what is gone before `at`.
    pub passed: Option<Refusal>,
}

/// A write-once file that is checked when it is complete. Bytes arrive in order.
pub trait Blob<S> {
    /// Bytes that are there.
    fn len(&self, state: &S, call: &Call) -> Result<u64, Refusal>;
    /// Adds bytes at the end; refuses when complete, quarantines when the check fails.
    fn write(&self, state: &mut S, call: &Call, data: &[u8]) -> Result<(), Refusal>;
    /// Reads at an offset; 0 at the end.
    fn read(&self, state: &mut S, call: &Call, offset: u64, out: &mut [u8]) -> Result<usize, Refusal>;
}

type TextFn<S> = Box<dyn Fn(&S, &Call, &mut String) -> Result<(), Refusal>>;
type ViewFn<S> = Box<dyn for<'s> Fn(&'s mut S, &Call) -> Result<&'s mut dyn Stream, Refusal>>;
type StartFn<S> = Box<dyn Fn(&mut S, &Call) -> Result<Start, Refusal>>;
type WriteFn<S> = Box<dyn Fn(&mut S, &Call, &[u8]) -> Result<(), Refusal>>;
type SetFn<S> = Box<dyn Fn(&mut S, &Call, &str) -> Result<(), Refusal>>;
type LineFn<S> = Box<dyn Fn(&mut S, &Call, &str) -> Verdict>;
type ListFn<S> = Box<dyn Fn(&S, Key, &mut dyn FnMut(&str, Key))>;
type FindFn<S> = Box<dyn Fn(&S, Key, &str) -> Option<Key>>;
type PathFn<S> = Box<dyn Fn(&S, Key) -> Option<String>>;

/// Under which path a control file's commands are gated and journaled.
pub(super) enum CtlPath<S> {
    Fixed(&'static str),
    Of(PathFn<S>),
}

impl<S> CtlPath<S> {
    /// The path; None where the entry of the tables above is gone.
    pub(super) fn of(&self, state: &S, key: Key) -> Option<Cow<'static, str>> {
        match self {
            CtlPath::Fixed(path) => Some(Cow::Borrowed(path)),
            CtlPath::Of(path) => path(state, key).map(Cow::Owned),
        }
    }
}

/// One file: its mode bits and what it does.
pub struct File<S> {
    pub(super) mode: u32,
    pub(super) kind: Kind<S>,
}

pub(super) enum Kind<S> {
    Dir { children: Vec<(Box<str>, u16)>, tables: Vec<Table<S>> },
    Text(TextFn<S>),
    Append { view: ViewFn<S>, start: Option<StartFn<S>>, write: Option<WriteFn<S>> },
    Value { get: TextFn<S>, set: SetFn<S> },
    Ctl { path: CtlPath<S>, max_line: usize },
    Orders { line: LineFn<S>, max_line: usize },
    Blob(Box<dyn Blob<S>>),
}

pub(super) struct Table<S> {
    pub(super) list: ListFn<S>,
    pub(super) find: FindFn<S>,
    pub(super) child: u16,
}

impl<S> File<S> {
    /// Read-only text, rendered when it is opened: one open reads one consistent snapshot.
    pub fn text(render: impl Fn(&S, &Call, &mut String) -> Result<(), Refusal> + 'static) -> Self {
        File { mode: 0o444, kind: Kind::Text(Box::new(render)) }
    }

    /// An append-only stream; every write is one record, appended as it is.
    pub fn append(
        mode: u32,
        view: impl for<'s> Fn(&'s mut S, &Call) -> Result<&'s mut dyn Stream, Refusal> + 'static,
    ) -> Self {
        File { mode, kind: Kind::Append { view: Box::new(view), start: None, write: None } }
    }

    /// An append-only stream whose records pass through `write`, which checks, stamps or counts them.
    pub fn append_with(
        mode: u32,
        view: impl for<'s> Fn(&'s mut S, &Call) -> Result<&'s mut dyn Stream, Refusal> + 'static,
        write: impl Fn(&mut S, &Call, &[u8]) -> Result<(), Refusal> + 'static,
    ) -> Self {
        let kind = Kind::Append { view: Box::new(view), start: None, write: Some(Box::new(write)) };
        File { mode, kind }
    }

    /// Of an append-only stream: `start` says where an open for reading begins; without it that is the
    /// oldest offset. Other kinds stay as they are.
    pub fn starting(mut self, start: impl Fn(&mut S, &Call) -> Result<Start, Refusal> + 'static) -> Self {
        if let Kind::Append { start: from, .. } = &mut self.kind {
            *from = Some(Box::new(start));
        }
        self
    }

    /// A small value that is read and replaced whole.
    pub fn value(
        mode: u32,
        get: impl Fn(&S, &Call, &mut String) -> Result<(), Refusal> + 'static,
        set: impl Fn(&mut S, &Call, &str) -> Result<(), Refusal> + 'static,
    ) -> Self {
        File { mode, kind: Kind::Value { get: Box::new(get), set: Box::new(set) } }
    }

    /// A control file at the hive's `path`: one command a line, at most `max_line` bytes without the
    /// newline; each is gated and journaled before it takes effect.
    pub fn ctl(mode: u32, max_line: usize, path: &'static str) -> Self
    where
        S: Ledger,
    {
        File { mode, kind: Kind::Ctl { path: CtlPath::Fixed(path), max_line } }
    }

    /// The same in a table: `path` gives the hive's path of the entry with that key.
    pub fn ctl_of(mode: u32, max_line: usize, path: impl Fn(&S, Key) -> Option<String> + 'static) -> Self
    where
        S: Ledger,
    {
        File { mode, kind: Kind::Ctl { path: CtlPath::Of(Box::new(path)), max_line } }
    }

    /// The same for what servers of the hive tell each other: `line` decides, and nothing is journaled.
    pub fn orders(
        mode: u32,
        max_line: usize,
        line: impl Fn(&mut S, &Call, &str) -> Verdict + 'static,
    ) -> Self {
        File { mode, kind: Kind::Orders { line: Box::new(line), max_line } }
    }

    /// A write-once blob.
    pub fn blob(mode: u32, blob: impl Blob<S> + 'static) -> Self {
        File { mode, kind: Kind::Blob(Box::new(blob)) }
    }
}

/// A node under construction: a file or a directory.
pub enum Node<S> {
    /// A file.
    File(File<S>),
    /// A directory.
    Dir(Dir<S>),
}

impl<S> From<File<S>> for Node<S> {
    fn from(file: File<S>) -> Self {
        Node::File(file)
    }
}

impl<S> From<Dir<S>> for Node<S> {
    fn from(dir: Dir<S>) -> Self {
        Node::Dir(dir)
    }
}

/// A directory under construction.
pub struct Dir<S> {
    mode: u32,
    entries: Vec<(Box<str>, Node<S>)>,
    tables: Vec<(ListFn<S>, FindFn<S>, Node<S>)>,
}

impl<S> Default for Dir<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Dir<S> {
    /// An empty directory, mode 0555.
    pub fn new() -> Self {
        Dir { mode: 0o555, entries: Vec::new(), tables: Vec::new() }
    }

    /// Adds a file or directory with a fixed name.
    pub fn with(mut self, name: &str, node: impl Into<Node<S>>) -> Self {
        self.entries.push((name.into(), node.into()));
        self
    }

    /// Adds a directory with a fixed name.
    pub fn dir(self, name: &str, dir: Dir<S>) -> Self {
        self.with(name, dir)
    }

    /// Adds a [`File::text`].
    pub fn text(
        self,
        name: &str,
        render: impl Fn(&S, &Call, &mut String) -> Result<(), Refusal> + 'static,
    ) -> Self {
        self.with(name, File::text(render))
    }

    /// Adds a [`File::append`].
    pub fn append(
        self,
        name: &str,
        mode: u32,
        view: impl for<'s> Fn(&'s mut S, &Call) -> Result<&'s mut dyn Stream, Refusal> + 'static,
    ) -> Self {
        self.with(name, File::append(mode, view))
    }

    /// Adds a [`File::append_with`].
    pub fn append_with(
        self,
        name: &str,
        mode: u32,
        view: impl for<'s> Fn(&'s mut S, &Call) -> Result<&'s mut dyn Stream, Refusal> + 'static,
        write: impl Fn(&mut S, &Call, &[u8]) -> Result<(), Refusal> + 'static,
    ) -> Self {
        self.with(name, File::append_with(mode, view, write))
    }

    /// Adds a [`File::value`], mode 0644.
    pub fn value(
        self,
        name: &str,
        get: impl Fn(&S, &Call, &mut String) -> Result<(), Refusal> + 'static,
        set: impl Fn(&mut S, &Call, &str) -> Result<(), Refusal> + 'static,
    ) -> Self {
        self.with(name, File::value(0o644, get, set))
    }

    /// Adds a [`File::ctl`].
    pub fn ctl(self, name: &str, mode: u32, max_line: usize, path: &'static str) -> Self
    where
        S: Ledger,
    {
        self.with(name, File::ctl(mode, max_line, path))
    }

    /// Adds a [`File::orders`].
    pub fn orders(
        self,
        name: &str,
        mode: u32,
        max_line: usize,
        line: impl Fn(&mut S, &Call, &str) -> Verdict + 'static,
    ) -> Self {
        self.with(name, File::orders(mode, max_line, line))
    }

    /// Adds a table of entries that the state grows and shrinks. `list` names them all under the
    /// directory's own key, in any order; `find` looks one up. Every entry is a `node` with its own key.
    pub fn each(
        mut self,
        list: impl Fn(&S, Key, &mut dyn FnMut(&str, Key)) + 'static,
        find: impl Fn(&S, Key, &str) -> Option<Key> + 'static,
        node: impl Into<Node<S>>,
    ) -> Self {
        self.tables.push((Box::new(list), Box::new(find), node.into()));
        self
    }
}

/// One place in a tree: which declared node, and which entry of the tables above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) node: u16,
    pub(super) key: Key,
}

pub(super) struct Root {
    pub(super) name: Box<str>,
    pub(super) node: u16,
    pub(super) is_internal: bool,
}

/// A server's files and the state behind them.
pub struct Tree<S> {
    /// The state.
    pub state: S,
    nodes: Vec<File<S>>,
    roots: Vec<Root>,
    pub(super) pipeline: Option<Box<dyn Pipeline<S>>>,
}

/// The root of a tree with journaled commands where other servers see whether it takes them.
pub const JOURNALED: &str = "journaled";

/// Bits of a qid path that a server may use; the door keeps the rest.
pub const QID_PATH_BITS: u32 = 52;
const KEY_BITS: u32 = 40;

impl<S> Tree<S> {
    /// A tree with its main root, which an empty attach spec names.
    pub fn new(state: S, main: Dir<S>) -> Self {
        let mut tree = Tree { state, nodes: Vec::new(), roots: Vec::new(), pipeline: None };
        tree.add_root("", main, false);
        tree
    }

    /// A further root, for the attach spec `name`.
    pub fn root(mut self, name: &str, dir: Dir<S>) -> Self {
        self.add_root(name, dir, false);
        self
    }

    /// A root that only other servers of the hive may attach to.
    pub fn internal(mut self, name: &str, dir: Dir<S>) -> Self {
        self.add_root(name, dir, true);
        self
    }

    /// Says how the control files' commands are journaled; without it they are all refused. Servers of the
    /// hive see in `[journaled]/open` whether commands are taken yet: until the journal has been read, it
    /// is Busy.
    pub fn journaled(mut self, journal: Journal) -> Self
    where
        S: Ledger + 'static,
    {
        let paths = self.nodes.iter().filter_map(|file| match file.kind {
            Kind::Ctl { path: CtlPath::Fixed(path), .. } => Some(path),
            _ => None,
        });
        let control = Control::new(journal, paths.collect());
        let opened = control.opened();
        self.pipeline = Some(Box::new(control));
        let open = move |_: &S, _: &Call, out: &mut String| {
            if !opened.is_open.get() {
                return Err(opened.refusal());
            }
            out.push_str("open\n");
            Ok(())
        };
        self.internal(JOURNALED, Dir::new().text("open", open))
    }

    fn add_root(&mut self, name: &str, dir: Dir<S>, is_internal: bool) {
        let node = self.add(dir.into());
        self.roots.push(Root { name: name.into(), node, is_internal });
    }

    fn add(&mut self, node: Node<S>) -> u16 {
        let id = self.nodes.len();
        assert!(id < 1 << (QID_PATH_BITS - KEY_BITS), "a tree declares fewer than 4096 nodes");
        match node {
            Node::File(file) => self.nodes.push(file),
            Node::Dir(dir) => {
                let kind = Kind::Dir { children: Vec::new(), tables: Vec::new() };
                self.nodes.push(File { mode: dir.mode, kind });
                let mut children: Vec<_> =
                    dir.entries.into_iter().map(|(name, node)| (name, self.add(node))).collect();
                children.sort();
                let tables = dir
                    .tables
                    .into_iter()
                    .map(|(list, find, node)| Table { list, find, child: self.add(node) })
                    .collect();
                self.nodes[id].kind = Kind::Dir { children, tables };
            }
        }
        id as u16
    }

    pub(super) fn file(&self, at: At) -> &File<S> {
        &self.nodes[at.node as usize]
    }

    /// The file and, beside it, the state that its function works on.
    pub(super) fn file_and_state(&mut self, at: At) -> (&File<S>, &mut S) {
        (&self.nodes[at.node as usize], &mut self.state)
    }

    pub(super) fn qid(&self, at: At) -> Qid {
        let kind = match self.file(at).kind {
            Kind::Dir { .. } => QTDIR,
            Kind::Append { .. } | Kind::Ctl { .. } | Kind::Orders { .. } => QTAPPEND,
            _ => QTFILE,
        };
        let path = (u64::from(at.node) << KEY_BITS) | (at.key & ((1 << KEY_BITS) - 1));
        Qid { kind, version: 0, path }
    }

    pub(super) fn step(&self, at: At, name: &str) -> Option<At> {
        let Kind::Dir { children, tables } = &self.file(at).kind else { return None };
        if let Ok(i) = children.binary_search_by(|(child, _)| (**child).cmp(name)) {
            return Some(At { node: children[i].1, key: at.key });
        }
        tables.iter().find_map(|t| (t.find)(&self.state, at.key, name).map(|key| At { node: t.child, key }))
    }

    /// A directory's entries in lexicographic order.
    pub(super) fn list(&self, at: At) -> Vec<(Box<str>, At)> {
        let Kind::Dir { children, tables } = &self.file(at).kind else { return Vec::new() };
        let mut entries: Vec<(Box<str>, At)> =
            children.iter().map(|(name, node)| (name.clone(), At { node: *node, key: at.key })).collect();
        for table in tables {
            (table.list)(&self.state, at.key, &mut |name, key| {
                entries.push((name.into(), At { node: table.child, key }));
            });
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        entries
    }

    /// Where an attach spec leads: `ROOT`, `ROOT/path`, or a path of the main tree.
    pub(super) fn attach(&self, spec: &str, who: &Who) -> Result<At, Refusal> {
        let (first, rest) = spec.split_once('/').unwrap_or((spec, ""));
        let (root, path) = match self.roots.iter().find(|root| &*root.name == first) {
            Some(root) => (root, rest),
            None => (&self.roots[0], spec),
        };
        if root.is_internal && !who.is_server() {
            return Err(Refusal::new(Word::Permission, "that root is for the hive's own servers"));
        }
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(At { node: root.node, key: 0 }, |at, name| self.step(at, name))
            .ok_or_else(|| Refusal::new(Word::NotFound, alloc::format!("no root or path {spec:?} here")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Word;
    use alloc::string::ToString;

    #[test]
    fn a_detail_is_fields_or_one_quoted_text() {
        for (detail, want) in [
            ("lease=x", "ERR X reason=invalid lease=x"),
            ("resource=GPU-0 free_mb=3", "ERR X reason=invalid resource=GPU-0 free_mb=3"),
            ("a=\"b c\" d=e", "ERR X reason=invalid a=\"b c\" d=e"),
            ("id=a: there is one", "ERR X reason=invalid detail=\"id=a: there is one\""),
            ("a=b ", "ERR X reason=invalid detail=\"a=b \""),
            ("a=\"b", "ERR X reason=invalid detail=\"a=\\\"b\""),
            ("not so", "ERR X reason=invalid detail=\"not so\""),
            ("", "ERR X reason=invalid"),
        ] {
            let refusal = Refusal::new(Word::Invalid, detail.to_string());
            assert_eq!(Verdict::Refuse { verb: "X".into(), refusal }.line().as_deref(), Some(want));
        }
    }
}
