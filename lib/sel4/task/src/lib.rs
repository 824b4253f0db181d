//! What a process of the image stands on: where its memory lies, the page that says who it is, its channels
//! and its heap. The root task builds processes after the same description.
//! Guarantees: a process has the capabilities that [`slots`] names and no others, and ends in its own fault
//! when it panics or runs out of memory. Knows nothing of 9P.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
mod channel;
pub mod config;
#[cfg(all(target_os = "none", feature = "process"))]
mod heap;
pub mod place;
#[cfg(all(target_os = "none", feature = "process"))]
mod process;
pub mod shared;
pub mod slots;

#[cfg(target_os = "none")]
pub use channel::{Channel, Many};
#[cfg(all(target_os = "none", feature = "process"))]
pub use process::*;

/// Bytes of one direction of a channel.
pub const RING_BYTES: usize = 16 << 10;
/// One direction of a channel.
pub type Ring = chan::ring::Ring<RING_BYTES>;
