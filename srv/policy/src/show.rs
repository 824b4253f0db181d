//! What policy's files say: one function a file.

use crate::server::Policy;
use core::fmt::Write;
use ninep::refusal::{Refusal, Word};
use ninep::srv::Call;
use policy::{Decision, Rule, digest};
use rt::prelude::*;

type Shown = Result<(), Refusal>;

fn wrote(result: core::fmt::Result) -> Shown {
    result.map_err(|_| Word::Invalid.into())
}

/// `/policy/rules`: the set, then its rules in the order in which they are looked at.
pub(crate) fn rules(policy: &Policy, _: &Call, out: &mut String) -> Shown {
    let (rules, state) = (policy.state.rules(), &policy.state);
    let (set, generation) = (state.active(), state.generation());
    let (n, sum) = (rules.len(), digest(rules));
    wrote(writeln!(out, "rules set={set} count={n} generation={generation} sha256={sum}"))?;
    rules.iter().try_for_each(|Rule { id, target, decision }| {
        wrote(writeln!(out, "{} {target} id={id}", decision.word()))
    })
}

/// `/policy/preflight/req`: the session's own.
pub(crate) fn request(policy: &Policy, call: &Call, out: &mut String) -> Shown {
    match policy.request(call.who.session) {
        Some((text, _)) => wrote(writeln!(out, "{text}")),
        None => Ok(()),
    }
}

/// `/policy/preflight/diff`: what that would change.
pub(crate) fn difference(policy: &Policy, call: &Call, out: &mut String) -> Shown {
    let Some((_, ctl)) = policy.request(call.who.session) else { return Ok(()) };
    policy.state.diff(ctl)?.iter().try_for_each(|line| wrote(writeln!(out, "{line}")))
}

/// `/actions/<id>/status`.
pub(crate) fn status(policy: &Policy, call: &Call, out: &mut String) -> Shown {
    let found = policy.state.actions().find(|(_, action)| action.number == call.key);
    let (_, action) = found.ok_or_else(|| Refusal::new(Word::Revoked, "the approval is forgotten"))?;
    wrote(writeln!(out, "{}", action.progress.word()))
}

/// For servers: the journal is read, and commands are taken; and whether the rules let any reach the queen.
pub(crate) fn open(policy: &Policy, _: &Call, out: &mut String) -> Shown {
    if !policy.is_open {
        return Err(Refusal::new(Word::Busy, "the journal is away"));
    }
    let queen = if policy.denies_queen() { "denied" } else { "open" };
    wrote(writeln!(out, "open queen={queen}"))
}

/// For servers: patterns that gate or deny.
pub(crate) fn patterns(policy: &Policy, _: &Call, out: &mut String) -> Shown {
    let rules = policy.state.rules().iter().filter(|rule| rule.decision != Decision::Allow);
    rules.into_iter().try_for_each(|rule| wrote(writeln!(out, "{} {}", rule.decision.word(), rule.target)))
}

/// What a replay's end is compared with.
pub(crate) fn hash(policy: &Policy, _: &Call, out: &mut String) -> Shown {
    let hex: String = policy.state.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    wrote(writeln!(out, "seq={} sha256={hex}", policy.seq))
}
