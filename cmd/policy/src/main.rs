//! cohpolicy: the hive's rules.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::{self, Value, json};
use cohcmd::{HiveArgs, Out, Record, Trouble};
use std::io::Read;
use std::process::ExitCode;

const CTL: &str = "/policy/ctl";
const RULES: &str = "/policy/rules";
const REQUEST: &str = "/policy/preflight/req";
const DIFFERENCE: &str = "/policy/preflight/diff";

/// Shows and changes the rules that control writes pass: cohpolicy apply rules.json
#[derive(Parser)]
#[command(name = "cohpolicy", version)]
struct Args {
    /// show, apply, rollback or preflight; show when absent
    #[arg(default_value = "show", hide_default_value = true)]
    verb: String,
    /// apply, preflight: a file with the set, or - ; rollback: the name of an earlier set
    #[arg(value_name = "FILE|ID")]
    what: Option<String>,
    /// The set's name, where the file has its rules alone
    #[arg(long)]
    id: Option<String>,
    /// show: one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let missing = || Trouble::Usage(format!("{}: a file, or a name, is wanted", args.verb));
        let what = args.what.as_deref();
        match args.verb.as_str() {
            "show" => show(&args, out),
            "apply" => {
                let line = apply(&read(what.ok_or_else(missing)?)?, args.id.as_deref())?;
                args.hive.find()?.order(CTL, &[line], out)
            }
            "rollback" => {
                let line = json!({"rollback": {"to": what.ok_or_else(missing)?}}).to_string();
                args.hive.find()?.order(CTL, &[line], out)
            }
            "preflight" => {
                let line = apply(&read(what.ok_or_else(missing)?)?, args.id.as_deref())?;
                let mut hive = args.hive.find()?;
                hive.write_lines(REQUEST, std::iter::once(Ok(line)), |_| Ok(()))?;
                hive.copy(DIFFERENCE, |piece| out.bytes(piece))
            }
            verb => {
                let said = format!("{verb}: no such verb; show, apply, rollback, preflight are");
                Err(Trouble::Usage(said))
            }
        }
    })
}

fn show(args: &Args, out: &mut Out) -> Result<(), Trouble> {
    let mut hive = args.hive.find()?;
    if !args.json {
        return hive.copy(RULES, |piece| out.bytes(piece));
    }
    let text = hive.text(RULES)?;
    let rules = text.lines().skip(1).map(Record::parse);
    rules.into_iter().try_for_each(|rule| out.json(&rule.json(&["decision", "target"])))
}

fn read(file: &str) -> Result<String, Trouble> {
    let text = match file {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        file => std::fs::read_to_string(file),
    };
    text.map_err(|error| Trouble::failed(format!("{file}: {error}")))
}

/// The command that applies what a file has: a set, the command itself, or rules alone.
fn apply(text: &str, id: Option<&str>) -> Result<String, Trouble> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Trouble::failed(format!("not JSON: {error}")))?;
    let command = match (value, id) {
        (Value::Array(rules), Some(id)) => json!({"apply": {"id": id, "rules": rules}}),
        (Value::Array(_), None) => return Err(Trouble::Usage("the set has no name; give it --id".into())),
        (value, None) if value.get("apply").is_some() => value,
        (value, None) => json!({"apply": value}),
        (_, Some(_)) => return Err(Trouble::Usage("--id: the file names its set itself".into())),
    };
    Ok(command.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_set_a_command_or_rules_alone() {
        let want = r#"{"apply":{"id":"one","rules":[]}}"#;
        for (text, id) in [
            (r#"{"apply":{"id":"one","rules":[]}}"#, None),
            ("{ \"id\": \"one\",\n \"rules\": [] }", None),
            ("[]", Some("one")),
        ] {
            assert_eq!(apply(text, id).unwrap(), want, "{text}");
        }
        assert_eq!(apply("[]", None).unwrap_err().status(), 2);
        assert_eq!(apply(want, Some("two")).unwrap_err().status(), 2);
        assert_eq!(apply("[", None).unwrap_err().status(), 1);
    }
}
