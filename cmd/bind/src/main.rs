//! cohbind: bind one path at another
#![forbid(unsafe_code)]

fn main() {}
