//! cohmnt: mount a server at a path
#![forbid(unsafe_code)]

fn main() {}
