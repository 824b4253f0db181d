//! fuzz-targets [SECONDS [TARGET...]]: each target for so long, with a new seed every thousand inputs.
#![forbid(unsafe_code)]

use fuzz_targets::{TARGETS, run};
use std::time::{Duration, Instant};

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().and_then(|arg| arg.parse().ok()).unwrap_or(60);
    let only: Vec<String> = args.collect();
    for target in
        TARGETS.iter().filter(|target| only.is_empty() || only.iter().any(|name| name == target.name))
    {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut seed = 1;
        while Instant::now() < until {
            run(target, seed, 1000);
            seed += 1;
        }
        println!("{}: {} inputs, no failure", target.name, seed * 1000);
    }
}
