//! What a server's `main` stands on: configuration, clock, entropy, the event loop, and the channels to
//! its door and its peers. Guarantees: an idle process sleeps in one system call; every queue is
//! bounded; a peer that is away costs its own requests only. One thread, no locks.
//!
//! There are two back ends behind one face: on Linux, sockets and epoll; on seL4 the channels that the root
//! task maps, and one notification. What has nothing to do with either is shared.
//!
//! ```no_run
//! use ninep::srv::{Dir, Tree};
//! rt::main!("hello", |_boot| {
//!     Ok(Tree::new((), Dir::new().text("hello", |_, _, out| { out.push_str("hello\n"); Ok(()) })))
//! });
//! ```
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod conn;
mod error;
mod link;
mod peers;
pub mod prelude;
mod tracing;

#[cfg(not(target_os = "none"))]
mod hosted;
#[cfg(target_os = "none")]
mod sel4;

pub use error::BootError;

/// Where a server keeps files: below the data directory.
#[cfg(not(target_os = "none"))]
pub use files::Real as Files;
#[cfg(not(target_os = "none"))]
pub use hosted::boot::Boot;
#[cfg(not(target_os = "none"))]
pub use hosted::clock::{entropy, now};
#[cfg(not(target_os = "none"))]
pub use hosted::host::Host;
#[cfg(not(target_os = "none"))]
pub use hosted::poll::{Event, Poll, Ready, Wish};
#[cfg(not(target_os = "none"))]
pub use hosted::serve::{alone, complain, serve};
#[cfg(not(target_os = "none"))]
pub use hosted::signals::Signals;

#[cfg(target_os = "none")]
pub use self::sel4::boot::Boot;
#[cfg(target_os = "none")]
pub use self::sel4::clock::{entropy, now};
#[cfg(target_os = "none")]
pub use self::sel4::host::Host;
#[cfg(target_os = "none")]
pub use self::sel4::network::Network;
#[cfg(target_os = "none")]
pub use self::sel4::poll::{Poll, Wire};
#[cfg(target_os = "none")]
pub use self::sel4::serve::{complain, serve};
/// Where a server keeps files: in memory that outlives the process.
#[cfg(target_os = "none")]
pub use files::Memory as Files;

#[cfg(target_os = "none")]
pub use ::task;
#[cfg(target_os = "none")]
pub use chan::Moved;
#[cfg(target_os = "none")]
pub use hashbrown::{HashMap, HashSet};
#[cfg(not(target_os = "none"))]
pub use std::collections::{HashMap, HashSet};

/// Makes a server's main function: its manifest name, and what makes its tree of what it is told at the start.
#[cfg(not(target_os = "none"))]
#[macro_export]
macro_rules! main {
    ($name:literal, $build:expr) => {
        /// The whole program.
        pub fn main() -> std::process::ExitCode {
            $crate::serve($name, $build)
        }
    };
}

/// Makes a server's main function: its manifest name, and what makes its tree of what it is told at the start.
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! main {
    ($name:literal, $build:expr) => {
        /// The whole program.
        pub fn main() -> ! {
            $crate::serve($name, $build)
        }
    };
}

/// Makes the main function of a program with a loop of its own: its name, and what runs until it cannot go on.
#[cfg(not(target_os = "none"))]
#[macro_export]
macro_rules! run {
    ($name:literal, $run:path) => {
        /// The whole program.
        pub fn main() -> std::process::ExitCode {
            match $run() {
                Ok(()) => std::process::ExitCode::SUCCESS,
                Err(error) => $crate::complain($name, &error),
            }
        }
    };
}

/// Makes the main function of a program with a loop of its own: its name, and what runs until it cannot go on.
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! run {
    ($name:literal, $run:path) => {
        /// The whole program.
        pub fn main() -> ! {
            match $run() {
                Ok(()) => $crate::task::exit(0),
                Err(error) => $crate::complain($name, &error),
            }
        }
    };
}
