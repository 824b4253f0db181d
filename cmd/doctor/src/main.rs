//! coh-doctor: can this machine run a hive, what is missing, and what to type.
#![forbid(unsafe_code)]

mod checks;

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{Out, Trouble};
use std::process::ExitCode;

/// Says whether this machine can run a hive, and what to type if not
#[derive(Parser)]
#[command(name = "coh-doctor", version)]
struct Args {
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// What a check came to.
pub(crate) enum Finding {
    /// All is well; what was found.
    Good(String),
    /// Something optional is absent: what, and what to type.
    Absent(String, String),
    /// A hive cannot run so: what, and what to type.
    Bad(String, String),
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut bad = 0;
        for (name, check) in checks::ALL {
            let (word, what, remedy) = match check() {
                Finding::Good(what) => ("ok", what, None),
                Finding::Absent(what, remedy) => ("absent", what, Some(remedy)),
                Finding::Bad(what, remedy) => ("bad", what, Some(remedy)),
            };
            bad += u32::from(word == "bad");
            if args.json {
                out.json(&json!({"check": name, "state": word, "found": what, "type": remedy}))?;
                continue;
            }
            out.line(format!("{word:<6}  {name:<10}  {what}"))?;
            if let Some(remedy) = remedy {
                out.line(format!("{:20}type: {remedy}", ""))?;
            }
        }
        match bad {
            0 => Ok(()),
            n => Err(Trouble::failed(format!(
                "{n} of {} checks failed; each says what to type",
                checks::ALL.len()
            ))),
        }
    })
}
