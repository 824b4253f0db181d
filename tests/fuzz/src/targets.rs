//! What is fuzzed. A target fails by panicking, which is also how it says that a promise was broken.

use ninep::clnt::Client;
use ninep::srv::{Call, Dir, Engine, Framer, Limits, Next, Now, Tree, Verdict};
use ninep::wire::{self, Dirent, MSIZE_MAX, Tmsg};
use ring::{Ring, Stream};

/// A decoder, by name.
pub struct Target {
    /// Also the name of its corpus.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "wire_t", run: wire_t },
    Target { name: "wire_r", run: wire_r },
    Target { name: "dirents", run: dirents },
    Target { name: "frames", run: frames },
    Target { name: "engine", run: engine },
    Target { name: "client", run: client },
    Target { name: "namespace", run: namespace },
    Target { name: "ticket", run: ticket },
    Target { name: "queen_ctl", run: queen_ctl },
    Target { name: "journal", run: journal_lines },
    Target { name: "append", run: append },
    Target { name: "manifest", run: manifest },
    Target { name: "console", run: console_lines },
    Target { name: "coh", run: coh_script },
    Target { name: "telemetry", run: telemetry },
    Target { name: "trace", run: trace_file },
    Target { name: "mux", run: mux },
];

/// What decodes encodes to the same bytes.
fn wire_t(input: &[u8]) {
    if let Ok((tag, msg)) = wire::decode_t(input) {
        let mut again = Vec::new();
        msg.encode(tag, &mut again);
        assert_eq!(again, input, "{msg:?}");
    }
}

fn wire_r(input: &[u8]) {
    if let Ok((tag, msg)) = wire::decode_r(input) {
        let mut again = Vec::new();
        msg.encode(tag, &mut again);
        assert_eq!(again, input, "{msg:?}");
    }
}

fn dirents(input: &[u8]) {
    let mut again = Vec::new();
    for entry in Dirent::iter(input).map_while(Result::ok) {
        assert!(entry.push(&mut again, usize::MAX));
    }
    assert!(input.starts_with(&again));
}

/// A record has one spelling, and a chain that is whole in one piece is in all.
fn journal_lines(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(record) = journal::Record::parse(line) {
            let mut again = Vec::new();
            assert!(record.encode(&mut again).is_ok(), "it was one");
            assert_eq!(again, line);
        }
    }
    let keys = journal::PublicKeys::default();
    let verified = |size: usize| {
        let mut verifier = journal::Verifier::new(&keys, None);
        let fed = input.chunks(size).try_for_each(|piece| verifier.feed(piece));
        fed.map_err(|fault| (fault, None))
            .and_then(|()| verifier.finish(None).map_err(|(fault, summary)| (fault, Some(summary))))
    };
    assert_eq!(verified(1), verified(input.len().max(1)));
}

/// What a server appends is a chain that verifies.
fn append(input: &[u8]) {
    let Ok(batch) = core::str::from_utf8(input) else { return };
    let Ok(entries) = journal::entries(batch) else { return };
    let (mut head, mut lines) = (journal::Head::START, Vec::new());
    let records = entries.iter().filter(|entry| entry.kind != journal::Kind::Checkpoint);
    let taken = records.filter_map(|entry| head.push(entry, &mut lines).ok()).count() as u64;
    let keys = journal::PublicKeys::default();
    let mut verifier = journal::Verifier::new(&keys, Some(journal::Head::START));
    assert!(verifier.feed(&lines).is_ok(), "a chain");
    assert_eq!(verifier.finish(Some(&head)).map(|summary| summary.records).ok(), Some(taken));
}

/// Bytes in pieces are the same frames as bytes at once.
fn frames(input: &[u8]) {
    let whole = split(input, input.len().max(1));
    assert_eq!(split(input, 1), whole);
    assert_eq!(split(input, 7), whole);
}

fn split(input: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(MSIZE_MAX);
    let (mut held, mut found) = (Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            let (used, next) = framer.next(&held);
            match next {
                Next::Frame(frame) => found.push(frame.to_vec()),
                Next::Refuse(tag, _) => found.push(tag.to_le_bytes().to_vec()),
                Next::More => {
                    held.drain(..used);
                    break;
                }
                Next::Close(_) => return found,
            }
            held.drain(..used);
        }
    }
    found
}

struct State {
    ring: Ring,
}

impl ninep::srv::Service for State {}

/// Whatever comes in, every request has one reply, and the tree stays what it is.
fn engine(input: &[u8]) {
    let tree = Tree::new(
        State { ring: Ring::new(256) },
        Dir::new()
            .text("text", |_, _, out| {
                out.push_str("text\n");
                Ok(())
            })
            .append("ring", 0o644, |state: &mut State, _: &Call| Ok(&mut state.ring as &mut dyn Stream))
            .orders("ctl", 0o600, 64, |_, _, line| Verdict::Ack(format!("OK {line}")))
            .dir("dir", Dir::new().text("inner", |_, _, _| Ok(()))),
    );
    let now = Now::default();
    let limits = Limits { fids: 64, waiting: 8, ..Limits::default() };
    let mut engine = Engine::new(tree, limits, now);
    let conn = engine.connect();
    let mut hello = Vec::new();
    Tmsg::Version { msize: MSIZE_MAX, version: wire::VERSION }.encode(wire::NOTAG, &mut hello);
    Tmsg::Attach { fid: 0, afid: wire::NOFID, uname: "queen", aname: "", n_uname: 0 }.encode(0, &mut hello);
    assert_eq!(engine.feed(conn, &hello, now), Some(hello.len()));
    let before = split(engine.output(conn), usize::MAX).len();
    if engine.feed(conn, input, now).is_some() {
        let asked = split(input, input.len().max(1)).len();
        let answered = split(engine.output(conn), usize::MAX).len() - before;
        // A frame beyond a smaller msize that was agreed on is refused before all of it is there.
        assert!(answered <= asked + 1, "{answered} answers to {asked} requests");
    }
}

fn client(input: &[u8]) {
    let mut client = Client::new(8);
    for fid in 0..8 {
        client.send(&Tmsg::Read { fid, offset: 0, count: 100 });
    }
    if client.input(input).is_ok() {
        while client.any_reply().is_some() {}
    }
}

/// What parses prints as text that parses to the same table, and resolves every path.
fn namespace(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let vars = ns::Vars { subject: Some("worker-1"), shard: Some("4f") };
    let Ok(table) = ns::Table::parse(text, &vars) else { return };
    let printed = table.to_string();
    assert_eq!(ns::Table::parse(&printed, &vars).as_ref(), Ok(&table), "{printed}");
    for path in ["/", "/a", "/a/b/c", "/proc/boot", "/x/y/z/u/v/w/s/t"] {
        if let Ok(path) = ns::Path::parse(path) {
            let _ = (table.resolve(&path), table.children(&path));
        }
    }
}

/// Nothing that was not minted verifies.
fn ticket(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(token) = ticket::Token::parse(text) {
        assert_eq!(&**token.reveal(), text);
        let _ = token.claims_unverified();
        assert!(token.verify(&ticket::Keys::default(), "hive", &BOUNDS, 0).is_err());
    }
}

const BOUNDS: ticket::Bounds = ticket::Bounds {
    max_scopes: 8,
    max_scope_path: 128,
    max_rate_per_s: 64,
    bandwidth_bytes: 0,
    cursor_resumes: 0,
    cursor_advances: 0,
};

/// The first byte says which file the line was written to.
fn queen_ctl(input: &[u8]) {
    use authority::{Entry, State};
    const PATHS: [&str; 6] = [
        authority::QUEEN,
        authority::LIFECYCLE,
        authority::LEASE,
        authority::SCHEDULE,
        authority::EXPORT,
        authority::SYSTEM,
    ];
    let Some((path, line)) = input.split_first() else { return };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let Ok(line) = std::str::from_utf8(line) else { return };
    let mut state = State::new(authority::Config::default());
    if let Ok(command) = authority::parse(path, line) {
        let cmd = command.to_json();
        assert_eq!(authority::parse(path, &cmd).as_ref(), Ok(&command), "{cmd}");
        let (role, subject, ticket) = ("queen", "", "");
        let entry = Entry { seq: 1, ts_ms: 5, role, subject, ticket, session: 1, command: &command };
        let before = state.clone();
        if state.apply(&entry).is_err() {
            assert_eq!(state, before, "a refused command changes nothing");
        }
    }
}

fn manifest(input: &[u8]) {
    if let Ok(manifest) = manifest::Manifest::from_cbor(input) {
        assert_eq!(manifest.to_cbor(), input);
    }
}

/// Any bytes give, line by line, a verb or one ERR line; frames are bounded.
fn console_lines(input: &[u8]) {
    let (mut editor, mut framer) = (console::Editor::new(), console::Framer::<{ console::LINE_MAX }>::new());
    let (mut session, mut throttle) = (console::Session::new(true, true), console::Throttle::new());
    for (now, byte) in input.iter().enumerate() {
        if framer.feed(*byte).is_some() {
            assert!(framer.line().len() <= console::LINE_MAX);
        }
        if editor.feed(*byte) {
            match session.line(editor.line(), b"token", &mut throttle, now as u64 * 1000) {
                console::Step::Say(answer)
                | console::Step::Denied(answer, _)
                | console::Step::Close(answer) => {
                    let line = answer.as_str();
                    assert!(line.len() <= console::ANSWER_MAX && !line.chars().any(char::is_control));
                }
                console::Step::Do(console::Verb::Attach { .. }) => session.attached(),
                console::Step::Do(_) | console::Step::Pong => {}
            }
        }
    }
    let mut shown = String::new();
    console::write_data(input, &mut shown).unwrap_or_else(|_| unreachable!("a string takes everything"));
    assert_ne!(console::Response::of(&shown, true), console::Response::End);
}

/// A script that is taken runs to its end whatever is answered.
fn coh_script(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(mut script) = console::Script::new(text) else { return };
    for _ in 0..=2 * console::LINES_MAX {
        match script.step(text) {
            console::Next::Send(line) => {
                script.response(line);
                script.response("END");
            }
            console::Next::Wait(ms) => assert!(ms <= console::WAIT_MAX_MS),
            console::Next::Done => return,
            console::Next::Failed => return assert!(script.failed(text).is_some()),
        }
    }
    unreachable!("a script has an end");
}

/// A frame that decodes is what its own spelling decodes to.
fn telemetry(input: &[u8]) {
    if let Ok((frame, len)) = frame::Frame::decode(input) {
        assert!(len <= input.len());
        let mut again = Vec::new();
        frame.encode(&mut again);
        assert_eq!(frame::Frame::decode(&again), Ok((frame, again.len())));
    }
}

/// Any file is read or refused; what was recorded is read back, and no byte of it can be another.
fn trace_file(input: &[u8]) {
    use trace::file::{Head, Kind, Recorder, parse};
    let _ = parse(input);
    let head = Head { manifest: "00".repeat(32), uname: "queen".into(), ticket_len: 0 };
    let mut recorder = Recorder::new(1 << 20);
    let kinds = [Kind::Line, Kind::Said, Kind::Sent, Kind::Came, Kind::Dialled, Kind::Tick];
    let wanted: Vec<_> = input.chunks(64).zip(kinds.into_iter().cycle()).zip(0..).collect();
    wanted.iter().for_each(|((bytes, kind), ms)| recorder.add(*kind, *ms, bytes));
    let mut file = recorder.file(&head);
    let Ok((read, records)) = parse(&file) else { unreachable!("it was recorded") };
    assert_eq!(read, head);
    assert!(records.iter().map(|r| (&*r.bytes, r.kind)).eq(wanted.iter().map(|((b, k), _)| (*b, *k))));
    let at = input.iter().fold(0_usize, |at, b| at.wrapping_mul(31).wrapping_add((*b).into())) % file.len();
    file[at] ^= 1;
    assert!(parse(&file).is_err(), "byte {at}");
}

/// A peer that is not trusted: what it sends is an event or the channel's end, and what is granted bounds
/// what it can send.
fn mux(input: &[u8]) {
    use chan::mux::{Event, Mux};
    struct Bytes<'a>(&'a [u8]);
    impl chan::mux::Pipe for Bytes<'_> {
        fn room(&mut self) -> Result<usize, chan::ring::Corrupt> {
            Ok(1 << 16)
        }
        fn waiting(&mut self) -> Result<usize, chan::ring::Corrupt> {
            Ok(self.0.len())
        }
        fn write(&mut self, data: &[u8]) -> Result<usize, chan::ring::Corrupt> {
            Ok(data.len())
        }
        fn read(&mut self, out: &mut [u8]) -> Result<usize, chan::ring::Corrupt> {
            let (head, rest) = self.0.split_at(out.len().min(self.0.len()));
            out[..head.len()].copy_from_slice(head);
            self.0 = rest;
            Ok(head.len())
        }
    }
    const STREAMS: usize = 4;
    const GRANT: usize = 64;
    let (mut end, mut pipe) = (Mux::<STREAMS>::acceptor(), Bytes(input));
    let mut room = [0_usize; STREAMS];
    loop {
        match end.next(&mut pipe) {
            Ok(Some(Event::Opened { conn, .. })) => {
                room[usize::from(conn)] = GRANT;
                end.grant(conn, GRANT);
                assert!(end.flush(&mut pipe).is_ok());
            }
            Ok(Some(Event::Data { conn, bytes })) => {
                let left = room[usize::from(conn)].checked_sub(bytes.len());
                assert!(left.is_some(), "more than was granted");
                room[usize::from(conn)] = left.unwrap_or(0);
            }
            Ok(Some(Event::Ended { conn })) => end.close(conn),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
        assert!(end.used() <= STREAMS);
    }
}
