//! coh: start, stop and inspect a hive. `coh up` is its init: it starts the servers and workers, and
//! restarts what died. Guarantees: when it ends, everything it started has ended. `coh SUB` runs coh-SUB.
#![forbid(unsafe_code)]

mod ask;
mod completion;
mod detach;
mod init;
mod key;
mod leftovers;
mod lock;
mod mounts;
mod place;
mod probe;
mod program;
mod restart;
mod trouble;
mod up;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use trouble::Trouble;

/// Start, stop and inspect a hive
#[derive(Parser)]
#[command(name = "coh", version, disable_help_subcommand = true)]
#[command(after_help = "coh SUB ... runs the program coh-SUB: mount, umount, doctor, rtc.")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a hive, and stay with it
    Up(up::Options),
    /// Stop it
    Down {
        /// Run directory of the hive
        #[arg(long, value_name = "DIR")]
        run: Option<PathBuf>,
    },
    /// Show its servers and workers
    Status {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Run directory of the hive
        #[arg(long, value_name = "DIR")]
        run: Option<PathBuf>,
    },
    /// Send a signal to one of its servers: for tests and drills
    Kill {
        /// log, proc, queen, worker, door, mount
        server: String,
        /// KILL TERM INT ABRT SEGV STOP CONT
        #[arg(long, value_name = "NAME", default_value = "KILL")]
        signal: String,
        /// Run directory of the hive
        #[arg(long, value_name = "DIR")]
        run: Option<PathBuf>,
    },
    /// Print what a shell completes: eval "$(coh completion bash)"
    Completion {
        /// bash, elvish, fish, powershell or zsh
        #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"], hide_possible_values = true)]
        shell: String,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

fn main() -> ExitCode {
    let args: Args = match cohcmd::arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let (name, done) = match args.verb {
        Verb::Up(options) if options.detach && !options.detached => {
            ("coh up", detach::detach(options.run).map(|line| println!("{line}")))
        }
        Verb::Up(options) => {
            if options.detached {
                // A session of its own: the terminal's end is not the hive's.
                let _ = rustix::process::setsid();
            }
            ("coh up", up::up(options))
        }
        Verb::Down { run } => ("coh down", down(run)),
        Verb::Status { json, run } => (
            "coh status",
            place::run(run).and_then(|run| ask::status(&run, json)).map(|text| print!("{text}")),
        ),
        Verb::Kill { server, signal, run } => {
            ("coh kill", place::run(run).and_then(|run| ask::kill(&run, &server, &signal)))
        }
        Verb::Completion { shell } => ("coh completion", completion::print(&shell)),
        Verb::Other(words) => return other(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{name}: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn down(run: Option<PathBuf>) -> Result<(), Trouble> {
    let run = place::run(run)?;
    if !ask::down(&run)? {
        eprintln!("coh down: {}: no hive is running here", run.display());
    }
    Ok(())
}

/// Becomes `coh-SUB`: the one beside this program, else the one on the path.
fn other(words: &[OsString]) -> ExitCode {
    let Some((sub, args)) = words.split_first() else { return ExitCode::from(2) };
    let mut name = OsString::from("coh-");
    name.push(sub);
    let beside =
        std::env::current_exe().ok().map(|exe| exe.with_file_name(&name)).filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from(&name));
    let error = std::process::Command::new(program).args(args).exec();
    let (sub, name) = (sub.to_string_lossy(), name.to_string_lossy());
    eprintln!(
        "coh {sub}: {name}: {error}; up, down, status, kill and the programs coh-SUB are what there is"
    );
    ExitCode::from(2)
}
