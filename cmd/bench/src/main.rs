//! cohbench: measure a door
#![forbid(unsafe_code)]

fn main() {}
