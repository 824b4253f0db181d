//! cohreplay: has the hive replay its journal, and waits for what comes of it.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Hive, HiveArgs, Out, Record, Trouble};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const CTL: &str = "/replay/ctl";
const STATUS: &str = "/replay/status";
const EXPORT: &str = "/audit/export";
const LOOK: Duration = Duration::from_millis(50);

/// Replays the journal in a shadow of the hive, and compares acknowledgements and states
#[derive(Parser)]
#[command(name = "cohreplay", version)]
struct Args {
    /// The first record [the first that is retained]
    from: Option<u64>,
    /// The last record [the last there is]
    to: Option<u64>,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout_s: u64,
    /// The outcome as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        let (first, last) = window(&hive.text(EXPORT)?)?;
        let (from, to) = (args.from.unwrap_or(first), args.to.unwrap_or(last));
        let line = format!("{{\"from\":{from},\"to\":{to}}}");
        hive.write_lines(CTL, std::iter::once(Ok(line)), |_| Ok(()))?;
        let status = outcome(&mut hive, Instant::now() + Duration::from_secs(args.timeout_s))?;
        if status.starts_with("ok ") {
            return out.outcome(&status, args.json);
        }
        Err(Trouble::failed(format!("{STATUS}: {status}")))
    })
}

/// The first and last seq of `/audit/export`.
fn window(export: &str) -> Result<(u64, u64), Trouble> {
    let record = Record::parse(export.trim());
    let number = |key| record.get(key).and_then(|text| text.parse::<u64>().ok());
    match (number("journal_base"), number("journal_next")) {
        (Some(base), Some(next)) => Ok((base, next.saturating_sub(1))),
        _ => {
            Err(Trouble::failed(format!("{EXPORT}: {export:?} found; journal_base and journal_next wanted")))
        }
    }
}

/// The first status that is not `running`.
fn outcome(hive: &mut Hive, until: Instant) -> Result<String, Trouble> {
    loop {
        let status = hive.text(STATUS)?.trim().to_owned();
        if !status.starts_with("running") {
            return Ok(status);
        }
        if Instant::now() >= until {
            return Err(Trouble::failed(format!(
                "{STATUS}: {status}; not waited for any longer, it goes on"
            )));
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_that_of_export() {
        let line = "journal_base=7 journal_next=119 decisions_base=7 decisions_next=9 head=ab replay=on\n";
        assert_eq!(window(line).unwrap(), (7, 118));
        assert!(window("replay=off\n").is_err());
    }
}
