//! The queen: what she knows, and what is under way.

use crate::config::Config;
use crate::flow::Flow;
use crate::mint::Minter;
use crate::repeats::Repeats;
use alloc::collections::VecDeque;
use authority::{Command, State};
use ninep::refusal::Refusal;
use ninep::srv::{Now, Request, Token, Verdict};
use rt::HashMap;
use rt::prelude::*;

/// What a reply is for.
pub(crate) enum Purpose {
    Flow(u64),
    /// Init's own line: which boot this is.
    Boot,
    /// Init's list of worker processes.
    Processes,
    /// Init's list of servers.
    Servers,
    /// Does the gate take questions?
    Gate,
    /// What workers have left, by the process that counts it.
    Ticks(&'static str),
    Ops,
}

/// The authority and what is under way.
pub struct Queen {
    /// With all commands that are on their way to the journal.
    pub(crate) ahead: State,
    /// With those that are there: what readers see.
    pub(crate) state: State,
    /// The last record that is in it.
    pub(crate) seq: u64,
    pub(crate) ticks_left: HashMap<String, u64>,
    pub(crate) ops_left: HashMap<String, u64>,
    pub(crate) config: Config,
    pub(crate) minter: Minter,
    pub(crate) now: Now,
    pub(crate) flows: HashMap<u64, Flow>,
    pub(crate) purposes: HashMap<u64, Purpose>,
    pub(crate) next_id: u64,
    pub(crate) outbox: Vec<Request>,
    pub(crate) completions: Vec<(Token, Verdict)>,
    /// What servers have reported, to be recorded.
    pub(crate) reported: Vec<Command>,
    /// Flows that go on at a time: when, which.
    pub(crate) again: VecDeque<(u64, u64)>,
    /// Directories that go at a time: when, whose, which role.
    pub(crate) lingering: VecDeque<(u64, String, &'static str)>,
    /// The journal has been read: what the world is like is to be asked.
    pub(crate) ask_ms: Option<u64>,
    /// Init has said what the world is like since the journal was read.
    pub(crate) is_in_step: bool,
    pub(crate) look_ms: Option<u64>,
    /// The gate has said that it takes questions; one that does not is missing.
    pub(crate) is_gate_open: bool,
    pub(crate) gate_ms: Option<u64>,
    pub(crate) repeats: Repeats,
}

impl Queen {
    pub(crate) fn new(config: Config, minter: Minter) -> Queen {
        let state = State::new(config.authority.clone());
        Queen {
            ahead: state.clone(),
            state,
            seq: 0,
            ticks_left: HashMap::new(),
            ops_left: HashMap::new(),
            config,
            minter,
            now: Now::default(),
            flows: HashMap::new(),
            purposes: HashMap::new(),
            next_id: 1,
            outbox: Vec::new(),
            completions: Vec::new(),
            reported: Vec::new(),
            again: VecDeque::new(),
            lingering: VecDeque::new(),
            ask_ms: None,
            is_in_step: false,
            look_ms: None,
            is_gate_open: false,
            gate_ms: None,
            repeats: Repeats::default(),
        }
    }

    /// Workers whose directories are about to go.
    pub(crate) fn ending(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.lingering.iter().map(|(_, id, role)| (id.as_str(), *role))
    }

    pub(crate) fn ask(&mut self, mut request: Request, purpose: Purpose) {
        request.id = self.next_id;
        self.next_id += 1;
        self.purposes.insert(request.id, purpose);
        self.outbox.push(request);
    }
}

pub(crate) fn refuse(verb: &str, refusal: Refusal) -> Verdict {
    Verdict::Refuse { verb: verb.into(), refusal }
}

/// Text as a JSON string.
pub(crate) fn json(text: &str) -> String {
    json::to_string(&text)
}
