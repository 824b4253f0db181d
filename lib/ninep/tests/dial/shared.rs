//! A session that threads share.

use crate::fake::{Fake, Peer};
use ninep::dial::{Credentials, DialError, SharedConn, WINDOW};
use ninep::wire::{Rmsg, Tmsg, decode_t};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far away, for what must not take its time.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

fn dial(fake: &Fake) -> SharedConn {
    SharedConn::dial(&fake.addr(), &Credentials::default()).unwrap()
}

fn read(conn: &SharedConn, fid: u32, until: Instant) -> Result<Vec<u8>, DialError> {
    let frame = conn.call(&Tmsg::Read { fid, offset: 0, count: 100 }, until)?;
    match ninep::wire::decode_r(&frame).unwrap().1 {
        Rmsg::Read { data } => Ok(data.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// The fid of a read is what it reads.
fn echo(peer: &mut Peer, frame: &[u8]) {
    let (tag, msg) = decode_t(frame).unwrap();
    match msg {
        Tmsg::Read { fid, .. } => peer.say(tag, &Rmsg::Read { data: &fid.to_le_bytes() }),
        _ => peer.answer(tag, &msg),
    }
}

#[test]
fn each_thread_has_its_own_reply_in_whatever_order_they_come() {
    let fake = Fake::new(|mut peer| {
        let mut held = Vec::new();
        while let Some(frame) = peer.next() {
            held.push(frame);
            if held.len() == 8 {
                held.drain(..).rev().for_each(|frame| echo(&mut peer, &frame));
            }
        }
    });
    let conn = dial(&fake);
    std::thread::scope(|scope| {
        for fid in 0..8u32 {
            let conn = &conn;
            scope.spawn(move || assert_eq!(read(conn, fid, later()).unwrap(), fid.to_le_bytes()));
        }
    });
    drop(conn);
    fake.end();
}

#[test]
fn what_is_beyond_the_window_waits_for_room() {
    // Answers nothing before the window is full.
    let fake = Fake::new(|mut peer| {
        let mut held: Vec<Vec<u8>> = (0..WINDOW).map(|_| peer.next().unwrap()).collect();
        held.drain(..).for_each(|frame| echo(&mut peer, &frame));
        while let Some(frame) = peer.next() {
            echo(&mut peer, &frame);
        }
    });
    let conn = dial(&fake);
    std::thread::scope(|scope| {
        for fid in 0..3 * WINDOW as u32 {
            let conn = &conn;
            scope.spawn(move || assert_eq!(read(conn, fid, later()).unwrap(), fid.to_le_bytes()));
        }
    });
    drop(conn);
    fake.end();
}

#[test]
fn one_unanswered_call_is_one_threads_affair() {
    // Fid 7 is never answered; its Tflush is refused.
    let fake = Fake::each(|peer, tag, msg| match *msg {
        Tmsg::Read { fid: 7, .. } => {}
        Tmsg::Read { fid, .. } => peer.say(tag, &Rmsg::Read { data: &fid.to_le_bytes() }),
        Tmsg::Flush { .. } => peer.refuse(tag, 95),
        _ => peer.answer(tag, msg),
    });
    let conn = dial(&fake);
    for _ in 0..2 * WINDOW {
        assert!(matches!(read(&conn, 7, Instant::now()), Err(DialError::Timeout)));
    }
    assert!(matches!(read(&conn, 7, soon()), Err(DialError::Timeout)));
    assert_eq!(read(&conn, 8, later()).unwrap(), 8u32.to_le_bytes());
    assert!(!conn.is_lost());
    drop(conn);
    fake.end();
}

#[test]
fn letting_go_waits_for_nothing_and_takes_no_room() {
    let (say, clunked) = mpsc::channel();
    // Clunks are never answered, only counted.
    let fake = Fake::each(move |peer, tag, msg| match *msg {
        Tmsg::Clunk { fid } => say.send(fid).unwrap(),
        Tmsg::Read { fid, .. } => peer.say(tag, &Rmsg::Read { data: &fid.to_le_bytes() }),
        _ => peer.answer(tag, msg),
    });
    let conn = dial(&fake);
    let fids: Vec<u32> = (100..100 + 5 * WINDOW as u32).collect();
    for fid in &fids {
        conn.let_go(*fid);
        assert_eq!(read(&conn, *fid, later()).unwrap(), fid.to_le_bytes());
    }
    let told: Vec<u32> =
        fids.iter().map(|_| clunked.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
    assert_eq!(told, fids, "each, once and in order");
    drop(conn);
    fake.end();
}

#[test]
fn a_walk_that_was_given_up_leaves_no_fid() {
    let (say, heard) = mpsc::channel();
    let fake = Fake::each(move |peer, tag, msg| match *msg {
        Tmsg::Walk { newfid, .. } => say.send(("walk", newfid)).unwrap(),
        Tmsg::Clunk { fid } => {
            say.send(("clunk", fid)).unwrap();
            peer.answer(tag, msg);
        }
        _ => peer.answer(tag, msg),
    });
    let conn = dial(&fake);
    assert!(matches!(conn.walk(conn.root(), &["a"], soon()), Err(DialError::Timeout)));
    let next = || heard.recv_timeout(Duration::from_secs(10)).unwrap();
    let (walked, clunked) = (next(), next());
    assert_eq!((walked.0, clunked.0, walked.1), ("walk", "clunk", clunked.1));
    drop(conn);
    fake.end();
}

#[test]
fn everyone_hears_of_the_end() {
    let fake = Fake::new(|mut peer| {
        for _ in 0..8 {
            peer.next().unwrap();
        }
    });
    let conn = dial(&fake);
    std::thread::scope(|scope| {
        for fid in 0..8 {
            let conn = &conn;
            scope.spawn(move || assert!(matches!(read(conn, fid, later()), Err(DialError::Io(_)))));
        }
    });
    assert!(conn.is_lost());
    assert!(matches!(read(&conn, 0, later()), Err(DialError::Io(_))));
    fake.end();
}

#[test]
fn a_reply_to_nothing_ends_the_session() {
    let fake = Fake::each(|peer, tag, _| peer.say(tag ^ 1, &Rmsg::Clunk));
    let conn = dial(&fake);
    assert!(matches!(read(&conn, 0, later()), Err(DialError::Io(_))));
    assert!(conn.is_lost());
    fake.end();
}

#[test]
fn a_server_that_takes_no_bytes_holds_up_nobody_beyond_the_deadline() {
    let (stop, stopped) = mpsc::channel::<()>();
    let fake = Fake::new(move |peer| {
        // Reads nothing, for as long as the test lasts.
        let _ = stopped.recv();
        drop(peer);
    });
    let conn = dial(&fake);
    let data = [b'x'; 8000];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (conn, data) = (&conn, &data);
            scope.spawn(move || {
                for _ in 0..50 {
                    let wrote = conn.call(&Tmsg::Write { fid: 1, offset: 0, data }, soon());
                    assert!(matches!(wrote, Err(DialError::Timeout)), "{wrote:?}");
                    conn.let_go(2);
                }
            });
        }
    });
    drop(stop);
    drop(conn);
    fake.end();
}
