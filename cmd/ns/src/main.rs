//! cohns: show or change this session's name space
#![forbid(unsafe_code)]

fn main() {}
