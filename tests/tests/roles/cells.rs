//! Every verb, tried on one path.

use ninep::dial::Conn;
use ninep::refusal::Word;
use ninep::wire::{self, Names, Rmsg, SetAttr, Tmsg};

/// O_WRONLY, O_RDWR, O_TRUNC of fcntl.h.
const W: u32 = 1;
const RW: u32 = 2;
const TRUNC: u32 = 0o1000;

pub(crate) type Answer = Result<Vec<u8>, ninep::refusal::Refusal>;

pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Err(refusal) => refusal.word.reason(),
        Ok(frame) => match wire::decode_r(frame).unwrap().1 {
            Rmsg::Lerror { ecode, .. } => Word::from_errno(ecode).unwrap().reason(),
            _ => "ok",
        },
    }
}

/// One request, without a question about its refusal.
fn ask(conn: &mut Conn, msg: &Tmsg) -> Answer {
    conn.batch(&[*msg]).unwrap().remove(0)
}

/// A fid at the path; a walk that stops on the way is NotFound.
fn walk(conn: &mut Conn, names: &[&str]) -> Result<u32, &'static str> {
    let newfid = conn.new_fid();
    let answer = ask(conn, &Tmsg::Walk { fid: 0, newfid, names: Names::from(names) });
    match (outcome(&answer), &answer) {
        ("ok", Ok(frame)) => match wire::decode_r(frame).unwrap().1 {
            Rmsg::Walk { qids } if qids.len() == names.len() => Ok(newfid),
            _ => Err(Word::NotFound.reason()),
        },
        (word, _) => Err(word),
    }
}

/// The same, a name at a time.
fn steps(conn: &mut Conn, names: &[&str]) -> Result<u32, &'static str> {
    let mut fid = walk(conn, &[])?;
    for name in names {
        let newfid = conn.new_fid();
        let answer = ask(conn, &Tmsg::Walk { fid, newfid, names: Names::from(&[*name][..]) });
        clunk(conn, fid);
        match outcome(&answer) {
            "ok" => fid = newfid,
            word => return Err(word),
        }
    }
    Ok(fid)
}

fn clunk(conn: &mut Conn, fid: u32) {
    assert_eq!(outcome(&ask(conn, &Tmsg::Clunk { fid })), "ok");
}

/// How it went.
pub(crate) struct Cells {
    pub(crate) mode: u32,
    /// Each verb, and `ok` or the word of its refusal.
    pub(crate) verbs: Vec<(&'static str, &'static str)>,
}

/// Every verb on one path, each on a fid of its own.
pub(crate) fn cells(conn: &mut Conn, names: &[&str]) -> Cells {
    let mut cells = Cells { mode: 0, verbs: Vec::new() };
    let by_steps = steps(conn, names);
    by_steps.iter().for_each(|fid| clunk(conn, *fid));
    let fid = match walk(conn, names) {
        Ok(fid) => fid,
        Err(word) => {
            assert!(by_steps.is_err(), "{names:?}: {word}, but a name at a time leads there");
            cells.verbs.push(("walk", word));
            return cells;
        }
    };
    assert!(by_steps.is_ok(), "{names:?}: a name at a time does not lead there: {by_steps:?}");
    let answer = ask(conn, &Tmsg::Getattr { fid, mask: 0x7ff });
    if let Ok(Ok((_, Rmsg::Getattr { attr, .. }))) = answer.as_deref().map(wire::decode_r) {
        cells.mode = attr.mode;
    }
    let mut put = |verb, answer: &Answer| cells.verbs.push((verb, outcome(answer)));
    put("getattr", &answer);
    clunk(conn, fid);
    for (verb, flags) in [("open-r", 0), ("open-w", W), ("open-rw", RW), ("open-w-trunc", W | TRUNC)] {
        let fid = walk(conn, names).unwrap();
        let opened = ask(conn, &Tmsg::Lopen { fid, flags });
        put(verb, &opened);
        if opened.is_ok() {
            let write = Tmsg::Write { fid, offset: 0, data: b"?\n" };
            if flags == 0 {
                put("read", &ask(conn, &Tmsg::Read { fid, offset: 0, count: 512 }));
                put("readdir", &ask(conn, &Tmsg::Readdir { fid, offset: 0, count: 4096 }));
                put("write-r", &ask(conn, &write));
            } else if flags == W {
                put("write", &ask(conn, &write));
            }
        }
        clunk(conn, fid);
    }
    for (verb, valid) in [("chmod", 1), ("chown", 2), ("truncate", 8), ("utimes", 0x30)] {
        let fid = walk(conn, names).unwrap();
        let attr = SetAttr { valid, mode: 0o777, ..SetAttr::default() };
        put(verb, &ask(conn, &Tmsg::Setattr { fid, attr }));
        clunk(conn, fid);
    }
    let fid = walk(conn, names).unwrap();
    let name = "new";
    put("mkdir", &ask(conn, &Tmsg::Mkdir { dfid: fid, name, mode: 0o755, gid: 0 }));
    put("symlink", &ask(conn, &Tmsg::Symlink { fid, name, target: "/queen", gid: 0 }));
    put("mknod", &ask(conn, &Tmsg::Mknod { dfid: fid, name, mode: 0, major: 0, minor: 0, gid: 0 }));
    put("link", &ask(conn, &Tmsg::Link { dfid: fid, fid, name }));
    put("rename", &ask(conn, &Tmsg::Rename { fid, dfid: fid, name }));
    put("unlink", &ask(conn, &Tmsg::Unlinkat { dirfid: fid, name: "boot", flags: 0 }));
    put("create", &ask(conn, &Tmsg::Lcreate { fid, name, flags: W, mode: 0o644, gid: 0 }));
    clunk(conn, fid);
    let fid = walk(conn, names).unwrap();
    // Clunks its fid, whatever it says.
    put("remove", &ask(conn, &Tmsg::Remove { fid }));
    cells
}

/// Verbs that mostly end alike, in one word.
const GROUPS: [(&str, &[&str]); 3] = [
    ("make", &["mkdir", "symlink", "mknod", "link", "rename", "unlink", "create", "remove"]),
    ("setattr", &["chmod", "chown", "truncate", "utimes"]),
    ("open-w*", &["open-w", "open-rw", "open-w-trunc"]),
];

/// `100644 ok: getattr open-r; permission: create`.
pub(crate) fn said(cells: &Cells) -> String {
    if let [("walk", word)] = cells.verbs[..] {
        return word.to_owned();
    }
    let mut verbs = cells.verbs.clone();
    for (name, members) in GROUPS {
        let words: Vec<&str> =
            verbs.iter().filter(|(verb, _)| members.contains(verb)).map(|(_, word)| *word).collect();
        if words.len() == members.len() && words.iter().all(|word| *word == words[0]) {
            let at = verbs.iter().position(|(verb, _)| members.contains(verb)).unwrap();
            verbs[at].0 = name;
            verbs.retain(|(verb, _)| !members.contains(verb));
        }
    }
    let mut words: Vec<(&str, Vec<&str>)> = vec![("ok", Vec::new())];
    for (verb, word) in &verbs {
        match words.iter_mut().find(|(known, _)| known == word) {
            Some((_, verbs)) => verbs.push(verb),
            None => words.push((word, vec![verb])),
        }
    }
    let words = words.iter().filter(|(_, verbs)| !verbs.is_empty());
    let words: Vec<String> = words.map(|(word, verbs)| format!("{word}: {}", verbs.join(" "))).collect();
    format!("{:06o} {}", cells.mode, words.join("; "))
}
