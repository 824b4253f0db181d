//! What init knows: servers, places for workers, and how far the boot has come.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{JOURNALED, Now, Op, Request, Service};

/// Between two looks whether a server that was started answers.
const ASK_MS: u64 = 5;
/// The ids of questions to servers begin here.
const ASKED: u64 = 1 << 32;
/// The id of the question for the hive's lifecycle.
const LIFECYCLE: u64 = 1;

/// What init is told at its start.
pub struct Hive {
    /// Its name.
    pub name: String,
    /// Its profile.
    pub profile: String,
    /// Its manifest's fingerprint.
    pub manifest: String,
    /// When the machine was reset.
    pub since_ms: u64,
    /// The boot log as far as it goes.
    pub story: fn() -> String,
}

/// What the root task is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Every server answers.
    Ready,
    /// Start the process of a place.
    Start(String),
    /// End it.
    Stop(String),
    /// End a server.
    Kill(String),
}

struct Server {
    name: &'static str,
    /// How often it has been started, as was seen last; and whether it lives.
    life: (u32, bool),
    answers: bool,
    /// When it is asked whether it does.
    ask_ms: Option<u64>,
}

struct Place {
    name: &'static str,
    program: String,
    worker: Option<Worker>,
}

struct Worker {
    id: String,
    /// What it is to be told, until it has been.
    config: Option<String>,
    is_stopping: bool,
}

/// The state behind init's tree.
pub struct Init {
    /// What it was told.
    pub hive: Hive,
    servers: Vec<Server>,
    places: Vec<Place>,
    orders: VecDeque<Order>,
    outbox: Vec<Request>,
    is_ready: bool,
    /// When the queen is asked how far she is.
    queen_ms: Option<u64>,
    now_ms: u64,
}

impl Init {
    /// Servers in the order of their start, and the places for workers with the program of each.
    pub fn new(hive: Hive, servers: &[&'static str], places: Vec<(&'static str, String)>) -> Init {
        let server = |name: &&'static str| Server { name, life: (0, false), answers: false, ask_ms: None };
        let place = |(name, program)| Place { name, program, worker: None };
        Init {
            hive,
            servers: servers.iter().map(server).collect(),
            places: places.into_iter().map(place).collect(),
            orders: VecDeque::new(),
            outbox: Vec::new(),
            is_ready: false,
            queen_ms: None,
            now_ms: 0,
        }
    }

    /// What the root task is to do next.
    pub fn order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// The configuration of the worker in a place, once: its process is there to take it.
    pub fn config(&mut self, place: &str) -> Option<String> {
        let place = self.places.iter_mut().find(|known| known.name == place)?;
        place.worker.as_mut()?.config.take()
    }

    /// What the root task has to say: `ended PLACE HOW`.
    pub fn told(&mut self, line: &str) {
        let Some((name, how)) = line.strip_prefix("ended ").and_then(|rest| rest.split_once(' ')) else {
            return;
        };
        let place = self.places.iter_mut().find(|place| place.name == name);
        let Some(worker) = place.and_then(|place| place.worker.take()) else { return };
        let id = worker.id;
        self.note(&format!("worker={id} ended place={name} status={how:?}"));
        self.tell_queen(format!("{{\"exited\":{{\"worker\":{id:?},\"status\":{how:?}}}}}\n"));
    }

    /// How often a server has been started, and whether it lives.
    pub fn lives(&mut self, name: &str, starts: u32, is_up: bool) {
        let now_ms = self.now_ms;
        let Some(server) = self.servers.iter_mut().find(|server| server.name == name) else { return };
        if server.life == (starts, is_up) {
            return;
        }
        let was_up = server.life.1;
        server.life = (starts, is_up);
        server.answers = false;
        server.ask_ms = is_up.then_some(now_ms);
        if was_up {
            let line = format!("server={name} died restarts={}", starts.saturating_sub(1));
            self.note(&line);
            self.tell_queen("{\"servers\":{}}\n".into());
        }
    }

    fn note(&mut self, line: &str) {
        self.outbox.push(Request::log(format!("init {line}")));
    }

    /// An event for the queen; when she is away, she asks for what she has missed at her start.
    fn tell_queen(&mut self, event: String) {
        if self.servers.iter().any(|server| server.name == "queen") {
            let (server, root, path) = ("queen", "in", "events".into());
            self.outbox.push(Request { id: 0, server, root, path, op: Op::Write(event.into_bytes()) });
        }
    }

    fn up(&mut self, i: usize) {
        let server = &mut self.servers[i];
        if !server.life.1 || server.answers {
            return;
        }
        server.answers = true;
        let line = format!("server={} up restarts={}", server.name, server.life.0.saturating_sub(1));
        self.note(&line);
        self.tell_queen("{\"servers\":{}}\n".into());
        if !self.is_ready && self.servers.iter().all(|server| server.answers) {
            if self.servers.iter().any(|server| server.name == "queen") {
                self.queen_ms = Some(self.now_ms);
            } else {
                self.ready();
            }
        }
    }

    fn ready(&mut self) {
        self.is_ready = true;
        self.orders.push_back(Order::Ready);
    }
}

impl initfs::Init for Init {
    fn hive(&self) -> String {
        let Hive { name, profile, manifest, since_ms, .. } = &self.hive;
        let state = match self.is_ready {
            false => "BOOTING",
            true if self.servers.iter().all(|server| server.life.1) => "ONLINE",
            true => "DEGRADED",
        };
        format!(
            "hive name={name} pid=1 state={state} since_ms={since_ms} door=channel profile={profile} manifest={manifest}"
        )
    }

    fn story(&self) -> String {
        (self.hive.story)()
    }

    fn servers(&self) -> impl Iterator<Item = String> {
        self.servers.iter().enumerate().map(|(i, server)| {
            let state = match (server.life.1, server.answers) {
                (true, true) => "up",
                (true, false) => "starting",
                (false, _) => "waiting",
            };
            let (name, restarts) = (server.name, server.life.0.saturating_sub(1));
            format!("{name} pid={} state={state} restarts={restarts}", i + 2)
        })
    }

    fn workers(&self) -> impl Iterator<Item = String> {
        let mut running: Vec<(usize, &Place, &Worker)> =
            self.places.iter().enumerate().filter_map(|(i, p)| Some((i, p, p.worker.as_ref()?))).collect();
        running.sort_by(|(_, _, a), (_, _, b)| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
        let first = self.servers.len() + 2;
        running.into_iter().map(move |(i, place, worker)| {
            let state = if worker.is_stopping { "stopping" } else { "running" };
            format!("{} pid={} state={state} program={}", worker.id, first + i, place.program)
        })
    }

    fn start_worker(&mut self, id: &str, program: &str, config: &str, _: Now) -> Result<String, Refusal> {
        let no = |word, detail: String| Err(Refusal::new(word, detail));
        if !self.places.iter().any(|place| place.program == program) {
            return no(Word::Invalid, format!("{program}: the image has no place for that program"));
        }
        // Who asks again has not heard the answer: no two workers have one id.
        let runs = |place: &&Place| place.worker.as_ref().is_some_and(|worker| worker.id == id);
        if let Some(place) = self.places.iter().find(runs) {
            return Ok(format!("worker={id} place={}", place.name));
        }
        let free = |place: &&mut Place| place.program == program && place.worker.is_none();
        let Some(place) = self.places.iter_mut().find(free) else {
            return no(Word::Quota, format!("every place for {program} is taken"));
        };
        // One line: what is inside strings has no newline, what is between them may.
        let config = config.replace(['\n', '\r'], " ") + "\n";
        place.worker = Some(Worker { id: id.into(), config: Some(config), is_stopping: false });
        let name = place.name;
        self.orders.push_back(Order::Start(name.into()));
        self.note(&format!("worker={id} started place={name} program={program}"));
        Ok(format!("worker={id} place={name}"))
    }

    fn stop_worker(&mut self, id: &str, _: Now) -> Result<String, Refusal> {
        let place = self.places.iter_mut().find_map(|place| {
            let worker = place.worker.as_mut().filter(|worker| worker.id == id)?;
            worker.is_stopping = true;
            Some(place.name)
        });
        let name = place.ok_or_else(|| Refusal::new(Word::NotFound, format!("no process of worker {id}")))?;
        self.orders.push_back(Order::Stop(name.into()));
        Ok(format!("worker={id} place={name}"))
    }

    fn kill(&mut self, name: &str, signal: &str, _: Now) -> Result<String, Refusal> {
        if signal != "KILL" {
            let detail = format!("{signal}: no such signal here; KILL is");
            return Err(Refusal::new(Word::Invalid, detail));
        }
        let names: Vec<&str> = self.servers.iter().map(|server| server.name).collect();
        if !names.contains(&name) {
            let detail = format!("no server {name}; there are {}", names.join(" "));
            return Err(Refusal::new(Word::NotFound, detail));
        }
        self.orders.push_back(Order::Kill(name.into()));
        Ok(format!("server={name}"))
    }

    fn down(&mut self, _: Now) -> Result<String, Refusal> {
        Err(Refusal::new(Word::Unsupported, "the hive of an image lives as long as its machine"))
    }
}

impl Service for Init {
    fn tick(&mut self, now: Now) {
        self.now_ms = now.mono_ms;
        for (i, server) in self.servers.iter_mut().enumerate() {
            if server.ask_ms.take_if(|at| *at <= now.mono_ms).is_some() {
                let id = ASKED + i as u64;
                // Where it has commands, an answer when it takes them; else any is one.
                let (server, root, path) = (server.name, JOURNALED, "open".into());
                self.outbox.push(Request { id, server, root, path, op: Op::Read });
            }
        }
        if self.queen_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            let (server, root, path) = ("queen", "lifecycle", "state".into());
            self.outbox.push(Request { id: LIFECYCLE, server, root, path, op: Op::Read });
        }
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.servers.iter().filter_map(|server| server.ask_ms).chain(self.queen_ms).min()
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        self.now_ms = now.mono_ms;
        if id == LIFECYCLE {
            let said = answer.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_string());
            match said.as_deref() {
                Ok("state=BOOTING") => self.queen_ms = Some(now.mono_ms + ASK_MS),
                Err(refusal) if refusal.word == Word::Busy => self.queen_ms = Some(now.mono_ms + ASK_MS),
                _ => self.ready(),
            }
            return;
        }
        let Some(i) = id.checked_sub(ASKED).map(|i| i as usize).filter(|i| *i < self.servers.len()) else {
            return;
        };
        match answer {
            Err(refusal) if refusal.word == Word::Busy => {
                let server = &mut self.servers[i];
                server.ask_ms = server.life.1.then_some(now.mono_ms + ASK_MS);
            }
            // Any other answer is one: it is there and speaks the protocol.
            _ => self.up(i),
        }
    }
}

#[cfg(test)]
mod tests {
    use initfs::Init as _;

    use super::*;

    fn init() -> Init {
        let hive = Hive {
            name: "hive".into(),
            profile: "dev".into(),
            manifest: "ab".into(),
            since_ms: 5,
            story: String::new,
        };
        Init::new(hive, &["log", "queen"], vec![("place-1", "worker-heart".into())])
    }

    fn answer(init: &mut Init, i: u64, said: Result<Vec<u8>, Word>) {
        init.reply(ASKED + i, said.map_err(Refusal::from), Now::default());
    }

    #[test]
    fn the_hive_is_ready_when_all_answer_and_the_queen_has_begun() {
        let mut init = init();
        init.lives("log", 1, true);
        init.lives("queen", 1, true);
        init.tick(Now::default());
        assert_eq!(init.outbox().len(), 2);
        answer(&mut init, 0, Err(Word::Invalid));
        answer(&mut init, 1, Err(Word::Busy));
        assert_eq!(init.order(), None);
        answer(&mut init, 1, Err(Word::Invalid));
        init.tick(Now::default());
        init.reply(LIFECYCLE, Ok(b"state=BOOTING\n".to_vec()), Now::default());
        assert_eq!(init.order(), None);
        init.reply(LIFECYCLE, Ok(b"state=ONLINE\n".to_vec()), Now::default());
        assert_eq!(init.order(), Some(Order::Ready));
        assert!(init.hive().contains("state=ONLINE"));
        init.lives("log", 1, false);
        assert!(init.hive().contains("state=DEGRADED"));
        assert_eq!(init.servers().next().as_deref(), Some("log pid=2 state=waiting restarts=0"));
    }

    #[test]
    fn a_worker_has_a_place_until_it_has_ended() {
        let (mut init, now) = (init(), Now::default());
        let fields = init.start_worker("worker-1", "worker-heart", "{\n}", now).unwrap();
        assert_eq!(fields, "worker=worker-1 place=place-1");
        assert_eq!(init.order(), Some(Order::Start("place-1".into())));
        assert_eq!(init.config("place-1").as_deref(), Some("{ }\n"));
        assert_eq!(init.config("place-1"), None, "a ticket is handed over once");
        let word = |refused: Result<String, Refusal>| refused.unwrap_err().word;
        assert_eq!(
            init.start_worker("worker-1", "worker-heart", "{}", now).unwrap(),
            fields,
            "who asks again"
        );
        assert_eq!(word(init.start_worker("worker-2", "worker-heart", "{}", now)), Word::Quota);
        assert_eq!(word(init.start_worker("worker-2", "worker-gpu", "{}", now)), Word::Invalid);
        assert_eq!(init.workers().next().unwrap(), "worker-1 pid=4 state=running program=worker-heart");
        init.stop_worker("worker-1", now).unwrap();
        assert_eq!(init.order(), Some(Order::Stop("place-1".into())));
        init.outbox();
        init.told("ended place-1 stopped");
        assert_eq!(init.workers().count(), 0);
        let events = init.outbox();
        let Op::Write(event) = &events[1].op else { panic!("an event") };
        assert_eq!(event, b"{\"exited\":{\"worker\":\"worker-1\",\"status\":\"stopped\"}}\n");
        assert_eq!(word(init.stop_worker("worker-1", now)), Word::NotFound);
    }
}
