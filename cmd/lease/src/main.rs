//! cohlease: leases of the hive's resources.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out, Record, Trouble, columns, object};
use std::process::ExitCode;

const CTL: &str = "/queen/lease/ctl";
const LIST: &str = "/proc/lease/active";

/// Shows and changes leases: cohlease grant GPU-0 worker-3 mem_mb=4096 streams=2 ttl_s=60
#[derive(Parser)]
#[command(name = "cohlease", version)]
struct Args {
    /// grant, renew, release, preempt, quota, ls; ls when absent
    #[arg(default_value = "ls", hide_default_value = true)]
    verb: String,
    /// Ids and fields of the command: lease-4 ttl_s=60
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
        "grant" => &["resource", "subject"],
        "renew" | "preempt" => &["lease"],
        "quota" => &["subject"],
        "release" if words.is_empty() => return Err(Trouble::Usage("release: of what?".into())),
        "release" => return Ok(words.iter().map(|id| json!({verb: id}).to_string()).collect()),
        _ => {
            return Err(Trouble::Usage(format!(
                "{verb}: no such verb; grant, renew, release, preempt, quota, ls are"
            )));
        }
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
                "grant GPU-0 worker-3 ttl_s=60",
                vec![r#"{"grant":{"resource":"GPU-0","subject":"worker-3","ttl_s":60}}"#],
            ),
            ("renew lease-4 ttl_s=60", vec![r#"{"renew":{"lease":"lease-4","ttl_s":60}}"#]),
            ("release lease-4 lease-5", vec![r#"{"release":"lease-4"}"#, r#"{"release":"lease-5"}"#]),
        ] {
            assert_eq!(made(line).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn what_is_none_is_a_usage_error() {
        for line in ["release", "renew", "grant GPU-0", "lend x", "renew a b"] {
            assert_eq!(made(line).unwrap_err().status(), 2, "{line}");
        }
    }
}
