//! cohkill: end workers.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out, Trouble, Word};
use std::process::ExitCode;

/// Ends workers and revokes their tickets
#[derive(Parser)]
#[command(name = "cohkill", version)]
struct Args {
    /// Workers, as cohps shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        for id in &args.ids {
            let command = json!({"kill": id}).to_string();
            let done = hive.write_lines("/queen/ctl", std::iter::once(Ok(command)), |ack| out.line(ack));
            match done {
                Err(trouble) if trouble.word() == Some(Word::NotFound) => {
                    out.complain(Trouble::refused(id, Word::NotFound, "no such worker; see cohps"))?;
                }
                Err(trouble) => out.complain(trouble)?,
                Ok(()) => {}
            }
        }
        Ok(())
    })
}
