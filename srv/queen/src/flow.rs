//! A command's effects on their way: requests to other servers, stage after stage.

use alloc::collections::VecDeque;
use ninep::refusal::Refusal;
use ninep::srv::{Op, Request, Token};
use rt::prelude::*;

/// What happens when all is done, or something failed.
pub(crate) struct Flow {
    /// The command that waits, its verb and acknowledgement.
    pub(crate) waits: Option<(Token, &'static str, String)>,
    /// Requests of a stage go out together; the next stage waits for them.
    pub(crate) stages: VecDeque<Vec<Request>>,
    /// The stage that is out.
    pub(crate) out: Vec<Request>,
    /// Answers still out.
    pub(crate) left: usize,
    /// Whether a refusal ends the flow; else what cannot be done now is made good when the server
    /// that was away asks at its start.
    pub(crate) is_strict: bool,
    /// The worker that it starts. Its command is on record: a server that is away is asked again until
    /// `until_ms`, and where that does not help the worker has come and ended.
    pub(crate) starts: Option<String>,
    pub(crate) until_ms: u64,
    pub(crate) failed: Option<Refusal>,
}

impl Flow {
    pub(crate) fn new(stages: impl Into<VecDeque<Vec<Request>>>) -> Flow {
        Flow {
            waits: None,
            stages: stages.into(),
            out: Vec::new(),
            left: 0,
            is_strict: false,
            starts: None,
            until_ms: 0,
            failed: None,
        }
    }
}

/// One line to a control file of another server; its id is given when it is sent.
pub(crate) fn order(server: &'static str, root: &'static str, line: String) -> Request {
    let op = Op::Write((line + "\n").into_bytes());
    Request { id: 0, server, root, path: "ctl".into(), op }
}

/// The same to the door.
pub(crate) fn to_door(line: String) -> Request {
    order("door", "ctl", line)
}

/// Reads a file of another server.
pub(crate) fn read(server: &'static str, root: &'static str, path: &str) -> Request {
    Request { id: 0, server, root, path: path.into(), op: Op::Read }
}
