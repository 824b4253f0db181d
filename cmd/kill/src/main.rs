//! cohkill: stop workers
#![forbid(unsafe_code)]

fn main() {}
