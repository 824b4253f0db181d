//! What a server's `main` stands on: configuration, clock, entropy, the event loop, and the channels to
//! its door and its peers. Guarantees: an idle process sleeps in one system call; every queue is
//! bounded; a peer that is away costs its own requests only. One thread, no locks.
//!
//! ```no_run
//! use ninep::srv::{Dir, Tree};
//! fn main() -> std::process::ExitCode {
//!     rt::serve("hello", |_boot| {
//!         Ok(Tree::new((), Dir::new().text("hello", |_, _, out| { out.push_str("hello\n"); Ok(()) })))
//!     })
//! }
//! ```
#![forbid(unsafe_code)]

mod hosted;

pub use hosted::boot::{Boot, BootError};
pub use hosted::clock::{entropy, now};
pub use hosted::host::Host;
pub use hosted::poll::{Event, Poll, Ready, Wish};
pub use hosted::serve::{alone, complain, serve};
pub use hosted::signals::Signals;
