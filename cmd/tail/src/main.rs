//! cohtail: the last lines of files of the hive, and what is added to them.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Follow, FollowArgs, HiveArgs, Out};
use std::process::ExitCode;

/// Prints the last lines of files and follows them
#[derive(Parser)]
#[command(name = "cohtail", version)]
struct Args {
    /// How many lines of each
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: usize,
    #[command(flatten)]
    follow: FollowArgs,
    /// Files of the hive
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        let every = args.follow.every(&hive);
        cohcmd::tail(&mut hive, &args.paths, Follow { lines: Some(args.lines), every }, out)
    })
}
