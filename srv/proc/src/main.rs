//! Facts of this boot: /proc/boot, /proc/version, /proc/tests
#![forbid(unsafe_code)]

fn main() {}
