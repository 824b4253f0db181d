//! The server that is several processes: `worker`, whose shards are split evenly over them (spec 5.1).
//! Where a file lies says whose it is; the directories above all shares are the door's to make up.

use manifest::Manifest;
use ns::{ShardLabel, shard_label, shard_part};

/// The server that is split.
const SPLIT: &str = "worker";
/// Its root that has a directory for each shard.
const SHARD: &str = "shard";

/// Whose a file of a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// That process's: its channel is so many after the server's first.
    Part(u16),
    /// A directory that every process has a part of.
    All,
}

/// How the server is split.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) count: u16,
    shard_bits: u8,
}

impl Parts {
    pub(crate) fn from_manifest(manifest: &Manifest) -> Parts {
        let count = manifest.server(SPLIT).map_or(1, |server| server.count);
        Parts { count: count as u16, shard_bits: manifest.telemetry.shard_bits }
    }

    /// Is this server several processes, each with files of its own?
    pub(crate) fn splits(&self, server: &str) -> bool {
        self.count > 1 && server == SPLIT
    }

    /// Whose the file is that a walk by `rest` from the root `spec` comes to.
    pub(crate) fn owner<'p>(
        &self,
        server: &str,
        spec: &'p str,
        rest: impl Iterator<Item = &'p str>,
    ) -> Owner {
        if !self.splits(server) {
            return Owner::Part(0);
        }
        let mut names = spec.split('/').filter(|name| !name.is_empty()).chain(rest);
        let shard = match names.next() {
            None => return Owner::All,
            Some(SHARD) => match names.next() {
                None => return Owner::All,
                // What is no label is not there: any of them says so.
                Some(label) => ShardLabel::parse(label).unwrap_or(0),
            },
            Some(worker) => ShardLabel::parse(&shard_label(worker, self.shard_bits)).unwrap_or(0),
        };
        Owner::Part(shard_part(shard, self.shard_bits, self.count.into()) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_files_are_one_processs_by_either_path() {
        let parts = Parts { count: 4, shard_bits: 8 };
        let owner = |spec: &str, rest: &str| {
            parts.owner("worker", spec, rest.split('/').filter(|name| !name.is_empty()))
        };
        for root in ["", "shard"] {
            assert_eq!(owner(root, ""), Owner::All);
        }
        let mut seen = [0; 4];
        for i in 0..1000 {
            let id = format!("worker-{i}");
            let label = shard_label(&id, 8);
            let Owner::Part(part) = owner("", &id) else { panic!("{id} is of all") };
            seen[usize::from(part)] += 1;
            for (spec, rest) in [
                ("", format!("{id}/telemetry")),
                (&*id, String::new()),
                ("shard", format!("{label}")),
                ("shard", format!("{label}/worker/{id}/cursor")),
                (&*format!("shard/{label}/worker"), id.clone()),
            ] {
                assert_eq!(owner(spec, &rest), Owner::Part(part), "{spec} {rest}");
            }
        }
        assert!(seen.iter().all(|n| *n > 150), "{seen:?}");
        assert_eq!(owner("shard", "zz"), Owner::Part(0));
    }

    #[test]
    fn what_is_one_process_is_not_split() {
        let parts = Parts { count: 1, shard_bits: 8 };
        assert_eq!(parts.owner("worker", "", [].into_iter()), Owner::Part(0));
        let parts = Parts { count: 4, shard_bits: 8 };
        assert_eq!(parts.owner("log", "", [].into_iter()), Owner::Part(0));
    }
}
