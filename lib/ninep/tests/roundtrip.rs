//! Every message survives its own bytes; no bytes harm the decoder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::wire::{self, Attr, Dirent, Names, Qid, Qids, Rmsg, SetAttr, Tmsg};
use proptest::prelude::*;

fn same_t(msg: Tmsg, tag: u16) {
    let mut frame = Vec::new();
    msg.encode(tag, &mut frame);
    assert_eq!(wire::decode_t(&frame), Ok((tag, msg)));
    for cut in 0..frame.len() {
        assert!(wire::decode_t(&frame[..cut]).is_err(), "{msg:?} cut at {cut}");
    }
}

fn same_r(msg: Rmsg, tag: u16) {
    let mut frame = Vec::new();
    msg.encode(tag, &mut frame);
    assert_eq!(wire::decode_r(&frame), Ok((tag, msg)));
}

proptest! {
    #[test]
    fn requests_survive(tag: u16, a: u32, b: u32, c: u64, name in "\\PC{0,40}", data: Vec<u8>) {
        let names = [name.as_str(), "x"];
        same_t(Tmsg::Version { msize: a, version: &name }, tag);
        same_t(Tmsg::Attach { fid: a, afid: b, uname: &name, aname: "t", n_uname: b }, tag);
        same_t(Tmsg::Walk { fid: a, newfid: b, names: Names::from(&names[..]) }, tag);
        same_t(Tmsg::Read { fid: a, offset: c, count: b }, tag);
        same_t(Tmsg::Write { fid: a, offset: c, data: &data }, tag);
        same_t(Tmsg::Renameat { olddirfid: a, oldname: &name, newdirfid: b, newname: "y" }, tag);
        let attr = SetAttr { valid: a, mode: b, size: c, mtime: (c, c), ..SetAttr::default() };
        same_t(Tmsg::Setattr { fid: a, attr }, tag);
        same_t(Tmsg::Flush { oldtag: tag }, tag);
    }

    #[test]
    fn replies_survive(tag: u16, kind: u8, a: u32, c: u64, text in "\\PC{0,40}", data: Vec<u8>) {
        let qid = Qid { kind, version: a, path: c };
        let qids = [qid; 3];
        same_r(Rmsg::Lerror { ecode: a, detail: wire::Detail(&text) }, tag);
        same_r(Rmsg::Walk { qids: Qids::from(&qids[..]) }, tag);
        same_r(Rmsg::Read { data: &data }, tag);
        same_r(Rmsg::Lopen { qid, iounit: a }, tag);
        let attr = Attr { mode: a, size: c, mtime: (c, 1), ..Attr::default() };
        same_r(Rmsg::Getattr { valid: c, qid, attr }, tag);
        same_r(Rmsg::Clunk, tag);
        let mut entries = Vec::new();
        let entry = Dirent { qid, offset: c, kind, name: &text };
        prop_assert!(entry.push(&mut entries, 1 << 16));
        prop_assert_eq!(Dirent::iter(&entries).collect::<Vec<_>>(), vec![Ok(entry)]);
    }

    #[test]
    fn any_bytes_decode_or_do_not(bytes: Vec<u8>) {
        let _ = (wire::decode_t(&bytes), wire::decode_r(&bytes));
    }
}

/// The layout of the protocol's documentation, byte by byte.
#[test]
fn a_walk_has_the_documented_layout() {
    let mut frame = Vec::new();
    Tmsg::Walk { fid: 1, newfid: 2, names: Names::from(&["ab"][..]) }.encode(3, &mut frame);
    assert_eq!(frame, [21, 0, 0, 0, 110, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0, b'a', b'b']);
    let mut frame = Vec::new();
    Rmsg::Lerror { ecode: 2, detail: wire::Detail("") }.encode(3, &mut frame);
    assert_eq!(frame, [11, 0, 0, 0, 7, 3, 0, 2, 0, 0, 0]);
}

/// Tlock has its flags behind the type, Tgetlock has none.
#[test]
fn a_lock_has_the_documented_layout() {
    let mut frame = Vec::new();
    Tmsg::Lock { fid: 1, kind: 2, flags: 3, start: 4, length: 5, proc_id: 6, client_id: "c" }
        .encode(7, &mut frame);
    let mut want = vec![39, 0, 0, 0, 52, 7, 0, 1, 0, 0, 0, 2, 3, 0, 0, 0];
    want.extend([4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1, 0, b'c']);
    assert_eq!(frame, want);
}
