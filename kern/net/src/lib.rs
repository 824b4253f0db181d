//! TCP/IP between a network card and the processes that serve its clients: every connection that comes in on a
//! port of the manifest becomes a stream of the channel to the door or the console.
//! Guarantees: a turn does a bounded amount of work whatever the network sends; connections, half-open ones
//! and their buffers are bounded and allocated once; a client that does not read, a process that went away and
//! a card that has to be reset disturb no other connection but those that they carry. Reads no clock, opens
//! no connection, forwards nothing.
#![cfg_attr(target_os = "none", no_std)]
// Taking the card's registers is the one unsafe thing.
#![cfg_attr(not(target_os = "none"), forbid(unsafe_code))]

extern crate alloc;

mod address;
mod link;
#[cfg(target_os = "none")]
mod log;
mod port;
#[cfg(target_os = "none")]
mod process;
mod session;
mod stack;
mod stats;

use alloc::vec::Vec;

use chan::mux::Listener;

pub use link::{Link, STREAMS};
pub use port::Port;
#[cfg(target_os = "none")]
pub use process::main;
pub use stack::{Net, is_ninep};
pub use stats::Stats;

/// Where the machine gets its address from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// It is told.
    Static {
        /// Its own.
        address: [u8; 4],
        /// Bits of the network's part.
        prefix: u8,
        /// The way to other networks.
        gateway: Option<[u8; 4]>,
    },
    /// It asks (RFC 2131).
    Dhcp,
}

/// What there is to be, all from the manifest.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The machine's address.
    pub address: Address,
    /// Which ports are listened on, and for whom.
    pub ports: Vec<(Listener, u16)>,
    /// Connections at once.
    pub sessions: usize,
    /// Connections at once of which the client has not yet answered, and sockets that wait for one.
    pub half_open: usize,
    /// How long it may take to answer.
    pub half_open_ms: u64,
    /// Bytes that are held of what a client sent.
    pub receive_bytes: usize,
    /// Bytes that are held of what a client has yet to receive.
    pub send_bytes: usize,
    /// Nobody else's guess.
    pub seed: u64,
}
