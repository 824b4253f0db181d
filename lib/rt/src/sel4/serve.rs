//! A whole server: boot, loop.

use super::boot::Boot;
use super::clock;
use super::host::Host;
use super::poll::Poll;
use crate::BootError;
use ninep::srv::{Service, Tree};

/// Serves the tree that `build` makes, for ever.
pub fn serve<S: Service>(name: &'static str, build: impl FnOnce(&Boot) -> Result<Tree<S>, BootError>) -> ! {
    match begin(name, build) {
        Err(error) => complain(name, &error),
        Ok((mut host, poll)) => loop {
            let now = clock::now();
            host.receive(now);
            host.turn(now);
            poll.wait(host.deadline_ms(), clock::now());
        },
    }
}

fn begin<S: Service>(
    name: &'static str,
    build: impl FnOnce(&Boot) -> Result<Tree<S>, BootError>,
) -> Result<(Host<S>, Poll), BootError> {
    let boot = Boot::new(name)?;
    let mut poll = Poll::new();
    let host = Host::new(&boot, build(&boot)?, &mut poll);
    Ok((host, poll))
}

/// Says why a process cannot go on, and ends it.
pub fn complain(_: &str, error: &BootError) -> ! {
    task::fail(format_args!("{error}"))
}
