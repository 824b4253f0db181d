//! consoled: line consoles in front of the door, one at `RUN/console` and one over TCP.
//! Guarantees: every connection is a session of its own at the door and sees what that sees; a slow
//! reader, a flood of connections or of bad lines costs bounded memory and disturbs no other. Serves no
//! files, and knows of none: what verbs do is lib/shell's.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(not(target_os = "none"))]
mod client;
mod codec;
#[cfg(not(target_os = "none"))]
mod io;
mod peers;
mod report;
#[cfg(target_os = "none")]
mod sel4;
mod talk;

#[cfg(not(target_os = "none"))]
pub use io::run;
#[cfg(target_os = "none")]
pub use sel4::run;

rt::run!("consoled", run);

/// What one is told that finds no room.
fn busy() -> console::Answer {
    console::Answer::err("CONSOLE", "busy").with("detail", "too many consoles are open")
}
