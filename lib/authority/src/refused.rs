//! Why a command was refused, and how acknowledgements are written (spec 4.5).

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Write};

/// Words of refusals; the protocol has their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Saturated, or not in this state of the hive.
    Busy,
    /// A bound is reached.
    Quota,
    /// The authority is not to be reached from here.
    Cut,
    /// A gate needs an approval.
    Policy,
    /// A rule, or the role, forbids it.
    Permission,
    /// Malformed, or against a rule of the language.
    Invalid,
    /// There is no such worker, lease, job, ticket or service.
    NotFound,
    /// Longer than may be.
    TooBig,
    /// It has been closed.
    Closed,
    /// It has been revoked.
    Revoked,
}

impl Word {
    /// The word in acknowledgements, `notfound`.
    pub fn reason(self) -> &'static str {
        match self {
            Word::Busy => "busy",
            Word::Quota => "quota",
            Word::Cut => "cut",
            Word::Policy => "policy",
            Word::Permission => "permission",
            Word::Invalid => "invalid",
            Word::NotFound => "notfound",
            Word::TooBig => "toobig",
            Word::Closed => "closed",
            Word::Revoked => "revoked",
        }
    }
}

/// Why a command was refused. It has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The word.
    pub word: Word,
    /// What was found: `key=value` fields, or a sentence.
    pub detail: String,
}

impl Refused {
    pub(crate) fn new(word: Word, detail: impl Into<String>) -> Refused {
        Refused { word, detail: detail.into() }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Refused {
        Refused::new(Word::Invalid, detail)
    }

    pub(crate) fn unknown(key: &str, id: &str) -> Refused {
        Refused::new(Word::NotFound, format!("{key}={}", Quoted(id)))
    }
}

/// An acknowledgement under construction: `OK SPAWN id=worker-3`.
pub(crate) struct Ack(String);

impl Ack {
    pub(crate) fn new(verb: &str) -> Ack {
        Ack(format!("OK {verb}"))
    }

    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Ack {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {key}={}", Quoted(&value.to_string()));
        self
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}

/// A value in a line of fields: in double quotes where it has spaces, or what would look like more fields.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
        match !self.0.is_empty() && self.0.chars().all(is_plain) {
            true => f.write_str(self.0),
            false => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_spaces_are_quoted() {
        let ack = Ack::new("PREEMPT").with("lease", "lease-4").with("reason", "more \"urgent\"").with("n", 5);
        assert_eq!(ack.text(), r#"OK PREEMPT lease=lease-4 reason="more \"urgent\"" n=5"#);
        assert_eq!(Ack::new("X").with("a", "").with("b", "c=d").text(), r#"OK X a="" b="c=d""#);
    }
}
