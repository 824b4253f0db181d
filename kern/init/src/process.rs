//! The process: the root task's orders and answers, the places of workers, and the tree.

use crate::{Hive, Init, Order};
use rt::prelude::*;
use rt::task::config::Role;
use rt::{Boot, BootError, Host, Moved, Poll, Wire, task};

rt::run!("init", run);

/// One read of the root task.
const READ_BYTES: usize = 1024;

struct Loop {
    poll: Poll,
    host: Host<Init>,
    root: Wire,
    places: Vec<Wire>,
    servers: Vec<(&'static str, u32)>,
    heard: Vec<u8>,
    out: Vec<u8>,
    /// What places are still to be told.
    said: Vec<Vec<u8>>,
}

fn run() -> Result<(), BootError> {
    let boot = Boot::new("init")?;
    let mut poll = Poll::new();
    let (root, places): (Vec<Wire>, Vec<Wire>) =
        poll.take(Role::Lines).into_iter().partition(|wire| wire.peer == "root");
    let root = root.into_iter().next();
    let root = root.ok_or_else(|| BootError("the topology has no channel to root".into()))?;
    let programs = &boot.manifest.workers.programs;
    let named = places.iter().zip(programs.values().cycle());
    let named = named.map(|(wire, program)| (wire.peer, program.clone())).collect();
    let wires = task::config().wires().iter().filter(|wire| wire.role == Role::Ask);
    let servers: Vec<(&'static str, u32)> = wires.map(|wire| (wire.peer.as_str(), wire.number)).collect();
    let in_order = boot.manifest.servers.iter();
    let names: Vec<&'static str> = in_order
        .filter_map(|server| servers.iter().find(|(name, _)| *name == server.name).map(|(name, _)| *name))
        .collect();
    let hive = Hive {
        name: boot.manifest.hive.name.clone(),
        profile: format!("{:?}", boot.manifest.profile).to_lowercase(),
        manifest: boot.manifest.fingerprint().to_string(),
        since_ms: task::wall_ms() - task::now_ms(),
        story: || String::from_utf8_lossy(&task::story().bytes().collect::<Vec<u8>>()).into_owned(),
    };
    let tree = initfs::tree(Init::new(hive, &names, named));
    let host = Host::new(&boot, tree, &mut poll);
    let said = places.iter().map(|_| Vec::new()).collect();
    let mut it = Loop { poll, host, root, places, servers, heard: Vec::new(), out: Vec::new(), said };
    loop {
        it.turn();
    }
}

impl Loop {
    fn turn(&mut self) {
        let now = rt::now();
        let lives = task::lives();
        for (name, number) in &self.servers {
            self.host.engine.tree.state.lives(name, lives.starts(*number), lives.is_up(*number));
        }
        self.hear_root();
        self.host.receive(now);
        self.host.turn(now);
        while let Some(order) = self.host.engine.tree.state.order() {
            let line = match order {
                Order::Ready => "ready\n".to_owned(),
                Order::Start(place) => format!("start {place}\n"),
                Order::Stop(place) => format!("stop {place}\n"),
                Order::Kill(server) => format!("kill {server}\n"),
            };
            self.out.extend_from_slice(line.as_bytes());
        }
        flush(&mut self.root, &mut self.out);
        for at in 0..self.places.len() {
            self.tell_place(at);
        }
        self.poll.wait(self.host.deadline_ms(), rt::now());
    }

    fn hear_root(&mut self) {
        if self.root.has_changed() {
            self.heard.clear();
        }
        let mut buffer = [0; READ_BYTES];
        while let Moved::Bytes(n) = self.root.read(&mut buffer) {
            self.heard.extend_from_slice(&buffer[..n]);
        }
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            self.host.engine.tree.state.told(String::from_utf8_lossy(&line).trim_end());
        }
    }

    /// A worker's process that is there is told what it is.
    fn tell_place(&mut self, at: usize) {
        let place = &mut self.places[at];
        if place.has_changed() {
            self.said[at].clear();
        }
        if place.is_open()
            && self.said[at].is_empty()
            && let Some(config) = self.host.engine.tree.state.config(place.peer)
        {
            self.said[at] = config.into_bytes();
        }
        flush(place, &mut self.said[at]);
    }
}

fn flush(wire: &mut Wire, out: &mut Vec<u8>) {
    while !out.is_empty() {
        match wire.write(out) {
            Moved::Bytes(n) => drop(out.drain(..n)),
            Moved::Later | Moved::Ended => return,
        }
    }
}
