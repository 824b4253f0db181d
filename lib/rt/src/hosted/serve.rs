//! A whole server: boot, loop, exit.

use super::boot::Boot;
use super::clock;
use super::host::Host;
use super::poll::{Poll, Wish};
use super::signals::Signals;
use crate::BootError;
use ninep::srv::{Service, Tree};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

/// Serves the tree that `build` makes, until SIGTERM or SIGINT, or until init is gone.
pub fn serve<S: Service>(
    name: &'static str,
    build: impl FnOnce(&Boot) -> Result<Tree<S>, BootError>,
) -> ExitCode {
    match run(name, build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(name, &error),
    }
}

/// Says why a process cannot go on.
pub fn complain(name: &str, error: &BootError) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}

const SIGNAL: u64 = 0;

fn run<S: Service>(
    name: &'static str,
    build: impl FnOnce(&Boot) -> Result<Tree<S>, BootError>,
) -> Result<(), BootError> {
    let boot = Boot::from_args(name, std::env::args())?;
    alone()?;
    let io = |error: std::io::Error| BootError(format!("{}: {error}", boot.own_socket().display()));
    let mut poll = Poll::new().map_err(io)?;
    let mut signals = Signals::new(&[15, 2]).map_err(io)?;
    for fd in signals.fds() {
        poll.add(fd, SIGNAL, Wish::Read).map_err(io)?;
    }
    let mut host = Host::new(&boot, build(&boot)?, &poll).map_err(io)?;
    let mut events = Vec::new();
    loop {
        let now = clock::now();
        host.turn(&poll, now);
        poll.wait(host.deadline_ms(), now, &mut events).map_err(io)?;
        let now = clock::now();
        for event in events.drain(..) {
            if event.token == SIGNAL && !signals.take().is_empty() {
                return Ok(());
            }
            host.event(&poll, event, now);
        }
    }
}

/// No core dumps, which would hold tickets; and no life without init, which holds the other end of
/// its servers' standard input.
pub fn alone() -> Result<(), BootError> {
    use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
    let said = |error: rustix::io::Errno| BootError(format!("prctl: {error}"));
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(said)?;
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(said)?;
    if has_ended(std::io::stdin().as_fd()) {
        return Err(BootError("init has ended before this server began".into()));
    }
    Ok(())
}

/// Is this a pipe whose other end is gone?
fn has_ended(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let is_pipe = rustix::fs::fstat(fd)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo);
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    is_pipe && poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_its_writer_has_ended() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        assert!(!has_ended(read.as_fd()));
        drop(write);
        assert!(has_ended(read.as_fd()));
        assert!(!has_ended(std::fs::File::open("/dev/null").unwrap().as_fd()));
    }
}
