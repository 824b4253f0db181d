//! logfs: append-only streams under `/log`, one bounded ring each.
//! Guarantees: a record acknowledged is readable until the ring laps it; lines of the hive's own
//! servers carry the time. Keeps nothing on disk.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, Service, Tree};
use ring::{Ring, Stream};
use rt::prelude::*;

rt::main!("log", |boot| Ok(tree(&boot.manifest.log)));

/// The streams.
pub struct Log {
    streams: Vec<Ring>,
}

impl Service for Log {}

/// The tree:
///
/// ```text
/// <stream>         append-only, as written
/// [sink]/<stream>  the same for the hive's servers: every line stamped with the time
/// ```
pub fn tree(config: &manifest::Log) -> Tree<Log> {
    let ring_bytes = usize::try_from(config.ring_bytes).unwrap_or(usize::MAX);
    let (mut main, mut sink) = (Dir::new(), Dir::new());
    for (i, name) in config.streams.iter().enumerate() {
        main = main.append(name, 0o644, move |log: &mut Log, _| stream(log, i));
        sink = sink.append_with(
            name,
            0o622,
            move |log: &mut Log, _| stream(log, i),
            move |log: &mut Log, call, data| stamped(&mut log.streams[i], call, data),
        );
    }
    let streams = config.streams.iter().map(|_| Ring::new(ring_bytes)).collect();
    Tree::new(Log { streams }, main).internal("sink", sink)
}

fn stream(log: &mut Log, i: usize) -> Result<&mut dyn Stream, Refusal> {
    Ok(&mut log.streams[i])
}

fn stamped(ring: &mut Ring, call: &Call, data: &[u8]) -> Result<(), Refusal> {
    for line in data.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let mut record = stamp::utc(call.now.wall_ms).into_bytes();
        record.push(b' ');
        record.extend_from_slice(line);
        record.push(b'\n');
        ring.append(&record).map_err(|_| Refusal::new(Word::TooBig, "the line does not fit the ring"))?;
    }
    Ok(())
}
