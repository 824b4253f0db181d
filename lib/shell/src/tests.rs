//! The shell against a door that is played here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{Options, Shell};
use ninep::refusal::Word;
use ninep::wire::{Attr, Detail, NOFID, QTAPPEND, QTDIR, QTFILE, Qid, Qids, Rmsg, Tmsg, VERSION, decode_t};
use std::collections::BTreeMap;

const FILES: &[(&str, u8, &str)] = &[
    ("", QTDIR, ""),
    ("a", QTFILE, "one\nEND\nlast"),
    ("d", QTDIR, ""),
    ("log", QTAPPEND, "x1\nx2\n"),
    ("queen", QTDIR, ""),
    ("queen/ctl", QTFILE, "OK KILL id=worker-1 seq=4\n"),
    ("proc/9p/self/errstr", QTFILE, "reason=notfound path=/none detail=no such file in queen's name space\n"),
    ("proc/tests/selftest_quick.coh", QTFILE, "ping\nEXPECT OK\ncat /a\nEXPECT SUBSTR last\nkill w\n"),
];

/// A door of a few files, and the user's end.
struct Door {
    shell: Shell,
    fids: BTreeMap<u32, usize>,
    written: Vec<String>,
    is_deaf: bool,
    now_ms: u64,
}

impl Door {
    fn new() -> Door {
        let shell = Shell::new(Options::default());
        let mut door = Door { shell, fids: BTreeMap::new(), written: vec![], is_deaf: false, now_ms: 0 };
        assert_eq!(door.says("attach queen"), ["OK ATTACH role=queen"]);
        door
    }

    fn says(&mut self, line: &str) -> Vec<String> {
        self.shell.line(Ok(line), self.now_ms);
        self.run();
        self.heard()
    }

    fn heard(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.shell.output()).collect()
    }

    fn run(&mut self) {
        if self.shell.wants_door() {
            self.shell.dialled(self.now_ms);
        }
        while !self.is_deaf && !self.shell.door_output().is_empty() {
            let bytes = self.shell.door_output().to_vec();
            self.shell.door_sent(bytes.len());
            let mut replies = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let len = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let (tag, msg) = decode_t(&rest[..len]).unwrap();
                self.answer(tag, &msg, &mut replies);
                rest = &rest[len..];
            }
            self.shell.door_input(&replies, self.now_ms);
        }
    }

    fn answer(&mut self, tag: u16, msg: &Tmsg, out: &mut Vec<u8>) {
        let no = |word: Word| Rmsg::Lerror { ecode: word.errno(), detail: Detail("") };
        let qid = |i: usize| Qid { kind: FILES[i].1, version: 0, path: i as u64 };
        let file = |fid: &u32| self.fids.get(fid).copied();
        match msg {
            Tmsg::Version { msize, .. } => Rmsg::Version { msize: *msize, version: VERSION }.encode(tag, out),
            Tmsg::Attach { fid, afid: NOFID, .. } => {
                self.fids.insert(*fid, 0);
                Rmsg::Attach { qid: qid(0) }.encode(tag, out);
            }
            Tmsg::Walk { newfid, names, .. } => {
                let path = names.iter().collect::<Vec<_>>().join("/");
                let Some(i) = FILES.iter().position(|(name, ..)| *name == path) else {
                    return no(Word::NotFound).encode(tag, out);
                };
                self.fids.insert(*newfid, i);
                let qids = vec![qid(i); names.len()];
                Rmsg::Walk { qids: Qids::from(&qids[..]) }.encode(tag, out);
            }
            Tmsg::Lopen { fid, .. } => {
                Rmsg::Lopen { qid: qid(file(fid).unwrap()), iounit: 0 }.encode(tag, out);
            }
            Tmsg::Getattr { fid, .. } => {
                let i = file(fid).unwrap();
                // As of control files, whose replies are no content.
                let size = if FILES[i].0 == "queen/ctl" { 0 } else { FILES[i].2.len() as u64 };
                let attr = Attr { size, ..Attr::default() };
                Rmsg::Getattr { valid: 0x7ff, qid: qid(i), attr }.encode(tag, out);
            }
            Tmsg::Read { fid, offset, .. } => {
                let text = FILES[file(fid).unwrap()].2.as_bytes();
                let data = &text[(*offset as usize).min(text.len())..];
                Rmsg::Read { data: &data[..data.len().min(5000)] }.encode(tag, out);
            }
            Tmsg::Write { data, .. } => {
                self.written.push(String::from_utf8_lossy(data).into_owned());
                Rmsg::Write { count: data.len() as u32 }.encode(tag, out);
            }
            Tmsg::Readdir { .. } => Rmsg::Readdir { data: b"" }.encode(tag, out),
            Tmsg::Clunk { fid } => {
                assert!(self.fids.remove(fid).is_some(), "fid {fid} is clunked twice");
                Rmsg::Clunk.encode(tag, out);
            }
            _ => no(Word::Unsupported).encode(tag, out),
        }
    }
}

#[test]
fn a_file_is_shown_and_nothing_in_it_ends_the_stream() {
    let mut door = Door::new();
    assert_eq!(door.says("cat /a"), ["OK CAT path=/a", "one", "\\END", "last", "END"]);
    assert_eq!(door.fids.len(), 1, "fids are let go");
    assert_eq!(door.says("ls /d"), ["OK LS path=/d", "END"]);
}

#[test]
fn a_refusal_is_one_line_with_the_door_s_words() {
    let mut door = Door::new();
    assert_eq!(
        door.says("cat /none"),
        [r#"ERR CAT reason=notfound detail="no such file in queen's name space""#]
    );
    assert_eq!(door.says("echo x > /nowhere")[0][..24], *"ERR ECHO reason=notfound");
    assert_eq!(door.says("cat /d"), [r#"ERR CAT reason=invalid detail="a directory; see ls""#]);
    assert_eq!(door.says("ls /a"), [r#"ERR LS reason=invalid detail="not a directory; see cat""#]);
    assert_eq!(door.says("bogus"), [r#"ERR LINE reason=invalid detail="no such verb; see help""#]);
    assert_eq!(door.fids.len(), 1);
}

#[test]
fn a_command_is_answered_by_its_file() {
    let mut door = Door::new();
    assert_eq!(door.says("kill worker-1"), ["OK KILL id=worker-1 seq=4"]);
    assert_eq!(door.says("echo a > b > /log"), ["OK ECHO path=/log"]);
    assert_eq!(door.written, ["{\"kill\":\"worker-1\"}\n", "a > b\n"]);
    assert_eq!(
        door.says("spawn gpu a..b=1"),
        [r#"ERR SPAWN reason=invalid detail="a..b=1: an empty name in the key""#]
    );
    assert_eq!(door.fids.len(), 1);
}

#[test]
fn a_tail_follows_until_the_next_line_and_ping_does_not_end_it() {
    let mut door = Door::new();
    assert_eq!(door.says("tail /log"), ["OK TAIL path=/log", "x1", "x2"]);
    assert_eq!(door.says("ping"), ["PONG"]);
    assert!(door.shell.is_idle());
    door.now_ms = door.shell.deadline_ms().unwrap();
    door.shell.tick(door.now_ms);
    assert!(!door.shell.door_output().is_empty(), "it looks again");
    door.run();
    assert_eq!(door.heard(), [""; 0]);
    assert_eq!(door.says("kill worker-1"), ["END", "OK KILL id=worker-1 seq=4"]);
    assert_eq!(door.fids.len(), 1);
}

#[test]
fn ping_is_answered_while_the_door_is_not() {
    let mut door = Door::new();
    door.is_deaf = true;
    assert_eq!(door.says("cat /a"), [""; 0]);
    assert_eq!(door.says("ls /d"), [""; 0]);
    assert_eq!(door.says("ping"), ["PONG"]);
    door.now_ms = door.shell.deadline_ms().unwrap();
    door.shell.tick(door.now_ms);
    assert_eq!(door.heard(), [r#"ERR CAT reason=busy detail="no answer within 10 s""#]);
}

#[test]
fn a_lost_door_is_told_once_and_an_attach_begins_anew() {
    let mut door = Door::new();
    door.says("tail /log");
    door.shell.lost("the door hung up", 0);
    assert_eq!(door.heard(), [r#"END reason=closed detail="the door hung up""#]);
    assert_eq!(
        door.says("cat /a"),
        [r#"ERR CAT reason=closed detail="the session has ended; attach again""#]
    );
    assert_eq!(door.says("attach queen:x"), ["OK ATTACH role=queen subject=x"]);
    assert_eq!(door.says("detach"), ["OK DETACH"]);
    assert!(!door.shell.uses_door());
    assert_eq!(door.says("ls /"), [r#"ERR LS reason=permission detail="attach first""#]);
    assert_eq!(door.says("quit"), ["OK QUIT"]);
    assert!(door.shell.is_closing());
}

#[test]
fn a_self_test_tells_each_check() {
    let mut door = Door::new();
    let said = door.says("test");
    assert_eq!(said[..4], ["OK TEST mode=quick", "ok   ping", "ok   cat /a", "ok   kill w"]);
    assert!(said[4].starts_with("ok mode=quick checks=3 failed=0 elapsed_ms="), "{}", said[4]);
    assert_eq!(said[5..], ["END"]);
    let said = door.says("test --json --no-mutate");
    assert_eq!(
        said[1],
        "{\"ok\":true,\"mode\":\"quick\",\"elapsed_ms\":0,\"checks\":[{\"name\":\"ping\",\"ok\":true,\"detail\":\"\"},\
         {\"name\":\"cat /a\",\"ok\":true,\"detail\":\"\"},{\"name\":\"kill w\",\"ok\":true,\"detail\":\"skipped\"}],\
         \"version\":\"1\"}"
    );
    assert_eq!(door.written, ["{\"kill\":\"w\"}\n"]);
    assert!(door.says("test --mode full")[0].starts_with("ERR TEST reason=notfound"));
}

#[test]
fn a_slow_reader_holds_its_own_lines_only() {
    let mut door = Door::new();
    let mut said = 0;
    while door.shell.takes_lines() {
        door.shell.line(Ok("help"), 0);
        said += 1;
    }
    assert!((2..200).contains(&said), "{said}");
    assert!(door.heard().len() > said);
    assert!(door.shell.takes_lines());
}
