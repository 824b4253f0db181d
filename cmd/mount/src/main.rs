//! coh-mount: a hive's name space as a directory, by FUSE. Guarantees: no operation hangs for ever; a
//! door that is restarted is found again; nothing is left mounted when it ends.
#![forbid(unsafe_code)]

mod fs;
mod hive;
mod link;
mod nodes;
mod notes;
mod points;
mod pool;
mod silence;
mod turns;

use clap::Parser;
use fs::Fs;
use fuser::{Config, MountOption};
use hive::Hive;
use link::Link;
use ninep::dial::{Addr, Credentials, DialError};
use notes::Notes;
use silence::Silence;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Mount a hive's name space
#[derive(Parser)]
#[command(name = "coh-mount", version)]
struct Args {
    /// Where; an empty directory, made if it is not there
    dir: PathBuf,
    /// The door: unix!PATH, tcp!HOST!PORT or tls!HOST!PORT [default: --run's, else $COH_DOOR]
    #[arg(long, value_name = "ADDR", value_parser = dialled)]
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

/// An address that can be dialled; another is the user's mistake.
fn dialled(text: &str) -> Result<String, DialError> {
    text.parse::<Addr>().map(|_| text.to_owned())
}

fn main() -> ExitCode {
    let args: Args = match cohcmd::arguments() {
        Ok(args) => args,
        Err(status) => return status,
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
    let said = |trouble: cohcmd::Trouble| trouble.to_string();
    let addr = cohcmd::door_address(args.door.as_deref(), args.run.as_deref()).map_err(said)?;
    let who = Credentials {
        role: args.role.clone().unwrap_or_default(),
        subject: args.subject.clone().unwrap_or_default(),
        ticket: cohcmd::ticket(args.ticket.as_deref()).map_err(said)?,
        n_uname: 0,
    };
    let policy = cohcmd::Policy::at(&addr).map_err(said)?;
    let link = Link::dial(addr.clone(), who.clone())
        .map_err(|error| said(cohcmd::not_entered(&addr.to_string(), &who, error)))?;
    if policy.is_of_a_hive() {
        policy.check(&addr.to_string(), &hive::version(&link)).map_err(said)?;
    }
    let notes = if args.detached { Notes::Files(notes(args)) } else { Notes::Stderr };
    let silence = Silence::new(dir.display().to_string(), notes);
    // A role that may not read its name space is told no server's name.
    let _ = silence.learn(&link);
    let hive = Hive::new(link, silence);
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
            && let Err(what) = cohcmd::unmount(&at)
        {
            eprintln!("coh-mount: {}: {what}", at.display());
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

/// The file of a background mount's notes: in the run directory, else, as the hive may be another machine's
/// or end before the mount, among temporary files.
fn notes(args: &Args) -> [PathBuf; 2] {
    let run = args.run.clone().unwrap_or_else(cohcmd::run_dir);
    let own = format!("coh-mount-{}.log", rustix::process::geteuid().as_raw());
    [run.join("mount.log"), std::env::temp_dir().join(own)]
}
