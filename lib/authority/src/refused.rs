//! Why a command was refused, and how acknowledgements are written (spec 4.5).

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Write};
pub use ninep::refusal::Word;

impl From<Refused> for ninep::refusal::Refusal {
    fn from(refused: Refused) -> Self {
        ninep::refusal::Refusal::new(refused.word, refused.detail)
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
    /// A refusal with its detail.
    pub fn new(word: Word, detail: impl Into<String>) -> Refused {
        Refused { word, detail: detail.into() }
    }

    /// One that is malformed, or against a rule of the language.
    pub fn invalid(detail: impl Into<String>) -> Refused {
        Refused::new(Word::Invalid, detail)
    }

    /// There is no such thing.
    pub fn unknown(key: &str, id: &str) -> Refused {
        Refused::new(Word::NotFound, format!("{key}={}", Quoted(id)))
    }
}

/// An acknowledgement under construction: `OK SPAWN id=worker-3`.
pub struct Ack(String);

impl Ack {
    /// Of a command with that verb.
    pub fn new(verb: &str) -> Ack {
        Ack(format!("OK {verb}"))
    }

    /// One more field.
    pub fn with(mut self, key: &str, value: impl ToString) -> Ack {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {key}={}", Quoted(&value.to_string()));
        self
    }

    /// The line, without the number.
    pub fn text(self) -> String {
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
