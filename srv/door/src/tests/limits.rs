//! Every limit of spec 1.2, and what happens at it.

use super::*;

fn frame(size: u32, kind: u8, tag: u16, body: &[u8]) -> Vec<u8> {
    let mut out = size.to_le_bytes().to_vec();
    out.push(kind);
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(body);
    out
}

#[test]
fn the_version_is_negotiated_down_or_not_at_all() {
    let mut hive = Hive::new();
    for (msize, offered, agreed, said) in [
        (1 << 20, "9P2000.L", 8192, "9P2000.L"),
        (4096, "9P2000.L", 4096, "9P2000.L"),
        (255, "9P2000.L", 255, "unknown"),
        (8192, "9P2000", 8192, "unknown"),
        (8192, "9P2000.u", 8192, "unknown"),
    ] {
        let mut client = hive.connect(unix());
        let reply = client.ask(&mut hive, &Tmsg::Version { msize, version: offered });
        let version = Rmsg::Version { msize: agreed, version: said };
        assert_eq!(wire::decode_r(&reply).map(|(_, msg)| msg), Ok(version));
    }
}

#[test]
fn a_version_in_mid_session_begins_anew() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/proc/boot", 0).unwrap();
    queen.version(&mut hive);
    let reply = queen.ask(&mut hive, &Tmsg::Read { fid, offset: 0, count: 10 });
    assert_eq!(word(&reply), Some(Word::Closed));
    assert_eq!(queen.attach(&mut hive, "queen"), Ok(()));
    assert_eq!(queen.read(&mut hive, "/proc/boot"), Ok("booted\n".into()));
    // Neither who it was nor what she had bound outlives it.
    queen.write(&mut hive, "/proc/9p/self/ns", "bind /shard /shadow\n").unwrap();
    queen.version(&mut hive);
    let mut other = hive.queen();
    assert_eq!(other.read(&mut hive, "/proc/9p/session/active"), Ok("active=1 draining=0\n".into()));
    let of_it = |file| format!("/proc/9p/session/1/{file}");
    assert_eq!(other.read(&mut hive, &of_it("state")), Ok("state=SETUP\n".into()));
    assert_eq!(other.read(&mut hive, &of_it("owner")), Ok("owner=\n".into()));
    assert_eq!(queen.attach(&mut hive, "queen:anna"), Ok(()));
    assert_eq!(queen.walk(&mut hive, "/shadow").map(|_| ()), Err(Word::NotFound));
    queen.version(&mut hive);
    assert_eq!(queen.attach(&mut hive, "observer"), Ok(()));
    assert_eq!(queen.walk(&mut hive, "/queen").map(|_| ()), Err(Word::NotFound));
    // It has the time of a handshake again, and no more for saying Tversion again.
    queen.version(&mut hive);
    hive.after(9000);
    queen.version(&mut hive);
    assert!(hive.door.sessions.contains(queen.slot));
    hive.after(1000);
    assert!(!hive.door.sessions.contains(queen.slot));
}

#[test]
fn a_frame_beyond_msize_is_skipped_and_the_session_goes_on() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let mut bytes = frame(10_000, 118, 77, &[]);
    bytes.resize(10_000, 0);
    for piece in bytes.chunks(999) {
        queen.bytes(&mut hive, piece);
    }
    let replies = queen.replies(&mut hive);
    assert_eq!((replies.len(), word(&replies[0])), (1, Some(Word::TooBig)));
    assert_eq!(replies[0][5..7], 77u16.to_le_bytes());
    assert_eq!(queen.read(&mut hive, "/proc/boot"), Ok("booted\n".into()));
    assert_eq!(queen.bytes(&mut hive, &frame(u32::MAX, 118, 55, &[])), Turn::End);
    let last = queen.replies(&mut hive);
    assert_eq!(
        (last.len(), word(&last[0]), &last[0][5..7]),
        (1, Some(Word::TooBig), &55u16.to_le_bytes()[..])
    );
}

#[test]
fn malformed_frames_are_invalid_and_unknown_ones_unsupported() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    for (bytes, expected) in [
        (frame(7, 110, 5, &[]), Word::Invalid),
        (frame(8, 120, 5, &[0]), Word::Invalid),
        (frame(12, 120, 5, &[0, 0, 0, 0, 0]), Word::Invalid),
        (frame(3, 120, 5, &[]), Word::Invalid),
        (frame(11, 98, 5, &[0; 4]), Word::Unsupported),
        (frame(11, 101, 5, &[0; 4]), Word::Unsupported),
        (frame(11, 255, 5, &[0; 4]), Word::Unsupported),
    ] {
        queen.bytes(&mut hive, &bytes);
        let replies = queen.replies(&mut hive);
        assert_eq!((replies.len(), word(&replies[0])), (1, Some(expected)), "{bytes:?}");
    }
}

#[test]
fn half_a_frame_waits_for_the_other_half() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let mut bytes = Vec::new();
    Tmsg::Walk { fid: 0, newfid: 40, names: Names::from(&["proc"][..]) }.encode(9, &mut bytes);
    for byte in &bytes[..bytes.len() - 1] {
        queen.bytes(&mut hive, &[*byte]);
        assert!(queen.replies(&mut hive).is_empty());
    }
    queen.bytes(&mut hive, &bytes[bytes.len() - 1..]);
    assert_eq!(queen.replies(&mut hive).len(), 1);
}

#[test]
fn the_bound_on_requests_in_flight_is_busy_or_a_wait() {
    for (rules, expected) in [(unix(), 8), (kernel(), 0)] {
        let mut hive = Hive::new();
        let mut client = hive.connect(rules);
        client.version(&mut hive);
        client.attach(&mut hive, "queen").unwrap();
        let fid = client.open(&mut hive, "/log/queen.log", 0).unwrap();
        let log = hive.channel("log");
        hive.silent.insert(log);
        let mut bytes = Vec::new();
        for tag in 100..140 {
            Tmsg::Read { fid, offset: 0, count: 1 }.encode(tag, &mut bytes);
        }
        client.bytes(&mut hive, &bytes);
        let replies = client.replies(&mut hive);
        assert_eq!(replies.len(), expected);
        assert!(replies.iter().all(|reply| word(reply) == Some(Word::Busy)));
        hive.kill("log", true);
        let after = client.replies(&mut hive).len();
        // Whoever waited goes on when there is room.
        while hive.door.client_turn(client.slot) == Turn::More {}
        assert_eq!(after + client.replies(&mut hive).len() + expected, 40);
    }
}

#[test]
fn who_sends_much_has_one_turn_before_the_next_session_has_its_own() {
    let mut hive = Hive::new();
    let (mut flood, mut other) = (hive.queen(), hive.queen());
    let telemetry = "/worker/worker-1/telemetry";
    let (much, one) =
        (flood.open(&mut hive, telemetry, 1).unwrap(), other.open(&mut hive, telemetry, 1).unwrap());
    let turn = hive.door.limits.batch_frames as u16;
    let writes = |fid, data: &[u8], count| {
        let mut bytes = Vec::new();
        let write = Tmsg::Write { fid, offset: u64::MAX, data };
        (0..count).for_each(|tag| write.encode(100 + tag, &mut bytes));
        bytes
    };
    assert_eq!(hive.door.client_input(flood.slot, &writes(much, b"flood\n", 10 * turn)), Turn::More);
    assert_eq!(hive.door.client_input(other.slot, &writes(one, b"one\n", 1)), Turn::Idle);
    let mut answers = 0;
    loop {
        answers += flood.replies(&mut hive).len();
        if hive.door.client_turn(flood.slot) == Turn::Idle {
            break;
        }
    }
    answers += flood.replies(&mut hive).len();
    assert_eq!((answers, other.replies(&mut hive).len()), (10 * usize::from(turn), 1));
    let (engine, _) = hive.servers[hive.channel("worker") as usize].as_ref().unwrap();
    let mut log = vec![0; 1 << 16];
    let n = engine.tree.state.log.read(0, &mut log).unwrap();
    let lines: Vec<&str> = std::str::from_utf8(&log[..n]).unwrap().lines().collect();
    assert_eq!(lines.iter().position(|line| *line == "one"), Some(turn.into()));
    assert_eq!(lines.len(), 10 * usize::from(turn) + 1);
}

#[test]
fn a_tag_in_flight_is_not_taken_twice() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/log/queen.log", 0).unwrap();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let mut bytes = Vec::new();
    Tmsg::Read { fid, offset: 0, count: 1 }.encode(70, &mut bytes);
    Tmsg::Read { fid, offset: 0, count: 1 }.encode(70, &mut bytes);
    queen.bytes(&mut hive, &bytes);
    let replies = queen.replies(&mut hive);
    assert_eq!((replies.len(), word(&replies[0])), (1, Some(Word::Invalid)));
}

#[test]
fn fids_are_bounded_and_clunked_ones_do_not_come_back() {
    let mut hive = Hive::with(|manifest| manifest.ninep.fids_per_session = 8);
    let mut queen = hive.queen();
    let mut clone = |queen: &mut Client, newfid| {
        word(&queen.ask(&mut hive, &Tmsg::Walk { fid: 0, newfid, names: Names::from(&[][..]) }))
    };
    for newfid in 1..8 {
        assert_eq!(clone(&mut queen, newfid), None);
    }
    assert_eq!(clone(&mut queen, 8), Some(Word::Quota));
    assert_eq!(clone(&mut queen, 7), Some(Word::Invalid), "in use");
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Clunk { fid: 5 })), None);
    let walk = Tmsg::Walk { fid: 0, newfid: 5, names: Names::from(&[][..]) };
    assert_eq!(word(&queen.ask(&mut hive, &walk)), Some(Word::Closed), "clunked");
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Clunk { fid: 77 })), Some(Word::Closed), "never seen");
}

#[test]
fn a_kernel_may_use_a_clunked_fid_again() {
    let mut hive = Hive::new();
    let mut client = hive.connect(kernel());
    client.version(&mut hive);
    client.attach(&mut hive, "queen").unwrap();
    for _ in 0..3 {
        let walk = Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&["proc", "boot"][..]) };
        assert_eq!(word(&client.ask(&mut hive, &walk)), None);
        assert_eq!(word(&client.ask(&mut hive, &Tmsg::Clunk { fid: 1 })), None);
    }
}

#[test]
fn a_slow_reader_is_read_no_further() {
    let mut hive = Hive::with(|manifest| manifest.ninep.queue_bytes = 4096);
    let mut queen = hive.queen();
    let mut bytes = Vec::new();
    for tag in 1..400 {
        Tmsg::Getattr { fid: 0, mask: 0x7ff }.encode(tag, &mut bytes);
    }
    assert_eq!(queen.bytes(&mut hive, &bytes), Turn::Wait);
    assert!(!hive.door.is_reading(queen.slot));
    let queued = hive.door.client_output(queen.slot).len();
    assert!(queued < 4096 + 8192, "{queued} bytes are queued");
    let mut answered = queen.replies(&mut hive).len();
    while answered < 399 {
        hive.door.client_turn(queen.slot);
        let more = queen.replies(&mut hive).len();
        assert!(more > 0, "it goes on when it reads");
        answered += more;
    }
}

#[test]
fn sessions_are_bounded_and_a_handshake_has_its_time() {
    let mut hive = Hive::with(|manifest| manifest.ninep.sessions = 2);
    let _one = hive.queen();
    let two = hive.connect(unix());
    assert!(hive.door.accept(unix(), "test".into(), None).is_err());
    hive.after(9000);
    assert!(hive.door.accept(unix(), "test".into(), None).is_err());
    hive.after(2000);
    let three = hive.door.accept(unix(), "test".into(), None).expect("the one that never attached is gone");
    assert_eq!(three, two.slot);
}

#[test]
fn no_more_sessions_come_in_than_there_are_descriptors_for() {
    let mut hive = Hive::new();
    let servers = hive.door.channel_names().count() as u64;
    hive.door.limit_to(1 << 20);
    let _one = hive.queen();
    hive.door.limit_to(servers + 26);
    let mut two = hive.queen();
    let refused = hive.door.accept(unix(), "test".into(), None).unwrap_err();
    assert_eq!(refused.detail, "2 sessions are there, as many as the limit on open files allows");
    assert_eq!(two.read(&mut hive, "/proc/boot"), Ok("booted\n".into()));
}

#[test]
fn refusals_are_counted_and_kept() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    assert_eq!(queen.open(&mut hive, "/proc/boot", 1), Err(Word::Permission));
    assert_eq!(queen.errstr(&mut hive), "reason=permission path=/proc/boot detail=the mount is read-only\n");
    assert_eq!(queen.read(&mut hive, "/proc/pressure/permission"), Ok("permission=1\n".into()));
    assert_eq!(queen.read(&mut hive, "/proc/9p/outstanding"), Ok("outstanding current=1 limit=32\n".into()));
    let sessions = "sessions total=1 worker=0 shard_bits=8 shard_count=256\n";
    assert_eq!(queen.read(&mut hive, "/proc/9p/sessions"), Ok(sessions.into()));
}

/// What the journal is to be told since it was asked last: the acks of denials.
fn denials(hive: &mut Hive) -> Vec<String> {
    let mut facts = hive.door.facts.borrow_mut();
    let Some(append) = facts.records.append(1, hive.now) else { return Vec::new() };
    facts.records.appended(Ok(()), hive.now);
    let ninep::srv::Op::Write(line) = append.op else { panic!("an append is a write") };
    let line = String::from_utf8(line).unwrap();
    let acks = line.split("\"kind\":\"deny\"").skip(1);
    acks.map(|rest| rest.split("\"ack\":\"").nth(1).unwrap().split('"').next().unwrap().into()).collect()
}

#[test]
fn every_refused_write_and_attach_is_for_the_journal() {
    let mut hive = Hive::new();
    hive.door.facts.borrow_mut().records = ninep::srv::Records::new(true);
    let mut queen = hive.queen();
    assert!(denials(&mut hive).is_empty());
    assert_eq!(queen.write(&mut hive, "/queen/ctl", &"x".repeat(101)), Err(Word::TooBig));
    assert_eq!(queen.write(&mut hive, "/queen/ctl", "\n"), Err(Word::Invalid));
    assert_eq!(queen.open(&mut hive, "/proc/boot", 1), Err(Word::Permission));
    assert_eq!(queen.read(&mut hive, "/proc/none"), Err(Word::NotFound));
    let told = ["WRITE reason=toobig", "WRITE reason=invalid", "OPEN reason=permission"];
    assert_eq!(denials(&mut hive), told.map(|what| format!("ERR {what}")));
}

#[test]
fn answers_that_are_asked_for_are_queued_for_already() {
    let mut hive = Hive::with(|manifest| manifest.ninep.queue_bytes = 20_000);
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/log/queen.log", 0).unwrap();
    let log = hive.channel("log");
    hive.silent.insert(log);
    let mut bytes = Vec::new();
    (100..108).for_each(|tag| Tmsg::Read { fid, offset: 0, count: u32::MAX }.encode(tag, &mut bytes));
    assert_eq!(queen.bytes(&mut hive, &bytes), Turn::Wait);
    assert_eq!(hive.door.sessions[queen.slot].awaited(), 2 * 8192);
    assert!(!hive.door.is_reading(queen.slot));
    // Small ones fit beside them, and one of any size is let come.
    let mut other = hive.queen();
    let fid = other.open(&mut hive, "/proc/boot", 0).unwrap();
    for count in [100; 20] {
        other.send(&mut hive, &Tmsg::Read { fid, offset: 0, count });
    }
    assert_eq!(other.replies(&mut hive).len(), 20);
    let mut answered = 0;
    while answered < 8 {
        hive.kill("log", true);
        answered += queen.replies(&mut hive).len();
        queen.bytes(&mut hive, &[]);
    }
    assert_eq!(answered, 8, "all but the first have an answer each, too");
}

#[test]
fn a_fid_that_a_walk_did_not_reach_may_be_walked_to_again() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    let (proc, _) = queen.walk(&mut hive, "/proc").unwrap();
    for (fid, names) in
        [(0, &["none"][..]), (0, &["proc", "none"]), (proc, &["none"]), (proc, &["boot", "x"])]
    {
        let walk = Tmsg::Walk { fid, newfid: 900, names: Names::from(names) };
        queen.ask(&mut hive, &walk);
        assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Clunk { fid: 900 })), Some(Word::Closed), "{names:?}");
    }
    let walk = Tmsg::Walk { fid: proc, newfid: 900, names: Names::from(&["boot"][..]) };
    assert_eq!(word(&queen.ask(&mut hive, &walk)), None);
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Clunk { fid: 900 })), None);
    assert_eq!(word(&queen.ask(&mut hive, &walk)), Some(Word::Closed));
}
