//! Why the system says no: the words of DESIGN §5, their errno, and the detail that goes with one.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

macro_rules! words {
    ($($word:ident $reason:literal $errno:literal $doc:literal;)*) => {
        /// One word for each kind of refusal. The errno is decided here and nowhere else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Word { $(#[doc = $doc] $word,)* }

        impl Word {
            /// Every word.
            pub const ALL: &'static [Word] = &[$(Word::$word,)*];

            /// The word itself, `NotFound`.
            pub const fn name(self) -> &'static str {
                match self { $(Word::$word => stringify!($word),)* }
            }

            /// The word in acknowledgements and errstr, `notfound`.
            pub const fn reason(self) -> &'static str {
                match self { $(Word::$word => $reason,)* }
            }

            /// The number in Rlerror, of Linux's errno.h.
            pub const fn errno(self) -> u32 {
                match self { $(Word::$word => $errno,)* }
            }

            /// The word for a number in Rlerror.
            pub const fn from_errno(errno: u32) -> Option<Word> {
                match errno { $($errno => Some(Word::$word),)* _ => None }
            }
        }
    };
}

words! {
    NotFound "notfound" 2 "ENOENT: no such file in this session's name space.";
    Permission "permission" 1 "EPERM: the role, the mount or the node's mode forbids it.";
    Policy "policy" 13 "EACCES: a gate needs an approval that is not there.";
    Invalid "invalid" 22 "EINVAL: malformed frame, path, command or transition.";
    Busy "busy" 16 "EBUSY: saturated, or the resource is taken.";
    Quota "quota" 122 "EDQUOT: a ticket's or the manifest's limit is spent.";
    Cut "cut" 112 "EHOSTDOWN: authority is unreachable from here.";
    TooBig "toobig" 90 "EMSGSIZE: larger than msize, or than the node's record limit.";
    Closed "closed" 9 "EBADF: the fid was clunked.";
    Revoked "revoked" 116 "ESTALE: the ticket was revoked or expired, or the data has left the ring.";
    RateLimited "rate-limited" 11 "EAGAIN: too many failed attempts.";
    Unsupported "unsupported" 95 "EOPNOTSUPP: the operation is not part of this system.";
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word and, for people, what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub word: Word,
    /// What was found and what to do; may be empty.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with its detail.
    pub fn new(word: Word, detail: impl Into<Cow<'static, str>>) -> Self {
        Refusal { word, detail: detail.into() }
    }
}

impl From<Word> for Refusal {
    fn from(word: Word) -> Self {
        Refusal { word, detail: Cow::Borrowed("") }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            write!(f, "{}", self.word)
        } else {
            write!(f, "{}: {}", self.word, self.detail)
        }
    }
}

impl core::error::Error for Refusal {}

/// Text as a part of one line: what would end the line or move about in it is escaped. Names may hold it, and
/// lines are told apart by their ends.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_whatever_names_are_in_it() {
        assert_eq!(one_line("path=/é x"), "path=/é x");
        assert_eq!(one_line("/a\nb\r\u{1b}[2J\u{85}"), "/a\\nb\\r\\u{1b}[2J\\u{85}");
    }
}
