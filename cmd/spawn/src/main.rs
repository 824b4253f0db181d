//! cohspawn: start workers
#![forbid(unsafe_code)]

fn main() {}
