//! cohps: the hive's workers.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out, Record, table};
use std::process::ExitCode;

/// Shows the hive's workers, from /proc/queen/workers
#[derive(Parser)]
#[command(name = "cohps", version)]
struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let text = args.hive.find()?.text("/proc/queen/workers")?;
        let workers: Vec<Record> = text.lines().filter(|line| !line.is_empty()).map(Record::parse).collect();
        if args.json {
            return workers.iter().try_for_each(|worker| out.json(&worker.json(&["id"])));
        }
        columns(&workers).into_iter().try_for_each(|line| out.line(line))
    })
}

/// A column for the id, then one for each field that any worker has, in the order of appearance.
fn columns(workers: &[Record]) -> Vec<String> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in workers.iter().flat_map(|worker| &worker.fields) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let header: Vec<String> =
        std::iter::once("ID".to_owned()).chain(keys.iter().map(|key| key.to_uppercase())).collect();
    let row = |worker: &Record| {
        let fields = keys.iter().map(|key| worker.get(key).unwrap_or("-").to_owned());
        std::iter::once(worker.words.join(" ")).chain(fields).collect::<Vec<_>>()
    };
    table(&header, &workers.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_field_shows_a_dash() {
        let workers = ["worker-1 role=worker-heartbeat ticks=5", "worker-2 role=worker-gpu lease=lease-1"];
        let workers: Vec<Record> = workers.iter().map(|line| Record::parse(line)).collect();
        assert_eq!(
            columns(&workers),
            [
                "ID        ROLE              TICKS  LEASE",
                "worker-1  worker-heartbeat      5  -",
                "worker-2  worker-gpu            -  lease-1",
            ]
        );
        assert_eq!(columns(&[]), ["ID"]);
    }
}
