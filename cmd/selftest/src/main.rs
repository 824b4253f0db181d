//! cohtest: let a hive test itself, by the scripts that it serves.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Out, Trouble, serde_json};
use shell::Report;
use std::process::ExitCode;
use talk::{Place, PlaceArgs, TalkError};

/// Carries out a self test of the hive and tells what held
#[derive(Parser)]
#[command(name = "cohtest", version)]
struct Args {
    /// quick, full, negative or smp
    #[arg(long, value_name = "MODE", default_value = "quick", value_parser = ["quick", "full", "negative", "smp"])]
    mode: String,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    /// It fails that has not ended within so many seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    timeout: u32,
    /// Leave out what changes anything
    #[arg(long)]
    no_mutate: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let failed = |error: TalkError| Trouble::failed(error.to_string());
        let (mut talk, recording) = Place::of(&args.place)?.begin(&mut |_| {})?;
        let no_mutate = if args.no_mutate { " --no-mutate" } else { "" };
        let line = format!("test --mode {} --json --timeout {}{no_mutate}", args.mode, args.timeout);
        let mut lines = Vec::new();
        talk.send(&line, &mut |line| lines.push(line.to_owned())).map_err(failed)?;
        recording.map_or(Ok(()), |recording| recording.keep(&talk, out))?;
        let report = report(&lines)?;
        if args.json {
            out.json(&report)?;
        } else {
            report.lines().try_for_each(|line| out.line(line))?;
        }
        if report.ok { Ok(()) } else { Err(Trouble::failed(format!("the hive's {} test failed", args.mode))) }
    })
}

/// What stands between OK and END; a long line came in pieces.
fn report(lines: &[String]) -> Result<Report, Trouble> {
    match lines {
        [ok, data @ .., end] if ok.starts_with("OK TEST") && end == console::END => {
            serde_json::from_str(&data.concat())
                .map_err(|e| Trouble::failed(format!("the report cannot be read: {e}")))
        }
        [refusal] => Err(Trouble::failed(format!("refused: {refusal}"))),
        _ => Err(Trouble::failed("the test broke off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_report_is_read_and_what_is_none_is_told() {
        let json = r#"{"ok":true,"mode":"quick","elapsed_ms":3,"checks":[],"version":"1"}"#;
        let (one, two) = json.split_at(20);
        assert!(report(&lines(&["OK TEST mode=quick", one, two, "END"])).unwrap().ok);
        let refused = report(&lines(&["ERR TEST reason=notfound"])).unwrap_err();
        assert_eq!(refused.to_string(), "refused: ERR TEST reason=notfound");
        assert!(report(&lines(&["OK TEST", "{", "END reason=closed"])).is_err());
    }
}
