//! A session for one thread.

use crate::fake::Fake;
use ninep::dial::{Addr, Conn, Credentials, DialError};
use ninep::refusal::Word;
use ninep::wire::{Dirent, NOTAG, Qid, Rmsg, Tmsg, VERSION};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// The most that one read brings.
const FULL: usize = 8192 - 11;

fn dial(fake: &Fake) -> Conn {
    Conn::dial_spec(&fake.addr(), &Credentials::default(), Some("")).unwrap()
}

#[test]
fn an_msize_without_room_for_data_is_refused() {
    for msize in [0, 10, 22, 255, 8193] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 21];
            stream.read_exact(&mut asked).unwrap();
            let mut reply = Vec::new();
            Rmsg::Version { msize, version: VERSION }.encode(NOTAG, &mut reply);
            stream.write_all(&reply).unwrap();
        });
        match Conn::dial(&Addr::Unix(path), &Credentials::default()) {
            Err(DialError::Protocol(what)) => assert!(what.contains(&msize.to_string()), "{what}"),
            Err(other) => panic!("{msize}: {other}"),
            Ok(_) => panic!("{msize}: the client goes on"),
        }
        server.join().unwrap();
    }
}

/// A server whose directories give, read at an offset, entries that end with the offset that `next` says.
fn directory(next: impl Fn(u64) -> Option<u64> + Send + 'static) -> Fake {
    Fake::each(move |peer, tag, msg| match *msg {
        Tmsg::Readdir { offset, .. } => {
            let mut data = Vec::new();
            if let Some(offset) = next(offset) {
                Dirent { qid: Qid::default(), offset, kind: 8, name: "x" }.push(&mut data, FULL);
            }
            peer.say(tag, &Rmsg::Readdir { data: &data });
        }
        _ => peer.answer(tag, msg),
    })
}

#[test]
fn a_directory_whose_offsets_repeat_has_an_end() {
    // It stands still; it goes back to its start; it goes round behind its start.
    let wrong: [fn(u64) -> Option<u64>; 3] = [|_| Some(1), |at| Some(1 - at), |at| Some(at % 3 + 1)];
    for next in wrong {
        let fake = directory(next);
        match dial(&fake).list("/d") {
            Err(DialError::Protocol(what)) => assert!(what.contains("offsets repeat"), "{what}"),
            other => panic!("{other:?}"),
        }
        fake.end();
    }
    // Offsets mean nothing to a client; they may go down.
    let fake = directory(|at| match at {
        0 => Some(u64::MAX),
        1 => None,
        at => Some(at.min(4) - 1),
    });
    assert_eq!(dial(&fake).list("/d").unwrap().len(), 4);
    fake.end();
}

#[test]
fn a_malformed_listing_is_no_listing() {
    let fake = Fake::each(|peer, tag, msg| match msg {
        Tmsg::Readdir { .. } => peer.say(tag, &Rmsg::Readdir { data: &[0; 30] }),
        _ => peer.answer(tag, msg),
    });
    assert!(matches!(dial(&fake).list("/d"), Err(DialError::Protocol(_))));
    fake.end();
}

/// A server whose files give, at an offset, what `read` says.
fn file(read: impl Fn(u64) -> Result<usize, u32> + Send + 'static) -> Fake {
    Fake::each(move |peer, tag, msg| match *msg {
        Tmsg::Read { offset, .. } => match read(offset) {
            Ok(len) => peer.say(tag, &Rmsg::Read { data: &vec![b'x'; len] }),
            Err(ecode) => peer.refuse(tag, ecode),
        },
        _ => peer.answer(tag, msg),
    })
}

#[test]
fn a_read_refused_in_the_middle_of_a_window_is_the_reads_failure() {
    let lapped = 5 * FULL as u64;
    let fake = file(move |offset| if offset == lapped { Err(Word::Revoked.errno()) } else { Ok(FULL) });
    let mut conn = dial(&fake);
    for _ in 0..40 {
        // More than the window has: what is behind the refusal is answered and done with.
        assert_eq!(conn.read_all("/f").map_err(|error| error.word()), Err(Some(Word::Revoked)));
    }
    assert_eq!(conn.stat("/f").map_err(|error| error.word()), Err(Some(Word::NotFound)), "no old reply");
    drop(conn);
    fake.end();
}

#[test]
fn what_is_read_ahead_of_the_end_may_be_refused() {
    let end = 2 * FULL as u64;
    let fake = file(move |offset| match offset {
        offset if offset < end => Ok(FULL),
        offset if offset == end => Ok(10),
        offset if offset == end + 10 => Ok(0),
        _ => Err(Word::Invalid.errno()),
    });
    assert_eq!(dial(&fake).read_all("/f").unwrap().len(), 2 * FULL + 10);
    fake.end();
}

#[test]
fn more_than_was_asked_for_is_no_answer() {
    let fake = Fake::each(|peer, tag, msg| match msg {
        Tmsg::Read { .. } => peer.say(tag, &Rmsg::Read { data: &[b'x'; 5] }),
        Tmsg::Write { .. } => peer.say(tag, &Rmsg::Write { count: 5 }),
        _ => peer.answer(tag, msg),
    });
    let mut conn = dial(&fake);
    let fid = conn.open_path("/f", 2).unwrap();
    assert!(matches!(conn.read_at(fid, 0, 4), Err(DialError::Protocol(_))));
    assert!(matches!(conn.write_at(fid, 0, b"four"), Err(DialError::Protocol(_))));
    assert_eq!(conn.read_at(fid, 0, 5).unwrap(), b"xxxxx");
    assert_eq!(conn.write_at(fid, 0, b"fiver").unwrap(), 5);
    drop(conn);
    fake.end();
}

#[test]
fn an_unanswered_batch_leaves_the_window_empty() {
    // Says nothing to reads until it is flushed, and refuses that.
    let mut held = Vec::new();
    let fake = Fake::each(move |peer, tag, msg| match *msg {
        Tmsg::Read { .. } => held.push(tag),
        Tmsg::Flush { oldtag } => {
            peer.refuse(tag, Word::Unsupported.errno());
            held.retain(|tag| *tag != oldtag);
            peer.say(oldtag, &Rmsg::Read { data: b"late" });
        }
        _ => peer.answer(tag, msg),
    });
    let mut conn = dial(&fake);
    let fid = conn.open_path("/f", 0).unwrap();
    for _ in 0..20 {
        conn.set_deadline(Duration::from_millis(1)).unwrap();
        let reads = [Tmsg::Read { fid, offset: 0, count: 4 }; 32];
        assert!(matches!(conn.batch(&reads), Err(DialError::Timeout)));
        conn.set_deadline(Duration::from_secs(10)).unwrap();
        assert_eq!(conn.stat("/f").map_err(|error| error.word()), Err(Some(Word::NotFound)));
    }
    drop(conn);
    fake.end();
}
