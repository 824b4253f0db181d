//! cohcat: read files
#![forbid(unsafe_code)]

fn main() {}
