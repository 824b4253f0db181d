//! Who does not answer. A server that has left an operation without an answer until its deadline is asked
//! again and again by a thread of its own; until it answers, operations on it fail at once, so that only
//! the first has waited and nothing piles up, and operations elsewhere go on.

use crate::hive::{ask, read, walk};
use crate::link::Link;
use crate::notes::{Notes, now};
use cohcmd::{Mounted, mounts, server_at};
use ninep::dial::DialError;
use ninep::refusal::Word;
use ninep::wire::{Attr, Qid, Tmsg};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one question of ours waits for its answer, and the pause before the next.
const SOON: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
/// Paths that fail at once while it is not known yet whether all of their server is silent.
const PATHS_MAX: usize = 256;
/// O_WRONLY of fcntl.h.
const O_WRONLY: u32 = 1;
/// What is silent when the door is: no server has this name.
const DOOR: &str = "";

/// Knows who does not answer.
#[derive(Clone)]
pub(crate) struct Silence {
    shared: Arc<Shared>,
}

struct Shared {
    /// The mount, as people call it.
    at: String,
    notes: Notes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mounts: Vec<Mounted>,
    suspects: HashMap<String, Suspect>,
    /// What directories on the way to mounts looked like when they were last seen.
    ways: HashMap<String, (Qid, Attr)>,
}

/// A server that somebody has waited for in vain.
struct Suspect {
    since: Instant,
    paths: HashSet<String>,
    /// It leaves our questions unanswered, too.
    is_silent: bool,
}

impl State {
    fn server(&self, path: &str) -> String {
        server_at(&self.mounts, path).map_or_else(|| DOOR.to_owned(), |mount| mount.server.clone())
    }
}

impl Silence {
    pub(crate) fn new(at: String, notes: Notes) -> Silence {
        Silence { shared: Arc::new(Shared { at, notes, state: Mutex::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which server answers for `path`, by name.
    pub(crate) fn server(&self, path: &str) -> String {
        self.state().server(path)
    }

    /// Reads which server has what; a failure is the door's.
    pub(crate) fn learn(&self, link: &Link) -> Result<(), DialError> {
        let until = Instant::now() + SOON;
        // A door that is away is not silent: it says so.
        let Ok(conn) = link.conn(until) else { return Ok(()) };
        let text = read(&conn, "/proc/9p/self/ns", until)?;
        self.state().mounts = mounts(&String::from_utf8_lossy(&text));
        Ok(())
    }

    /// Would an operation on `path` wait in vain?
    pub(crate) fn is_silent(&self, path: &str) -> bool {
        let state = self.state();
        if state.suspects.is_empty() {
            return false;
        }
        let is = |suspect: &Suspect| suspect.is_silent || suspect.paths.contains(path);
        state.suspects.get(DOOR).is_some_and(is) || state.suspects.get(&state.server(path)).is_some_and(is)
    }

    /// Is `path` above a mount? Such a directory exists whether its own server answers or not.
    pub(crate) fn is_way(&self, path: &str) -> bool {
        let dir = path.trim_end_matches('/');
        let is_below =
            |at: &str| at.strip_prefix(dir).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
        self.state().mounts.iter().any(|mount| is_below(&mount.at))
    }

    pub(crate) fn remember(&self, path: &str, seen: (Qid, Attr)) {
        self.state().ways.insert(path.to_owned(), seen);
    }

    pub(crate) fn remembered(&self, path: &str) -> Option<(Qid, Attr)> {
        self.state().ways.get(path).copied()
    }

    /// `path` was asked about for `waited` without an answer; `is_given_up` at an operation's deadline.
    pub(crate) fn noticed(&self, link: &Link, path: &str, waited: Duration, is_given_up: bool) {
        let mut state = self.state();
        let server = state.server(path);
        let is_new = !state.suspects.contains_key(&server);
        let since = Instant::now().checked_sub(waited).unwrap_or_else(Instant::now);
        let suspect = state.suspects.entry(server.clone()).or_insert_with(|| Suspect {
            since,
            paths: HashSet::new(),
            is_silent: false,
        });
        if is_given_up && suspect.paths.len() < PATHS_MAX {
            suspect.paths.insert(path.to_owned());
        }
        drop(state);
        if !is_new {
            return;
        }
        let (silence, link, path, name) = (self.clone(), link.clone(), path.to_owned(), server.clone());
        let asks = std::thread::Builder::new().name("who".into()).spawn(move || {
            silence.ask_until_answered(&link, &name, &path);
        });
        if asks.is_err() {
            self.state().suspects.remove(&server);
        }
    }

    fn ask_until_answered(&self, link: &Link, server: &str, path: &str) {
        // A server that is no door has no such file, and says so.
        let is_door = matches!(self.learn(link), Err(DialError::Timeout));
        let name = if is_door { DOOR } else { server };
        if name != server {
            let mut state = self.state();
            let Some(suspect) = state.suspects.remove(server) else { return };
            if state.suspects.contains_key(name) {
                return;
            }
            state.suspects.insert(name.to_owned(), suspect);
        }
        let at = self.state().mounts.iter().find(|mount| mount.server == name).map(|mount| mount.at.clone());
        let at = at.unwrap_or_else(|| "/proc/9p".into());
        let mut is_told = false;
        while !self.answers(link, &at) {
            let since = {
                let mut state = self.state();
                let Some(suspect) = state.suspects.get_mut(name) else { return };
                suspect.is_silent |= suspect.since.elapsed() >= crate::hive::DEADLINE;
                suspect.is_silent.then_some(suspect.since)
            };
            if let Some(since) = since.filter(|_| !is_told) {
                is_told = true;
                self.tell(link, name, path, since.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
        let suspect = self.state().suspects.remove(name);
        let (at, what) = (&self.shared.at, self.what(link, name));
        match suspect.map(|suspect| suspect.since.elapsed().as_secs()) {
            Some(s) if is_told => self.shared.notes.take(&format!("{at}: {what} answers again after {s} s")),
            Some(s) if s >= crate::hive::DEADLINE.as_secs() => self.shared.notes.take(&format!(
                "{at}: {what} has left {path} without an answer for {s} s, but answers otherwise"
            )),
            _ => {}
        }
    }

    /// Does anything come back, be it a refusal or the news that the door is away?
    fn answers(&self, link: &Link, at: &str) -> bool {
        let until = Instant::now() + SOON;
        let Ok(conn) = link.conn(until) else { return true };
        let asked = walk(&conn, at, until).and_then(|(fid, _)| {
            let asked = ask(&conn, &Tmsg::Getattr { fid, mask: 0x7ff }, until);
            conn.let_go(fid);
            asked
        });
        // Busy is what the door says of a server that does not answer it.
        !matches!(&asked, Err(error) if matches!(error, DialError::Timeout) || error.word() == Some(Word::Busy))
    }

    fn what(&self, link: &Link, name: &str) -> String {
        if name == DOOR { format!("the door {}", link.addr()) } else { format!("the server {name}") }
    }

    fn tell(&self, link: &Link, name: &str, path: &str, waited: Duration) {
        let (at, what, s) = (&self.shared.at, self.what(link, name), waited.as_secs());
        self.shared.notes.take(&format!("{at}: {what} has not answered for {s} s ({path}); see: coh status"));
        if name != DOOR {
            self.log(link, &format!("{} mount no-answer server={name} path={path} waited_s={s}\n", now()));
        }
    }

    /// A line in the hive's log, where this session may write it and the log's server answers.
    fn log(&self, link: &Link, line: &str) {
        let until = Instant::now() + SOON;
        let Ok(conn) = link.conn(until) else { return };
        if let Ok((fid, _)) = walk(&conn, "/log/queen.log", until) {
            if ask(&conn, &Tmsg::Lopen { fid, flags: O_WRONLY }, until).is_ok() {
                // What cannot be written there stands in the notes.
                let _ = ask(&conn, &Tmsg::Write { fid, offset: u64::MAX, data: line.as_bytes() }, until);
            }
            conn.let_go(fid);
        }
    }
}
