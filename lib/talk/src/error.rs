//! Why a conversation cannot go on.

use std::fmt;
use std::io;

/// Why a conversation cannot go on.
#[derive(Debug)]
pub enum TalkError {
    /// AUTH or attach was refused; the line that says so.
    Refused(String),
    /// The connection cannot be made, or has ended.
    Lost(String),
    /// No answer within a minute.
    Silent,
    /// A trace that is none, or that does not play as it was recorded.
    Trace(String),
    /// The client policy is another hive's; a sentence.
    Policy(String),
    /// The peer does not speak the console's grammar.
    Protocol(&'static str),
}

impl fmt::Display for TalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TalkError::Refused(line) if line.ends_with("detail=\"AUTH first\"") => {
                write!(f, "refused: {line}; give the console's token with --token FILE")
            }
            TalkError::Refused(line) => write!(f, "refused: {line}"),
            TalkError::Lost(why) | TalkError::Policy(why) => f.write_str(why),
            TalkError::Trace(why) => write!(f, "the trace: {why}"),
            TalkError::Silent => f.write_str("no answer within a minute"),
            TalkError::Protocol(what) => write!(f, "the peer is no console: {what}"),
        }
    }
}

impl std::error::Error for TalkError {}

impl From<io::Error> for TalkError {
    fn from(error: io::Error) -> TalkError {
        TalkError::Lost(error.to_string())
    }
}
