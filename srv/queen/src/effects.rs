//! What commands do in the world: orders to the door, to init and to the workers' server.

use crate::flow::{Flow, order, to_door};
use crate::queen::{Purpose, Queen, json, refuse};
use crate::show;
use authority::{Cut, Effect, End, Phase, Worker};
use manifest::FrameSchema;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Op, Request, Verdict};
use rt::prelude::*;

/// A worker that has had its ticks keeps its directory for this long, so that a reader who follows it
/// sees the last record.
const LINGER_MS: u64 = 2000;
/// How long a worker's directory and process may take: a server that has died is back within a second.
const START_MS: u64 = 3000;
const START_AGAIN_MS: u64 = 50;
/// Lines to the door's ctl that go in one write.
const WRITE_BYTES: usize = 6 << 10;

impl Queen {
    /// The requests that effects come to.
    pub(crate) fn flow(&mut self, effects: Vec<Effect>, session: Option<u32>) -> Flow {
        let mut flow = Flow::new([]);
        let mut together = Vec::new();
        for effect in effects {
            match effect {
                Effect::Log(line) => self.outbox.push(Request::log(line)),
                Effect::Start(worker) => {
                    flow.is_strict = true;
                    flow.starts = Some(worker.id.clone());
                    flow.until_ms = self.now.mono_ms + START_MS;
                    let server = self.config.owners.of(&worker.id);
                    let add = order(server, "ctl", format!("{{\"add\":{}}}", show::add(&worker)));
                    flow.stages.push_back(vec![add]);
                    match self.start_order(&worker) {
                        Ok(start) => flow.stages.push_back(vec![start]),
                        Err(error) => flow.failed = Some(Refusal::new(Word::Invalid, error)),
                    }
                }
                Effect::Stop { worker, end } => {
                    let run = (worker.number(), worker.number());
                    let line = show::ended_order(self.state.hive(), &[run], &end.to_string());
                    together.push(to_door(line));
                    self.ticks_left.remove(&worker.id);
                    self.ops_left.remove(&worker.ticket);
                    if end == End::Ticks {
                        let at = self.now.mono_ms + LINGER_MS;
                        self.lingering.push_back((at, worker.id, worker.kind.role()));
                    } else {
                        together.extend(self.stop_orders(&worker.id));
                    }
                }
                Effect::Revoke { ticket, reason } => together.push(to_door(revoke(&ticket, &reason))),
                Effect::Ops { ticket, ops } => {
                    let line = format!("{{\"budget\":{{\"ticket\":\"{ticket}\",\"ops\":{ops}}}}}");
                    together.push(to_door(line));
                }
                Effect::Bind { from, to } => {
                    flow.is_strict = true;
                    together.push(to_door(bind(session.unwrap_or(0), &from, &to)));
                }
                Effect::Mount { service, at } => {
                    flow.is_strict = true;
                    together.push(to_door(mount(session.unwrap_or(0), &service, &at)));
                }
                Effect::Exports => together.extend(self.look_order()),
                Effect::Root(cut) => together.push(to_door(root(cut))),
                Effect::Phase(phase) => {
                    together.extend(self.phase_orders(phase));
                    together.extend(self.look_order());
                }
            }
        }
        if !together.is_empty() {
            flow.stages.push_back(together);
        }
        flow
    }

    /// Tells who keeps telemetry the phase, and that there may be other export jobs.
    fn look_order(&self) -> Option<Request> {
        let op = Op::Write(format!("state={}\n", self.state.phase().name()).into_bytes());
        let look = Request { id: 0, server: "telemetry", root: "in", path: "look".into(), op };
        self.config.has_telemetry.then_some(look)
    }

    fn start_order(&self, worker: &Worker) -> Result<Request, String> {
        let kind = worker.kind.word();
        let program =
            self.config.programs.get(kind).ok_or_else(|| format!("workers.programs has no {kind}"))?;
        let ticket = self.minter.ticket(worker)?;
        Ok(order(
            "init",
            "",
            format!(
                "{{\"start\":{{\"worker\":\"{}\",\"program\":{},\"config\":{{\"door\":{},\"ticket\":\"{ticket}\",\
                 \"subject\":\"{}\",\"ticks\":{},\"period_ms\":{}{}}}}}}}",
                worker.id,
                json(program),
                json(&self.config.door),
                worker.id,
                worker.ticks,
                worker.period_ms,
                match self.config.frame_schema {
                    FrameSchema::Text => "",
                    FrameSchema::Cbor => ",\"frame_schema\":\"cbor\"",
                },
            ),
        ))
    }

    /// What a door that has missed something must know: every revocation, who has ended, the phase, and what
    /// cuts her off.
    pub(crate) fn remind(&mut self) {
        let mut orders = self.phase_orders(self.state.phase());
        orders.push(to_door(root(self.state.cut())));
        orders.extend(self.look_order());
        let mut lines = String::new();
        let revoked = self.state.revoked().map(|(ticket, reason)| revoke(ticket, reason));
        for line in revoked.chain(show::ended_orders(&self.state)) {
            if lines.len() > WRITE_BYTES {
                orders.push(to_door(core::mem::take(&mut lines)));
            }
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(&line);
        }
        if !lines.is_empty() {
            orders.push(to_door(lines));
        }
        self.begin(Flow::new([orders]));
    }

    fn phase_orders(&self, phase: Phase) -> Vec<Request> {
        let line = format!("{{\"phase\":\"{}\"}}", phase.name());
        let workers = self.config.owners.all().map(|server| order(server, "ctl", line.clone()));
        [to_door(line.clone())].into_iter().chain(workers).collect()
    }

    /// Ends a worker's process, and its directory.
    pub(crate) fn stop_orders(&self, id: &str) -> [Request; 2] {
        [
            order("init", "", format!("{{\"stop\":{{\"worker\":{}}}}}", json(id))),
            order(self.config.owners.of(id), "ctl", format!("{{\"drop\":{{\"id\":{}}}}}", json(id))),
        ]
    }

    pub(crate) fn begin(&mut self, flow: Flow) {
        let id = self.next_id;
        self.next_id += 1;
        self.flows.insert(id, flow);
        self.step(id);
    }

    /// Sends a flow's next stage, or ends it.
    pub(crate) fn step(&mut self, id: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let has_ended = flow.starts.as_ref().is_some_and(|id| self.state.worker(id).is_none());
        let is_passing = |why: &mut Refusal| {
            matches!(why.word, Word::Busy | Word::Quota) && self.now.mono_ms < flow.until_ms
        };
        if !has_ended && flow.failed.take_if(is_passing).is_some() {
            flow.stages.push_front(core::mem::take(&mut flow.out));
            self.again.push_back((self.now.mono_ms + START_AGAIN_MS, id));
            return;
        }
        let is_over = has_ended || flow.is_strict && flow.failed.is_some();
        if let Some(stage) = flow.stages.pop_front().filter(|_| !is_over) {
            flow.left = stage.len();
            flow.out.clone_from(&stage);
            for request in stage {
                self.ask(request, Purpose::Flow(id));
            }
            return;
        }
        let Some(flow) = self.flows.remove(&id) else { return };
        let failed = flow.failed.filter(|_| flow.is_strict);
        let verdict = |ack| match (failed, flow.starts) {
            (Some(refusal), None) => Err(refusal),
            // What is on record is what is answered; that it has ended already is on record next.
            (Some(_), Some(worker)) => {
                self.ended(Some(worker), End::Failed);
                Ok(ack)
            }
            (None, _) => Ok(ack),
        };
        let waits =
            flow.waits.map_or((None, "", String::new()), |(token, verb, ack)| (Some(token), verb, ack));
        let (token, verb, ack) = waits;
        let verdict = verdict(ack).map_or_else(|refusal| refuse(verb, refusal), Verdict::Ack);
        self.completions.extend(token.map(|token| (token, verdict)));
    }
}

fn revoke(ticket: &str, reason: &str) -> String {
    format!("{{\"revoke\":{{\"id\":\"{ticket}\",\"reason\":{}}}}}", json(reason))
}

/// Tells the door whether she is cut off.
fn root(cut: Option<Cut>) -> String {
    format!("{{\"cut\":\"{}\"}}", cut.map_or("none", Cut::word))
}

/// The order that changes a session's name space.
pub(crate) fn bind(session: u32, from: &str, to: &str) -> String {
    format!("{{\"bind\":{{\"session\":{session},\"from\":{},\"to\":{}}}}}", json(from), json(to))
}

/// The same with a server's files.
pub(crate) fn mount(session: u32, service: &str, at: &str) -> String {
    format!("{{\"mount\":{{\"session\":{session},\"service\":{},\"at\":{}}}}}", json(service), json(at))
}
