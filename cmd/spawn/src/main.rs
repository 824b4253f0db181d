//! cohspawn: ask the queen for a worker.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::serde_json::Value;
use cohcmd::{HiveArgs, Out, Trouble, object};
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
    let top = object(&[], fields)?;
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
        for fields in [&["ticks"][..], &["a=1", "a=2"], &["spawn=x"]] {
            assert_eq!(made("heartbeat", fields).unwrap_err().status(), 2, "{fields:?}");
        }
    }
}
