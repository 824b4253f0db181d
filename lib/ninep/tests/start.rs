//! Where an open of a stream begins to read, when the server says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ninep::refusal::{Refusal, Word};
use ninep::srv::{ConnId, Dir, Engine, File, Limits, Now, Service, Start, Tree};
use ninep::wire::{NOFID, NOTAG, Names, Rmsg, Tmsg, VERSION, decode_r};
use ring::{Ring, Stream};

struct Stand {
    ring: Ring,
    start: Start,
}

impl Service for Stand {}

struct Client {
    engine: Engine<Stand>,
    conn: ConnId,
}

impl Client {
    fn new() -> Client {
        let mut ring = Ring::new(12);
        for record in [b"one.", b"two.", b"tri.", b"for."] {
            ring.append(record).unwrap();
        }
        let file = File::append(0o666, |stand: &mut Stand, _| Ok(&mut stand.ring as &mut dyn Stream));
        let file = file.starting(|stand: &mut Stand, _| Ok(stand.start.clone()));
        let start = Start { at: 8, passed: None };
        let tree = Tree::new(Stand { ring, start }, Dir::new().with("f", file));
        let mut engine = Engine::new(tree, Limits::default(), Now::default());
        let conn = engine.connect();
        let mut client = Client { engine, conn };
        client.call(NOTAG, Tmsg::Version { msize: 8192, version: VERSION }, |_| ());
        client.call(0, Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 1 }, |_| ());
        client
    }

    fn call<T>(&mut self, tag: u16, msg: Tmsg, take: impl FnOnce(Rmsg) -> T) -> T {
        let mut frame = Vec::new();
        msg.encode(tag, &mut frame);
        self.engine.feed(self.conn, &frame, Now::default()).unwrap();
        self.engine.settle(Now::default());
        let out = self.engine.output(self.conn).to_vec();
        self.engine.consume(self.conn, out.len());
        take(decode_r(&out).unwrap().1)
    }

    fn open(&mut self, fid: u32) {
        let names = ["f"];
        let walk = Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&names[..]) };
        self.call(1, walk, |_| ());
        self.call(1, Tmsg::Lopen { fid, flags: 2 }, |reply| assert!(matches!(reply, Rmsg::Lopen { .. })));
    }

    fn read(&mut self, fid: u32, offset: u64) -> Result<String, u32> {
        self.call(1, Tmsg::Read { fid, offset, count: 100 }, |reply| match reply {
            Rmsg::Read { data } => Ok(String::from_utf8(data.to_vec()).unwrap()),
            Rmsg::Lerror { ecode, .. } => Err(ecode),
            other => panic!("{other:?}"),
        })
    }
}

#[test]
fn an_open_begins_where_the_server_says() {
    let mut client = Client::new();
    client.open(1);
    assert_eq!(client.read(1, 0), Ok("tri.for.".into()));
    client.engine.tree.state.start.at = 16;
    assert_eq!(client.read(1, 4), Ok("for.".into()), "an open that is there keeps its beginning");
    client.open(2);
    assert_eq!(client.read(2, 0), Ok(String::new()));
}

#[test]
fn what_was_passed_is_said_once_and_reading_goes_on() {
    let mut client = Client::new();
    client.engine.tree.state.start =
        Start { at: 4, passed: Some(Refusal::new(Word::Revoked, "first=2 is retained")) };
    client.open(1);
    assert_eq!(client.read(1, 0), Err(Word::Revoked.errno()));
    assert_eq!(client.read(1, 0), Ok("two.tri.for.".into()));
}
