//! Streams over one pair of rings: order, credit, isolation, and peers that break the rules.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};

use chan::mux::{Broken, CREDIT_MAX, Conn, DATA_MAX, Event, Listener, Mux, Peer};
use chan::ring::{Reader, Ring, Writer};
use proptest::prelude::*;

const PEER: Peer = Peer { address: [10, 0, 2, 2], port: 40112 };
const SMALL: usize = 64;

type Ends<'a, const N: usize> = (Writer<'a, N>, Reader<'a, N>);

fn pair<'a, const N: usize>(there: &'a Ring<N>, back: &'a Ring<N>) -> (Ends<'a, N>, Ends<'a, N>) {
    ((Writer::new(there), Reader::new(back)), (Writer::new(back), Reader::new(there)))
}

/// A frame as a peer would write it.
fn frame(kind: u8, conn: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0];
    out.extend(conn.to_le_bytes());
    out.extend((body.len() as u16).to_le_bytes());
    out.extend(body);
    out
}

fn open(conn: u16, listener: u8) -> Vec<u8> {
    frame(1, conn, &[listener, 0, 0xb0, 0x9c, 10, 0, 2, 2])
}

#[test]
fn a_stream_is_opened_used_both_ways_and_closed() {
    let (there, back) = (Ring::<8192>::new(), Ring::<8192>::new());
    let (mut near, mut far) = pair(&there, &back);
    let (mut net, mut door) = (Mux::<4>::opener(), Mux::<4>::acceptor());
    let conn = net.open(Listener::Ninep, PEER).unwrap();
    net.grant(conn, 10);
    net.flush(&mut near).unwrap();
    let opened = Event::Opened { conn, listener: Listener::Ninep, peer: PEER };
    assert_eq!(door.next(&mut far), Ok(Some(opened)));
    assert_eq!(door.next(&mut far), Ok(Some(Event::Writable { conn })));
    assert_eq!(door.next(&mut far), Ok(None));
    assert_eq!(net.send(&mut near, conn, b"early"), Ok(0), "nothing is granted yet");
    door.grant(conn, 5);
    assert_eq!(door.send(&mut far, conn, b"hello, and more"), Ok(10));
    assert_eq!(net.next(&mut near), Ok(Some(Event::Writable { conn })));
    assert_eq!(net.next(&mut near), Ok(Some(Event::Data { conn, bytes: b"hello, and" })));
    assert_eq!(net.send(&mut near, conn, b"question"), Ok(5));
    assert_eq!(door.next(&mut far), Ok(Some(Event::Data { conn, bytes: b"quest" })));

    net.end(conn);
    net.grant(conn, 10);
    net.flush(&mut near).unwrap();
    assert_eq!(door.next(&mut far), Ok(Some(Event::Ended { conn })));
    assert_eq!(door.next(&mut far), Ok(Some(Event::Writable { conn })));
    assert_eq!(door.send(&mut far, conn, b"answer"), Ok(6), "an ended peer still takes");
    door.close(conn);
    door.flush(&mut far).unwrap();
    assert_eq!(net.next(&mut near), Ok(Some(Event::Data { conn, bytes: b"answer" })));
    assert_eq!(net.next(&mut near), Ok(Some(Event::Closed { conn })));
    assert_eq!((net.used(), door.used()), (1, 1), "the number is in use until both have said so");
    net.flush(&mut near).unwrap();
    assert_eq!(door.next(&mut far), Ok(None));
    assert_eq!((net.used(), door.used()), (0, 0));
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    let (there, back) = (Ring::<8192>::new(), Ring::<8192>::new());
    let (mut near, mut far) = pair(&there, &back);
    let (mut net, mut door) = (Mux::<4>::opener(), Mux::<4>::acceptor());
    let stuck = net.open(Listener::Ninep, PEER).unwrap();
    let lively = net.open(Listener::Console, PEER).unwrap();
    net.flush(&mut near).unwrap();
    while door.next(&mut far).unwrap().is_some() {}
    door.grant(stuck, 1000);
    door.grant(lively, 1000);
    door.flush(&mut far).unwrap();
    while net.next(&mut near).unwrap().is_some() {}
    assert_eq!(net.send(&mut near, stuck, &[1; 100_000]), Ok(1000));
    for round in 0..100u8 {
        assert_eq!(net.send(&mut near, stuck, &[1; 100_000]), Ok(0));
        assert_eq!(net.send(&mut near, lively, &[round; 1000]), Ok(1000));
        while let Some(event) = door.next(&mut far).unwrap() {
            if event == (Event::Data { conn: lively, bytes: &[round; 1000] }) {
                door.grant(lively, 1000);
            }
        }
        door.flush(&mut far).unwrap();
        while net.next(&mut near).unwrap().is_some() {}
    }
}

#[test]
fn streams_are_bounded_and_a_number_rests_before_it_comes_back() {
    let (there, back) = (Ring::<8192>::new(), Ring::<8192>::new());
    let (mut near, mut far) = pair(&there, &back);
    let (mut net, mut door) = (Mux::<3>::opener(), Mux::<3>::acceptor());
    let all: Vec<Conn> = (0..3).map(|_| net.open(Listener::Compat, PEER).unwrap()).collect();
    assert_eq!(all, [0, 1, 2]);
    assert_eq!(net.open(Listener::Compat, PEER), None);
    net.close(1);
    net.flush(&mut near).unwrap();
    assert_eq!(net.open(Listener::Compat, PEER), None, "the peer has not said close");
    while door.next(&mut far).unwrap().is_some() {}
    door.flush(&mut far).unwrap();
    assert_eq!(net.next(&mut near), Ok(None), "what was closed here is told no more");
    assert_eq!(net.open(Listener::Compat, PEER), Some(1));
}

#[test]
fn what_a_full_ring_does_not_take_goes_later_and_in_order() {
    let (there, back) = (Ring::<SMALL>::new(), Ring::<SMALL>::new());
    let (mut near, mut far) = pair(&there, &back);
    let (mut net, mut door) = (Mux::<16>::opener(), Mux::<16>::acceptor());
    for _ in 0..16 {
        net.open(Listener::Ninep, PEER).unwrap();
    }
    let mut opened = 0;
    while opened < 16 {
        net.flush(&mut near).unwrap();
        while let Some(event) = door.next(&mut far).unwrap() {
            assert!(matches!(event, Event::Opened { conn, .. } if conn == opened));
            opened += 1;
        }
    }
}

#[test]
fn each_broken_rule_has_its_name() {
    let told = |frames: &[Vec<u8>]| {
        let (there, back) = (Ring::<8192>::new(), Ring::<8192>::new());
        let (mut near, mut far) = pair(&there, &back);
        let mut door = Mux::<4>::acceptor();
        near.0.write(&frames.concat()).unwrap();
        loop {
            match door.next(&mut far) {
                Ok(None) => return None,
                Ok(Some(Event::Opened { conn, .. })) => {
                    door.grant(conn, 4);
                    door.flush(&mut far).unwrap();
                }
                Ok(Some(_)) => {}
                Err(broken) => return Some(broken),
            }
        }
    };
    assert_eq!(told(&[open(3, 2), frame(2, 3, b"four")]), None);
    for kind in [0, 6, 255] {
        assert_eq!(told(&[frame(kind, 0, b"")]), Some(Broken::Frame));
    }
    assert_eq!(told(&[vec![5, 1, 0, 0, 0, 0]]), Some(Broken::Frame));
    assert_eq!(told(&[frame(1, 0, &[2, 0, 0, 0, 1, 2, 3])]), Some(Broken::Frame));
    assert_eq!(told(&[open(0, 2), frame(2, 0, b"")]), Some(Broken::Frame));
    assert_eq!(told(&[open(0, 2), vec![2, 0, 0, 0, 1, 16]]), Some(Broken::Frame));
    assert_eq!(told(&[open(0, 2), frame(4, 0, b"x")]), Some(Broken::Frame));
    assert_eq!(told(&[open(0, 4)]), Some(Broken::Frame));
    assert_eq!(told(&[open(4, 2)]), Some(Broken::Stream));
    assert_eq!(told(&[open(0, 2), open(0, 2)]), Some(Broken::Stream));
    assert_eq!(told(&[frame(2, 1, b"x")]), Some(Broken::Stream));
    assert_eq!(told(&[frame(5, 9, b"")]), Some(Broken::Stream));
    assert_eq!(told(&[open(0, 2), frame(4, 0, b""), frame(2, 0, b"x")]), Some(Broken::Stream));
    assert_eq!(told(&[open(0, 2), frame(4, 0, b""), frame(4, 0, b"")]), Some(Broken::Stream));
    assert_eq!(told(&[open(0, 2), frame(5, 0, b""), frame(2, 0, b"x")]), Some(Broken::Stream));
    assert_eq!(told(&[open(0, 2), frame(2, 0, b"fives")]), Some(Broken::Credit));
    assert_eq!(told(&[open(0, 2), frame(3, 0, &[0; 4])]), Some(Broken::Credit));
    let credit = |bytes: u32| frame(3, 0, &bytes.to_le_bytes());
    assert_eq!(told(&[open(0, 2), credit(CREDIT_MAX)]), None);
    assert_eq!(told(&[open(0, 2), credit(CREDIT_MAX), credit(1)]), Some(Broken::Credit));
    assert_eq!(told(&[open(0, 2), credit(u32::MAX)]), Some(Broken::Credit));
}

#[test]
fn nobody_opens_streams_at_the_opener_nor_answers_what_was_not_said() {
    let (there, back) = (Ring::<8192>::new(), Ring::<8192>::new());
    let (mut near, mut far) = pair(&there, &back);
    let mut net = Mux::<4>::opener();
    let conn = net.open(Listener::Ninep, PEER).unwrap();
    far.0.write(&frame(5, conn, b"")).unwrap();
    assert_eq!(net.next(&mut near), Err(Broken::Stream));
    net.reset();
    far.0.write(&open(0, 2)).unwrap();
    assert_eq!(net.next(&mut near), Err(Broken::Stream));
}

/// What one end's user knows.
#[derive(Default)]
struct User {
    sent: BTreeMap<Conn, VecDeque<u8>>,
    stored: BTreeMap<Conn, usize>,
    is_open: BTreeMap<Conn, bool>,
}

const ROOM: usize = 50;

/// Takes what came; the bytes must be the ones that `other` sent.
fn drain<const N: usize>(mux: &mut Mux<8>, pipe: &mut Ends<'_, N>, me: &mut User, other: &mut User) {
    loop {
        let granted = match mux.next(pipe).unwrap() {
            None => break,
            Some(Event::Opened { conn, .. }) => {
                me.is_open.insert(conn, true);
                me.stored.insert(conn, 0);
                me.sent.insert(conn, VecDeque::new());
                Some(conn)
            }
            Some(Event::Data { conn, bytes }) => {
                let expected: Vec<u8> = other.sent.get_mut(&conn).unwrap().drain(..bytes.len()).collect();
                assert_eq!(bytes, expected);
                *me.stored.get_mut(&conn).unwrap() += bytes.len();
                assert!(me.stored[&conn] <= ROOM, "more came than there is room for");
                None
            }
            Some(Event::Closed { conn }) => {
                me.is_open.remove(&conn);
                None
            }
            Some(_) => None,
        };
        if let Some(conn) = granted {
            mux.grant(conn, ROOM);
        }
    }
    mux.flush(pipe).unwrap();
}

proptest! {
    /// Two honest ends, any order of steps, rings that are always too small.
    #[test]
    fn every_byte_arrives_once_and_in_order(steps in prop::collection::vec((0u8..7, 0u16..8, 0usize..100, any::<bool>()), 0..300)) {
        let (there, back) = (Ring::<SMALL>::new(), Ring::<SMALL>::new());
        let (mut near, mut far) = pair(&there, &back);
        let (mut net, mut door) = (Mux::<8>::opener(), Mux::<8>::acceptor());
        let (mut a, mut b) = (User::default(), User::default());
        let mut value = 0u8;
        for (step, conn, bytes, is_near) in steps {
            let (mux, pipe, me) = if is_near { (&mut net, &mut near, &mut a) } else { (&mut door, &mut far, &mut b) };
            match step {
                0 => if let Some(conn) = net.open(Listener::Ninep, PEER) {
                    a.is_open.insert(conn, true);
                    a.stored.insert(conn, 0);
                    a.sent.insert(conn, VecDeque::new());
                    net.grant(conn, ROOM);
                },
                1..=3 if me.is_open.contains_key(&conn) => {
                    let data: Vec<u8> = (0..bytes).map(|n| value.wrapping_add(n as u8)).collect();
                    let sent = mux.send(pipe, conn, &data).unwrap();
                    value = value.wrapping_add(sent as u8);
                    me.sent.get_mut(&conn).unwrap().extend(&data[..sent]);
                }
                4 => if let Some(stored) = me.stored.get_mut(&conn).filter(|_| me.is_open.contains_key(&conn)) {
                    let freed = bytes.min(*stored);
                    *stored -= freed;
                    mux.grant(conn, freed);
                },
                5 if bytes < 20 => {
                    if me.is_open.remove(&conn).is_some() {
                        mux.close(conn);
                    }
                }
                _ => if is_near {
                    drain(&mut net, &mut near, &mut a, &mut b);
                } else {
                    drain(&mut door, &mut far, &mut b, &mut a);
                },
            }
        }
        // Everything closed, everything is free.
        for conn in 0..8 {
            net.close(conn);
        }
        for _ in 0..100 {
            drain(&mut net, &mut near, &mut a, &mut b);
            drain(&mut door, &mut far, &mut b, &mut a);
        }
        prop_assert_eq!((net.used(), door.used()), (0, 0));
    }

    /// Frames that are nearly right: an end takes them or refuses them, and never more data than it granted.
    #[test]
    fn any_frames_are_survived(
        frames in prop::collection::vec((0u8..7, 0u16..6, prop::collection::vec(any::<u8>(), 0..12)), 0..60),
        raw in prop::collection::vec(any::<u8>(), 0..40),
        is_opener in any::<bool>(),
    ) {
        let (there, back) = (Ring::<8192>::new(), Ring::<8192>::new());
        let (mut near, mut far) = pair(&there, &back);
        let mut mux = if is_opener { Mux::<4>::opener() } else { Mux::<4>::acceptor() };
        if is_opener {
            for conn in 0..2 {
                mux.open(Listener::Console, PEER);
                mux.grant(conn, 8);
            }
            mux.flush(&mut far).unwrap();
        }
        for (kind, conn, body) in frames {
            near.0.write(&frame(kind, conn, &body)).unwrap();
        }
        near.0.write(&raw).unwrap();
        let mut room = [8usize; 4];
        loop {
            match mux.next(&mut far) {
                Ok(Some(Event::Opened { conn, .. })) => {
                    room[usize::from(conn)] = 8;
                    mux.grant(conn, 8);
                    mux.flush(&mut far).unwrap();
                }
                Ok(Some(Event::Data { conn, bytes })) => {
                    let room = &mut room[usize::from(conn)];
                    prop_assert!(bytes.len() <= *room && bytes.len() <= DATA_MAX);
                    *room -= bytes.len();
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
            prop_assert!(mux.used() <= 4);
        }
    }
}
