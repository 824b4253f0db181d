//! The door over servers in the same process: every byte goes through the real engines, none through
//! a socket.

mod doors;
mod isolation;
mod limits;
mod root;
mod routing;
mod shards;
mod tickets;

use crate::{Admission, Door, Own, Rules, Turn};
use manifest::{Fids, Manifest, Overflow};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, ConnId, Dir, Engine, Limits, Now, Service, Tree, Verdict};
use ninep::wire::{self, NOFID, Names, Rmsg, Tmsg, VERSION};
use ring::{Ring, Stream};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

/// A server of the hive, small.
struct Fake {
    log: Ring,
    lines: Vec<String>,
}

impl Service for Fake {}

fn stream<'f>(fake: &'f mut Fake, _: &Call) -> Result<&'f mut dyn Stream, Refusal> {
    Ok(&mut fake.log)
}

/// A server; of a worker's process, those `workers` that it has.
fn fake(name: &str, workers: Vec<String>) -> Tree<Fake> {
    let say = |text: &'static str| {
        move |_: &Fake, _: &Call, out: &mut String| {
            out.push_str(text);
            Ok(())
        }
    };
    let main = match name {
        "proc" => Dir::new()
            .text("boot", say("booted\n"))
            .text("version", say("cohesix\n"))
            .dir("tests", Dir::new().text("a.coh", say("ping\n"))),
        "log" => Dir::new().append("queen.log", 0o644, stream),
        "queen" => Dir::new().orders("ctl", 0o600, 100, |fake: &mut Fake, call, line| {
            fake.lines.push(format!("{} {line}", call.who.session));
            Verdict::Ack(format!("OK DONE line={line}"))
        }),
        _ => by_name(
            workers.clone(),
            Dir::new().append("telemetry", 0o622, stream).text("status", say("state=running\n")),
        ),
    };
    let tree = Tree::new(Fake { log: Ring::new(1 << 16), lines: Vec::new() }, main);
    match name {
        "queen" => tree
            .root("lifecycle", Dir::new().text("state", say("state=ONLINE\n")))
            .root("proc", Dir::new().text("workers", say("")))
            .root(
                "root",
                Dir::new()
                    .text("reachable", say("reachable=yes\n"))
                    .text("cut_reason", say("cut_reason=none\n"))
                    .text("last_seen_ms", say("last_seen_ms=7\n")),
            )
            .internal("in", Dir::new().text("revoked", say("")).text("ended", say(""))),
        _ if name.starts_with("worker") => {
            let labels = workers.iter().map(|id| ns::shard_label(id, 8).to_string()).collect();
            let each = by_name(workers, Dir::new().text("status", say("state=running\n")));
            tree.root("shard", by_name(labels, Dir::new().text("of", say("")).dir("worker", each)))
        }
        _ => tree,
    }
}

/// A directory of directories.
fn by_name(names: Vec<String>, each: Dir<Fake>) -> Dir<Fake> {
    let known = names.clone();
    Dir::new().each(
        move |_, _, f| names.iter().enumerate().for_each(|(i, name)| f(name, i as u64)),
        move |_, _, name| known.iter().position(|known| known == name).map(|i| i as u64),
        each,
    )
}

/// Workers of a process of the workers' server, of 32 where there are several.
fn workers_of(process: &str, parts: u32) -> Vec<String> {
    if parts == 1 {
        return ["worker-1", "worker-2"].map(String::from).into();
    }
    let part = process.strip_prefix("worker.").map_or(0, |part| part.parse().expect("a number"));
    let owner = |id: &String| {
        let shard = ns::ShardLabel::parse(&ns::shard_label(id, 8)).expect("a label");
        ns::shard_part(shard, 8, parts)
    };
    (1..=32).map(|i| format!("worker-{i}")).filter(|id| owner(id) == part).collect()
}

/// A door with its servers.
struct Hive {
    door: Door,
    own: Engine<Own>,
    servers: Vec<Option<(Engine<Fake>, ConnId)>>,
    down: Rc<RefCell<BTreeSet<u16>>>,
    /// Servers that take requests and answer nothing.
    silent: BTreeSet<u16>,
    now: Now,
    /// Processes of the workers' server.
    parts: u32,
}

/// The manifest that ships, with the servers that are played here.
fn compiled() -> Manifest {
    const PLAYED: [&str; 5] = ["log", "proc", "queen", "worker", "door"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sys/hive.toml");
    let mut manifest = manifest::compile(&path).expect("the shipped manifest compiles").manifest;
    manifest.servers.retain(|server| PLAYED.contains(&server.name.as_str()));
    let is_played = |line: &&str| {
        let mut words = line.split_whitespace().filter(|word| *word != "-r");
        words.next() != Some("mount") || words.next().is_some_and(|server| PLAYED.contains(&server))
    };
    for space in manifest.namespaces.values_mut() {
        *space = space.lines().filter(is_played).map(|line| format!("{line}\n")).collect();
    }
    manifest
}

impl Hive {
    fn new() -> Hive {
        Hive::with(|_| ())
    }

    fn with(edit: impl FnOnce(&mut Manifest)) -> Hive {
        Hive::at(crate::Seat::only(), edit)
    }

    fn at(seat: crate::Seat, edit: impl FnOnce(&mut Manifest)) -> Hive {
        let mut manifest = compiled();
        edit(&mut manifest);
        let parts = manifest.server("worker").map_or(1, |server| server.count);
        let now = Now { mono_ms: 1000, wall_ms: 1_700_000_000_000 };
        let down: Rc<RefCell<BTreeSet<u16>>> = Rc::default();
        let is_down = Rc::clone(&down);
        let mut admission = Admission::for_tests();
        admission.dial = Some(Box::new(move |channel, _| !is_down.borrow().contains(&channel)));
        let mut door = Door::new(&manifest, seat, admission, now);
        door.phase = authority::Phase::Online;
        let names = door.channel_names().take(door.near);
        let servers = names.map(|name| (name != "door").then(|| started(name, now, parts))).collect();
        let own = Engine::new(door.own_tree(), Limits { tells_detail: true, ..Limits::default() }, now);
        Hive { door, own, servers, down, silent: BTreeSet::new(), now, parts }
    }

    fn channel(&self, name: &str) -> u16 {
        self.door.channel_names().position(|n| n == name).expect("a server of the manifest") as u16
    }

    /// Moves bytes until nothing moves.
    fn settle(&mut self) {
        loop {
            self.door.settle(&mut self.own);
            let mut moved = false;
            for channel in 0..self.servers.len() as u16 {
                let Some((engine, conn)) = &mut self.servers[channel as usize] else { continue };
                let asked = self.door.channel_output(channel).to_vec();
                self.door.channel_sent(channel, asked.len());
                if asked.is_empty() || self.silent.contains(&channel) {
                    continue;
                }
                moved = true;
                assert_eq!(engine.feed(*conn, &asked, self.now), Some(asked.len()));
                let said = engine.output(*conn).to_vec();
                engine.consume(*conn, said.len());
                assert_eq!(self.door.server_input(channel, &said), Some(said.len()));
            }
            if !moved {
                return;
            }
        }
    }

    /// A server dies; `back` says whether it is started again at once.
    fn kill(&mut self, name: &str, back: bool) {
        let channel = self.channel(name);
        if !back {
            self.down.borrow_mut().insert(channel);
        }
        self.servers[channel as usize] = Some(started(name, self.now, self.parts));
        self.door.channel_lost(channel);
    }

    fn connect(&mut self, rules: Rules) -> Client {
        let slot = self.door.accept(rules, "test".into(), Some(0)).expect("room for a session");
        Client { slot, next_tag: 1, next_fid: 10, unread: Vec::new() }
    }

    fn queen(&mut self) -> Client {
        let mut client = self.connect(unix());
        client.version(self);
        assert_eq!(client.attach(self, "queen"), Ok(()));
        client
    }

    /// A queen at this door, whoever's turn it is.
    fn queen_here(&mut self) -> Client {
        self.door.reach = Some(Box::new(|_| false));
        self.queen()
    }

    /// One order of the queen.
    fn order(&mut self, line: &str) {
        let call =
            Call { key: 0, who: &ninep::srv::Who::default(), now: self.now, token: Default::default() };
        let verdict = crate::orders::order(&mut self.own.tree.state, &call, line);
        assert!(matches!(verdict, Verdict::Ack(_)), "{line}: {verdict:?}");
        self.settle();
    }

    fn after(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.door.set_now(self.now);
        for slot in self.door.tick() {
            self.door.disconnect(slot);
        }
    }
}

fn started(name: &str, now: Now, parts: u32) -> (Engine<Fake>, ConnId) {
    let limits = Limits { tells_detail: true, ..Limits::default() };
    let mut engine = Engine::new(fake(name, workers_of(name, parts)), limits, now);
    let conn = engine.connect();
    (engine, conn)
}

fn unix() -> Rules {
    Rules { fids: Fids::Strict, overflow: Overflow::Busy, local_queen: true }
}

fn kernel() -> Rules {
    Rules { fids: Fids::Reuse, overflow: Overflow::Wait, local_queen: true }
}

/// A client, byte by byte.
struct Client {
    slot: usize,
    next_tag: u16,
    next_fid: u32,
    unread: Vec<u8>,
}

impl Client {
    fn send(&mut self, hive: &mut Hive, msg: &Tmsg) -> u16 {
        let tag = self.next_tag;
        self.next_tag += 1;
        let mut bytes = Vec::new();
        msg.encode(tag, &mut bytes);
        self.bytes(hive, &bytes);
        tag
    }

    fn bytes(&mut self, hive: &mut Hive, bytes: &[u8]) -> Turn {
        let mut turn = hive.door.client_input(self.slot, bytes);
        while turn == Turn::More {
            turn = hive.door.client_turn(self.slot);
        }
        turn
    }

    /// The replies that have come, as frames.
    fn replies(&mut self, hive: &mut Hive) -> Vec<Vec<u8>> {
        hive.settle();
        let out = hive.door.client_output(self.slot).to_vec();
        hive.door.client_sent(self.slot, out.len());
        self.unread.extend(out);
        let mut frames = Vec::new();
        while self.unread.len() >= 4 {
            let size = u32::from_le_bytes(self.unread[..4].try_into().expect("four bytes")) as usize;
            frames.push(self.unread.drain(..size).collect());
        }
        frames
    }

    fn ask(&mut self, hive: &mut Hive, msg: &Tmsg) -> Vec<u8> {
        self.send(hive, msg);
        let mut replies = self.replies(hive);
        assert_eq!(replies.len(), 1, "{msg:?} has one answer");
        replies.remove(0)
    }

    fn version(&mut self, hive: &mut Hive) {
        let reply = self.ask(hive, &Tmsg::Version { msize: 8192, version: VERSION });
        assert_eq!(
            wire::decode_r(&reply).map(|(_, m)| m),
            Ok(Rmsg::Version { msize: 8192, version: VERSION })
        );
    }

    fn attach(&mut self, hive: &mut Hive, uname: &str) -> Result<(), Word> {
        let attach = Tmsg::Attach { fid: 0, afid: NOFID, uname, aname: "", n_uname: 0 };
        word(&self.ask(hive, &attach)).map_or(Ok(()), Err)
    }

    fn fid(&mut self) -> u32 {
        self.next_fid += 1;
        self.next_fid
    }

    /// Walks from the root; how many names it got.
    fn walk(&mut self, hive: &mut Hive, path: &str) -> Result<(u32, usize), Word> {
        let fid = self.fid();
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let reply = self.ask(hive, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&names[..]) });
        match wire::decode_r(&reply).expect("a reply").1 {
            Rmsg::Walk { qids } => Ok((fid, qids.len())),
            Rmsg::Lerror { ecode, .. } => Err(Word::from_errno(ecode).expect("one of our words")),
            other => panic!("{other:?} to a walk"),
        }
    }

    fn open(&mut self, hive: &mut Hive, path: &str, flags: u32) -> Result<u32, Word> {
        let (fid, got) = self.walk(hive, path)?;
        if got < path.split('/').filter(|name| !name.is_empty()).count() {
            return Err(Word::NotFound);
        }
        word(&self.ask(hive, &Tmsg::Lopen { fid, flags })).map_or(Ok(fid), Err)
    }

    fn read(&mut self, hive: &mut Hive, path: &str) -> Result<String, Word> {
        let fid = self.open(hive, path, 0)?;
        let reply = self.ask(hive, &Tmsg::Read { fid, offset: 0, count: 8000 });
        match wire::decode_r(&reply).expect("a reply").1 {
            Rmsg::Read { data } => Ok(String::from_utf8_lossy(data).into_owned()),
            Rmsg::Lerror { ecode, .. } => Err(Word::from_errno(ecode).expect("one of our words")),
            other => panic!("{other:?} to a read"),
        }
    }

    fn write(&mut self, hive: &mut Hive, path: &str, data: &str) -> Result<(), Word> {
        let fid = self.open(hive, path, 1)?;
        let reply = self.ask(hive, &Tmsg::Write { fid, offset: 0, data: data.as_bytes() });
        word(&reply).map_or(Ok(()), Err)
    }

    fn list(&mut self, hive: &mut Hive, path: &str) -> Result<Vec<String>, Word> {
        let fid = self.open(hive, path, 0)?;
        let reply = self.ask(hive, &Tmsg::Readdir { fid, offset: 0, count: 8000 });
        match wire::decode_r(&reply).expect("a reply").1 {
            Rmsg::Readdir { data } => {
                Ok(wire::Dirent::iter(data).map(|entry| entry.expect("an entry").name.to_owned()).collect())
            }
            Rmsg::Lerror { ecode, .. } => Err(Word::from_errno(ecode).expect("one of our words")),
            other => panic!("{other:?} to a readdir"),
        }
    }

    fn errstr(&mut self, hive: &mut Hive) -> String {
        self.read(hive, "/proc/9p/self/errstr").expect("errstr is always there")
    }
}

/// The word of an Rlerror.
fn word(reply: &[u8]) -> Option<Word> {
    match wire::decode_r(reply).expect("a reply").1 {
        Rmsg::Lerror { ecode, .. } => Some(Word::from_errno(ecode).expect("one of our words")),
        _ => None,
    }
}
