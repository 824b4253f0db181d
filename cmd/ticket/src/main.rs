//! cohticket: mint, narrow, seal, show and revoke tickets
#![forbid(unsafe_code)]

fn main() {}
