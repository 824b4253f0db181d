//! cohdeny: withdraw approvals.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out};
use std::process::ExitCode;

/// Withdraws the approvals that are queued for TARGET
#[derive(Parser)]
#[command(name = "cohdeny", version)]
struct Args {
    /// A name for it that was not used before
    id: String,
    /// The control file, such as /queen/export/ctl
    target: String,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let line = json!({"id": args.id, "target": args.target, "decision": "deny"});
        args.hive.find()?.order("/actions/queue", &[line.to_string()], out)
    })
}
