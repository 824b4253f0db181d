//! `coh up -d`: the same hive in a session of its own, and this process until it is ready.

use crate::lock::{self, Holder};
use crate::place;
use crate::trouble::{Trouble, at};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Starts this program again in the background with `--detached`, and returns its line when it is ready.
pub(crate) fn detach(run: Option<PathBuf>) -> Result<String, Trouble> {
    let run = place::run(run)?;
    place::private(&run)?;
    if let Some(holder) = lock::holder(&run) {
        return Err(Holder::refusal(holder, &run));
    }
    let path = run.join("coh.log");
    let log = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
    let mut log = log.map_err(at(&path))?;
    let before = log.metadata().map_err(at(&path))?.len();
    let exe = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let args = std::env::args_os().skip(1);
    let mut child = Command::new(&exe)
        .args(args)
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone().map_err(at(&path))?)
        .spawn()
        .map_err(at(&exe))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(at(&exe))?;
    }
    if line.starts_with("ready ") {
        eprint!("{}", since(&mut log, before));
        return Ok(line.trim_end().into());
    }
    // It has ended, or is about to: nothing else closes its output.
    let _ = child.wait();
    let said = since(&mut log, before);
    Err(Trouble(said.trim_end().strip_prefix("coh up: ").unwrap_or(said.trim_end()).into()))
}

/// What was written to the log since it had `offset` bytes. A hive that ends takes an empty log away, and
/// may have something to say after that: the open file has it.
fn since(log: &mut File, offset: u64) -> String {
    let mut read = || -> std::io::Result<String> {
        log.seek(SeekFrom::Start(offset))?;
        let mut text = String::new();
        log.take(64 << 10).read_to_string(&mut text)?;
        Ok(text)
    };
    read().unwrap_or_default()
}
