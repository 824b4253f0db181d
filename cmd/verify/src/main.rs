//! cohverify: the journal's chain and signatures, with or without a hive.
#![forbid(unsafe_code)]

mod source;

use clap::Parser;
use cohcmd::{HiveArgs, Out, Trouble};
use journal::{Hash, Head, PublicKeys, Summary};
use source::Source;
use std::path::PathBuf;
use std::process::ExitCode;

/// Verifies a journal: every seq, every sha256, every signed checkpoint
#[derive(Parser)]
#[command(name = "cohverify", version)]
struct Args {
    /// A file, a directory of segments, - for standard input, or /audit/journal of the hive
    #[arg(default_value = source::JOURNAL)]
    file: String,
    /// Public keys that sign, one a line, such as audit.pub [the hive's own, for /audit/journal]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// It must have the record of this seq and sha256: a head that was kept elsewhere
    #[arg(long, value_name = "SEQ:SHA256", value_parser = head)]
    head: Option<Head>,
    /// The outcome as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut source = Source::find(&args.file, &args.hive)?;
        let keys = match &args.key {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Trouble::failed(format!("{}: {error}", path.display())))?;
                keys(&text, &path.display().to_string())?
            }
            None => keys(&source.key()?, source::KEY)?,
        };
        let summary = source.verify(&keys, args.head)?;
        out.outcome(&told(&summary, keys.is_empty(), source.kept()), args.json)
    })
}

/// `118:9f86d0…`
fn head(text: &str) -> Result<Head, String> {
    let (seq, hash) = text.split_once(':').ok_or("SEQ:SHA256 is wanted")?;
    let seq: u64 = seq.parse().map_err(|_| "the seq is not a number")?;
    let hash = Hash::from_hex(hash).ok_or("the sha256 is not 64 hex digits")?;
    Ok(Head { next: seq.checked_add(1).ok_or("there is no such seq")?, hash })
}

fn keys(text: &str, name: &str) -> Result<PublicKeys, Trouble> {
    let mut keys = PublicKeys::default();
    for line in text.split_ascii_whitespace() {
        keys.add(line).map_err(|error| Trouble::failed(format!("{name}: {error}")))?;
    }
    Ok(keys)
}

fn told(summary: &Summary, is_unchecked: bool, kept: Option<Head>) -> String {
    let Summary { first, records, checkpoints, signed, head } = summary;
    let kept = kept.map(|kept| format!(" kept={}", kept.next - 1)).unwrap_or_default();
    let unchecked = if is_unchecked { " signatures=unchecked" } else { "" };
    format!(
        "ok records={records} first={first} last={} checkpoints={checkpoints} signed={signed}{kept} head={}{unchecked}",
        head.next - 1,
        head.hash
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_seq_and_a_sha256() {
        let hash = Hash::of(b"x");
        assert_eq!(head(&format!("118:{hash}")), Ok(Head { next: 119, hash }));
        for bad in ["118", "x:ab", "1:ab", &format!("-1:{hash}")] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }
}
