//! What a role cannot reach.

use super::*;

#[test]
fn an_observer_sees_and_changes_nothing() {
    let mut hive = Hive::new();
    let mut observer = hive.connect(unix());
    observer.version(&mut hive);
    observer.attach(&mut hive, "observer").unwrap();
    assert_eq!(observer.list(&mut hive, "/").unwrap(), ["log", "proc"]);
    assert_eq!(observer.walk(&mut hive, "/queen/ctl").map(|_| ()), Err(Word::NotFound));
    assert_eq!(observer.open(&mut hive, "/log/queen.log", 1), Err(Word::Permission));
    assert_eq!(observer.write(&mut hive, "/proc/9p/self/ns", "bind /log /l\n"), Err(Word::Permission));
    let (fid, _) = observer.walk(&mut hive, "/log/queen.log").unwrap();
    let reply = observer.ask(&mut hive, &Tmsg::Getattr { fid, mask: 0x7ff });
    let Ok((_, Rmsg::Getattr { attr, .. })) = wire::decode_r(&reply) else { panic!("no attributes") };
    assert_eq!(attr.mode, 0o100_444, "a read-only mount shows no write bits");
}

#[test]
fn a_worker_does_not_come_in_without_a_ticket() {
    let mut hive = Hive::new();
    for uname in ["worker-heartbeat:worker-1", "worker-gpu", "server:queen", "server", "root", "QUEEN"] {
        let mut client = hive.connect(unix());
        client.version(&mut hive);
        assert_eq!(client.attach(&mut hive, uname), Err(Word::Permission), "{uname}");
    }
    let mut client = hive.connect(Rules { local_queen: false, ..unix() });
    client.version(&mut hive);
    assert_eq!(client.attach(&mut hive, "queen"), Err(Word::Permission));
}

#[test]
fn nothing_is_reached_before_the_attach() {
    let mut hive = Hive::new();
    let mut client = hive.connect(unix());
    let reply =
        client.ask(&mut hive, &Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 0 });
    assert_eq!(word(&reply), Some(Word::Invalid), "before Tversion");
    client.version(&mut hive);
    for msg in [
        Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&["proc"][..]) },
        Tmsg::Getattr { fid: 0, mask: 0 },
        Tmsg::Lopen { fid: 0, flags: 0 },
        Tmsg::Clunk { fid: 0 },
    ] {
        assert_eq!(word(&client.ask(&mut hive, &msg)), Some(Word::Closed), "{msg:?}");
    }
}

#[test]
fn no_name_leads_out_of_the_tree() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    for names in
        [&[".."][..], &["."], &["proc", ".."], &["proc/boot"], &[""], &["a\0b"], &["proc", "", "boot"]]
    {
        let fid = queen.fid();
        let reply = queen.ask(&mut hive, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(names) });
        assert_eq!(word(&reply), Some(Word::Invalid), "{names:?}");
    }
    let long = "x".repeat(256);
    let fid = queen.fid();
    let reply =
        queen.ask(&mut hive, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&[long.as_str()][..]) });
    assert_eq!(word(&reply), Some(Word::Invalid));
    let deep = ["a"; 9];
    let fid = queen.fid();
    let reply = queen.ask(&mut hive, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&deep[..]) });
    assert_eq!(word(&reply), Some(Word::Invalid));
}

#[test]
fn a_session_cannot_use_the_fid_of_another() {
    let mut hive = Hive::new();
    let (mut one, mut two) = (hive.queen(), hive.queen());
    let fid = one.open(&mut hive, "/proc/boot", 0).unwrap();
    let reply = two.ask(&mut hive, &Tmsg::Read { fid, offset: 0, count: 10 });
    assert_eq!(word(&reply), Some(Word::Closed));
}

#[test]
fn a_mount_does_not_reach_an_internal_root() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    queen.write(&mut hive, "/proc/9p/self/ns", "mount queen /inside in\n").unwrap();
    assert_eq!(queen.read(&mut hive, "/inside/revoked"), Err(Word::Permission));
}

#[test]
fn a_second_attach_is_for_the_same_identity() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let again = Tmsg::Attach { fid: 500, afid: NOFID, uname: "queen", aname: "", n_uname: 7 };
    assert_eq!(word(&queen.ask(&mut hive, &again)), None);
    let other = Tmsg::Attach { fid: 501, afid: NOFID, uname: "observer", aname: "", n_uname: 7 };
    assert_eq!(word(&queen.ask(&mut hive, &other)), Some(Word::Permission));
}

#[test]
fn what_this_system_does_not_do_is_refused_and_changes_nothing() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (dir, _) = queen.walk(&mut hive, "/log").unwrap();
    for (msg, expected) in [
        (Tmsg::Lcreate { fid: dir, name: "new", flags: 1, mode: 0o644, gid: 0 }, Word::Permission),
        (Tmsg::Mkdir { dfid: dir, name: "new", mode: 0o755, gid: 0 }, Word::Permission),
        (Tmsg::Symlink { fid: dir, name: "new", target: "x", gid: 0 }, Word::Permission),
        (Tmsg::Mknod { dfid: dir, name: "new", mode: 0, major: 0, minor: 0, gid: 0 }, Word::Permission),
        (Tmsg::Link { dfid: dir, fid: dir, name: "new" }, Word::Permission),
        (Tmsg::Rename { fid: dir, dfid: dir, name: "new" }, Word::Permission),
        (
            Tmsg::Renameat { olddirfid: dir, oldname: "queen.log", newdirfid: dir, newname: "b" },
            Word::Permission,
        ),
        (Tmsg::Unlinkat { dirfid: dir, name: "queen.log", flags: 0 }, Word::Permission),
        (Tmsg::Xattrwalk { fid: dir, newfid: 900, name: "" }, Word::Unsupported),
        (Tmsg::Readlink { fid: dir }, Word::Unsupported),
        (Tmsg::Remove { fid: dir }, Word::Permission),
    ] {
        assert_eq!(word(&queen.ask(&mut hive, &msg)), Some(expected), "{msg:?}");
    }
    let reply = queen.ask(&mut hive, &Tmsg::Getattr { fid: dir, mask: 0 });
    assert_eq!(word(&reply), Some(Word::Closed), "Tremove clunks its fid all the same");
    assert_eq!(queen.list(&mut hive, "/log").unwrap(), ["queen.log"]);
}

#[test]
fn the_number_of_a_fid_comes_back_once_though_it_was_clunked_behind_its_failing_walk() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (log, _) = queen.walk(&mut hive, "/log").unwrap();
    let channel = usize::from(hive.channel("log"));
    let live = hive.door.channels[channel].fids();
    for names in [&["none"][..], &["queen.log"], &["none", "x"]] {
        let (newfid, mut bytes) = (queen.fid(), Vec::new());
        Tmsg::Walk { fid: log, newfid, names: Names::from(names) }.encode(500, &mut bytes);
        Tmsg::Getattr { fid: newfid, mask: 0 }.encode(501, &mut bytes);
        Tmsg::Clunk { fid: newfid }.encode(502, &mut bytes);
        queen.bytes(&mut hive, &bytes);
        assert_eq!(queen.replies(&mut hive).len(), 3);
        assert_eq!(hive.door.channels[channel].fids(), live, "{names:?}");
    }
    // In place: where it was has ended as well.
    for names in [&["none"][..], &["queen.log"]] {
        let (fid, _) = queen.walk(&mut hive, "/log").unwrap();
        let mut bytes = Vec::new();
        Tmsg::Walk { fid, newfid: fid, names: Names::from(names) }.encode(500, &mut bytes);
        Tmsg::Clunk { fid }.encode(502, &mut bytes);
        queen.bytes(&mut hive, &bytes);
        assert_eq!(queen.replies(&mut hive).len(), 2);
        assert_eq!(hive.door.channels[channel].fids(), live, "{names:?}");
    }
}

#[test]
fn a_walk_in_place_moves_its_fid_or_leaves_it_where_it_was() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (fid, _) = queen.walk(&mut hive, "/log").unwrap();
    let live = hive.door.channels[usize::from(hive.channel("log"))].fids();
    let mut walk = |hive: &mut Hive, names: &[&str]| {
        word(&queen.ask(hive, &Tmsg::Walk { fid, newfid: fid, names: Names::from(names) }))
    };
    assert_eq!(walk(&mut hive, &["none"]), Some(Word::NotFound));
    assert_eq!(walk(&mut hive, &["queen.log"]), None);
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Lopen { fid, flags: 1 })), None);
    let write = Tmsg::Write { fid, offset: 0, data: b"there\n" };
    assert_eq!(word(&queen.ask(&mut hive, &write)), None);
    assert_eq!(queen.read(&mut hive, "/log/queen.log"), Ok("there\n".into()));
    assert_eq!(
        hive.door.channels[usize::from(hive.channel("log"))].fids(),
        live + 1,
        "and the one just read"
    );
}

#[test]
fn nothing_is_reached_by_way_of_an_afid() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    queen.ask(&mut hive, &Tmsg::Auth { afid: 700, uname: "queen", aname: "", n_uname: 0 });
    for names in [&[][..], &["proc"], &["proc", "boot"], &["none"]] {
        let walk = Tmsg::Walk { fid: 700, newfid: 701, names: Names::from(names) };
        assert_eq!(word(&queen.ask(&mut hive, &walk)), Some(Word::Invalid), "{names:?}");
    }
}

#[test]
fn a_queen_without_a_ticket_is_called_what_a_ticket_could_say() {
    for (uname, comes_in) in [
        ("queen:anna", true),
        ("queen:", true),
        ("queen:a\nb", false),
        ("queen:a:0123", false),
        ("observer:A", false),
    ] {
        let mut hive = Hive::new();
        let mut client = hive.connect(unix());
        client.version(&mut hive);
        let expected = if comes_in { Ok(()) } else { Err(Word::Permission) };
        assert_eq!(client.attach(&mut hive, uname), expected, "{uname:?}");
    }
}

#[test]
fn no_name_writes_lines_of_its_own_into_the_log_or_errstr() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    hive.door.facts.borrow_mut().outbox.clear();
    let name = "x\ndoor session 1 attached owner=queen";
    let fid = queen.fid();
    let (bad, none) = (["proc", name, ".."], [name]);
    let walk = Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&bad[..]) };
    assert_eq!(word(&queen.ask(&mut hive, &walk)), Some(Word::Invalid));
    let walk = Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&none[..]) };
    assert_eq!(word(&queen.ask(&mut hive, &walk)), Some(Word::NotFound));
    let told = "reason=notfound path=/x\\ndoor session 1 attached owner=queen detail=no such file";
    let errstr = queen.errstr(&mut hive);
    assert!(errstr.starts_with(told) && errstr.lines().count() == 1, "{errstr}");
    for request in &hive.door.facts.borrow().outbox {
        let ninep::srv::Op::Write(line) = &request.op else { continue };
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
