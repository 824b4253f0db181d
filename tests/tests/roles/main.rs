//! What every role may do with every path: each cell of the matrix is tried on a running hive and the
//! outcome compared with `expected.txt`, which was read against spec 2.1's table. After a change of bind/ or
//! of a server, `COH_WRITE_EXPECTED=1 cargo test -p tests --test roles` writes that file anew; its diff
//! says who may now do what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cells;
mod tricks;

use cells::{Cells, cells, outcome, said};
use ninep::dial::Conn;
use ninep::wire::{self, NOFID, NOTAG, Names, Tmsg, VERSION};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use tests::{Hive, until};

const ROLES: [&str; 6] = ["queen", "observer", "worker-heartbeat", "worker-gpu", "worker-bus", "worker-lora"];
/// The subject of the worker roles, and another worker.
const SUBJECT: &str = "worker-1";
const OTHER: &str = "worker-2";

/// A path as names, since some names are no names of a path.
type Path9 = Vec<String>;

struct Session {
    role: &'static str,
    conn: Conn,
    /// Its number in /proc/9p/session.
    own: String,
    ticket: String,
}

/// Numbers differ from run to run: `$SELF` is the session's own, `$OTHER` that of another worker.
struct Matrix {
    hive: Hive,
    other: String,
    shards: BTreeMap<String, String>,
}

fn split(path: &str) -> Path9 {
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whole subtrees, by name; a directory that may not be listed is a leaf.
fn tree(conn: &mut Conn, dir: &str, into: &mut BTreeSet<String>) {
    for entry in conn.list(dir).unwrap_or_default() {
        let path = format!("{}/{}", dir.trim_end_matches('/'), entry.name);
        if entry.qid.kind & wire::QTDIR != 0 {
            tree(conn, &path, into);
        }
        into.insert(path);
    }
}

impl Matrix {
    fn new() -> (Matrix, Vec<Session>) {
        let hive = Hive::start(&[]);
        let mut queen = hive.dial().unwrap();
        let own = session_of(&mut queen, "queen").unwrap();
        for _ in 0..2 {
            hive.command("/queen/ctl", "{\"spawn\":\"heartbeat\",\"period_ms\":3600000}\n").unwrap();
        }
        let mut other = None;
        until("the other worker's session", || {
            other = session_of(&mut queen, &format!("worker-heartbeat:{OTHER}"));
            other.is_some()
        });
        let mut shards = BTreeMap::new();
        for shard in queen.list("/shard").unwrap() {
            for worker in queen.list(&format!("/shard/{}/worker", shard.name)).unwrap() {
                shards.insert(worker.name, shard.name.clone());
            }
        }
        let mut sessions = vec![Session { role: "queen", conn: queen, own, ticket: String::new() }];
        for role in &ROLES[1..] {
            let subject = if role.starts_with("worker") { SUBJECT } else { "" };
            let mint = ["mint", "--role", role, "--ttl", "1h", "--subject", subject];
            let ticket = hive.print("cohticket", if subject.is_empty() { &mint[..5] } else { &mint });
            let before = numbers(&mut sessions[0].conn);
            let conn = hive.dial_as(role, &ticket).unwrap();
            let owner = if subject.is_empty() { (*role).to_owned() } else { format!("{role}:{subject}") };
            let queen = &mut sessions[0].conn;
            let own = numbers(queen).difference(&before).cloned().collect::<Vec<_>>();
            let own = own.into_iter().find(|id| owner_of(queen, id) == owner).unwrap();
            sessions.push(Session { role, conn, own, ticket });
        }
        (Matrix { hive, other: other.unwrap(), shards }, sessions)
    }

    /// Every path that anybody sees, that a bind file names, and that should lead nowhere.
    fn paths(&self, sessions: &mut [Session]) -> BTreeSet<Path9> {
        let mut seen = BTreeSet::new();
        for session in sessions.iter_mut() {
            tree(&mut session.conn, "/", &mut seen);
        }
        let mut paths: BTreeSet<Path9> = BTreeSet::from([Vec::new()]);
        for path in seen {
            let Some(rest) = path.strip_prefix("/proc/9p/session/") else {
                paths.insert(split(&path));
                continue;
            };
            let (id, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let ids = if id.bytes().all(|b| b.is_ascii_digit()) { vec!["$SELF", "$OTHER"] } else { vec![id] };
            paths.extend(ids.iter().map(|id| split(&format!("/proc/9p/session/{id}/{rest}"))));
        }
        for old in self.binds() {
            paths.insert(split(&old));
        }
        paths.extend(tricks::all(&self.shards[SUBJECT]));
        paths
    }

    /// The places that bind files name, also those of servers that this hive has not.
    fn binds(&self) -> Vec<String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bind");
        let mut olds = Vec::new();
        for file in fs::read_dir(dir).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines() {
                let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "-r").collect();
                if let ["mount" | "bind", _, old, ..] = words[..] {
                    let old = old.replace("$subject", SUBJECT);
                    olds.push(old.replace("$shard", &self.shards[SUBJECT]));
                }
            }
        }
        olds
    }

    fn real<'n>(&'n self, session: &'n Session, names: &'n [String]) -> Vec<&'n str> {
        let real = |name: &'n String| match name.as_str() {
            "$SELF" => session.own.as_str(),
            "$OTHER" => self.other.as_str(),
            name => name,
        };
        names.iter().map(real).collect()
    }

    /// A line of the matrix for each path.
    fn of_role(&self, session: &mut Session, paths: &BTreeSet<Path9>) -> String {
        let mut text = format!("\n# {}\n", session.role);
        for names in paths {
            let real: Vec<String> = self.real(session, names).iter().map(|n| (*n).to_owned()).collect();
            let real: Vec<&str> = real.iter().map(String::as_str).collect();
            let cells = cells(&mut session.conn, &real);
            check(session.role, names, &cells);
            writeln!(text, "{} {}", shown(names), said(&cells)).unwrap();
        }
        for name in
            [&b"\xc0\xae\xc0\xae"[..], b"\xc0\xafqueen", b"queen\xff", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"]
        {
            let outcome = self.raw_walk(session, name);
            writeln!(text, "raw/{} {outcome}", name.escape_ascii()).unwrap();
        }
        text
    }

    /// A walk to a name that is no UTF-8, in a session of its own.
    fn raw_walk(&self, session: &Session, name: &[u8]) -> &'static str {
        let uname = if session.role.starts_with("worker") {
            format!("{}:{SUBJECT}", session.role)
        } else {
            session.role.to_owned()
        };
        let mut stream = UnixStream::connect(self.hive.door()).unwrap();
        let mut ask = |tag: u16, msg: &Tmsg| {
            let mut bytes = Vec::new();
            msg.encode(tag, &mut bytes);
            if let Some(at) =
                bytes.windows(name.len()).position(|window| window.iter().all(|b| *b == b'\x01'))
            {
                bytes[at..at + name.len()].copy_from_slice(name);
            }
            stream.write_all(&bytes).unwrap();
            let mut frame = vec![0; 4];
            stream.read_exact(&mut frame).unwrap();
            frame.resize(u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize, 0);
            stream.read_exact(&mut frame[4..]).unwrap();
            outcome(&Ok(frame))
        };
        assert_eq!(ask(NOTAG, &Tmsg::Version { msize: 8192, version: VERSION }), "ok");
        let attach = Tmsg::Attach { fid: 0, afid: NOFID, uname: &uname, aname: &session.ticket, n_uname: 0 };
        assert_eq!(ask(1, &attach), "ok");
        let stand_in = "\u{1}".repeat(name.len());
        ask(2, &Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&[stand_in.as_str()][..]) })
    }
}

fn numbers(queen: &mut Conn) -> BTreeSet<String> {
    let listed = queen.list("/proc/9p/session").unwrap();
    listed.into_iter().map(|entry| entry.name).filter(|name| name != "active").collect()
}

fn owner_of(queen: &mut Conn, id: &str) -> String {
    let text = queen.read_all(&format!("/proc/9p/session/{id}/owner")).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().trim_start_matches("owner=").to_owned()
}

fn session_of(queen: &mut Conn, owner: &str) -> Option<String> {
    numbers(queen).into_iter().find(|id| owner_of(queen, id) == owner)
}

/// What no expected file may make true: written here once more, from the table of spec 2.1.
fn check(role: &str, names: &[String], cells: &Cells) {
    let is_ok = |verb: &str| cells.verbs.iter().any(|(v, word)| *v == verb && *word == "ok");
    let path = shown(names);
    for verb in ["mkdir", "symlink", "mknod", "link", "rename", "unlink", "create", "remove", "write-r"] {
        assert!(!is_ok(verb), "{role} {path}: {verb}");
    }
    let is_there = is_ok("getattr");
    let changes = ["open-w", "open-rw", "open-w-trunc", "write", "chmod", "chown", "truncate", "utimes"];
    if role == "observer" {
        assert!(!changes.iter().any(|verb| is_ok(verb)), "an observer changes {path}");
        let top = names.first().map_or("", String::as_str);
        assert!(!is_there || ["", "proc", "log", "trace", "audit"].contains(&top), "an observer sees {path}");
    }
    if role.starts_with("worker") {
        assert!(!is_there || names.first().is_none_or(|top| top != "queen"), "{role} sees {path}");
        assert!(
            !is_there || !names.iter().any(|name| name == OTHER || name == "$OTHER"),
            "{role} sees {path}"
        );
        let is_own = names.iter().any(|name| name == SUBJECT || name == "self")
            || ["gpu", "bus", "lora"]
                .iter()
                .any(|own| role == format!("worker-{own}") && names.first().is_some_and(|top| top == own));
        assert!(is_own || !changes.iter().any(|verb| is_ok(verb)), "{role} changes {path}");
    }
}

/// A path on one line, in ASCII.
fn shown(names: &[String]) -> String {
    let shown = |name: &String| match name.len() {
        0 => "''".to_owned(),
        250.. => format!("({} bytes)", name.len()),
        _ => {
            name.replace('/', "\\/").escape_default().to_string().replace("\\\\/", "\\/").replace(' ', "\\s")
        }
    };
    format!("/{}", names.iter().map(shown).collect::<Vec<_>>().join("/"))
}

#[test]
fn every_role_does_what_the_table_says_and_nothing_else() {
    let (matrix, mut sessions) = Matrix::new();
    let paths = matrix.paths(&mut sessions);
    let mut found = String::from(
        "# Role by role: path, mode, and how each verb ended. A path with a word alone could not be walked to.\n\
         # make: mkdir symlink mknod link rename unlink create remove. setattr: chmod chown truncate utimes.\n\
         # open-w*: open-w open-rw open-w-trunc. write-r: a write to what was opened to be read.\n\
         # Written by: COH_WRITE_EXPECTED=1 cargo test -p tests --test roles\n",
    );
    for session in &mut sessions {
        found.push_str(&matrix.of_role(session, &paths));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/roles/expected.txt");
    if std::env::var_os("COH_WRITE_EXPECTED").is_some() {
        fs::write(&file, &found).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if found != expected {
        let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
        let gone = diff("-", &old, &new);
        let come = diff("+", &new, &old);
        panic!(
            "the matrix is another than roles/expected.txt says; look at each line, and if all is meant: \
             COH_WRITE_EXPECTED=1 cargo test -p tests --test roles\n{}",
            [gone, come].concat().join("\n")
        );
    }
}

/// Lines of `one` that `other` has not, with their role before them.
fn diff(sign: &str, one: &[&str], other: &[&str]) -> Vec<String> {
    let with_roles = |lines: &[&str]| {
        let mut role = String::new();
        let mut all = Vec::new();
        for line in lines {
            if let Some(name) = line.strip_prefix("# ") {
                role = name.to_owned();
            }
            all.push(format!("{role} {line}"));
        }
        all
    };
    let other: BTreeSet<String> = with_roles(other).into_iter().collect();
    let lines = with_roles(one).into_iter().filter(|line| !other.contains(line));
    lines.take(60).map(|line| format!("{sign} {line}")).collect()
}
