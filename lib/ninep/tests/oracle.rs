//! The `p9` crate as an independent judge: of which frames are requests, and of how a server answers them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::srv::{Dir, Engine, Limits, Now, Tree};
use ninep::wire::{self, Dirent, Flock, NOFID, Names, Rmsg, SetAttr, Tmsg, VERSION, WireError};
use p9::Server;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz\n";

fn server(root: &Path) -> Server {
    Server::new(root, BTreeMap::new(), BTreeMap::new()).expect("the p9 crate's server starts")
}

/// The p9 crate's reply; None where the frame is no request to it.
fn ask_p9(server: &mut Server, frame: &[u8]) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    server.handle_message(&mut &frame[..], &mut reply).ok().map(|()| reply)
}

/// Is the frame a request to the p9 crate? It answers one that does not decode with EINVAL or EIO; on
/// fids that are not there, which is all that is asked here, a request that does gets EBADF.
fn is_request_to_p9(server: &mut Server, frame: &[u8]) -> bool {
    match ask_p9(server, frame).as_deref().map(wire::decode_r) {
        Some(Ok((_, Rmsg::Lerror { ecode, .. }))) => ecode != 22 && ecode != 5,
        Some(Ok(_)) => true,
        Some(Err(_)) | None => false,
    }
}

/// One of each request that both know, on fids that are not there: only their form is judged.
fn requests() -> Vec<Tmsg<'static>> {
    let lock = Flock { kind: 1, start: 2, length: 3, proc_id: 4, client_id: "me" };
    vec![
        Tmsg::Version { msize: 8192, version: VERSION },
        Tmsg::Auth { afid: 1, uname: "u", aname: "a", n_uname: 7 },
        Tmsg::Attach { fid: 90, afid: NOFID, uname: "queen:x", aname: "ticket", n_uname: 7 },
        Tmsg::Flush { oldtag: 9 },
        Tmsg::Walk { fid: 91, newfid: 92, names: Names::from(&["proc", "boot"][..]) },
        Tmsg::Lopen { fid: 91, flags: 0o100_000 },
        Tmsg::Lcreate { fid: 91, name: "n", flags: 1, mode: 0o644, gid: 5 },
        Tmsg::Symlink { fid: 91, name: "n", target: "t", gid: 5 },
        Tmsg::Mknod { dfid: 91, name: "n", mode: 1, major: 2, minor: 3, gid: 4 },
        Tmsg::Rename { fid: 91, dfid: 92, name: "n" },
        Tmsg::Readlink { fid: 91 },
        Tmsg::Getattr { fid: 91, mask: 0x7ff },
        Tmsg::Setattr { fid: 91, attr: SetAttr { valid: 8, size: 1, mtime: (1, 2), ..SetAttr::default() } },
        Tmsg::Xattrwalk { fid: 91, newfid: 92, name: "user.x" },
        Tmsg::Xattrcreate { fid: 91, name: "user.x", size: 1, flags: 0 },
        Tmsg::Readdir { fid: 91, offset: 1, count: 100 },
        Tmsg::Fsync { fid: 91, datasync: 1 },
        Tmsg::Lock { fid: 91, kind: 1, flags: 1, start: 2, length: 3, proc_id: 4, client_id: "me" },
        Tmsg::Getlock { fid: 91, lock },
        Tmsg::Link { dfid: 91, fid: 92, name: "n" },
        Tmsg::Mkdir { dfid: 91, name: "n", mode: 0o755, gid: 1 },
        Tmsg::Renameat { olddirfid: 91, oldname: "a", newdirfid: 92, newname: "b" },
        Tmsg::Unlinkat { dirfid: 91, name: "n", flags: 0x200 },
        Tmsg::Statfs { fid: 91 },
        Tmsg::Read { fid: 91, offset: 1 << 40, count: 100 },
        Tmsg::Write { fid: 91, offset: u64::MAX, data: b"data" },
        Tmsg::Clunk { fid: 91 },
        Tmsg::Remove { fid: 91 },
    ]
}

fn encoded(msg: &Tmsg, tag: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    msg.encode(tag, &mut frame);
    frame
}

#[test]
fn every_request_of_ours_decodes_there() {
    let dir = TempDir::new().unwrap();
    for msg in requests() {
        let mut server = server(dir.path());
        assert!(is_request_to_p9(&mut server, &encoded(&msg, 7)), "{msg:?}");
    }
}

/// Where the two judge differently, and why that is meant.
fn is_known_difference(ours: Result<(), WireError>, frame: &[u8]) -> bool {
    match ours {
        // p9 reads what it needs and leaves the rest to be the next frame.
        Err(WireError::Long) => true,
        // p9 does not hold the size field against the bytes that came.
        Err(WireError::Short) => u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize != frame.len(),
        // p9 allows any number of names in a walk.
        Err(WireError::Names) => true,
        _ => false,
    }
}

#[test]
fn what_one_accepts_the_other_does_too() {
    let dir = TempDir::new().unwrap();
    let mut random = 0x1234_5678_9abc_def1_u64;
    let mut below = move |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) as usize % n
    };
    let mut judged = [0; 3];
    for round in 0..400 {
        for msg in requests() {
            // What these do where they are let would change the judge's own directory.
            let mut frame = encoded(&msg, 7);
            if round > 0 {
                let at = below(frame.len());
                match below(4) {
                    0 => frame[at] ^= 1 << below(8),
                    1 => frame.truncate(at.max(7)),
                    2 => frame.push(below(256) as u8),
                    _ => frame[at] = below(256) as u8,
                }
                if below(2) == 0 {
                    let size = (frame.len() as u32).to_le_bytes();
                    frame[..4].copy_from_slice(&size);
                }
            }
            let ours = wire::decode_t(&frame).map(drop);
            let theirs = is_request_to_p9(&mut server(dir.path()), &frame);
            judged[usize::from(ours.is_ok()) + usize::from(theirs)] += 1;
            assert!(
                ours.is_ok() == theirs || (theirs && is_known_difference(ours, &frame)),
                "ours {ours:?}, theirs {theirs}: {frame:02x?}"
            );
        }
    }
    assert!(judged.iter().all(|n| *n > 500), "accepted by none, one, both: {judged:?}");
}

/// The same small tree in both servers.
struct Both {
    theirs: Server,
    ours: Engine<()>,
    conn: u32,
    _dir: TempDir,
}

impl Both {
    fn new() -> Both {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("dir/deep")).unwrap();
        fs::write(dir.path().join("text"), TEXT).unwrap();
        fs::write(dir.path().join("dir/inner"), "inner\n").unwrap();
        let say = |text: &'static str| {
            move |_: &(), _: &ninep::srv::Call, out: &mut String| {
                out.push_str(text);
                Ok(())
            }
        };
        let tree = Dir::new()
            .text("text", say(TEXT))
            .dir("dir", Dir::new().text("inner", say("inner\n")).dir("deep", Dir::new()));
        let mut ours = Engine::new(Tree::new((), tree), Limits::default(), Now::default());
        let conn = ours.connect();
        Both { theirs: server(dir.path()), ours, conn, _dir: dir }
    }

    /// Asks both, and gives both replies.
    fn ask(&mut self, msg: &Tmsg) -> (Vec<u8>, Vec<u8>) {
        let frame = encoded(msg, 3);
        assert_eq!(self.ours.feed(self.conn, &frame, Now::default()), Some(frame.len()));
        let ours = self.ours.output(self.conn).to_vec();
        self.ours.consume(self.conn, ours.len());
        let theirs = ask_p9(&mut self.theirs, &frame).unwrap_or_else(|| panic!("{msg:?}"));
        (ours, theirs)
    }
}

/// What must be alike in two replies: their kind, and of their contents what does not depend on the
/// machine (inode numbers, times, owners, sizes of directories).
fn essence(reply: &[u8]) -> String {
    match wire::decode_r(reply).unwrap_or_else(|e| panic!("{e}: {reply:02x?}")).1 {
        Rmsg::Version { msize, version } => format!("version {msize} {version}"),
        Rmsg::Attach { qid } => format!("attach {:#x}", qid.kind),
        Rmsg::Walk { qids } => format!("walk {:x?}", qids.iter().map(|qid| qid.kind).collect::<Vec<_>>()),
        Rmsg::Lopen { qid, .. } => format!("lopen {:#x}", qid.kind),
        Rmsg::Read { data } => format!("read {}", String::from_utf8_lossy(data)),
        Rmsg::Readdir { data } => {
            let mut names: Vec<String> = Dirent::iter(data)
                .map(|entry| entry.expect("an entry"))
                // p9 lists what the host's directory holds; ours has no dots to walk to.
                .filter(|entry| entry.name != "." && entry.name != "..")
                .map(|entry| format!("{} {}", entry.name, entry.kind))
                .collect();
            names.sort();
            format!("readdir {names:?}")
        }
        Rmsg::Getattr { qid, attr, .. } => {
            let size = if qid.kind == 0 { attr.size } else { 0 };
            format!("getattr {:#x} {:o} {size}", qid.kind, attr.mode & 0o170_000)
        }
        Rmsg::Lerror { ecode, .. } => format!("error {ecode}"),
        other => format!("{:?}", other.kind()),
    }
}

#[test]
fn both_servers_answer_the_same_requests_alike() {
    let mut both = Both::new();
    let walk =
        |fid, newfid, names: &'static [&'static str]| Tmsg::Walk { fid, newfid, names: Names::from(names) };
    for msg in [
        Tmsg::Version { msize: 8192, version: VERSION },
        Tmsg::Attach { fid: 1, afid: NOFID, uname: "u", aname: "", n_uname: 0 },
        walk(1, 2, &[]),
        walk(1, 3, &["text"]),
        walk(1, 4, &["dir"]),
        walk(1, 5, &["dir", "inner"]),
        walk(4, 6, &["deep"]),
        // Partly there, and not at all.
        walk(1, 7, &["dir", "none", "x"]),
        walk(1, 7, &["none"]),
        walk(77, 7, &["dir"]),
        Tmsg::Getattr { fid: 1, mask: 0x7ff },
        Tmsg::Getattr { fid: 3, mask: 0x7ff },
        Tmsg::Getattr { fid: 77, mask: 0x7ff },
        Tmsg::Lopen { fid: 3, flags: 0 },
        Tmsg::Read { fid: 3, offset: 0, count: 10 },
        Tmsg::Read { fid: 3, offset: 30, count: 100 },
        Tmsg::Read { fid: 3, offset: 37, count: 100 },
        Tmsg::Read { fid: 3, offset: 1 << 40, count: 100 },
        Tmsg::Read { fid: 77, offset: 0, count: 10 },
        Tmsg::Lopen { fid: 4, flags: 0o200_000 },
        Tmsg::Readdir { fid: 4, offset: 0, count: 4096 },
        Tmsg::Clunk { fid: 3 },
        Tmsg::Clunk { fid: 3 },
        Tmsg::Read { fid: 3, offset: 0, count: 10 },
        Tmsg::Clunk { fid: 5 },
        Tmsg::Flush { oldtag: 99 },
    ] {
        let (ours, theirs) = both.ask(&msg);
        assert_eq!(essence(&ours), essence(&theirs), "{msg:?}");
    }
}
