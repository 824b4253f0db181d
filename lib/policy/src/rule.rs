//! Rules: which control files, and what happens to writes of them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use authority::{Refused, bounds};
use core::fmt::Write;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of the manifest's own set of rules.
pub const MANIFEST: &str = "manifest";
/// Where approvals are given: gated, none could ever be.
const QUEUE: &str = "/actions/queue";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// An approval is needed.
    Gate,
    /// It is refused.
    Deny,
    /// It passes.
    Allow,
}

impl Decision {
    /// The word, `gate`.
    pub fn word(self) -> &'static str {
        match self {
            Decision::Gate => "gate",
            Decision::Deny => "deny",
            Decision::Allow => "allow",
        }
    }
}

/// What happens to writes of some control files. The first rule that matches decides; where none does,
/// a write passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// A path, in which a component `*` stands for any one.
    pub target: String,
    /// What happens.
    pub decision: Decision,
}

impl Rule {
    /// Is `path` one of its files?
    pub fn matches(&self, path: &str) -> bool {
        let (mut pattern, mut names) = (self.target.split('/'), path.split('/'));
        loop {
            match (pattern.next(), names.next()) {
                (None, None) => return true,
                (Some(want), Some(name)) if want == name || (want == "*" && !name.is_empty()) => {}
                _ => return false,
            }
        }
    }
}

/// The rule that decides on a path.
pub(crate) fn first<'r>(rules: &'r [Rule], path: &str) -> Option<&'r Rule> {
    rules.iter().find(|rule| rule.matches(path))
}

/// Whether rules may be a set.
pub(crate) fn check(rules: &[Rule]) -> Result<(), Refused> {
    for (i, rule) in rules.iter().enumerate() {
        bounds::name("id", &rule.id)?;
        bounds::path("target", &rule.target)?;
        if rules.iter().take(i).any(|other| other.id == rule.id) {
            return Err(Refused::invalid(format!("rule {} twice", rule.id)));
        }
    }
    match first(rules, QUEUE) {
        Some(rule) if rule.decision != Decision::Allow => Err(Refused::invalid(format!(
            "rule {}: {QUEUE} is where approvals are given; it cannot need one",
            rule.id
        ))),
        _ => Ok(()),
    }
}

/// sha256 of the rules as a JSON array without spaces, each `{"id":…,"target":…,"decision":…}`.
pub fn digest(rules: &[Rule]) -> String {
    let hash = Sha256::digest(json::to_string(&rules).as_bytes());
    hash.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What changes from one set to another, a line a rule: `- …` goes, `+ …` comes, `~ order` where only
/// the order does.
pub(crate) fn diff(from: &[Rule], to: &[Rule]) -> Vec<String> {
    let line = |sign, rule: &Rule| format!("{sign} {} {} id={}", rule.decision.word(), rule.target, rule.id);
    let gone = from.iter().filter(|rule| !to.contains(rule)).map(|rule| line('-', rule));
    let new = to.iter().filter(|rule| !from.contains(rule)).map(|rule| line('+', rule));
    let mut lines: Vec<String> = gone.chain(new).collect();
    let kept = |rules: &[Rule], others: &[Rule]| -> Vec<Rule> {
        rules.iter().filter(|rule| others.contains(rule)).cloned().collect()
    };
    if kept(from, to) != kept(to, from) {
        lines.push("~ order".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, target: &str, decision: Decision) -> Rule {
        Rule { id: id.into(), target: target.into(), decision }
    }

    #[test]
    fn a_star_stands_for_one_component() {
        let it = rule("r", "/host/*/restart", Decision::Gate);
        assert!(it.matches("/host/a/restart"));
        for path in ["/host/restart", "/host//restart", "/host/a/b/restart", "/host/a", "/host/a/restart/x"] {
            assert!(!it.matches(path), "{path}");
        }
        assert!(rule("r", "/queen/ctl", Decision::Gate).matches("/queen/ctl"));
        assert!(!rule("r", "/queen/ct*", Decision::Gate).matches("/queen/ctl"));
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = [rule("a", "/host/x/*", Decision::Allow), rule("b", "/host/*/*", Decision::Deny)];
        assert_eq!(first(&rules, "/host/x/y").map(|rule| rule.id.as_str()), Some("a"));
        assert_eq!(first(&rules, "/host/z/y").map(|rule| rule.id.as_str()), Some("b"));
        assert_eq!(first(&rules, "/queen/ctl"), None);
    }

    #[test]
    fn no_set_closes_the_way_to_approvals() {
        assert!(check(&[rule("a", "/actions/*", Decision::Gate)]).is_err());
        assert!(check(&[rule("a", "/actions/queue", Decision::Deny)]).is_err());
        let allowed = [rule("a", "/actions/queue", Decision::Allow), rule("b", "/*/*", Decision::Gate)];
        assert!(check(&allowed).is_ok());
        assert!(check(&[rule("a", "/a", Decision::Gate), rule("a", "/b", Decision::Gate)]).is_err());
        assert!(check(&[rule("a", "a", Decision::Gate)]).is_err());
    }

    #[test]
    fn a_difference_is_what_goes_and_what_comes() {
        let (a, b) = (rule("a", "/a", Decision::Gate), rule("b", "/b", Decision::Deny));
        assert_eq!(
            diff(core::slice::from_ref(&a), core::slice::from_ref(&b)),
            ["- gate /a id=a", "+ deny /b id=b"]
        );
        assert_eq!(diff(&[a.clone(), b.clone()], &[b.clone(), a.clone()]), ["~ order"]);
        assert!(diff(&[a.clone(), b.clone()], &[a, b]).is_empty());
    }

    #[test]
    fn a_digest_is_that_of_the_array() {
        assert_eq!(digest(&[]), "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945");
    }
}
