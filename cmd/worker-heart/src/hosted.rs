//! The process on Linux: its configuration comes on the standard input, whose end is its own.

use crate::heart::{Heart, Step};
use crate::{CONFIG_MAX, Config, OVER, pool, space};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufRead as _, Read as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// The whole program.
pub fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let is_pool = args == ["--pool"];
    if !is_pool && !args.is_empty() {
        eprintln!(
            "worker-heart: no arguments but --pool; init starts it when the queen spawns a heartbeat: \
             cohspawn heartbeat"
        );
        return ExitCode::from(2);
    }
    match if is_pool { pool::run() } else { run() } {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("worker-heart: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, String> {
    rt::alone().map_err(|error| error.to_string())?;
    let config = config()?;
    let mut files = space::Files::new(&config).map_err(|error| format!("{}: {error}", config.door))?;
    let mut heart = Heart::new(config.ticks, config.period_ms.max(1));
    loop {
        match heart.beat(&mut files) {
            Step::Wait(ms) if is_abandoned(ms) => return Ok(ExitCode::SUCCESS),
            Step::Wait(_) => {}
            Step::Done => return Ok(ExitCode::SUCCESS),
            Step::Over => return Ok(ExitCode::from(OVER)),
            Step::Failed(error) => {
                return Err(format!("{}: {}: {}", config.subject, config.door, error.said));
            }
        }
    }
}

fn config() -> Result<Config, String> {
    let mut line = Zeroizing::new(String::new());
    let mut input = std::io::BufReader::new(std::io::stdin().lock().take(CONFIG_MAX));
    input.read_line(&mut line).map_err(|error| format!("standard input: {error}"))?;
    serde_json::from_str(&line).map_err(|error| {
        // Without the parser's words: they can repeat what they found, a ticket for one.
        format!("standard input: no configuration (column {}); init writes it", error.column())
    })
}

/// Sleeps; says whether init, which holds the other end of the standard input, is gone.
fn is_abandoned(ms: u64) -> bool {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::empty())];
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: (ms % 1000) as i64 * 1_000_000 };
    match poll(&mut fds, Some(&time)) {
        Ok(n) => n > 0,
        // A signal that does not end us: the beat comes early, which hurts nobody.
        Err(_) => false,
    }
}
