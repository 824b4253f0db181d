//! cohspawn: ask the queen for a worker.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out, spawn};
use std::process::ExitCode;

/// Starts a worker: cohspawn heartbeat ticks=100 period_ms=1000 budget.ttl_s=120
#[derive(Parser)]
#[command(name = "cohspawn", version)]
struct Args {
    /// heartbeat, gpu, bus or lora
    kind: String,
    /// Fields of the command; a dot nests: budget.ttl_s=120
    #[arg(value_name = "KEY=VALUE")]
    fields: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let command = spawn(&args.kind, &args.fields)?;
        let mut hive = args.hive.find()?;
        hive.write_lines("/queen/ctl", std::iter::once(Ok(command)), |ack| out.line(ack))
    })
}
