//! Why a server cannot start.

use crate::prelude::*;
use core::fmt;

/// Why a server cannot start, as a sentence.
#[derive(Debug)]
pub struct BootError(pub String);

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for BootError {}
