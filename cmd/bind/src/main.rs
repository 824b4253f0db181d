//! cohbind: make a path of this session's name space appear at another.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out, clean};
use std::process::ExitCode;

/// Makes FROM appear at TO in this session's name space
#[derive(Parser)]
#[command(name = "cohbind", version)]
struct Args {
    /// A path that is there
    from: String,
    /// Where it appears too
    to: String,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let command = json!({"bind": {"from": clean(&args.from)?, "to": clean(&args.to)?}});
        let mut hive = args.hive.find()?;
        hive.write_lines("/queen/ctl", std::iter::once(Ok(command.to_string())), |ack| out.line(ack))?;
        if hive.is_own_session() {
            out.note("done in this command's own session, which ends with it; on a mount (--ns) it lasts")?;
        }
        Ok(())
    })
}
