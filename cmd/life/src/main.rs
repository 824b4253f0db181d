//! cohlife: the hive's lifecycle.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out, Record};
use std::process::ExitCode;

/// Shows the hive's lifecycle, or changes it
#[derive(Parser)]
#[command(name = "cohlife", version)]
struct Args {
    /// cordon, drain, resume, quiesce or reset
    word: Option<String>,
    /// What it shows as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        if let Some(word) = args.word {
            return hive.order("/queen/lifecycle/ctl", &[word], out);
        }
        let mut lines = Vec::new();
        for name in ["state", "reason", "since"] {
            lines.push(hive.text(&format!("/proc/lifecycle/{name}"))?.trim().to_owned());
        }
        let line = lines.join(" ");
        if args.json { out.json(&Record::parse(&line).json(&[])) } else { out.line(line) }
    })
}
