//! Worker telemetry: /worker and /shard
#![forbid(unsafe_code)]

fn main() {}
