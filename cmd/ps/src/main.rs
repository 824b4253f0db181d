//! cohps: list workers
#![forbid(unsafe_code)]

fn main() {}
