//! Fuzz targets for every decoder, and a deterministic driver: it mutates and splices a seed corpus with
//! a generator of its own, so that a run is repeatable and needs no special compiler.
#![forbid(unsafe_code)]

mod targets;

pub use targets::{TARGETS, Target};

use std::fs;
use std::path::Path;

/// A generator of numbers that look random (xorshift64*).
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

/// Longest input that is made.
const INPUT_MAX: usize = 16 << 10;

/// The seeds of a target: files of `corpus/<target>/`, in order of their names.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Changes an input a little, or puts two together.
pub fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0 => input.insert(at, random.below(256) as u8),
            1 if at < input.len() => drop(input.remove(at)),
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            4 => input.truncate(at),
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let again = input[at..].to_vec();
                input.extend_from_slice(&again);
            }
            _ if at + 4 <= input.len() => {
                let number = [0, 1, 7, 8192, 8193, 1 << 20, u32::MAX][random.below(7)];
                input[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            _ => {}
        }
    }
    input.truncate(INPUT_MAX);
    input
}

/// Runs a target on its seeds and then on `count` mutations of them.
pub fn run(target: &Target, seed: u64, count: usize) {
    let mut seeds = corpus(target.name);
    seeds.push(Vec::new());
    seeds.iter().for_each(|input| (target.run)(input));
    let mut random = Random::new(seed);
    for _ in 0..count {
        (target.run)(&mutate(&mut random, &seeds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_survives_a_short_run() {
        for target in TARGETS {
            assert!(!corpus(target.name).is_empty(), "{} has no corpus", target.name);
            run(target, 1, 20_000);
        }
    }
}
