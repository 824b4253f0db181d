//! policyfs: which control writes pass, and the approvals of those that need one. What rules mean is
//! `lib/policy`'s business; here they are asked and kept.
//! Guarantees: an approval is consumed, durably, before its write takes effect, and never twice; after a
//! restart the rules and approvals are what the journal says. Keeps nothing on disk itself.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod gate;
mod ledger;
mod server;
mod show;
#[cfg(test)]
mod tests;

pub use config::Config;
use ninep::srv::{Dir, Tree};
use policy::{ACTIONS, POLICY};
pub use server::Policy;

rt::main!("policy", |boot| Ok(tree(Config::from_manifest(&boot.manifest))));

/// The longest batch of questions: what fits one write.
const GATE_LINE: usize = 8169;

/// The tree:
///
/// ```text
/// ctl                         apply and rollback: one JSON object a line
/// rules                       those in force, the first that matches decides
/// preflight/{req,diff}        a command of ctl, and what it would change
/// [actions]/queue             approvals, one JSON object a line
/// [actions]/<id>/status       queued, consumed, denied or expired
/// [in]/{gate,open,rules,hash} for the hive's servers only
/// ```
pub fn tree(config: Config) -> Tree<Policy> {
    let (max_line, journal) = (config.ctl_line_bytes, config.journal.clone());
    let preflight =
        Dir::new().value("req", show::request, Policy::set_request).text("diff", show::difference);
    let main =
        Dir::new().ctl("ctl", 0o600, max_line, POLICY).text("rules", show::rules).dir("preflight", preflight);
    let action = Dir::new().text("status", show::status);
    let actions = Dir::new().ctl("queue", 0o600, max_line, ACTIONS).each(
        |policy: &Policy, _, f| policy.state.actions().for_each(|(id, action)| f(id, action.number)),
        |policy: &Policy, _, name| policy.state.action(name).map(|action| action.number),
        action,
    );
    let inward = Dir::new()
        .orders("gate", 0o600, GATE_LINE, Policy::gate)
        .text("open", show::open)
        .text("rules", show::patterns)
        .text("hash", show::hash);
    Tree::new(Policy::new(config), main).root("actions", actions).internal("in", inward).journaled(journal)
}
