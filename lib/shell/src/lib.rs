//! What the console's verbs do, as file operations of one session at a door; srv/console and cohsh both
//! stand on it, so that what they print is the same. Sans-IO: lines and the door's bytes in, lines and
//! bytes for the door out, time as an argument.
//! Guarantees: each line has its one answer, in order; PONG comes at once; whatever the user, the door
//! and the files do, what is kept is bounded. Never tries anything twice.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod attach;
mod held;
mod link;
mod output;
mod prelude;
mod read;
mod selftest;
mod shell;
mod write;

pub use held::{Arc, Mutex, lock};
pub use ninep::Credentials;
pub use selftest::{Outcome, Report};
pub use shell::{Event, LINES_MAX, Options, Shell};

#[cfg(test)]
mod tests;
