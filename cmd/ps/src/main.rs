//! cohps: the hive's workers.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out, Record, columns};
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
        columns("id", &workers).into_iter().try_for_each(|line| out.line(line))
    })
}
