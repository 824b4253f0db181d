//! cohsched: the hive's queue of jobs.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Board, BoardArgs, Out, Words};
use std::process::ExitCode;

const BOARD: Board = Board {
    ctl: "/queen/schedule/ctl",
    list: "/proc/schedule/queue",
    verbs: &[
        ("enqueue", Words::Fields(&["id"])),
        ("cancel", Words::Ids),
        ("reprioritise", Words::Fields(&["id", "priority"])),
    ],
};

/// Shows and changes the queue of jobs (enqueue, cancel, reprioritise, ls): cohsched enqueue job-1 kind=gpu resource=GPU-0 priority=5
#[derive(Parser)]
#[command(name = "cohsched", version)]
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
                "enqueue job-1 kind=gpu resource=GPU-0 spec.mem_mb=5",
                r#"{"enqueue":{"id":"job-1","kind":"gpu","resource":"GPU-0","spec":{"mem_mb":5}}}"#,
            ),
            ("reprioritise job-1 9", r#"{"reprioritise":{"id":"job-1","priority":9}}"#),
            ("cancel a", r#"{"cancel":"a"}"#),
        ] {
            let mut words = line.split(' ').map(str::to_owned);
            let verb = words.next().unwrap_or_default();
            assert_eq!(BOARD.commands(&verb, &words.collect::<Vec<_>>()).unwrap(), [want], "{line}");
        }
    }
}
