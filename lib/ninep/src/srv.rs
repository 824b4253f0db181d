//! The server engine: sans-IO, one tree of declared files, any number of connections (spec 1.3).
//!
//! A server declares a [`Tree`], wraps it in an [`Engine`], and hands it bytes and the time. It never
//! sees a fid, a tag, an unvalidated name or an oversized frame.

mod control;
mod engine;
mod fids;
mod frame;
mod open;
mod queue;
mod service;
mod tree;
mod turn;
mod verb;

pub use control::{Entry, Journal, Ledger, Mark, Records, Staged, mark_of, record};
pub use engine::{ConnId, Engine, Limits};
pub use fids::Fids;
pub use frame::{Framer, HEADER, Next, SKIP_MAX};
pub use queue::consume;
pub use service::{Now, Op, Request, Service};
pub use tree::{
    Blob, Call, Dir, File, JOURNALED, Key, Node, QID_PATH_BITS, Start, Token, Tree, Verdict, Who,
};
