//! The single authority: /queen and its observability files
#![forbid(unsafe_code)]

fn main() {}
