//! The manifest compiler
#![forbid(unsafe_code)]

fn main() {}
