//! Signals as bytes in a pipe, so that the loop waits for them like for anything else.

use signal_hook::low_level::{pipe, unregister};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The signals of a process that a loop waits for.
pub struct Signals {
    ends: Vec<(i32, UnixStream, signal_hook::SigId)>,
}

impl Signals {
    /// Takes over `signals`; SIGPIPE needs none, Rust ignores it.
    pub fn new(signals: &[i32]) -> io::Result<Signals> {
        let ends = signals.iter().map(|signal| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            Ok((*signal, read, pipe::register(*signal, write)?))
        });
        Ok(Signals { ends: ends.collect::<io::Result<_>>()? })
    }

    /// What to wait on, in the order of the signals.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ends.iter().map(|(_, end, _)| end.as_fd())
    }

    /// The signals that have come since the last call, each once.
    pub fn take(&mut self) -> Vec<i32> {
        let mut buffer = [0; 64];
        let came = |end: &mut UnixStream| {
            let mut any = false;
            while let chan::unix::Moved::Bytes(_) = chan::unix::read(end, &mut buffer) {
                any = true;
            }
            any
        };
        let mut came = came;
        self.ends.iter_mut().filter_map(|(signal, end, _)| came(end).then_some(*signal)).collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, _, id) in &self.ends {
            unregister(*id);
        }
    }
}
