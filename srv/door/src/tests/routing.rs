//! Walks, listings, qids, and what a dead server does to them.

use super::*;

#[test]
fn a_path_of_every_server_reads_through_one_session() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    for (path, text) in [
        ("/proc/boot", "booted\n"),
        ("/proc/tests/a.coh", "ping\n"),
        ("/proc/lifecycle/state", "state=ONLINE\n"),
        ("/proc/pressure/busy", "busy=0\n"),
        ("/worker/worker-1/status", "state=running\n"),
        ("/proc/9p/session/1/owner", "owner=queen\n"),
    ] {
        assert_eq!(queen.read(&mut hive, path), Ok(text.into()), "{path}");
    }
}

/// A name space that stays as it is here, whatever bind/ says.
fn of_few_mounts() -> Hive {
    const NS: &str = "mount -r proc /proc\n\
        mount door /proc/9p 9p\nmount -r door /proc/pressure pressure\nmount queen /queen\n\
        mount -r queen /proc/queen proc\nmount log /log\nmount worker /worker\n";
    Hive::with(|manifest| drop(manifest.namespaces.insert("queen".into(), NS.into())))
}

#[test]
fn a_listing_merges_what_is_mounted() {
    let mut hive = of_few_mounts();
    let mut queen = hive.queen();
    assert_eq!(queen.list(&mut hive, "/").unwrap(), ["log", "proc", "queen", "worker"]);
    let proc = ["9p", "boot", "pressure", "queen", "tests", "version"];
    assert_eq!(queen.list(&mut hive, "/proc").unwrap(), proc);
    assert_eq!(queen.list(&mut hive, "/worker").unwrap(), ["worker-1", "worker-2"]);
}

#[test]
fn a_directory_above_a_mount_is_there_though_its_server_has_none() {
    const NS: &str = "mount -r proc /proc\nmount log /proc/new/deep/log\nmount log /proc/tests/new/log\n";
    let mut hive = Hive::with(|manifest| drop(manifest.namespaces.insert("queen".into(), NS.into())));
    let mut queen = hive.queen();
    for (path, names) in [("/proc/new", ["deep"]), ("/proc/new/deep", ["log"]), ("/proc/tests/new", ["log"])]
    {
        assert_eq!(queen.list(&mut hive, path).unwrap(), names, "{path}");
    }
    assert_eq!(queen.list(&mut hive, "/proc").unwrap(), ["boot", "new", "tests", "version"]);
    // In one write: what comes behind the walk is about wherever it ends.
    let (mut frames, fid) = (Vec::new(), queen.fid());
    Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&["proc", "new"][..]) }.encode(90, &mut frames);
    Tmsg::Getattr { fid, mask: 0 }.encode(91, &mut frames);
    Tmsg::Clunk { fid }.encode(92, &mut frames);
    queen.bytes(&mut hive, &frames);
    hive.settle();
    while hive.door.client_turn(queen.slot) == Turn::More {}
    assert_eq!(queen.replies(&mut hive).iter().map(|reply| word(reply)).collect::<Vec<_>>(), [None; 3]);
    assert!(queen.open(&mut hive, "/proc/new/deep/log/queen.log", 0).is_ok());
    assert_eq!(queen.walk(&mut hive, "/proc/new/none").map(|(_, n)| n), Ok(2));
}

#[test]
fn a_listing_goes_on_at_any_cookie() {
    let mut hive = of_few_mounts();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/proc", 0).unwrap();
    let mut names = Vec::new();
    let mut offset = 0;
    loop {
        // Room for one entry at a time.
        let reply = queen.ask(&mut hive, &Tmsg::Readdir { fid, offset, count: 40 });
        let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&reply) else { panic!("no listing") };
        let Some(entry) = wire::Dirent::iter(data).last() else { break };
        let entry = entry.unwrap();
        names.push(entry.name.to_owned());
        offset = entry.offset;
    }
    assert_eq!(names, ["9p", "boot", "pressure", "queen", "tests", "version"]);
}

#[test]
fn a_partial_walk_tells_how_far_it_got() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    assert_eq!(queen.walk(&mut hive, "/proc/none").map(|(_, n)| n), Ok(1));
    assert_eq!(queen.walk(&mut hive, "/none/x").map(|(_, n)| n), Err(Word::NotFound));
    assert_eq!(queen.walk(&mut hive, "/proc/tests/none/x").map(|(_, n)| n), Ok(2));
    let none = "reason=notfound path=/proc/tests/none/x detail=no such file in queen's name space\n";
    assert_eq!(queen.errstr(&mut hive), none);
    assert_eq!(queen.walk(&mut hive, "/queen/none/x").map(|(_, n)| n), Ok(1), "the mount is there");
    let none = "reason=notfound path=/queen/none/x detail=no such file in queen's name space\n";
    assert_eq!(queen.errstr(&mut hive), none);
}

#[test]
fn qids_of_different_servers_differ() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let mut seen = BTreeSet::new();
    for path in ["/proc", "/log", "/queen", "/worker", "/proc/9p", "/proc/boot", "/queen/ctl"] {
        let (fid, _) = queen.walk(&mut hive, path).unwrap();
        let reply = queen.ask(&mut hive, &Tmsg::Getattr { fid, mask: 0x7ff });
        let Ok((_, Rmsg::Getattr { qid, .. })) = wire::decode_r(&reply) else { panic!("{path}") };
        assert!(seen.insert(qid.path), "{path} has a qid of its own");
    }
}

#[test]
fn a_pipelined_cycle_needs_no_waiting() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let mut bytes = Vec::new();
    Tmsg::Walk { fid: 0, newfid: 50, names: Names::from(&["proc", "boot"][..]) }.encode(1, &mut bytes);
    Tmsg::Lopen { fid: 50, flags: 0 }.encode(2, &mut bytes);
    Tmsg::Read { fid: 50, offset: 0, count: 100 }.encode(3, &mut bytes);
    Tmsg::Clunk { fid: 50 }.encode(4, &mut bytes);
    queen.bytes(&mut hive, &bytes);
    let replies = queen.replies(&mut hive);
    assert_eq!(replies.len(), 4);
    assert!(replies.iter().all(|reply| word(reply).is_none()));
}

#[test]
fn a_dead_server_costs_its_own_files_only() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let held = queen.open(&mut hive, "/log/queen.log", 0).unwrap();
    hive.kill("log", false);
    let reply = queen.ask(&mut hive, &Tmsg::Read { fid: held, offset: 0, count: 10 });
    assert_eq!(word(&reply), Some(Word::Closed));
    assert_eq!(queen.read(&mut hive, "/log/queen.log"), Err(Word::Busy));
    assert!(queen.errstr(&mut hive).contains("path=/log"));
    assert_eq!(queen.read(&mut hive, "/proc/boot"), Ok("booted\n".into()));
    assert_eq!(queen.list(&mut hive, "/").unwrap(), ["log", "proc", "queen", "shard", "worker"]);
    hive.down.borrow_mut().clear();
    assert_eq!(queen.read(&mut hive, "/log/queen.log"), Ok(String::new()));
}

#[test]
fn what_a_dying_server_owed_is_busy() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/log/queen.log", 0).unwrap();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let tag = queen.send(&mut hive, &Tmsg::Read { fid, offset: 0, count: 10 });
    assert!(queen.replies(&mut hive).is_empty());
    hive.kill("log", true);
    let replies = queen.replies(&mut hive);
    assert_eq!(word(&replies[0]), Some(Word::Busy));
    assert_eq!(replies[0][5..7], tag.to_le_bytes());
}

#[test]
fn a_mount_below_a_dead_server_is_still_there() {
    let mut hive = of_few_mounts();
    let mut queen = hive.queen();
    hive.kill("proc", false);
    assert_eq!(queen.read(&mut hive, "/proc/queen/workers"), Ok("".into()));
    assert_eq!(queen.read(&mut hive, "/proc/boot"), Err(Word::Busy));
    // A client that walks name by name gets as far: what is left of /proc is a directory.
    assert_eq!(queen.list(&mut hive, "/proc").unwrap(), ["9p", "pressure", "queen"]);
    hive.kill("queen", false);
    assert_eq!(queen.read(&mut hive, "/proc/queen/workers"), Err(Word::Busy));
    assert!(queen.errstr(&mut hive).contains("path=/proc/queen"));
}

#[test]
fn a_silent_server_is_left_out_of_a_listing_after_a_while() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let fid = queen.open(&mut hive, "/", 0).unwrap();
    queen.send(&mut hive, &Tmsg::Readdir { fid, offset: 0, count: 8000 });
    assert!(queen.replies(&mut hive).is_empty());
    hive.after(crate::job::DEADLINE_MS + 1);
    let replies = queen.replies(&mut hive);
    let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&replies[0]) else { panic!("no listing") };
    assert_eq!(wire::Dirent::iter(data).count(), 5);
}

#[test]
fn what_was_sent_behind_a_walk_to_a_silent_server_ends_with_it() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let (mut frames, fid) = (Vec::new(), queen.fid());
    Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&["log", "queen.log"][..]) }.encode(90, &mut frames);
    Tmsg::Lopen { fid, flags: 0 }.encode(91, &mut frames);
    Tmsg::Clunk { fid }.encode(92, &mut frames);
    queen.bytes(&mut hive, &frames);
    assert!(queen.replies(&mut hive).is_empty());
    hive.after(crate::job::DEADLINE_MS + 1);
    let words: Vec<_> = queen.replies(&mut hive).iter().map(|reply| word(reply)).collect();
    assert_eq!(words, [Some(Word::Busy); 3]);
    let told = "detail=the server log does not answer; see: coh status\n";
    assert!(queen.errstr(&mut hive).ends_with(told), "{}", queen.errstr(&mut hive));
    assert!(hive.door.sessions[queen.slot].inflight.is_empty());
    assert_eq!(queen.read(&mut hive, "/proc/boot"), Ok("booted\n".into()), "others are not concerned");
}

#[test]
fn a_server_that_is_known_to_be_silent_is_not_waited_for_as_long_until_it_answers() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let mut refused_after = |hive: &mut Hive, ms: u64| {
        let fid = queen.fid();
        let names = Names::from(&["log", "queen.log"][..]);
        queen.send(hive, &Tmsg::Walk { fid: 0, newfid: fid, names });
        hive.after(ms - 1);
        assert!(queen.replies(hive).is_empty());
        hive.after(1);
        assert_eq!(word(&queen.replies(hive)[0]), Some(Word::Busy));
    };
    refused_after(&mut hive, crate::job::DEADLINE_MS);
    refused_after(&mut hive, crate::job::SILENT_MS);
    // Started again, it has all its time.
    hive.kill("log", true);
    refused_after(&mut hive, crate::job::DEADLINE_MS);
    hive.silent.clear();
    hive.kill("log", true);
    let mut other = hive.queen();
    assert_eq!(other.read(&mut hive, "/log/queen.log"), Ok(String::new()));
    assert!(!hive.door.channels[log as usize].is_silent);
}

/// A walk whose end the server decides, which does not: it is that server's directory, or the door's.
fn undecided(hive: &mut Hive, queen: &mut Client) -> (u32, u16) {
    assert_eq!(queen.write(hive, "/proc/9p/self/ns", "mount log /proc/tests/l\n"), Ok(()));
    let proc = hive.channel("proc");
    hive.silent.insert(proc);
    let (fid, names) = (queen.fid(), ["proc", "tests"]);
    let tag = queen.send(hive, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&names[..]) });
    assert!(queen.replies(hive).is_empty());
    (fid, tag)
}

#[test]
fn a_walk_that_is_undecided_holds_up_what_is_about_its_fid() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (fid, _) = undecided(&mut hive, &mut queen);
    assert_eq!(queen.read(&mut hive, "/log/queen.log"), Ok(String::new()));
    assert_eq!(queen.write(&mut hive, "/queen/ctl", "hello\n"), Ok(()));
    queen.send(&mut hive, &Tmsg::Lopen { fid, flags: 0 });
    queen.send(&mut hive, &Tmsg::Getattr { fid: 0, mask: 0x7ff });
    assert!(queen.replies(&mut hive).is_empty());
    hive.after(crate::job::DEADLINE_MS + 1);
    assert!(hive.door.is_reading(queen.slot));
    queen.bytes(&mut hive, &[]);
    let kinds: Vec<u8> = queen.replies(&mut hive).iter().map(|frame| frame[4]).collect();
    assert_eq!(kinds, [wire::kind::RWALK, wire::kind::RGETATTR], "the open is the silent server's to answer");
}

#[test]
fn a_walk_that_is_undecided_can_be_taken_back() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (fid, oldtag) = undecided(&mut hive, &mut queen);
    let reply = queen.ask(&mut hive, &Tmsg::Flush { oldtag });
    assert_eq!(wire::decode_r(&reply).map(|(_, msg)| msg), Ok(Rmsg::Flush));
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Clunk { fid })), Some(Word::Closed));
    // So can all of the session.
    let (_, _) = undecided(&mut hive, &mut queen);
    queen.version(&mut hive);
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Clunk { fid })), Some(Word::Closed));
}

#[test]
fn a_flushed_request_is_not_answered() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/log/queen.log", 0).unwrap();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let oldtag = queen.send(&mut hive, &Tmsg::Read { fid, offset: 0, count: 10 });
    let reply = queen.ask(&mut hive, &Tmsg::Flush { oldtag });
    assert_eq!(wire::decode_r(&reply).map(|(_, msg)| msg), Ok(Rmsg::Flush));
    hive.kill("log", true);
    assert!(queen.replies(&mut hive).is_empty());
    // An unknown tag is flushed, too.
    let reply = queen.ask(&mut hive, &Tmsg::Flush { oldtag: 999 });
    assert_eq!(wire::decode_r(&reply).map(|(_, msg)| msg), Ok(Rmsg::Flush));
}

#[test]
fn the_queen_rebinds_her_own_session_and_no_other() {
    let mut hive = Hive::new();
    let (mut queen, mut other) = (hive.queen(), hive.queen());
    assert_eq!(queen.write(&mut hive, "/proc/9p/self/ns", "bind /queen /q\n"), Ok(()));
    assert_eq!(queen.list(&mut hive, "/q").unwrap(), ["ctl"]);
    assert_eq!(queen.write(&mut hive, "/q/ctl", "hello\n"), Ok(()));
    assert_eq!(other.walk(&mut hive, "/q").map(|_| ()), Err(Word::NotFound));
    assert!(queen.list(&mut hive, "/").unwrap().contains(&"q".to_owned()));
    let ns = queen.read(&mut hive, "/proc/9p/self/ns").unwrap();
    assert!(ns.contains("bind /queen /q"), "{ns}");
    assert_eq!(queen.write(&mut hive, "/proc/9p/self/ns", "bind /none /x\n"), Err(Word::NotFound));
    assert_eq!(queen.write(&mut hive, "/proc/9p/self/ns", "mount gpu /gpu2\n"), Err(Word::NotFound));
}

#[test]
fn a_ctl_answers_on_the_fid_that_wrote() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/queen/ctl", 2).unwrap();
    queen.ask(&mut hive, &Tmsg::Write { fid, offset: 0, data: b"a\nb\n" });
    let reply = queen.ask(&mut hive, &Tmsg::Read { fid, offset: 0, count: 100 });
    let Ok((_, Rmsg::Read { data })) = wire::decode_r(&reply) else { panic!("no acks") };
    assert_eq!(data, b"OK DONE line=a\nOK DONE line=b\n");
}

#[test]
fn a_listing_says_of_a_name_what_a_walk_to_it_says() {
    let mut hive = of_few_mounts();
    let mut queen = hive.queen();
    queen
        .write(&mut hive, "/proc/9p/self/ns", "mount log /proc/only/here\nbind /proc/tests/none /away\n")
        .unwrap();
    for dir in ["/", "/proc", "/proc/only", "/queen"] {
        let fid = queen.open(&mut hive, dir, 0).unwrap();
        let reply = queen.ask(&mut hive, &Tmsg::Readdir { fid, offset: 0, count: 8000 });
        let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&reply) else { panic!("no listing") };
        for entry in wire::Dirent::iter(data) {
            let entry = entry.unwrap();
            let path = format!("{}/{}", dir.trim_end_matches('/'), entry.name);
            let names: Vec<&str> = path.split('/').skip(1).collect();
            let newfid = queen.fid();
            let reply = queen.ask(&mut hive, &Tmsg::Walk { fid: 0, newfid, names: Names::from(&names[..]) });
            match wire::decode_r(&reply).unwrap().1 {
                Rmsg::Walk { qids } => assert_eq!(qids.iter().last(), Some(entry.qid), "{path}"),
                _ => assert_eq!((path.as_str(), entry.kind), ("/away", 0), "its server has no such file"),
            }
        }
    }
}

#[test]
fn a_fid_whose_open_was_flushed_is_not_open() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (fid, _) = queen.walk(&mut hive, "/proc/boot").unwrap();
    let live = hive.door.channels[usize::from(hive.channel("proc"))].fids();
    let mut bytes = Vec::new();
    Tmsg::Lopen { fid, flags: 0 }.encode(500, &mut bytes);
    Tmsg::Flush { oldtag: 500 }.encode(501, &mut bytes);
    Tmsg::Lopen { fid, flags: 0 }.encode(502, &mut bytes);
    queen.bytes(&mut hive, &bytes);
    let kinds: Vec<u8> = queen.replies(&mut hive).iter().map(|frame| frame[4]).collect();
    assert_eq!(kinds, [wire::kind::RFLUSH, wire::kind::RLOPEN]);
    assert_eq!(hive.door.channels[usize::from(hive.channel("proc"))].fids(), live);
}

#[test]
fn the_queen_feeds_her_name_space_back_and_it_is_the_same() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let ns = queen.read(&mut hive, "/proc/9p/self/ns").unwrap();
    for _ in 0..4 {
        assert_eq!(queen.write(&mut hive, "/proc/9p/self/ns", &ns), Ok(()));
        assert_eq!(queen.read(&mut hive, "/proc/9p/self/ns"), Ok(ns.clone()));
    }
    let write = queen.write(&mut hive, "/proc/9p/self/ns", "bind /log /l\n\nfrob\n");
    assert_eq!((write, queen.walk(&mut hive, "/l").map(|_| ())), (Err(Word::Invalid), Err(Word::NotFound)));
    queen.write(&mut hive, "/proc/9p/self/ns", "\n\nbind /log /a/../b").unwrap_err();
    let errstr = queen.errstr(&mut hive);
    assert!(errstr.contains("detail=ns:3: "), "{errstr}");
}
