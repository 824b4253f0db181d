//! cohtail: the last lines of files of the hive, and what is added to them.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Follow, HiveArgs, Out};
use std::process::ExitCode;
use std::time::Duration;

/// Prints the last lines of files and follows them
#[derive(Parser)]
#[command(name = "cohtail", version)]
struct Args {
    /// How many lines of each
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: usize,
    /// Go on with what is added
    #[arg(short, long)]
    follow: bool,
    /// How often to look, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(250..=10_000))]
    interval_ms: u64,
    /// Files of the hive
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let every = args.follow.then(|| Duration::from_millis(args.interval_ms));
        let mut hive = args.hive.find()?;
        cohcmd::tail(&mut hive, &args.paths, Follow { lines: Some(args.lines), every }, out)
    })
}
