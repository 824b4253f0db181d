//! Processes of the hive: how one is started, and how one ended.

use crate::trouble::Trouble;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};

/// A program, ready to be started any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Environment variables that the manifest refers to, and this program needs.
    pub(crate) env: Vec<(String, OsString)>,
    /// Cores it may run on; empty: any.
    pub(crate) affinity: Vec<u32>,
}

/// A running process. Its standard input is a pipe; of a server nothing comes through, of a worker one
/// line, of a pool a line for each worker that begins or ends. When init is gone it ends, and so does the
/// process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    leash: ChildStdin,
}

/// A longer line may reach a pipe in pieces (PIPE_BUF of pipe(7)).
const LINE_MAX: usize = 4096;

impl Process {
    /// Writes a line whole or not at all; `WouldBlock` where the pipe is full. Waits for nobody.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        let line = format!("{line}\n");
        if line.len() > LINE_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        fcntl_setfl(&self.leash, fcntl_getfl(&self.leash)? | OFlags::NONBLOCK)?;
        self.leash.write_all(line.as_bytes())
    }
}

impl Program {
    /// Starts it in a process group of its own, so that a terminal's Ctrl-C reaches init alone, and
    /// with no environment but where programs and the home are: what configures a hive is in its
    /// manifest.
    #[allow(clippy::zombie_processes)] // Init reaps all its children in one place.
    pub(crate) fn start(&self, input: Option<&str>) -> Result<Process, Trouble> {
        let said = |error: std::io::Error| {
            Trouble(format!(
                "{}: {error}; are all programs of the hive in one directory?",
                self.path.display()
            ))
        };
        let inherited = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(&self.path)
            .args(&self.args)
            .env_clear()
            .envs(inherited)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(said)?;
        let pid = child.id() as i32;
        self.pin(pid);
        let mut leash = child.stdin.take().ok_or_else(|| Trouble("a pipe that was asked for".into()))?;
        if let Some(line) = input {
            // A line is shorter than a pipe holds: this does not wait for the reader.
            leash.write_all(line.as_bytes()).and_then(|()| leash.write_all(b"\n")).map_err(said)?;
        }
        Ok(Process { pid, leash })
    }

    fn pin(&self, pid: i32) {
        if self.affinity.is_empty() {
            return;
        }
        let mut cores = rustix::thread::CpuSet::new();
        self.affinity.iter().for_each(|core| cores.set(*core as usize));
        // A core that this machine lacks is the manifest's wish, not a reason to stay away.
        let _ = rustix::thread::sched_setaffinity(Pid::from_raw(pid), &cores);
    }
}

/// Sends a signal to a child that has not been reaped: its pid is its own until then.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The signals that `coh kill` sends.
pub(crate) fn signal_named(name: &str) -> Option<Signal> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    Some(match name {
        "KILL" => Signal::KILL,
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "ABRT" => Signal::ABORT,
        "SEGV" => Signal::SEGV,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => return None,
    })
}

/// The next child that has ended, and how: `exit 0`, `signal 9`.
pub(crate) fn reap() -> Option<(i32, String)> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok().flatten()?;
    Some((pid.as_raw_nonzero().get(), ending(status)))
}

fn ending(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "unknown".into(),
    }
}
