//! cohlog: `/log/queen.log`.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Follow, FollowArgs, HiveArgs, Out};
use std::process::ExitCode;

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
    #[command(flatten)]
    follow: FollowArgs,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let lines = args.lines.or(args.follow.follow.then_some(LINES));
        let mut hive = args.hive.find()?;
        let every = args.follow.every(&hive);
        cohcmd::tail(&mut hive, &[LOG.to_owned()], Follow { lines, every }, out)
    })
}
