//! cohexport: the hive's export windows, and what leaves through them.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out, Record, Trouble, columns, object};
use std::process::ExitCode;

const CTL: &str = "/queen/export/ctl";
const LIST: &str = "/queen/export/windows";

/// Shows and changes export windows: cohexport open win-1 /queen/telemetry/dev-1 until_ms=MS max_bytes=N
#[derive(Parser)]
#[command(name = "cohexport", version)]
struct Args {
    /// open, close, job, ls; ls when absent
    #[arg(default_value = "ls", hide_default_value = true)]
    verb: String,
    /// Ids, paths and fields of the command: win-1 /queen/telemetry/dev-1 max_bytes=1000
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// ls: one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        if args.verb != "ls" {
            let lines = commands(&args.verb, &args.words)?;
            return args.hive.find()?.order(CTL, &lines, out);
        }
        if let Some(word) = args.words.first() {
            return Err(Trouble::Usage(format!("{word}: ls has no such word")));
        }
        let text = args.hive.find()?.text(LIST)?;
        let records: Vec<Record> = text.lines().filter(|line| !line.is_empty()).map(Record::parse).collect();
        if args.json {
            return records.iter().try_for_each(|record| out.json(&record.json(&["id"])));
        }
        columns("id", &records).into_iter().try_for_each(|line| out.line(line))
    })
}

/// The lines for the control file: one, or one for each id.
fn commands(verb: &str, words: &[String]) -> Result<Vec<String>, Trouble> {
    let names: &[&str] = match verb {
        "open" => &["id", "path"],
        "job" => &["id", "window"],
        "close" if words.is_empty() => return Err(Trouble::Usage("close: of what?".into())),
        "close" => return Ok(words.iter().map(|id| json!({verb: id}).to_string()).collect()),
        _ => return Err(Trouble::Usage(format!("{verb}: no such verb; open, close, job, ls are"))),
    };
    Ok(vec![json!({verb: object(names, words)?}).to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(line: &str) -> Result<Vec<String>, Trouble> {
        let mut words = line.split(' ').map(str::to_owned);
        let verb = words.next().unwrap_or_default();
        commands(&verb, &words.collect::<Vec<_>>())
    }

    #[test]
    fn words_become_commands() {
        for (line, want) in [
            (
                "open win-1 /queen/telemetry/dev-1 max_bytes=5",
                vec![r#"{"open":{"id":"win-1","max_bytes":5,"path":"/queen/telemetry/dev-1"}}"#],
            ),
            (
                "job job-1 win-1 base_model=m",
                vec![r#"{"job":{"base_model":"m","id":"job-1","window":"win-1"}}"#],
            ),
            ("close a", vec![r#"{"close":"a"}"#]),
        ] {
            assert_eq!(made(line).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn what_is_none_is_a_usage_error() {
        for line in ["close", "open win-1", "shut x"] {
            assert_eq!(made(line).unwrap_err().status(), 2, "{line}");
        }
    }
}
