//! A server's side of `/trace`: it takes the filter, and sends on what its events have been.

use crate::prelude::*;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Dir, Engine, Now, Op, Request, Service, Tree, Verdict};
use trace::Filter;

/// The id of the question for the filter, apart from those of states.
const ASK: u64 = 1 << 62;
/// The most bytes of one write.
const WRITE_BYTES: usize = 6 << 10;

/// The tree with a root by which the filter comes.
pub(crate) fn with_filter<S: Service>(tree: Tree<S>) -> Tree<S> {
    let filter = Dir::new().orders("filter", 0o600, 256, |_, _, line| match set(line) {
        Some(()) => Verdict::Ack("OK FILTER".into()),
        None => Verdict::Refuse { verb: "FILTER".into(), refusal: Refusal::from(Word::Invalid) },
    });
    tree.internal("trace", filter)
}

/// Takes a filter, `debug boot,ninep`.
fn set(line: &str) -> Option<()> {
    let (level, cats) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
    let cats: Vec<&str> = cats.split(',').filter(|cat| !cat.is_empty()).collect();
    trace::set(Filter::parse(level, &cats)?);
    Some(())
}

/// Asks for the filter in force.
pub(crate) fn ask() -> Request {
    Request { id: ASK, server: "trace", root: "sink", path: "filter".into(), op: Op::Read }
}

/// Hands a peer's answer to who asked: the engine, or the filter.
pub(crate) fn reply<S: Service>(engine: &mut Engine<S>, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
    if id != ASK {
        return engine.reply(id, answer, now);
    }
    // A trace server that is away tells its filter when it starts.
    if let Ok(line) = answer
        && set(&String::from_utf8_lossy(&line)).is_some()
    {
        // Only now is it known whether anybody wants to hear of this start.
        trace::trace!(Boot, Info, "up {}", which_start());
    }
}

#[cfg(not(target_os = "none"))]
fn which_start() -> String {
    format!("pid={}", std::process::id())
}

#[cfg(target_os = "none")]
fn which_start() -> String {
    format!("starts={}", task::starts())
}

/// What has happened since the last time, as few writes.
pub(crate) fn events() -> Vec<Request> {
    // Also what was emitted before the filter changed.
    if !trace::is_any_waiting() {
        return Vec::new();
    }
    let (events, lost) = trace::take();
    let mut writes: Vec<String> = Vec::new();
    let mut push = |cat: &str, level: &str, text: &str| {
        let mut line = format!("{{\"cat\":\"{cat}\",\"level\":\"{level}\",\"text\":");
        json::quote(text, |piece| line.push_str(piece));
        line.push_str("}\n");
        match writes.last_mut().filter(|last| last.len() + line.len() <= WRITE_BYTES) {
            Some(last) => last.push_str(&line),
            None => writes.push(line),
        }
    };
    events.iter().for_each(|event| push(event.cat.word(), event.level.word(), &event.text));
    if lost > 0 {
        push("boot", "error", &format!("{lost} events lost"));
    }
    let to_trace = |lines: String| {
        let op = Op::Write(lines.into_bytes());
        Request { id: 0, server: "trace", root: "sink", path: "events".into(), op }
    };
    writes.into_iter().map(to_trace).collect()
}
