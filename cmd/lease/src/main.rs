//! cohlease: leases of the hive's resources.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Board, BoardArgs, Out, Words};
use std::process::ExitCode;

const BOARD: Board = Board {
    ctl: "/queen/lease/ctl",
    list: "/proc/lease/active",
    verbs: &[
        ("grant", Words::Fields(&["resource", "subject"])),
        ("renew", Words::Fields(&["lease"])),
        ("release", Words::Ids),
        ("preempt", Words::Fields(&["lease"])),
        ("quota", Words::Fields(&["subject"])),
    ],
};

/// Shows and changes leases (grant, renew, release, preempt, quota, ls): cohlease grant GPU-0 worker-3 mem_mb=4096 streams=2 ttl_s=60
#[derive(Parser)]
#[command(name = "cohlease", version)]
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
                "grant GPU-0 worker-3 ttl_s=60",
                r#"{"grant":{"resource":"GPU-0","subject":"worker-3","ttl_s":60}}"#,
            ),
            ("renew lease-4 ttl_s=60", r#"{"renew":{"lease":"lease-4","ttl_s":60}}"#),
            ("preempt lease-4 by=worker-9", r#"{"preempt":{"by":"worker-9","lease":"lease-4"}}"#),
            ("quota worker-3 max_leases=2", r#"{"quota":{"max_leases":2,"subject":"worker-3"}}"#),
            ("release lease-4", r#"{"release":"lease-4"}"#),
        ] {
            let mut words = line.split(' ').map(str::to_owned);
            let verb = words.next().unwrap_or_default();
            assert_eq!(BOARD.commands(&verb, &words.collect::<Vec<_>>()).unwrap(), [want], "{line}");
        }
    }
}
