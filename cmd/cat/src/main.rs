//! cohcat: read files of the hive.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out, Trouble};
use std::process::ExitCode;

/// Reads files of the hive, one after the other, to standard output
#[derive(Parser)]
#[command(name = "cohcat", version)]
struct Args {
    /// Files of the hive
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| -> Result<(), Trouble> {
        let mut hive = args.hive.find()?;
        for path in &args.paths {
            if let Err(trouble) = hive.copy(path, |piece| out.bytes(piece)) {
                out.complain(trouble)?;
            }
        }
        Ok(())
    })
}
