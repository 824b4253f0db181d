//! The heartbeat worker
#![forbid(unsafe_code)]

fn main() {}
