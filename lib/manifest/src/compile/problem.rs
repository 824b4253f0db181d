//! What is wrong with a manifest, in a form that says where and what to write instead.

use std::fmt;
use std::string::String;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Its line, from 1; 0: no line is at fault.
    pub line: u32,
    /// `KEY: FOUND found; WHAT allowed`, or another sentence.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for Problem {}
