//! What went wrong, as one sentence: on which path, which word of DESIGN §5, what was found.

use ninep::refusal::Word;
use std::fmt;

/// Why a command could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The hive said no.
    Refused {
        /// On which path.
        path: String,
        /// Which refusal.
        word: Word,
        /// What was found and what to do.
        detail: String,
    },
    /// Something outside the hive failed.
    Failed(String),
    /// The command line asks for what cannot be.
    Usage(String),
    /// Whoever read our output has gone: nothing to say, nothing left to do.
    Quiet,
}

impl Trouble {
    /// A refusal on `path`; an empty detail becomes the word's general one.
    pub fn refused(path: impl Into<String>, word: Word, detail: impl Into<String>) -> Self {
        let detail = Some(detail.into()).filter(|d| !d.is_empty()).unwrap_or_else(|| general(word).into());
        Trouble::Refused { path: path.into(), word, detail }
    }

    /// Anything else, as a sentence.
    pub fn failed(what: impl Into<String>) -> Self {
        Trouble::Failed(what.into())
    }

    /// The refusal's word, if the hive refused.
    pub fn word(&self) -> Option<Word> {
        match self {
            Trouble::Refused { word, .. } => Some(*word),
            _ => None,
        }
    }

    /// The process's exit status for this.
    pub fn status(&self) -> u8 {
        match self {
            Trouble::Quiet => 0,
            Trouble::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Refused { path, word, detail } => write!(f, "{path}: {word}: {detail}"),
            Trouble::Failed(what) | Trouble::Usage(what) => f.write_str(what),
            Trouble::Quiet => Ok(()),
        }
    }
}

impl std::error::Error for Trouble {}

/// What to say when the hive's own detail cannot be had.
fn general(word: Word) -> &'static str {
    match word {
        Word::NotFound => "no such file in this session's name space",
        Word::Permission => "the role, the mount or the file's mode forbids it",
        Word::Policy => "it needs an approval that is not there",
        Word::Invalid => "the hive does not take this",
        Word::Busy => "saturated, or its server is being restarted; try again",
        Word::Quota => "a limit of the ticket or the manifest is spent",
        Word::Cut => "the queen is out of reach from here",
        Word::TooBig => "larger than the file takes in one piece",
        Word::Closed => "the open file has gone with its server; open it again",
        Word::Revoked => "the ticket was revoked or has expired, or the data has left the ring",
        Word::RateLimited => "too many failed attempts; wait a minute and a half",
        Word::Unsupported => "the hive does not have this operation",
    }
}

/// The session's last refusal, as `/proc/9p/self/errstr` holds it:
/// `reason=notfound path=/gpu/GPU-7/info detail=no such file in queen's name space`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Errstr<'a> {
    reason: &'a str,
    path: &'a str,
    detail: String,
}

impl<'a> Errstr<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let line = text.lines().next()?;
        let rest = line.strip_prefix("reason=")?;
        let (reason, rest) = rest.split_once(' ')?;
        let rest = rest.strip_prefix("path=")?;
        let (path, detail) = rest.split_once(" detail=").unwrap_or((rest, ""));
        let detail = serde_json::from_str(detail).unwrap_or_else(|_| detail.to_owned());
        Some(Errstr { reason, path: path.trim_matches('"'), detail })
    }

    /// The detail, if this is about `word` on `path`. A kernel looks names up one by one, so the path
    /// that the hive refused may be the beginning of the one that was asked for.
    pub(crate) fn detail_for(self, path: &str, word: Word) -> Option<String> {
        let is_prefix =
            path.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (self.reason == word.reason() && (is_prefix || self.path == "/") && !self.detail.is_empty())
            .then_some(self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_sentence() {
        let trouble =
            Trouble::refused("/gpu/GPU-7/info", Word::NotFound, "no such file in queen's name space");
        assert_eq!(trouble.to_string(), "/gpu/GPU-7/info: NotFound: no such file in queen's name space");
        assert_eq!(trouble.status(), 1);
    }

    #[test]
    fn every_word_has_something_to_say() {
        for word in Word::ALL {
            assert!(Trouble::refused("/x", *word, "").to_string().len() > 20 + word.name().len());
        }
    }

    #[test]
    fn errstr_speaks_for_its_own_path_and_word_only() {
        let text = "reason=notfound path=/gpu/GPU-7 detail=no such file in queen's name space\n";
        let detail = |path, word| Errstr::parse(text).unwrap().detail_for(path, word);
        let expected = Some("no such file in queen's name space".to_owned());
        assert_eq!(detail("/gpu/GPU-7", Word::NotFound), expected);
        assert_eq!(detail("/gpu/GPU-7/info", Word::NotFound), expected);
        assert_eq!(detail("/gpu/GPU-77", Word::NotFound), None);
        assert_eq!(detail("/gpu/GPU-7", Word::Permission), None);
    }

    #[test]
    fn errstr_may_quote_its_detail() {
        let errstr = Errstr::parse(r#"reason=invalid path=/queen/ctl detail="line 2: unknown field \"x\"""#);
        assert_eq!(
            errstr.unwrap().detail_for("/queen/ctl", Word::Invalid).unwrap(),
            r#"line 2: unknown field "x""#
        );
        assert_eq!(Errstr::parse(""), None);
        assert_eq!(Errstr::parse("hello"), None);
    }
}
