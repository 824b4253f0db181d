//! Start, stop and inspect a hive
#![forbid(unsafe_code)]

fn main() {}
