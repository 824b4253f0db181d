//! cohping: measure round trips
#![forbid(unsafe_code)]

fn main() {}
