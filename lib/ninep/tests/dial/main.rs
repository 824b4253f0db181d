//! What a server may say to a client that dials it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod conn;
mod fake;
mod shared;
