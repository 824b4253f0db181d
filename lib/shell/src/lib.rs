//! What the console's verbs do, as file operations of one session at a door; srv/console and cohsh both
//! stand on it, so that what they print is the same. Sans-IO: lines and the door's bytes in, lines and
//! bytes for the door out, time as an argument.
//! Guarantees: each line has its one answer, in order; PONG comes at once; whatever the user, the door
//! and the files do, what is kept is bounded. Never tries anything twice.
#![forbid(unsafe_code)]

mod attach;
mod link;
mod output;
mod read;
mod selftest;
mod shell;
mod write;

pub use ninep::dial::Credentials;
pub use selftest::{Outcome, Report};
pub use shell::{Event, LINES_MAX, Options, Shell};

#[cfg(test)]
mod tests;
