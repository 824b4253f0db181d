//! cohecho: write lines to a file of the hive, and print what a control file answers.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Out, Trouble};
use std::io::BufRead;
use std::process::ExitCode;

/// Writes a line, or each line of standard input, to a file of the hive
#[derive(Parser)]
#[command(
    name = "cohecho",
    version,
    override_usage = "cohecho [OPTIONS] TEXT... PATH\n       cohecho [OPTIONS] - PATH"
)]
struct Args {
    /// The words of the line, or - for the lines of standard input; the file comes last
    #[arg(required = true, num_args = 2.., value_name = "TEXT... PATH", allow_hyphen_values = true, trailing_var_arg = true)]
    words: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| -> Result<(), Trouble> {
        let Some((path, words)) = args.words.split_last() else { return Ok(()) };
        let mut hive = args.hive.find()?;
        let acks = |ack: &str| out.line(ack).and_then(|()| out.flush());
        if words == ["-"] {
            let stdin = std::io::stdin().lock().lines();
            let lines = stdin.map(|line| line.map_err(|e| Trouble::failed(format!("standard input: {e}"))));
            hive.write_lines(path, lines, acks)
        } else {
            hive.write_lines(path, std::iter::once(Ok(words.join(" "))), acks)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_the_file() {
        let args = Args::parse_from(["cohecho", "--ns", "/n", "-x", "b", "/queen/ctl"]);
        assert_eq!(args.words, ["-x", "b", "/queen/ctl"]);
        assert!(args.hive.ns.is_some());
        let args = Args::parse_from(["cohecho", "-", "/queen/ctl"]);
        assert_eq!(args.words, ["-", "/queen/ctl"]);
        assert!(Args::try_parse_from(["cohecho", "/queen/ctl"]).is_err());
    }
}
