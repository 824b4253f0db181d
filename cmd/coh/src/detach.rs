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
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(at(&path))?;
    let before = log.metadata().map_err(at(&path))?.len();
    let exe = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let args = std::env::args_os().skip(1);
    let mut child = Command::new(&exe)
        .args(args)
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(at(&exe))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(at(&exe))?;
    }
    let said = since(&path, before);
    if line.starts_with("ready ") {
        eprint!("{said}");
        return Ok(line.trim_end().into());
    }
    // It has ended, or is about to: nothing else closes its output.
    let _ = child.wait();
    Err(Trouble(said.trim_end().strip_prefix("coh up: ").unwrap_or(said.trim_end()).into()))
}

/// What was written to the log since it had `offset` bytes.
fn since(path: &PathBuf, offset: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut text = String::new();
        file.take(64 << 10).read_to_string(&mut text)?;
        Ok(text)
    };
    read().unwrap_or_default()
}
