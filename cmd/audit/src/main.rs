//! cohaudit: the journal for people.
#![forbid(unsafe_code)]

mod since;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use cohcmd::{FollowArgs, HiveArgs, Out, Trouble};
use journal::{Kind, Record};
use since::Since;
use std::process::ExitCode;

const JOURNAL: &str = "/audit/journal";

/// Prints the journal, /audit/journal: when, seq, kind, who, where, what, and what came of it
#[derive(Parser)]
#[command(name = "cohaudit", version)]
struct Args {
    /// Only records of this kind; may be given several times
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::word)), hide_possible_values = true)]
    kind: Vec<String>,
    /// Only records from this seq, this time (2026-11-21T01:26, in UTC), or so long ago (90s, 5m, 1h, 7d) on
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// Only commands to this file and below it; may be given several times
    #[arg(long, value_name = "PATH", value_parser = clean)]
    path: Vec<String>,
    #[command(flatten)]
    follow: FollowArgs,
    /// The records as they are
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        let every = args.follow.every(&hive);
        cohcmd::lines(&mut hive, JOURNAL, every, out, |line, out| show(&args, line, out))
    })
}

fn show(args: &Args, line: &[u8], out: &mut Out) -> Result<(), Trouble> {
    let record = match Record::parse(line) {
        Ok(record) => record,
        Err(error) => {
            return out
                .complain(Trouble::failed(format!("{JOURNAL}: not a record: {error}; see cohverify(1)")));
        }
    };
    if !args.wants(&record) {
        return Ok(());
    }
    if args.json {
        out.bytes(line)?;
        return out.bytes(b"\n");
    }
    out.line(told(&record))
}

impl Args {
    fn wants(&self, record: &Record<'_>) -> bool {
        let entry = &record.entry;
        let is_kind = self.kind.is_empty() || self.kind.iter().any(|kind| kind == entry.kind.word());
        let is_below = |path: &String| {
            let rest = entry.path.strip_prefix(path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_path = self.path.is_empty() || self.path.iter().any(is_below);
        self.since.as_ref().is_none_or(|since| since.has(record)) && is_kind && is_path
    }
}

/// A path as every command takes it: `queen/` is `/queen`.
fn clean(path: &str) -> Result<String, String> {
    cohcmd::clean(path).map_err(|trouble| trouble.to_string())
}

/// `2026-11-21T01:26:00.123Z 118 ctl queen /queen/ctl {"spawn":"heartbeat"} -> OK SPAWN id=worker-3`
fn told(record: &Record<'_>) -> String {
    let entry = &record.entry;
    let mut who = entry.role.to_string();
    if !entry.subject.is_empty() {
        who = format!("{who}:{}", entry.subject);
    }
    let or = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
    format!(
        "{} {} {} {} {} {} -> {}",
        stamp::utc(entry.ts_ms),
        record.seq,
        entry.kind.word(),
        or(&who),
        or(&entry.path),
        entry.cmd.get(),
        or(&entry.ack)
    )
}

/// Text of others on a terminal: nothing in it moves the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"seq":118,"ts_ms":1795224360123,"kind":"ctl","role":"queen","subject":"","ticket":"","session":7,"#,
        r#""path":"/queen/ctl","cmd":{"spawn":"heartbeat"},"ack":"OK SPAWN id=worker-3\u001b","#,
        r#""prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#
    );

    #[test]
    fn a_record_is_one_readable_line() {
        let record = Record::parse(LINE.as_bytes()).unwrap();
        assert_eq!(
            told(&record),
            "2026-11-21T01:26:00.123Z 118 ctl queen /queen/ctl {\"spawn\":\"heartbeat\"} -> OK SPAWN id=worker-3\u{fffd}"
        );
    }

    #[test]
    fn filters_are_all_asked() {
        let record = Record::parse(LINE.as_bytes()).unwrap();
        let wants = |args: &[&str]| Args::parse_from(["cohaudit"].iter().chain(args)).wants(&record);
        assert!(wants(&[]) && wants(&["--kind", "deny", "--kind", "ctl"]) && wants(&["--since", "118"]));
        assert!(wants(&["--path", "/log", "--path", "/queen"]) && wants(&["--path", "/queen/ctl/"]));
        assert!(wants(&["--path", "queen"]) && wants(&["--path", "/"]), "as other commands take a path");
        assert!(wants(&["--since", "2026-11-21"]) && wants(&["--since", "2026-11-21T01:26:00.123Z"]));
        assert!(!wants(&["--since", "2026-11-21T01:26:00.124"]) && !wants(&["--since", "2026-11-22"]));
        assert!(wants(&["--since", "99999d"]));
        assert!(Args::try_parse_from(["cohaudit", "--path", "/a/../b"]).is_err());
        assert!(!wants(&["--kind", "deny"]) && !wants(&["--since", "119"]) && !wants(&["--path", "/que"]));
        assert!(Args::try_parse_from(["cohaudit", "--kind", "x"]).is_err());
    }
}
