//! cohapprove: let one gated write through.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out};
use std::process::ExitCode;

/// Lets one gated control write of TARGET through
#[derive(Parser)]
#[command(name = "cohapprove", version)]
struct Args {
    /// A name for it that was not used before
    id: String,
    /// The control file, such as /queen/export/ctl
    target: String,
    /// For how many seconds it is good; by default policy.approval_ttl_s of the manifest
    #[arg(long, value_name = "S")]
    ttl: Option<u64>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut line = json!({"id": args.id, "target": args.target, "decision": "approve"});
        if let Some(ttl_s) = args.ttl {
            line["ttl_s"] = ttl_s.into();
        }
        args.hive.find()?.order("/actions/queue", &[line.to_string()], out)
    })
}
