//! consoled: line consoles in front of the door, one at `RUN/console` and one over TCP.
//! Guarantees: every connection is a session of its own at the door and sees what that sees; a slow
//! reader, a flood of connections or of bad lines costs bounded memory and disturbs no other. Serves no
//! files, and knows of none: what verbs do is lib/shell's.
#![forbid(unsafe_code)]

mod client;
mod codec;
mod io;
mod peers;
mod report;

use rt::{Boot, BootError, Signals};

/// The whole server: its listeners and its loop.
pub fn run() -> Result<(), BootError> {
    let boot = Boot::from_args("console", std::env::args())?;
    rt::alone()?;
    let signals = Signals::new(&[15, 2]).map_err(|e| BootError(format!("signals: {e}")))?;
    io::Loop::new(&boot)?.run(signals)
}
