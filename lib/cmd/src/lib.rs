//! What a command stands on: find the hive, open, read, write, tail, report
#![forbid(unsafe_code)]
