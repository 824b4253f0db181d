//! The queen: commands and events in, orders to the other servers out.

use crate::flow::{Flow, order, read, to_door};
use crate::mint::Minter;
use crate::show;
use authority::{Effect, End, State};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Now, Request, Service, Token, Verdict};
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};

/// What the queen's manifest says.
pub struct Config {
    /// Bounds and defaults of the fold.
    pub authority: authority::Config,
    /// Longest command.
    pub ctl_line_bytes: usize,
    /// Where workers dial, `unix!RUN/door`.
    pub door: String,
    /// Worker kinds and their programs.
    pub programs: HashMap<String, String>,
}

impl Config {
    /// From the manifest in force.
    pub fn from_boot(boot: &rt::Boot) -> Config {
        let manifest::Manifest { queen, workers, .. } = &boot.manifest;
        Config {
            authority: authority::Config {
                max_workers: queen.max_workers as usize,
                max_revoked: queen.revocations as usize,
                ticks: workers.ticks,
                period_ms: workers.period_ms,
                ttl_s: workers.ttl_s,
                ops: workers.ops,
            },
            ctl_line_bytes: queen.ctl_line_bytes as usize,
            door: format!("unix!{}", boot.run.join("door").display()),
            programs: workers.programs.clone().into_iter().collect(),
        }
    }
}

/// A worker that has had its ticks keeps its directory for this long, so that a reader who follows it
/// sees the last record.
const LINGER_MS: u64 = 2000;
/// How often what workers have left is asked for, while there are any.
const LOOK_MS: u64 = 1000;
const ASK_AGAIN_MS: u64 = 100;

/// What a reply is for.
enum Purpose {
    Flow(u64),
    /// Init's list of the workers that an earlier queen has left behind.
    Orphans,
    Ticks,
    Ops,
}

/// The authority and what is under way.
pub struct Queen {
    pub(crate) state: State,
    pub(crate) since_ms: u64,
    pub(crate) ticks_left: HashMap<String, u64>,
    pub(crate) ops_left: HashMap<String, u64>,
    config: Config,
    minter: Minter,
    is_ready: bool,
    now: Now,
    flows: HashMap<u64, Flow>,
    purposes: HashMap<u64, Purpose>,
    next_id: u64,
    outbox: Vec<Request>,
    completions: Vec<(Token, Verdict)>,
    /// Directories that go at a time: when, whose, which role.
    lingering: VecDeque<(u64, String, &'static str)>,
    ask_ms: Option<u64>,
    look_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Event {
    Spent(Spent),
    Exited(Exited),
}

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

fn refuse(verb: &str, refusal: Refusal) -> Verdict {
    Verdict::Refuse { verb: verb.into(), refusal }
}

fn said(refused: authority::Refused) -> Refusal {
    let word = match refused.word {
        authority::Word::Invalid => Word::Invalid,
        authority::Word::NotFound => Word::NotFound,
        authority::Word::Quota => Word::Quota,
    };
    Refusal::new(word, refused.detail)
}

impl Queen {
    pub(crate) fn new(config: Config, minter: Minter) -> Queen {
        Queen {
            state: State::new(config.authority.clone()),
            since_ms: 0,
            ticks_left: HashMap::new(),
            ops_left: HashMap::new(),
            config,
            minter,
            is_ready: false,
            now: Now::default(),
            flows: HashMap::new(),
            purposes: HashMap::new(),
            next_id: 1,
            outbox: Vec::new(),
            completions: Vec::new(),
            lingering: VecDeque::new(),
            ask_ms: None,
            look_ms: None,
        }
    }

    /// Workers whose directories are about to go.
    pub(crate) fn ending(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.lingering.iter().map(|(_, id, role)| (id.as_str(), *role))
    }

    /// One line of `/queen/ctl`.
    pub(crate) fn command(&mut self, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        if !self.is_ready {
            return refuse("CTL", Refusal::new(Word::Busy, "the queen is starting"));
        }
        let command = match authority::parse(line) {
            Ok(command) => command,
            Err((verb, refused)) => return refuse(verb, said(refused)),
        };
        let verb = command.verb();
        let ticket = match self.minter.new_id() {
            Ok(ticket) => ticket,
            Err(error) => return refuse(verb, Refusal::new(Word::Busy, error)),
        };
        match self.state.apply(&command, &ticket, call.now.wall_ms) {
            Err(refused) => refuse(verb, said(refused)),
            Ok(outcome) => {
                let waits = Some((call.token, verb, outcome.ack.clone()));
                let mut flow = self.flow(outcome.effects, Some(call.who.session));
                if flow.stages.is_empty() {
                    return Verdict::Ack(outcome.ack);
                }
                flow.waits = waits;
                self.begin(flow);
                Verdict::Later
            }
        }
    }

    /// One line of `events`: what other servers have seen of workers.
    pub(crate) fn event(&mut self, call: &Call, line: &str) -> Verdict {
        self.now = call.now;
        let (id, end) = match serde_json::from_str(line) {
            Err(error) => return refuse("CTL", Refusal::new(Word::Invalid, error.to_string())),
            Ok(Event::Exited(Exited { worker, status })) => (Some(worker), End::Exited(status)),
            Ok(Event::Spent(Spent { worker, ticket, what })) => {
                let by_ticket = ticket.and_then(|t| self.state.by_ticket(&t).map(|w| w.id.clone()));
                let end = match what {
                    What::Ticks => End::Ticks,
                    What::Ops => End::Ops,
                };
                (worker.or(by_ticket), end)
            }
        };
        if let Some(id) = id {
            let effects = self.state.ended(&id, end);
            self.carry_out(effects);
        }
        Verdict::Ack("OK EVENT".into())
    }

    /// Carries out what nobody waits for.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        let flow = self.flow(effects, None);
        self.begin(flow);
    }

    /// The requests that effects come to.
    fn flow(&mut self, effects: Vec<Effect>, session: Option<u32>) -> Flow {
        let mut flow = Flow::new([]);
        let mut together = Vec::new();
        for effect in effects {
            match effect {
                Effect::Log(line) => self.outbox.push(Request::log(line)),
                Effect::Start(worker) => {
                    flow.is_strict = true;
                    flow.takes_back = Some(worker.id.clone());
                    let add = order("worker", "ctl", format!("{{\"add\":{}}}", show::add(&worker)));
                    flow.stages.push_back(vec![add]);
                    match self.start_order(&worker) {
                        Ok(start) => flow.stages.push_back(vec![start]),
                        Err(error) => flow.failed = Some(Refusal::new(Word::Busy, error)),
                    }
                }
                Effect::Stop { worker, end } => {
                    self.ticks_left.remove(&worker.id);
                    self.ops_left.remove(&worker.ticket);
                    if end == End::Ticks {
                        let at = self.now.mono_ms + LINGER_MS;
                        self.lingering.push_back((at, worker.id, worker.kind.role()));
                    } else {
                        together.extend(stop_orders(&worker.id));
                    }
                }
                Effect::Revoke { ticket, reason } => {
                    together.push(to_door(format!(
                        "{{\"revoke\":{{\"id\":\"{ticket}\",\"reason\":{}}}}}",
                        json(&reason)
                    )));
                }
                Effect::Ops { ticket, ops } => {
                    let line = format!("{{\"budget\":{{\"ticket\":\"{ticket}\",\"ops\":{ops}}}}}");
                    together.push(to_door(line));
                }
                Effect::Bind { from, to } => {
                    flow.is_strict = true;
                    let session = session.unwrap_or(0);
                    together.push(to_door(format!(
                        "{{\"bind\":{{\"session\":{session},\"from\":{},\"to\":{}}}}}",
                        json(&from),
                        json(&to)
                    )));
                }
                Effect::Mount { service, at } => {
                    flow.is_strict = true;
                    let session = session.unwrap_or(0);
                    together.push(to_door(format!(
                        "{{\"mount\":{{\"session\":{session},\"service\":{},\"at\":{}}}}}",
                        json(&service),
                        json(&at)
                    )));
                }
            }
        }
        if !together.is_empty() {
            flow.stages.push_back(together);
        }
        flow
    }

    fn start_order(&self, worker: &authority::Worker) -> Result<Request, String> {
        let kind = worker.kind.word();
        let program =
            self.config.programs.get(kind).ok_or_else(|| format!("workers.programs has no {kind}"))?;
        let ticket = self.minter.ticket(worker, self.now.wall_ms)?;
        Ok(order(
            "init",
            "",
            format!(
                "{{\"start\":{{\"worker\":\"{}\",\"program\":{},\"config\":{{\"door\":{},\"ticket\":\"{ticket}\",\
                 \"subject\":\"{}\",\"ticks\":{},\"period_ms\":{}}}}}}}",
                worker.id,
                json(program),
                json(&self.config.door),
                worker.id,
                worker.ticks,
                worker.period_ms
            ),
        ))
    }

    fn begin(&mut self, flow: Flow) {
        let id = self.next_id;
        self.next_id += 1;
        self.flows.insert(id, flow);
        self.step(id);
    }

    /// Sends a flow's next stage, or ends it.
    fn step(&mut self, id: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let is_over = flow.is_strict && flow.failed.is_some();
        if let Some(stage) = flow.stages.pop_front().filter(|_| !is_over) {
            flow.left = stage.len();
            for request in stage {
                self.ask(request, Purpose::Flow(id));
            }
            return;
        }
        let Some(flow) = self.flows.remove(&id) else { return };
        let failed = flow.failed.filter(|_| flow.is_strict);
        if let (Some(_), Some(worker)) = (&failed, flow.takes_back) {
            let effects = self.state.ended(&worker, End::Failed);
            self.carry_out(effects);
        }
        if let Some((token, verb, ack)) = flow.waits {
            let verdict = match failed {
                None => Verdict::Ack(ack),
                Some(refusal) => refuse(verb, refusal),
            };
            self.completions.push((token, verdict));
        }
    }

    fn ask(&mut self, mut request: Request, purpose: Purpose) {
        request.id = self.next_id;
        self.next_id += 1;
        self.purposes.insert(request.id, purpose);
        self.outbox.push(request);
    }

    /// Workers of an earlier life of the queen: she has forgotten what they may do, so they end.
    fn orphans(&mut self, list: &str) {
        let mut orders = Vec::new();
        for id in list.lines().filter_map(|line| line.split(' ').next()) {
            if let Some(number) = id.strip_prefix("worker-").and_then(|n| n.parse().ok()) {
                self.state.skip_workers(number);
            }
            orders.extend(stop_orders(id));
            let line =
                format!("queen ended {id} reason={}: it was started before the queen was", End::Orphaned);
            self.outbox.push(Request::log(line));
        }
        if !orders.is_empty() {
            self.begin(Flow::new([orders]));
        }
        self.is_ready = true;
    }
}

fn stop_orders(id: &str) -> [Request; 2] {
    [
        order("init", "", format!("{{\"stop\":{{\"worker\":{}}}}}", json(id))),
        order("worker", "ctl", format!("{{\"drop\":{{\"id\":{}}}}}", json(id))),
    ]
}

/// Text as a JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
        self.since_ms = now.wall_ms;
        self.ask_ms = Some(now.mono_ms);
    }

    fn deadline_ms(&self) -> Option<u64> {
        let wall = self.now.wall_ms;
        let end = self.state.next_end_ms().map(|at| self.now.mono_ms + at.saturating_sub(wall));
        let linger = self.lingering.front().map(|(at, ..)| *at);
        let look = self.look_ms.filter(|_| self.state.workers().next().is_some());
        [end, linger, look, self.ask_ms].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        if self.ask_ms.is_some_and(|at| at <= now.mono_ms) {
            self.ask_ms = None;
            self.ask(read("init", "", "workers"), Purpose::Orphans);
        }
        let effects = self.state.expire(now.wall_ms);
        if !effects.is_empty() {
            self.carry_out(effects);
        }
        while self.lingering.front().is_some_and(|(at, ..)| *at <= now.mono_ms) {
            if let Some((_, id, _)) = self.lingering.pop_front() {
                self.begin(Flow::new([stop_orders(&id).to_vec()]));
            }
        }
        if self.look_ms.is_none_or(|at| at <= now.mono_ms) {
            self.look_ms = Some(now.mono_ms + LOOK_MS);
            if self.state.workers().next().is_some() {
                self.ask(read("worker", "ctl", "left"), Purpose::Ticks);
                self.ask(read("door", "ctl", "left"), Purpose::Ops);
            }
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    fn completions(&mut self) -> Vec<(Token, Verdict)> {
        std::mem::take(&mut self.completions)
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
            (Some(Purpose::Orphans), Ok(list)) => self.orphans(&String::from_utf8_lossy(&list)),
            (Some(Purpose::Orphans), Err(_)) => self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS),
            (Some(Purpose::Ticks), Ok(list)) => self.ticks_left = counts(&list),
            (Some(Purpose::Ops), Ok(list)) => self.ops_left = counts(&list),
            (Some(Purpose::Ticks | Purpose::Ops), Err(_)) | (None, _) => {}
        }
    }
}
