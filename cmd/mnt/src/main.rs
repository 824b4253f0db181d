//! cohmnt: graft a server's tree into this session's name space.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out, clean};
use std::process::ExitCode;

/// Makes SERVER's tree appear at AT in this session's name space
#[derive(Parser)]
#[command(name = "cohmnt", version)]
struct Args {
    /// A server of the hive, as the manifest names it
    server: String,
    /// Where its tree appears
    at: String,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let command = json!({"mount": {"service": args.server, "at": clean(&args.at)?}});
        let mut hive = args.hive.find()?;
        hive.write_lines("/queen/ctl", std::iter::once(Ok(command.to_string())), |ack| out.line(ack))?;
        if hive.is_own_session() {
            out.note("done in this command's own session, which ends with it; on a mount (--ns) it lasts")?;
        }
        Ok(())
    })
}
