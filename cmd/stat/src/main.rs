//! cohstat: describe files
#![forbid(unsafe_code)]

fn main() {}
