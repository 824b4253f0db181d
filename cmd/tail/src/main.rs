//! cohtail: show last lines, follow
#![forbid(unsafe_code)]

fn main() {}
