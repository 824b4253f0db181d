//! What can go wrong between a program and a door.

use crate::clnt::Broken;
use crate::refusal::{Refusal, Word};
use std::fmt;
use std::io::{self, ErrorKind};
use std::string::{String, ToString};

/// Why a call failed.
#[derive(Debug)]
pub enum DialError {
    /// The address cannot be dialled.
    Addr(String),
    /// Nobody answers there.
    Connect {
        /// Where.
        addr: String,
        /// What the system says.
        error: io::Error,
    },
    /// The door said no.
    Refused(Refusal),
    /// The connection failed.
    Io(io::Error),
    /// Nothing came within the deadline.
    Timeout,
    /// The peer does not speak the protocol.
    Protocol(String),
}

impl DialError {
    /// The word of a refusal.
    pub fn word(&self) -> Option<Word> {
        match self {
            DialError::Refused(refusal) => Some(refusal.word),
            _ => None,
        }
    }

    /// Is the connection of no more use?
    pub fn is_lost(&self) -> bool {
        !matches!(self, DialError::Refused(_) | DialError::Addr(_) | DialError::Connect { .. })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Addr(what) => f.write_str(what),
            DialError::Connect { addr, error }
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                write!(f, "{addr}: no hive listens there; start one with: coh up")
            }
            DialError::Connect { addr, error } => write!(f, "{addr}: {error}; is the hive up?"),
            DialError::Refused(refusal) => write!(f, "{refusal}"),
            DialError::Io(error) => write!(f, "{error}"),
            DialError::Timeout => f.write_str("no answer within the deadline"),
            DialError::Protocol(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DialError {}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => DialError::Timeout,
            _ => DialError::Io(error),
        }
    }
}

impl From<Broken> for DialError {
    fn from(broken: Broken) -> Self {
        DialError::Protocol(broken.to_string())
    }
}
