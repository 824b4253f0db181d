//! coh-mount: a hive's name space as a directory, by FUSE. Guarantees: no operation hangs for ever; a
//! door that is restarted is found again; nothing is left mounted when it ends.
#![forbid(unsafe_code)]

mod fs;
mod hive;
mod nodes;
mod points;
mod pool;

use clap::Parser;
use fs::Fs;
use fuser::{Config, MountOption};
use hive::Hive;
use ninep::dial::{Addr, Credentials};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Mount a hive's name space
#[derive(Parser)]
#[command(name = "coh-mount")]
struct Args {
    /// Where; an empty directory, made if it is not there
    dir: PathBuf,
    /// The door: unix!PATH or tcp!HOST!PORT [default: $COH_DOOR, else the run directory's]
    #[arg(long, value_name = "ADDR")]
    door: Option<String>,
    /// Run directory of the hive [default: $COH_RUN, else /tmp/coh-UID or $XDG_RUNTIME_DIR/coh]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// A file with the ticket [default: $COH_TICKET_FILE, else $COH_TICKET]
    #[arg(long, value_name = "FILE")]
    ticket: Option<PathBuf>,
    /// As what [default: what the ticket says, else queen]
    #[arg(long)]
    role: Option<String>,
    /// As whom
    #[arg(long)]
    subject: Option<String>,
    /// Stay in the foreground
    #[arg(short, long)]
    foreground: bool,
    /// What the background process is started with
    #[arg(long, hide = true)]
    detached: bool,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(usage) => {
            let is_asked = !usage.use_stderr();
            let _ = usage.print();
            return if is_asked { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let done = if args.foreground || args.detached { serve(&args) } else { detach(&args.dir) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("coh-mount: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again in the background, and waits until it has mounted.
fn detach(dir: &Path) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        // An unreadable pipe is one that says nothing.
        let _ = BufReader::new(stdout).read_line(&mut said);
    }
    if said.trim() == "mounted" {
        return Ok(());
    }
    let mut why = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut why);
    }
    let _ = child.wait();
    let why = why.trim().strip_prefix("coh-mount: ").unwrap_or(why.trim());
    Err(if why.is_empty() {
        format!("{}: the background process has ended", dir.display())
    } else {
        why.into()
    })
}

/// No core dumps, which would hold the ticket; and in the foreground no life without whoever started
/// it, so that a mount does not outlast its hive's init.
fn confine(args: &Args) -> Result<(), String> {
    use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
    let said = |error: rustix::io::Errno| format!("prctl: {error}");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(said)?;
    if args.foreground {
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(said)?;
    }
    Ok(())
}

fn serve(args: &Args) -> Result<(), String> {
    confine(args)?;
    let dir = points::prepare(&args.dir)?;
    let addr: Addr = door(args).parse().map_err(|error| format!("{error}"))?;
    let who = credentials(args)?;
    let hive = Hive::dial(addr.clone(), who).map_err(|error| match error {
        ninep::dial::DialError::Refused(refusal) => format!("{addr}: {refusal}"),
        other => other.to_string(),
    })?;
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("coh".into()),
        MountOption::Subtype("coh".into()),
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    config.n_threads = Some(2);
    let mut signals = signal_hook::iterator::Signals::new([2, 15]).map_err(|error| error.to_string())?;
    let session = fuser::spawn_mount(Fs::new(hive), &dir, &config)
        .map_err(|error| format!("{}: {error}; coh-doctor says what this machine lacks", dir.display()))?;
    points::wait(&dir)?;
    if args.detached {
        into_background()?;
    }
    let at = dir.clone();
    std::thread::spawn(move || {
        if signals.forever().next().is_some()
            && let Err(what) = points::unmount(&at)
        {
            eprintln!("coh-mount: {what}");
            std::process::exit(1);
        }
    });
    // Ends when the directory is unmounted, by whomever.
    session.join().map_err(|error| format!("{}: {error}", dir.display()))
}

/// Tells whoever waits, and lets go of the terminal.
fn into_background() -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    std::io::stdout().write_all(b"mounted\n").map_err(said)?;
    std::io::stdout().flush().map_err(said)?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(said)?;
    rustix::stdio::dup2_stdout(&null).map_err(|error| error.to_string())?;
    rustix::stdio::dup2_stderr(&null).map_err(|error| error.to_string())?;
    // A process that leads its group already stays what it is.
    let _ = rustix::process::setsid();
    Ok(())
}

/// The door's address (spec 13.2).
fn door(args: &Args) -> String {
    if let Some(door) = args.door.clone().or_else(|| std::env::var("COH_DOOR").ok()) {
        return door;
    }
    let run =
        args.run.clone().or_else(|| std::env::var_os("COH_RUN").map(PathBuf::from)).unwrap_or_else(|| {
            match std::env::var_os("XDG_RUNTIME_DIR") {
                Some(dir) => PathBuf::from(dir).join("coh"),
                None => format!("/tmp/coh-{}", rustix::process::geteuid().as_raw()).into(),
            }
        });
    format!("unix!{}", run.join("door").display())
}

fn credentials(args: &Args) -> Result<Credentials, String> {
    let file = args.ticket.clone().or_else(|| std::env::var_os("COH_TICKET_FILE").map(PathBuf::from));
    let ticket = match file {
        Some(path) => {
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => std::env::var("COH_TICKET").unwrap_or_default(),
    };
    Ok(Credentials {
        role: args.role.clone().unwrap_or_default(),
        subject: args.subject.clone().unwrap_or_default(),
        ticket: ticket.trim().to_owned(),
        n_uname: 0,
    })
}
