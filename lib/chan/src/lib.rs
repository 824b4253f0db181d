//! How two processes of one machine talk: a byte stream of 9P frames. Between Linux processes it is a Unix
//! socket, bounded by the kernel's buffers; between seL4 processes a pair of rings in shared memory.
//! Guarantees: a listener is for the hive's own user only, and says who is at the other end. Knows
//! nothing of frames; the peer is not trusted to send any.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod mux;
#[cfg(not(target_os = "none"))]
pub mod pass;
pub mod ring;
pub mod streams;
#[cfg(not(target_os = "none"))]
pub mod unix;

/// What a read or write that does not wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes; of a read never 0.
    Bytes(usize),
    /// Nothing now.
    Later,
    /// Nothing ever again.
    Ended,
}
