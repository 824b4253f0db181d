//! cohns: this session's name space.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out};
use std::process::ExitCode;

const NS: &str = "/proc/9p/self/ns";

/// Prints this session's name space in the form of bind/ files; -w changes it first
#[derive(Parser)]
#[command(name = "cohns", version)]
struct Args {
    /// A line such as 'bind /shard /shadow'; may be given several times
    #[arg(short, long = "write", value_name = "LINE")]
    write: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        for line in args.write {
            hive.write_lines(NS, std::iter::once(Ok(line)), |_| Ok(()))?;
        }
        hive.copy(NS, |piece| out.bytes(piece))
    })
}
