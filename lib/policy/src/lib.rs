//! Policy, as a pure fold (spec 4.4): which control writes pass, which need an approval, which are
//! refused. Guarantees: an approval lets one write through and no second; the same commands at the same
//! times give the same answers and state; a refused command changes nothing. Asks nobody, and gates
//! nothing itself: who takes a write asks before.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod action;
mod command;
mod manifest;
mod rule;
mod state;

pub use action::{Action, Choice, Progress, Wish};
use alloc::vec::Vec;
pub use authority::{Refused, Word};
pub use command::{
    ACTIONS, Apply, Command, Consume, Entry, POLICY, PolicyCtl, Refuse, Rollback, SYSTEM, System, parse,
};
pub use rule::{Decision, MANIFEST, Rule, digest};
pub use state::{Gate, Set, State};

/// Bounds, and the rules that hold until others are applied; from the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The manifest's rules.
    pub rules: Vec<Rule>,
    /// Rules in one set.
    pub max_rules: usize,
    /// Sets remembered.
    pub max_sets: usize,
    /// Approvals remembered.
    pub max_actions: usize,
    /// Life of an approval that says none.
    pub approval_ttl_s: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config { rules: Vec::new(), max_rules: 256, max_sets: 16, max_actions: 1024, approval_ttl_s: 300 }
    }
}
