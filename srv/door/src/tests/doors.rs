//! Several doors of one hive: connections change hands between two of them, byte for byte.

use super::*;
use crate::{Handover, Seat};
use std::cell::Cell;

/// Door `index` of three, with its own servers.
fn door(index: u32) -> Hive {
    let mut hive = Hive::at(Seat::new(index, 3, 1, Box::new(|_| ())), |_| ());
    // What the others are asked in vain in these tests.
    hive.down.borrow_mut().extend(hive.servers.len() as u16..hive.servers.len() as u16 + 2);
    hive.door.reach = Some(Box::new(|_| true));
    hive
}

/// A queen's first frames, all at once, and a request behind them.
fn opening() -> Vec<u8> {
    let mut bytes = Vec::new();
    Tmsg::Version { msize: 8192, version: VERSION }.encode(wire::NOTAG, &mut bytes);
    Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 0 }.encode(1, &mut bytes);
    let names = ["proc", "boot"];
    Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&names[..]) }.encode(2, &mut bytes);
    bytes
}

#[test]
fn a_session_of_another_door_is_answered_there_from_its_attach_on() {
    let (mut front, mut home) = (door(0), door(1));
    let mut client = front.connect(unix());
    assert_eq!(client.bytes(&mut front, &opening()), Turn::Leave(1));
    let handover = front.door.hand_over(client.slot, false);
    assert!(front.door.facts.borrow().sessions.is_empty());
    let (_, handover) = Handover::decode(&handover.encode()).unwrap().unwrap();
    client.slot = home.door.take_over(handover).unwrap();
    assert_eq!(client.bytes(&mut home, &[]), Turn::Idle);
    let kinds: Vec<u8> = client.replies(&mut home).iter().map(|frame| frame[4]).collect();
    assert_eq!(kinds, [wire::kind::RVERSION, wire::kind::RATTACH, wire::kind::RWALK]);
    assert_eq!(client.read(&mut home, "/proc/boot"), Ok("booted\n".into()));
    let numbers: Vec<u32> = home.door.facts.borrow().sessions.keys().copied().collect();
    assert_eq!(numbers, [4], "door 1 of three");
}

#[test]
fn sessions_without_a_ticket_go_to_the_doors_in_turn() {
    let mut front = door(0);
    let mut turns = || {
        let mut client = front.connect(unix());
        let turn = client.bytes(&mut front, &opening());
        front.door.disconnect(client.slot);
        turn
    };
    assert_eq!(
        [turns(), turns(), turns(), turns()],
        [Turn::Leave(1), Turn::Leave(2), Turn::Idle, Turn::Leave(1)]
    );
}

#[test]
fn a_spent_fid_stays_spent_at_the_other_door() {
    let (mut front, mut home) = (door(0), door(2));
    let mut client = front.connect(unix());
    client.version(&mut front);
    let auth = Tmsg::Auth { afid: 7, uname: "", aname: "", n_uname: 0 };
    assert_eq!(word(&client.ask(&mut front, &auth)), None);
    assert_eq!(word(&client.ask(&mut front, &Tmsg::Clunk { fid: 7 })), None);
    client.slot = home.door.take_over(front.door.hand_over(client.slot, false)).unwrap();
    assert_eq!(word(&client.ask(&mut home, &auth)), Some(Word::Closed));
    let attach = Tmsg::Attach { fid: 7, afid: NOFID, uname: "queen", aname: "", n_uname: 0 };
    assert_eq!(word(&client.ask(&mut home, &attach)), Some(Word::Closed));
    let attach = Tmsg::Attach { fid: 8, afid: NOFID, uname: "queen", aname: "", n_uname: 0 };
    assert_eq!(word(&client.ask(&mut home, &attach)), None);
}

/// What the other doors are asked.
fn asked(hive: &mut Hive) -> Vec<ninep::srv::Request> {
    hive.own.outbox().into_iter().filter(|request| request.server != "log").collect()
}

/// Reads a file of the door's own while another door answers what it counts.
fn read_with(hive: &mut Hive, client: &mut Client, path: &str, counts: Option<&str>) -> String {
    assert!(asked(hive).is_empty());
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let fid = client.fid();
    client.send(hive, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&names[..]) });
    client.send(hive, &Tmsg::Lopen { fid, flags: 0 });
    client.send(hive, &Tmsg::Read { fid, offset: 0, count: 8000 });
    let before = client.replies(hive).len();
    assert!(before < 3, "it waits for the other doors");
    for request in asked(hive) {
        let answer = match counts {
            Some(text) if request.server == "door.1" => Ok(text.as_bytes().to_vec()),
            _ => Err(Word::Busy.into()),
        };
        hive.own.reply(request.id, answer, hive.now);
    }
    match wire::decode_r(client.replies(hive).last().expect("answers")).unwrap().1 {
        Rmsg::Read { data } => String::from_utf8_lossy(data).into_owned(),
        other => panic!("{other:?}"),
    }
}

const COUNTS: &str = "outstanding 5\nshort 2 0\nstates 3 1 2\nrefused 9 0 0 0 0 0 0 0 0 0 0 0\nshards 79 2\nsessions 4 7 10 13\n";

#[test]
fn counts_are_those_of_all_doors_that_are_there() {
    let mut hive = door(0);
    let mut queen = hive.queen_here();
    let read = |hive: &mut Hive, queen: &mut Client, path, counts| read_with(hive, queen, path, counts);
    let there = Some(COUNTS);
    assert_eq!(
        read(&mut hive, &mut queen, "/proc/9p/sessions", there),
        "sessions total=5 worker=2 shard_bits=8 shard_count=256\nshard 4f 2\n"
    );
    assert_eq!(read(&mut hive, &mut queen, "/proc/9p/session/active", there), "active=4 draining=1\n");
    assert_eq!(
        read(&mut hive, &mut queen, "/proc/9p/short_writes", there),
        "short_writes total=2 retries=0\n"
    );
    assert_eq!(read(&mut hive, &mut queen, "/proc/pressure/busy", there), "busy=9\n");
    assert_eq!(read(&mut hive, &mut queen, "/proc/pressure/busy", None), "busy=0\n");
}

#[test]
fn a_door_that_is_silent_is_waited_for_once() {
    let mut hive = door(0);
    let mut queen = hive.queen_here();
    let (fid, _) = queen.walk(&mut hive, "/proc/9p/session/active").unwrap();
    queen.send(&mut hive, &Tmsg::Lopen { fid, flags: 0 });
    assert!(queen.replies(&mut hive).is_empty());
    let late = asked(&mut hive);
    assert_eq!(late.len(), 2);
    hive.after(1000);
    assert_eq!(queen.replies(&mut hive).len(), 1, "the time is up");
    assert_eq!(queen.read(&mut hive, "/proc/9p/session/active"), Ok("active=1 draining=0\n".into()));
    for request in late {
        hive.own.reply(request.id, Ok(COUNTS.into()), hive.now);
    }
    assert_eq!(
        read_with(&mut hive, &mut queen, "/proc/9p/session/active", Some(COUNTS)),
        "active=4 draining=1\n"
    );
}

#[test]
fn a_failed_attach_is_every_doors_business() {
    let (mut front, mut home) = (door(0), door(1));
    let tcp = Rules { local_queen: false, ..unix() };
    for _ in 0..3 {
        let mut client = front.connect(tcp.clone());
        client.version(&mut front);
        assert_eq!(client.attach(&mut front, "queen"), Err(Word::Permission));
    }
    let told: Vec<_> = front.own.outbox().into_iter().filter(|request| request.server == "door.1").collect();
    assert_eq!(told.len(), 3);
    for request in told {
        let ninep::srv::Op::Write(line) = request.op else { panic!("{request:?}") };
        home.order(std::str::from_utf8(&line).unwrap().trim());
    }
    let mut client = home.connect(tcp);
    client.version(&mut home);
    assert_eq!(client.attach(&mut home, "queen"), Err(Word::RateLimited));
}

#[test]
fn a_session_of_another_door_is_asked_of_that_door() {
    let mut hive = door(0);
    let mut queen = hive.queen_here();
    let far = hive.servers.len() as u16;
    let dialled = Rc::new(Cell::new(None));
    let seen = Rc::clone(&dialled);
    hive.door.admission.dial = Some(Box::new(move |channel, name| {
        if name.starts_with("door") {
            seen.set(Some((channel, name == "door.1")));
        }
        false
    }));
    assert_eq!(queen.walk(&mut hive, "/proc/9p/session/4/owner").map(drop), Err(Word::Busy));
    assert_eq!(dialled.take(), Some((far, true)));
    assert!(read_with(&mut hive, &mut queen, "/proc/9p/self/errstr", None).contains("door.1 is not running"));
    let own = *hive.door.facts.borrow().sessions.keys().next().unwrap();
    assert_eq!(own % 3, 0);
    assert_eq!(queen.walk(&mut hive, &format!("/proc/9p/session/{own}/owner")).map(|(_, n)| n), Ok(5));
    assert_eq!(dialled.take(), None, "its own it knows itself");
}
