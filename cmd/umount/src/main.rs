//! Unmount a hive
#![forbid(unsafe_code)]

fn main() {}
