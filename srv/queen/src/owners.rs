//! Which process holds a worker's telemetry: the shards are split over all of them (spec 5.1).

use rt::prelude::*;

/// The processes of the workers' server.
#[derive(Debug)]
pub struct Owners {
    names: Vec<&'static str>,
    shard_bits: u8,
}

impl Owners {
    /// The manifest's.
    pub fn from_manifest(manifest: &manifest::Manifest) -> Owners {
        let server = manifest.server("worker");
        // Once in the life of the queen.
        let names = server.into_iter().flat_map(|server| server.processes().map(|name| &*name.leak()));
        let names = names.collect();
        Owners { names, shard_bits: manifest.telemetry.shard_bits }
    }

    #[cfg(test)]
    pub(crate) fn of_parts(names: &[&'static str]) -> Owners {
        Owners { names: names.to_vec(), shard_bits: 8 }
    }

    /// The process that holds the worker's records.
    pub(crate) fn of(&self, worker: &str) -> &'static str {
        let label = ns::shard_label(worker, self.shard_bits);
        let shard = ns::ShardLabel::parse(&label).unwrap_or(0);
        let part = ns::shard_part(shard, self.shard_bits, self.names.len() as u32);
        // A hive without that server is told so when it is asked.
        self.names.get(part as usize).copied().unwrap_or("worker")
    }

    /// Every process.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().copied()
    }

    /// Is it one of several that read the list of workers? Each is told its own.
    pub(crate) fn is_one(&self, process: &str) -> bool {
        self.names.len() > 1 && self.names.contains(&process)
    }
}
