//! Rings and cursors through the protocol, against a plain reference: every record ever, in one list.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::refusal::Word;
use ninep::srv::{ConnId, Engine, Limits, Now};
use ninep::wire::{NOFID, NOTAG, Names, Rmsg, Tmsg, VERSION, decode_r};
use proptest::prelude::*;
use workerfs::{Config, Cursors, Fs};

const RECORD_MAX: usize = 64;
const READERS: usize = 4;
const WRITERS: u32 = 2;
/// Fids: the root, then writers, the cursor, and readers from here on.
const CURSOR: u32 = 9;
const READER: u32 = 10;

struct Hive {
    engine: Engine<Fs>,
    next_fid: u32,
}

fn call<T>(
    engine: &mut Engine<Fs>,
    conn: ConnId,
    msg: &Tmsg,
    take: impl FnOnce(Rmsg) -> T,
) -> Result<T, Word> {
    let mut frame = Vec::new();
    let tag = if matches!(msg, Tmsg::Version { .. }) { NOTAG } else { 1 };
    msg.encode(tag, &mut frame);
    engine.feed(conn, &frame, Now::default()).unwrap();
    engine.settle(Now::default());
    let out = engine.output(conn).to_vec();
    engine.consume(conn, out.len());
    match decode_r(&out).unwrap().1 {
        Rmsg::Lerror { ecode, .. } => Err(Word::from_errno(ecode).unwrap()),
        reply => Ok(take(reply)),
    }
}

fn attach(engine: &mut Engine<Fs>, uname: &str, aname: &str) -> ConnId {
    let conn = engine.connect();
    call(engine, conn, &Tmsg::Version { msize: 8192, version: VERSION }, |_| ()).unwrap();
    call(engine, conn, &Tmsg::Attach { fid: 0, afid: NOFID, uname, aname, n_uname: 1 }, |_| ()).unwrap();
    conn
}

fn open(engine: &mut Engine<Fs>, conn: ConnId, fid: u32, path: &[&str], flags: u32) {
    call(engine, conn, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(path) }, |_| ()).unwrap();
    call(engine, conn, &Tmsg::Lopen { fid, flags }, |_| ()).unwrap();
}

impl Hive {
    /// A worker with a ring of so many bytes, two writers' fids, and the cursor's.
    fn new(ring_bytes: usize) -> (Hive, ConnId) {
        let config = Config {
            ring_bytes,
            record_bytes: RECORD_MAX,
            // What a ring's lengths take is beside its bytes, where the budget has it.
            budget_bytes: 4 * ring_bytes,
            shard_bits: 8,
            alias: true,
            part: 0,
            parts: 1,
            frames: false,
        };
        let tree = workerfs::tree(config, Cursors::new(), None);
        let mut engine = Engine::new(tree, Limits::default(), Now::default());
        let ctl = attach(&mut engine, "server:queen", "ctl");
        open(&mut engine, ctl, 1, &["ctl"], 1);
        let data = b"{\"add\":{\"id\":\"w\",\"role\":\"worker-heartbeat\"}}\n";
        call(&mut engine, ctl, &Tmsg::Write { fid: 1, offset: u64::MAX, data }, |_| ()).unwrap();
        let conn = attach(&mut engine, "queen", "");
        (1..=WRITERS).for_each(|fid| open(&mut engine, conn, fid, &["w", "telemetry"], 1));
        open(&mut engine, conn, CURSOR, &["w", "cursor"], 1);
        (Hive { engine, next_fid: READER }, conn)
    }

    fn write(&mut self, conn: ConnId, fid: u32, offset: u64, data: &[u8]) -> Result<(), Word> {
        call(&mut self.engine, conn, &Tmsg::Write { fid, offset, data }, |_| ())
    }

    fn read(&mut self, conn: ConnId, fid: u32, offset: u64, count: u32) -> Result<Vec<u8>, Word> {
        call(&mut self.engine, conn, &Tmsg::Read { fid, offset, count }, |reply| match reply {
            Rmsg::Read { data } => data.to_vec(),
            other => panic!("{other:?}"),
        })
    }

    fn reader(&mut self, conn: ConnId) -> u32 {
        let fid = self.next_fid;
        self.next_fid += 1;
        open(&mut self.engine, conn, fid, &["w", "telemetry"], 0);
        fid
    }
}

/// The plain reference.
#[derive(Default)]
struct Model {
    all: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    capacity: usize,
    cursor: Option<u64>,
}

impl Model {
    /// Where the oldest record that fits begins, and its sequence.
    fn oldest(&self) -> (usize, u64) {
        let begin = |i: usize| if i == 0 { 0 } else { self.ends[i - 1] };
        let fits = (0..self.ends.len()).find(|i| self.all.len() - begin(*i) <= self.capacity);
        fits.map_or((self.all.len(), self.ends.len() as u64 + 1), |i| (begin(i), i as u64 + 1))
    }
}

/// A reader: its fid, its offset there, and where that is in the list of all. `None`: its next read is
/// refused first.
struct Reader {
    fid: u32,
    offset: u64,
    at: Option<usize>,
}

#[derive(Debug, Clone)]
enum Step {
    Append { writer: u32, len: usize },
    Read { reader: usize, count: u32 },
    Reopen { reader: usize },
    Handle { sequence: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..=WRITERS, 1..=RECORD_MAX).prop_map(|(writer, len)| Step::Append { writer, len }),
        4 => (0..READERS, 1..200u32).prop_map(|(reader, count)| Step::Read { reader, count }),
        1 => (0..READERS).prop_map(|reader| Step::Reopen { reader }),
        1 => (0..60u64).prop_map(|sequence| Step::Handle { sequence }),
    ]
}

fn check(capacity: usize, steps: Vec<Step>) {
    let (mut hive, conn) = Hive::new(capacity);
    let mut model = Model { capacity, ..Model::default() };
    let opened = |hive: &mut Hive, model: &Model| {
        let (oldest, first) = model.oldest();
        let at = match model.cursor {
            None => Some(oldest),
            Some(cursor) if cursor + 1 < first => None,
            Some(0) => Some(0),
            Some(cursor) => Some(model.ends[cursor as usize - 1]),
        };
        Reader { fid: hive.reader(conn), offset: 0, at }
    };
    let mut readers: Vec<Reader> = (0..READERS).map(|_| opened(&mut hive, &model)).collect();
    for step in steps {
        match step {
            Step::Append { writer, len } => {
                let record: Vec<u8> =
                    (0..len).map(|i| (model.ends.len() * 7 + i + writer as usize) as u8).collect();
                hive.write(conn, writer, u64::MAX, &record).unwrap();
                model.all.extend(&record);
                model.ends.push(model.all.len());
            }
            Step::Read { reader, count } => {
                let reader = &mut readers[reader];
                let got = hive.read(conn, reader.fid, reader.offset, count);
                let (oldest, _) = model.oldest();
                match reader.at.filter(|at| *at >= oldest) {
                    None => {
                        // Said once; the next read goes on with what is the oldest then.
                        assert_eq!(got, Err(Word::Revoked));
                        reader.at = Some(oldest);
                    }
                    Some(at) => {
                        let end = model.all.len().min(at + count as usize);
                        assert_eq!(got.as_deref(), Ok(&model.all[at..end]));
                        reader.offset += (end - at) as u64;
                        reader.at = Some(end);
                    }
                }
            }
            Step::Reopen { reader } => readers[reader] = opened(&mut hive, &model),
            Step::Handle { sequence } => {
                let said = hive.write(conn, CURSOR, 0, format!("{sequence}\n").as_bytes());
                let newest = model.ends.len() as u64;
                if sequence > newest || model.cursor.is_some_and(|cursor| sequence < cursor) {
                    assert_eq!(said, Err(Word::Invalid));
                } else {
                    assert_eq!(said, Ok(()));
                    model.cursor = Some(sequence);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_at_every_speed_see_what_the_reference_has(
        capacity in RECORD_MAX..400usize,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        check(capacity, steps);
    }
}

#[test]
fn a_reader_that_was_away_for_ten_wraps_is_told_once_and_reads_on() {
    let (mut hive, conn) = Hive::new(256);
    let reader = hive.reader(conn);
    let record = |i: u32| format!("record {i:08}\n").into_bytes();
    (0..160).for_each(|i| hive.write(conn, 1 + i % WRITERS, u64::MAX, &record(i)).unwrap());
    assert_eq!(hive.read(conn, reader, 0, 100), Err(Word::Revoked));
    let (mut text, mut offset) = (Vec::new(), 0);
    loop {
        let piece = hive.read(conn, reader, offset, 37).unwrap();
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        text.extend(piece);
    }
    // 16 bytes each: two writers in turn, and every record whole.
    let want: Vec<u8> = (144..160).flat_map(record).collect();
    assert_eq!(text, want);
}

#[test]
fn who_holds_anything_of_a_worker_that_is_gone_is_told_so() {
    let (mut hive, conn) = Hive::new(4096);
    let engine = &mut hive.engine;
    call(engine, conn, &Tmsg::Walk { fid: 0, newfid: 20, names: Names::from(&["w"][..]) }, |_| ()).unwrap();
    open(engine, conn, 21, &["w"], 0);
    open(engine, conn, 22, &["w", "status"], 0);
    open(engine, conn, 23, &["w", "cursor"], 2);
    let ctl = attach(engine, "server:queen", "ctl");
    open(engine, ctl, 1, &["ctl"], 1);
    let data = b"{\"drop\":{\"id\":\"w\"}}\n";
    call(engine, ctl, &Tmsg::Write { fid: 1, offset: u64::MAX, data }, |_| ()).unwrap();
    let names = Names::from(&["status"][..]);
    for msg in [
        Tmsg::Walk { fid: 20, newfid: 30, names },
        Tmsg::Lopen { fid: 20, flags: 0 },
        Tmsg::Getattr { fid: 20, mask: 0x7ff },
        Tmsg::Readdir { fid: 21, offset: 0, count: 100 },
        Tmsg::Read { fid: 22, offset: 0, count: 100 },
        Tmsg::Read { fid: 23, offset: 0, count: 100 },
        Tmsg::Write { fid: 23, offset: 0, data: b"1" },
        Tmsg::Write { fid: 1, offset: u64::MAX, data: b"x" },
    ] {
        assert_eq!(call(engine, conn, &msg, |_| ()), Err(Word::Revoked), "{msg:?}");
    }
    for fid in [20, 21, 22, 23, 1] {
        assert_eq!(call(engine, conn, &Tmsg::Clunk { fid }, |_| ()), Ok(()));
    }
    let names = Names::from(&["w"][..]);
    assert_eq!(call(engine, conn, &Tmsg::Walk { fid: 0, newfid: 31, names }, |_| ()), Err(Word::NotFound));
}
