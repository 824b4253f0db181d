//! What a server's state tells the loop around it: when to wake, whom to ask, what has been decided.

use super::tree::{Call, Key, Token, Verdict};
use crate::refusal::{Refusal, one_line};
use alloc::string::String;
use alloc::vec::Vec;

/// The time, handed in by whoever owns a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never jumps.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// What to do with the file of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Read it whole.
    Read,
    /// Write these bytes in one piece; the reply is what a read of the same open fid then gives.
    Write(Vec<u8>),
}

/// One file operation on another server: how servers act on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Comes back with the reply; 0 where nobody waits.
    pub id: u64,
    /// The server, by its manifest name.
    pub server: &'static str,
    /// The root to attach to there; usually an internal one.
    pub root: &'static str,
    /// The file below that root.
    pub path: String,
    /// Read or write.
    pub op: Op,
}

impl Request {
    /// One line for `/log/queen.log`; the log server stamps the time.
    pub fn log(line: impl Into<String>) -> Self {
        let mut line = one_line(line.into().trim_end_matches('\n')).into_owned();
        line.push('\n');
        Request {
            id: 0,
            server: "log",
            root: "sink",
            path: String::from("queen.log"),
            op: Op::Write(line.into_bytes()),
        }
    }
}

/// The state behind a tree, as the event loop drives it. Every method has a default: a server of
/// plain files implements none.
pub trait Service {
    /// The loop has started.
    fn start(&mut self, _now: Now) {}
    /// Time has passed, at least to [`Service::deadline_ms`].
    fn tick(&mut self, _now: Now) {}
    /// The monotonic millisecond at which [`Service::tick`] must run next.
    fn deadline_ms(&self) -> Option<u64> {
        None
    }
    /// What to ask of other servers, in order; taken after every event.
    fn outbox(&mut self) -> Vec<Request> {
        Vec::new()
    }
    /// The answer to a request whose id was not 0.
    fn reply(&mut self, _id: u64, _answer: Result<Vec<u8>, Refusal>, _now: Now) {}
    /// What was written to the file of this call must be durable: a Tfsync waits for it.
    fn sync(&mut self, _call: &Call) -> Result<(), Refusal> {
        Ok(())
    }
    /// Why a fid of the entry with this key is good no more, where the entry has gone; what is still done
    /// with such a fid is to clunk it.
    fn gone(&self, _key: Key) -> Option<Refusal> {
        None
    }
    /// Commands that were answered [`Verdict::Later`] and are decided now.
    fn completions(&mut self) -> Vec<(Token, Verdict)> {
        Vec::new()
    }
}

impl Service for () {}
