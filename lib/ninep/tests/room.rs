//! How many replies wait on a connection that is not read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ninep::srv::{Dir, Engine, Limits, Now, Service, Tree};
use ninep::wire::{NOFID, NOTAG, Names, Tmsg, VERSION};

struct Nothing;

impl Service for Nothing {}

#[test]
fn small_requests_for_large_replies_are_looked_at_as_there_is_room() {
    const REPLY: usize = 8000;
    let limits = Limits { queue_bytes: 4 * REPLY, ..Limits::default() };
    let dir = Dir::new().text("f", |_: &Nothing, _, out| {
        out.push_str(&"x".repeat(REPLY));
        Ok(())
    });
    let mut engine = Engine::new(Tree::new(Nothing, dir), limits, Now::default());
    let conn = engine.connect();
    let mut frames = Vec::new();
    Tmsg::Version { msize: 8192, version: VERSION }.encode(NOTAG, &mut frames);
    Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 1 }.encode(0, &mut frames);
    Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&["f"][..]) }.encode(0, &mut frames);
    Tmsg::Lopen { fid: 1, flags: 0 }.encode(0, &mut frames);
    let reads = 300;
    for tag in 0..reads {
        Tmsg::Read { fid: 1, offset: 0, count: REPLY as u32 }.encode(tag, &mut frames);
    }

    let (mut at, mut sent, mut turns) = (0, 0, 0);
    while at < frames.len() {
        at += engine.feed(conn, &frames[at..], Now::default()).unwrap();
        let waiting = engine.output(conn).len();
        assert!(waiting < 4 * REPLY + 8192, "{waiting} bytes wait");
        assert!(at == frames.len() || !engine.has_room(conn), "it has stopped without need");
        let more =
            if engine.has_room(conn) { None } else { engine.feed(conn, &frames[at..], Now::default()) };
        assert!(more.is_none_or(|n| n == 0), "there was no room");
        // A client that takes little makes room for little.
        let n = waiting.min(REPLY);
        engine.consume(conn, n);
        (sent, turns) = (sent + n, turns + 1);
    }
    sent += engine.output(conn).len();
    assert!(sent > usize::from(reads) * REPLY && turns > usize::from(reads) - 8, "{sent} in {turns}");
}
