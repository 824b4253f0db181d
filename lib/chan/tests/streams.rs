//! The accepting end with what has come: order, bounds, ends, and numbers that come back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chan::Moved;
use chan::mux::{Broken, Conn, Event, Listener, Mux, Peer};
use chan::ring::{Reader, Ring, Writer};
use chan::streams::{STREAMS, StreamId, Streams};

const PEER: Peer = Peer { address: [10, 0, 2, 2], port: 40112 };
const RING: usize = 16 << 10;

type Pipe = (Writer<'static, RING>, Reader<'static, RING>);

/// The network's end, and the one under test.
fn ends() -> (Mux<STREAMS>, Pipe, Streams<Pipe>) {
    let (there, back): (&'static Ring<RING>, &'static Ring<RING>) =
        (Box::leak(Box::default()), Box::leak(Box::default()));
    let far = Streams::new((Writer::new(back), Reader::new(there)));
    (Mux::opener(), (Writer::new(there), Reader::new(back)), far)
}

fn open(net: &mut Mux<STREAMS>, pipe: &mut Pipe, door: &mut Streams<Pipe>) -> (Conn, StreamId) {
    let conn = net.open(Listener::Ninep, PEER).unwrap();
    net.grant(conn, 100);
    net.flush(pipe).unwrap();
    door.take().unwrap();
    while net.next(pipe).unwrap().is_some() {}
    let (id, listener, peer) = door.opened().unwrap();
    assert_eq!((listener, peer, door.opened()), (Listener::Ninep, PEER, None));
    (conn, id)
}

#[test]
fn bytes_go_both_ways_as_far_as_there_is_room() {
    let (mut net, mut pipe, mut door) = ends();
    let (conn, id) = open(&mut net, &mut pipe, &mut door);
    let mut out = [0; 20_000];
    assert_eq!(door.read(id, &mut out), Moved::Later);
    assert_eq!(net.send(&mut pipe, conn, &[7; 20_000]), Ok(8192), "no more than is granted");
    door.take().unwrap();
    assert_eq!(door.read(id, &mut out[..3000]), Moved::Bytes(3000));
    door.flush().unwrap();
    assert_eq!(net.next(&mut pipe), Ok(None), "small grants are saved up");
    assert_eq!(door.read(id, &mut out), Moved::Bytes(5192));
    door.flush().unwrap();
    assert_eq!(net.next(&mut pipe), Ok(Some(Event::Writable { conn })));
    assert_eq!(net.credit(conn), 8192);
    assert_eq!(door.write(id, &[1; 300]), Ok(Moved::Bytes(100)));
    assert_eq!(door.write(id, &[1; 200]), Ok(Moved::Later));
}

#[test]
fn the_end_that_opens_reads_and_writes_as_the_other_does() {
    let (there, back): (&'static Ring<RING>, &'static Ring<RING>) =
        (Box::leak(Box::default()), Box::leak(Box::default()));
    let mut near = Streams::opener((Writer::new(there), Reader::new(back)));
    let mut door = Streams::new((Writer::new(back), Reader::new(there)));
    let id = near.open(Listener::Console, PEER).unwrap();
    near.flush().unwrap();
    door.take().unwrap();
    let (there, listener, _) = door.opened().unwrap();
    assert_eq!(listener, Listener::Console);
    near.take().unwrap();
    assert_eq!(near.write(id, b"ask"), Ok(Moved::Bytes(3)));
    door.take().unwrap();
    let mut out = [0; 8];
    assert_eq!((door.read(there, &mut out), &out[..3]), (Moved::Bytes(3), &b"ask"[..]));
    assert_eq!(door.write(there, b"answer"), Ok(Moved::Bytes(6)));
    door.close(there);
    door.flush().unwrap();
    near.take().unwrap();
    assert_eq!((near.read(id, &mut out), near.read(id, &mut out)), (Moved::Bytes(6), Moved::Ended));
    near.close(id);
    near.flush().unwrap();
    for _ in 0..STREAMS {
        assert!(near.open(Listener::Console, PEER).is_some());
    }
    assert!(near.open(Listener::Console, PEER).is_none());
}

#[test]
fn an_end_comes_after_the_bytes_and_a_close_takes_no_more() {
    let (mut net, mut pipe, mut door) = ends();
    let (conn, id) = open(&mut net, &mut pipe, &mut door);
    net.send(&mut pipe, conn, b"last").unwrap();
    net.end(conn);
    net.flush(&mut pipe).unwrap();
    door.take().unwrap();
    let mut out = [0; 8];
    assert_eq!((door.read(id, &mut out), door.read(id, &mut out)), (Moved::Bytes(4), Moved::Ended));
    assert_eq!(door.write(id, b"answer"), Ok(Moved::Bytes(6)));
    net.close(conn);
    net.flush(&mut pipe).unwrap();
    door.take().unwrap();
    assert_eq!(door.write(id, b"more"), Ok(Moved::Ended));
}

#[test]
fn a_connection_that_comes_back_is_another_stream() {
    let (mut net, mut pipe, mut door) = ends();
    let (first, old) = open(&mut net, &mut pipe, &mut door);
    net.close(first);
    for _ in 0..STREAMS {
        net.flush(&mut pipe).unwrap();
        door.take().unwrap();
        while net.next(&mut pipe).unwrap().is_some() {}
        let (conn, id) = open(&mut net, &mut pipe, &mut door);
        if conn == first {
            // Nobody has looked at the old one since.
            net.send(&mut pipe, conn, b"new").unwrap();
            door.take().unwrap();
            assert_eq!(door.read(old, &mut [0; 8]), Moved::Ended);
            door.close(old);
            assert_eq!(door.read(id, &mut [0; 8]), Moved::Bytes(3));
            return;
        }
        net.close(conn);
        door.close(id);
    }
    panic!("the number did not come back");
}

#[test]
fn what_is_closed_here_is_told_no_more_and_a_broken_rule_is_an_error() {
    let (mut net, mut pipe, mut door) = ends();
    let (conn, id) = open(&mut net, &mut pipe, &mut door);
    net.send(&mut pipe, conn, b"late").unwrap();
    door.close(id);
    door.take().unwrap();
    assert_eq!((door.read(id, &mut [0; 8]), door.write(id, b"x")), (Moved::Ended, Ok(Moved::Ended)));
    assert_eq!(net.next(&mut pipe), Ok(Some(Event::Closed { conn })));
    pipe.0.write(&[9; 6]).unwrap();
    // The close that answers is in front of it.
    assert_eq!(door.take(), Err(Broken::Frame));
    door.reset();
    assert_eq!(door.opened(), None);
}
