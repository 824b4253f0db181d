//! cohls: list files
#![forbid(unsafe_code)]

fn main() {}
