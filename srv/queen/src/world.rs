//! What comes in from the world: events that servers report, lists that they are asked for, time.

use crate::flow::{Flow, read};
use crate::queen::{Purpose, Queen, refuse};
use authority::{Action, Boot, Command, Cut, CutOff, End, Ended, SYSTEM, Servers, Settings, System};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Now, Request, Service, Token, Verdict};
use rt::HashMap;
use rt::prelude::*;
use serde::Deserialize;

/// How often servers are looked at, and what workers have left, while there are workers: without them
/// the queen sleeps until somebody has something to report.
const LOOK_MS: u64 = 1000;
const ASK_AGAIN_MS: u64 = 20;
/// The longest status of a process that is kept.
const STATUS_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Event {
    /// A worker's ticks or operations are used up.
    Spent(Spent),
    /// A worker's process has ended.
    Exited(Exited),
    /// A server has come or gone: init has the list.
    Servers(Nothing),
    /// What cuts her off, or does so no more: the door knows of her sessions, policy of its rules.
    Cut(CutOff),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spent {
    worker: Option<String>,
    ticket: Option<String>,
    what: What,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Ticks,
    Ops,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exited {
    worker: String,
    status: String,
}

impl Queen {
    /// One line of `events`: what other servers have seen.
    pub(crate) fn event(&mut self, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        match json::from_str(line) {
            Err(error) => return refuse("CTL", Refusal::new(Word::Invalid, error.0)),
            Ok(Event::Exited(Exited { worker, status })) => {
                let status = status.chars().filter(|c| !c.is_control()).take(STATUS_MAX).collect();
                self.ended(Some(worker), End::Exited(status));
            }
            Ok(Event::Spent(Spent { worker, ticket, what })) => {
                let by_ticket = ticket.and_then(|t| self.ahead.by_ticket(&t).map(|w| w.id.clone()));
                let end = match what {
                    What::Ticks => End::Ticks,
                    What::Ops => End::Ops,
                };
                self.ended(worker.or(by_ticket), end);
            }
            Ok(Event::Cut(cut)) if cut.reason == Cut::LifecycleOffline => {
                return refuse("CTL", Refusal::new(Word::Invalid, "that is the lifecycle's to say"));
            }
            Ok(Event::Cut(cut)) => self.cut(cut),
            Ok(Event::Servers(Nothing {})) => self.ask(read("init", "", "status"), Purpose::Servers),
        }
        Verdict::Ack("OK EVENT".into())
    }

    pub(crate) fn ended(&mut self, worker: Option<String>, why: End) {
        if let Some(worker) = worker.filter(|id| self.ahead.worker(id).is_some()) {
            self.report(System::End(Ended { worker, why }));
        }
    }

    fn cut(&mut self, cut: CutOff) {
        if self.ahead.is_cut_by(cut.reason) != cut.holds {
            self.report(System::Cut(cut));
        }
    }

    /// Has something recorded, if it is what a replay could read.
    pub(crate) fn report(&mut self, system: System) {
        let command = Command::system(system);
        match authority::parse(SYSTEM, &command.to_json()) {
            Ok(_) => self.reported.push(command),
            Err((verb, why)) => {
                self.outbox.push(Request::log(format!("queen cannot record {verb}: {}", why.detail)));
            }
        }
    }

    /// Init's own line: is this another boot than the one that is recorded?
    fn booted(&mut self, line: &str) {
        let field = |key: &str| line.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        let id = format!("{}-{}", field("pid").unwrap_or("0"), field("since_ms").unwrap_or("0"));
        let is_same = self.ahead.boot() == id;
        if !is_same {
            let settings = Some(Settings::from(&self.config.authority));
            self.report(System::Boot(Boot { id, settings }));
        }
        self.ask(read("init", "", "workers"), Purpose::Processes);
        self.ask(read("init", "", "status"), Purpose::Servers);
    }

    /// Init's list of worker processes. Those that are not on record end, and those whose process is
    /// gone, or never came, are ended on record too.
    fn processes(&mut self, list: &str) {
        let running: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
        let mut orders = Vec::new();
        for id in &running {
            if self.ahead.worker(id).is_some() {
                continue;
            }
            if let Some(number) = id.strip_prefix("worker-").and_then(|n| n.parse().ok())
                && self.config.journal.audit.is_none()
            {
                self.state.skip_workers(number);
                self.ahead.skip_workers(number);
            }
            orders.extend(self.stop_orders(id));
            let line =
                format!("queen ended {id} reason={}: it was started before the queen was", End::Orphaned);
            self.outbox.push(Request::log(line));
        }
        if !orders.is_empty() {
            self.begin(Flow::new([orders]));
        }
        let is_starting = |id: &str| self.flows.values().any(|flow| flow.starts.as_deref() == Some(id));
        let gone = |id: &&str| !running.contains(id) && !is_starting(id);
        let gone: Vec<String> =
            self.state.workers().map(|w| w.id.as_str()).filter(gone).map(String::from).collect();
        for worker in gone {
            self.ended(Some(worker), End::Exited("unseen".into()));
        }
        self.remind();
        self.is_in_step = true;
    }

    /// Init's list of servers.
    fn servers(&mut self, list: &str) {
        // A server may be several processes: `door`, `door.1`, `door.2`.
        let is_of = |process: &str, name: &str| {
            let rest = process.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            process == name || rest.is_some_and(|index| index.parse::<u32>().is_ok())
        };
        let is_up = |name: &str| {
            let mut lines = list
                .lines()
                .filter(|line| line.split(' ').next().is_some_and(|process| is_of(process, name)))
                .peekable();
            lines.peek().is_some() && lines.all(|line| line.split(' ').any(|field| field == "state=up"))
        };
        let gate = self.config.journal.policy;
        if gate.is_some_and(is_up) && !self.is_gate_open && self.gate_ms.is_none() {
            self.gate_ms = Some(self.now.mono_ms);
        }
        self.is_gate_open &= gate.is_none_or(is_up);
        let is_there = |name: &str| is_up(name) && (self.is_gate_open || gate != Some(name));
        let missing: Vec<String> =
            self.config.required.iter().filter(|name| !is_there(name)).cloned().collect();
        // What was reported and is not yet on its way is out of date.
        self.reported.retain(|command| !matches!(command.action, Action::System(System::Servers(_))));
        if self.ahead.missing() != Some(&missing) {
            self.report(System::Servers(Servers { missing }));
        }
    }

    fn looks(&self) -> bool {
        self.is_in_step && self.state.workers().next().is_some()
    }

    /// What workers have left. Those that have nothing are ended, should the word of it have been lost.
    fn spent(&mut self, spent: Vec<String>, why: &End) {
        spent.into_iter().for_each(|worker| self.ended(Some(worker), why.clone()));
    }
}

/// `name number` lines.
fn counts(bytes: &[u8]) -> HashMap<String, u64> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| {
            let (name, n) = line.split_once(' ')?;
            Some((name.to_owned(), n.parse().ok()?))
        })
        .collect()
}

impl Service for Queen {
    fn start(&mut self, now: Now) {
        self.now = now;
    }

    fn deadline_ms(&self) -> Option<u64> {
        let linger = self.lingering.front().map(|(at, ..)| *at);
        let look = self.looks().then(|| self.look_ms.unwrap_or(0));
        let again = self.again.front().map(|(at, _)| *at);
        [linger, look, again, self.ask_ms, self.gate_ms].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        if self.ask_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            self.ask(read("init", "", "hive"), Purpose::Boot);
        }
        if self.gate_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            self.ask(read("policy", "in", "open"), Purpose::Gate);
        }
        while self.again.front().is_some_and(|(at, _)| *at <= now.mono_ms) {
            if let Some((_, flow)) = self.again.pop_front() {
                self.step(flow);
            }
        }
        while self.lingering.front().is_some_and(|(at, ..)| *at <= now.mono_ms) {
            if let Some((_, id, _)) = self.lingering.pop_front() {
                let orders = self.stop_orders(&id).to_vec();
                self.begin(Flow::new([orders]));
            }
        }
        if self.looks() && self.look_ms.is_none_or(|at| at <= now.mono_ms) {
            self.look_ms = Some(now.mono_ms + LOOK_MS);
            self.ask(read("init", "", "status"), Purpose::Servers);
            let workers: Vec<_> = self.config.owners.all().collect();
            workers
                .into_iter()
                .for_each(|server| self.ask(read(server, "ctl", "left"), Purpose::Ticks(server)));
            self.ask(read("door", "ctl", "left"), Purpose::Ops);
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.outbox)
    }

    fn completions(&mut self) -> Vec<(Token, Verdict)> {
        core::mem::take(&mut self.completions)
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        self.now = now;
        match (self.purposes.remove(&id), answer) {
            (Some(Purpose::Flow(flow)), answer) => {
                let Some(it) = self.flows.get_mut(&flow) else { return };
                it.left -= 1;
                if let Err(refusal) = answer {
                    it.failed.get_or_insert(refusal);
                }
                if it.left == 0 {
                    self.step(flow);
                }
            }
            (Some(Purpose::Boot), Ok(line)) => self.booted(String::from_utf8_lossy(&line).trim()),
            (Some(Purpose::Processes), Ok(list)) => self.processes(&String::from_utf8_lossy(&list)),
            (Some(Purpose::Boot | Purpose::Processes), Err(_)) => {
                self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS);
            }
            (Some(Purpose::Servers), Ok(list)) => self.servers(&String::from_utf8_lossy(&list)),
            (Some(Purpose::Gate), Ok(said)) => {
                self.is_gate_open = true;
                let holds = String::from_utf8_lossy(&said).trim_end().ends_with(" queen=denied");
                self.cut(CutOff { reason: Cut::PolicyDenied, holds });
                self.ask(read("init", "", "status"), Purpose::Servers);
            }
            (Some(Purpose::Gate), Err(_)) => self.gate_ms = Some(now.mono_ms + ASK_AGAIN_MS),
            (Some(Purpose::Ticks(server)), Ok(list)) => {
                if self.config.owners.is_one(server) {
                    self.ticks_left.retain(|id, _| self.config.owners.of(id) != server);
                } else {
                    self.ticks_left.clear();
                }
                self.ticks_left.extend(counts(&list));
                let none = self.ticks_left.iter().filter(|(_, left)| **left == 0);
                let none = none.map(|(id, _)| id.clone()).collect();
                self.spent(none, &End::Ticks);
            }
            (Some(Purpose::Ops), Ok(list)) => {
                self.ops_left = counts(&list);
                let none = self.ops_left.iter().filter(|(_, left)| **left == 0);
                let none = none.filter_map(|(ticket, _)| Some(self.ahead.by_ticket(ticket)?.id.clone()));
                let none = none.collect();
                self.spent(none, &End::Ops);
            }
            (Some(Purpose::Servers | Purpose::Ticks(_) | Purpose::Ops), Err(_)) | (None, _) => {}
        }
    }
}
