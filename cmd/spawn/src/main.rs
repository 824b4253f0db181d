//! cohspawn: ask the queen for a worker.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::{self, Map, Value};
use cohcmd::{HiveArgs, Out, Trouble};
use std::process::ExitCode;

/// Starts a worker: cohspawn heartbeat ticks=100 period_ms=1000 budget.ttl_s=120
#[derive(Parser)]
#[command(name = "cohspawn", version)]
struct Args {
    /// heartbeat, gpu, bus or lora
    kind: String,
    /// Fields of the command; a dot nests: budget.ttl_s=120
    #[arg(value_name = "KEY=VALUE")]
    fields: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let command = command(&args.kind, &args.fields)?;
        let mut hive = args.hive.find()?;
        hive.write_lines("/queen/ctl", std::iter::once(Ok(command)), |ack| out.line(ack))
    })
}

fn command(kind: &str, fields: &[String]) -> Result<String, Trouble> {
    let mut top = Map::new();
    for field in fields {
        let usage = |why: &str| Trouble::Usage(format!("{field}: {why}"));
        let (key, text) = field.split_once('=').ok_or_else(|| usage("not of the form KEY=VALUE"))?;
        let mut names: Vec<&str> = key.split('.').collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(usage("an empty name in the key"));
        }
        let last = names.pop().unwrap_or(key);
        let mut map = &mut top;
        for name in names {
            let inner = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
            map = inner.as_object_mut().ok_or_else(|| usage("its beginning already has a value"))?;
        }
        if map.insert(last.to_owned(), value(text)).is_some() {
            return Err(usage("given twice"));
        }
    }
    if top.contains_key("spawn") {
        return Err(Trouble::Usage("spawn: the kind of worker is the first argument".into()));
    }
    // The verb first, as people write it.
    let rest = Value::Object(top).to_string();
    let kind = Value::from(kind);
    Ok(if rest == "{}" {
        format!("{{\"spawn\":{kind}}}")
    } else {
        format!("{{\"spawn\":{kind},{}", &rest[1..])
    })
}

/// Numbers, true and false are themselves, and so is what stands in double quotes; all else is text.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: &str, fields: &[&str]) -> Result<String, Trouble> {
        command(kind, &fields.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn fields_become_json() {
        assert_eq!(made("heartbeat", &[]).unwrap(), r#"{"spawn":"heartbeat"}"#);
        assert_eq!(
            made("heartbeat", &["ticks=100", "budget.ttl_s=120", "budget.ops=5"]).unwrap(),
            r#"{"spawn":"heartbeat","budget":{"ops":5,"ttl_s":120},"ticks":100}"#
        );
        assert_eq!(
            made("gpu", &["lease.gpu_id=GPU-0", "lease.name=\"7\"", "x=true"]).unwrap(),
            r#"{"spawn":"gpu","lease":{"gpu_id":"GPU-0","name":"7"},"x":true}"#
        );
        assert_eq!(made("bus", &["adapter=a\"b"]).unwrap(), r#"{"spawn":"bus","adapter":"a\"b"}"#);
    }

    #[test]
    fn what_is_no_field_is_a_usage_error() {
        for fields in [&["ticks"][..], &["=1"], &["a..b=1"], &["a=1", "a=2"], &["a=1", "a.b=2"], &["spawn=x"]]
        {
            assert_eq!(made("heartbeat", fields).unwrap_err().status(), 2, "{fields:?}");
        }
    }
}
