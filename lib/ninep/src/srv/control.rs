//! The way of a control write: parsed, checked, let through the gate, staged, journaled, applied,
//! acknowledged, in this order (spec 4, 6). A [`super::Dir::ctl`] cannot leave one out. Sans-IO: asks
//! the gate and the journal by [`Request`]s, many commands in one.

mod gate;
mod pipe;
mod record;
mod records;
#[cfg(test)]
mod tests;

use super::service::{Now, Request};
use super::tree::{Token, Verdict, Who};
use crate::refusal::Refusal;
use alloc::string::String;
use alloc::vec::Vec;
pub(super) use pipe::{Control, ID_BIT, Pipeline};
pub use record::{mark_of, record};
pub use records::Records;

/// One command on its way, as the state sees it.
#[derive(Debug)]
pub struct Entry<'a, C> {
    /// Its place in the journal; 0 while it is not durable.
    pub seq: u64,
    /// When, in milliseconds since the Unix epoch; never less than the entry's before.
    pub ts_ms: u64,
    /// Who asks.
    pub who: &'a Who,
    /// What.
    pub command: &'a C,
}

/// What a command comes to, before it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staged {
    /// A new one: its `cmd` as JSON, and its acknowledgement without the sequence number.
    New {
        /// What the journal keeps of it.
        cmd: String,
        /// `OK SPAWN id=worker-3`.
        ack: String,
    },
    /// It has been carried out before: the whole acknowledgement, `… seq=118 dup=1`.
    Again(String),
    /// The same is on its way just now.
    Wait,
}

/// A state whose control writes are journaled. It is kept twice: `ahead` has seen all that is on its way,
/// `settled` only what is durable; readers see `settled`.
pub trait Ledger {
    /// A parsed line.
    type Command;

    /// Reads one line of the ctl file `path`; changes nothing. The refusal comes with its verb.
    fn parse(&self, path: &str, line: &str) -> Result<Self::Command, (String, Refusal)>;
    /// The verb of its acknowledgement.
    fn verb(command: &Self::Command) -> &str;
    /// What another server must agree to before a command goes on its way: that server's refusal is the
    /// command's, and nothing is journaled. The request's id is not the state's to give.
    fn ask_first(&self, _who: &Who, _command: &Self::Command) -> Option<Request> {
        None
    }
    /// Would it be carried out? Asked before an approval is consumed for it.
    fn check(&self, entry: &Entry<Self::Command>) -> Result<(), Refusal>;
    /// Has it been carried out before, or is it on its way? It takes no approval then.
    fn is_repeated(&self, _command: &Self::Command) -> bool {
        false
    }
    /// Carries it out in `ahead`. A refusal has changed nothing.
    fn stage(&mut self, entry: &Entry<Self::Command>) -> Result<Staged, Refusal>;
    /// It is durable: carries it out in `settled`, and its effects in the world. `ack` is the whole line;
    /// [`Verdict::Later`] where the effects must be there first.
    fn commit(&mut self, entry: &Entry<Self::Command>, ack: &str, token: Option<Token>) -> Verdict;
    /// What is ahead has not become durable: `ahead` is `settled` again.
    fn roll_back(&mut self);
    /// Takes the newest snapshot, or learns that there is none.
    fn restore(&mut self, snapshot: &str) -> Result<Mark, String>;
    /// Takes one record of the journal, a whole line; most are other servers' business.
    fn replay(&mut self, line: &str) -> Result<Mark, String>;
    /// All of the journal has been taken: the world is brought in step with it.
    fn is_restored(&mut self, now: Now);
    /// The commands that time calls for, and when it does next. Looked at when the time has come, and
    /// after every commit.
    fn due(&mut self, ts_ms: u64) -> (Vec<Self::Command>, Option<u64>);
    /// Commands that the world calls for: what servers have reported.
    fn reported(&mut self) -> Vec<Self::Command> {
        Vec::new()
    }
    /// The kind of record that such a command is.
    fn kind(_: &Self::Command) -> &'static str {
        "system"
    }
    /// The path under which the journal keeps both.
    fn system_path(&self) -> &'static str;
}

/// A place in the journal: the sequence number and time of the last record that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// 0 before the first.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub ts_ms: u64,
}

/// Whom the pipeline asks, and its bounds.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The server that keeps the journal; without one, commands are numbered here and forgotten.
    pub audit: Option<&'static str>,
    /// The server that has the rules; without one, nothing is gated.
    pub policy: Option<&'static str>,
    /// Commands that may be on their way at once.
    pub pending: usize,
}
