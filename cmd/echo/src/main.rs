//! cohecho: write lines to a file
#![forbid(unsafe_code)]

fn main() {}
