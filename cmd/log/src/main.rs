//! cohlog: `/log/queen.log`.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Follow, HiveArgs, Out};
use std::process::ExitCode;
use std::time::Duration;

const LOG: &str = "/log/queen.log";
/// Lines shown before following, unless said otherwise.
const LINES: usize = 10;

/// Prints the queen's log, /log/queen.log
#[derive(Parser)]
#[command(name = "cohlog", version)]
struct Args {
    /// Only the last N lines [all; 10 with -f]
    #[arg(short = 'n', long = "lines", value_name = "N")]
    lines: Option<usize>,
    /// Go on with what is added
    #[arg(short, long)]
    follow: bool,
    /// How often to look, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(250..=10_000))]
    interval_ms: u64,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let lines = args.lines.or(args.follow.then_some(LINES));
        let every = args.follow.then(|| Duration::from_millis(args.interval_ms));
        cohcmd::tail(&mut args.hive.find()?, &[LOG.to_owned()], Follow { lines, every }, out)
    })
}
