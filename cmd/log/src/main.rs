//! cohlog: show the hive's log
#![forbid(unsafe_code)]

fn main() {}
