//! The door: every client's session comes in here, and every server's files go out through it.
//! Guarantees: a session sees what its role's name space and its ticket leave it, by no walk, bind or
//! fid anything else; no session's or server's failure is another's. Holds no file data of its own.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod admit;
mod channel;
mod cursor;
mod door;
mod facts;
mod far;
mod files;
#[cfg_attr(target_os = "none", allow(dead_code, reason = "the image has one door"))]
mod hand;
#[cfg(not(target_os = "none"))]
mod io;
mod job;
#[cfg(not(target_os = "none"))]
mod links;
mod list;
#[cfg(not(target_os = "none"))]
mod listeners;
mod orders;
mod parts;
mod refuse;
#[cfg(not(target_os = "none"))]
mod relay;
mod reply;
mod request;
mod root;
mod seat;
#[cfg(target_os = "none")]
mod sel4;
mod session;
#[cfg(not(target_os = "none"))]
mod stream;
mod walk;

#[cfg(test)]
mod tests;

pub use admit::{Admission, Dial};
pub use door::{Door, Reach, Turn};
pub use files::Own;
pub use hand::Handover;
pub use seat::{Reserve, Seat};

pub use session::Rules;

#[cfg(not(target_os = "none"))]
pub use io::run;
#[cfg(target_os = "none")]
pub use sel4::run;

rt::run!("ninedoor", run);
