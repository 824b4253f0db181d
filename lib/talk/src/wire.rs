//! Reads that wait so long and no longer.

use crate::error::TalkError;
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// The shortest wait that a socket can be told.
pub(crate) const LEAST: Duration = Duration::from_millis(1);

/// Reads once; None where the time was over first.
pub(crate) fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Result<Option<usize>, TalkError> {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Err(TalkError::Lost("the other end hung up".into())),
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
}
