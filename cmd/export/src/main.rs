//! cohexport: the hive's export windows, and what leaves through them.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Board, BoardArgs, Out, Words};
use std::process::ExitCode;

const BOARD: Board = Board {
    ctl: "/queen/export/ctl",
    list: "/queen/export/windows",
    verbs: &[
        ("open", Words::Fields(&["id", "path"])),
        ("close", Words::Ids),
        ("job", Words::Fields(&["id", "window"])),
    ],
};

/// Shows and changes export windows (open, close, job, ls): cohexport open win-1 /queen/telemetry/dev-1 until_ms=MS max_bytes=N
#[derive(Parser)]
#[command(name = "cohexport", version)]
struct Args {
    #[command(flatten)]
    board: BoardArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| BOARD.run(&args.board, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_commands_of_the_queen() {
        for (line, want) in [
            (
                "open win-1 /queen/telemetry/dev-1 max_bytes=5",
                r#"{"open":{"id":"win-1","max_bytes":5,"path":"/queen/telemetry/dev-1"}}"#,
            ),
            ("job job-1 win-1 base_model=m", r#"{"job":{"base_model":"m","id":"job-1","window":"win-1"}}"#),
            ("close a", r#"{"close":"a"}"#),
        ] {
            let mut words = line.split(' ').map(str::to_owned);
            let verb = words.next().unwrap_or_default();
            assert_eq!(BOARD.commands(&verb, &words.collect::<Vec<_>>()).unwrap(), [want], "{line}");
        }
    }
}
