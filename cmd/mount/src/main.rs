//! Mount a hive's name space with FUSE
#![forbid(unsafe_code)]

fn main() {}
