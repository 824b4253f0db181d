//! TCP/IP between two interfaces over a wire in memory: a client's, and the one under test with a process behind
//! each link.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod dhcp;
mod hostile;
mod sessions;
mod wire;
