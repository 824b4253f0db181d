//! tracefs: what servers tell of their inside, as far as somebody has asked for it.
//! Guarantees: `events` has a contiguous sequence, each ring is bounded; a filter is in the journal before
//! it reaches every server, also one that starts later. Keeps nothing on disk.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod ledger;
mod rings;

use alloc::collections::BTreeMap;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, File, Journal, Now, Op, Request, Service, Tree, Verdict};
use ring::Stream;
pub use rings::{Event, Rings};
use rt::prelude::*;
use serde::Deserialize;

rt::main!("trace", |boot| Ok(tree(Config::from_manifest(&boot.manifest))));

/// What the manifest says.
pub struct Config {
    /// The servers of the hive.
    pub servers: Vec<String>,
    /// Their processes.
    pub processes: Vec<String>,
    /// Bytes of one ring.
    pub ring_bytes: usize,
    /// Whom commands pass.
    pub journal: Journal,
}

/// Commands on their way to the journal at once.
const PENDING: usize = 16;

impl Config {
    /// The manifest's.
    pub fn from_manifest(manifest: &manifest::Manifest) -> Config {
        let has = |name: &'static str| manifest.server(name).map(|_| name);
        Config {
            journal: Journal { audit: has("audit"), policy: has("policy"), pending: PENDING },
            servers: manifest.servers.iter().map(|server| server.name.clone()).collect(),
            processes: manifest.servers.iter().flat_map(|server| server.processes()).collect(),
            ring_bytes: usize::try_from(manifest.trace.ring_bytes).unwrap_or(usize::MAX),
        }
    }
}

const CTL_LINE: usize = 512;
/// One write of a server.
const EVENTS_LINE: usize = 8192;

/// The tree:
///
/// ```text
/// ctl                {"set":{"level":"debug","cats":["boot","ninep"]}}
/// filter             what is on
/// events             JSON lines
/// [kmesg]            starts, ends and errors, for people
/// [task]/<server>    the events of one server, of all its processes
/// [sink]/{events,filter}   for the hive's servers
/// ```
pub fn tree(config: Config) -> Tree<Trace> {
    let rings = Rings::new(&config.servers, config.ring_bytes);
    let trace = Trace {
        rings,
        filter: trace::Filter::default(),
        servers: config
            .processes
            .iter()
            .filter(|name| *name != "trace")
            .map(|name| &*name.clone().leak())
            .collect(),
        asked: BTreeMap::new(),
        next_id: 1,
        outbox: Vec::new(),
    };
    let task = File::append(0o444, |trace: &mut Trace, call| {
        let ring = trace.rings.task(call.key as usize).ok_or(Word::NotFound)?;
        Ok(ring as &mut dyn Stream)
    });
    let tasks = Dir::new().each(
        |trace: &Trace, _, f| trace.rings.tasks().enumerate().for_each(|(i, name)| f(name, i as u64)),
        |trace: &Trace, _, name| trace.rings.tasks().position(|task| task == name).map(|i| i as u64),
        task,
    );
    let main = Dir::new()
        .ctl("ctl", 0o600, CTL_LINE, ledger::CTL)
        .text("filter", |trace: &Trace, _, out| {
            out.push_str(&format!("{}\n", trace.filter));
            Ok(())
        })
        .append("events", 0o444, |trace: &mut Trace, _| Ok(trace.rings.events()))
        .append("kmesg", 0o444, |trace: &mut Trace, _| Ok(trace.rings.kmesg()));
    let sink =
        Dir::new().orders("events", 0o600, EVENTS_LINE, events).text("filter", |trace: &Trace, _, out| {
            out.push_str(&order(trace.filter));
            Ok(())
        });
    Tree::new(trace, main).root("task", tasks).internal("sink", sink).journaled(config.journal)
}

/// Rings and the filter.
pub struct Trace {
    rings: Rings,
    filter: trace::Filter,
    /// Those who are told the filter.
    servers: Vec<&'static str>,
    /// Whom an answer is waited from.
    asked: BTreeMap<u64, &'static str>,
    next_id: u64,
    outbox: Vec<Request>,
}

/// The filter as servers take it: `debug boot,ninep`.
fn order(filter: trace::Filter) -> String {
    let text = filter.to_string();
    let text = text.strip_prefix("level=").unwrap_or(&text).replace(" cats=", " ");
    format!("{text}\n")
}

impl Trace {
    /// Another filter, for every server.
    fn set(&mut self, filter: trace::Filter) {
        self.filter = filter;
        for server in self.servers.clone() {
            self.tell(server);
        }
    }

    fn tell(&mut self, server: &'static str) {
        let op = Op::Write(order(self.filter).into_bytes());
        self.asked.insert(self.next_id, server);
        self.outbox.push(Request { id: self.next_id, server, root: "trace", path: "filter".into(), op });
        self.next_id += 1;
    }
}

impl Service for Trace {
    fn start(&mut self, now: Now) {
        self.rings.start(now.mono_ms);
        let event = Event { task: "trace", cat: "boot", level: "info", text: "up" };
        self.rings.push(&event, now.wall_ms, now.mono_ms);
        // Those that were told another filter by an earlier life.
        for server in self.servers.clone() {
            self.tell(server);
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, id: u64, _: Result<Vec<u8>, Refusal>, _: Now) {
        // A server that is away asks when it starts.
        self.asked.remove(&id);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    cat: String,
    level: String,
    text: String,
}

/// Events of a server; its name is that of its connection.
fn events(trace: &mut Trace, call: &Call, line: &str) -> Verdict {
    match json::from_str(line) {
        Ok(Said { cat, level, text }) => {
            let event = Event { task: &call.who.subject, cat: &cat, level: &level, text: &text };
            trace.rings.push(&event, call.now.wall_ms, call.now.mono_ms);
            Verdict::Ack("OK".into())
        }
        Err(error) => {
            Verdict::Refuse { verb: "EVENT".into(), refusal: Refusal::new(Word::Invalid, error.to_string()) }
        }
    }
}
