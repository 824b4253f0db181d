//! Say whether this machine can run a hive, and what to type if not
#![forbid(unsafe_code)]

fn main() {}
