//! `coh status`, `coh kill`, `coh down`: init's own files, from outside.

use crate::trouble::{Trouble, at};
use crate::{leftovers, lock};
use ninep::dial::{Addr, Conn, Credentials, DialError};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

/// An init that does not answer by then is ended by other means, or reported.
const ANSWER: Duration = Duration::from_secs(5);
/// The mount, the workers and every server have two seconds each before they are killed.
const DOWN: Duration = Duration::from_secs(40);

/// The files of a hive's init.
struct Asker(Conn);

impl Asker {
    fn dial(run: &Path) -> Result<Asker, Trouble> {
        let path = run.join("srv/init");
        if !path.exists() {
            return Err(none(run));
        }
        let who = Credentials { role: "server".into(), subject: "coh".into(), ..Credentials::default() };
        let outcome = Conn::dial_spec(&Addr::Unix(path), &who, Some(""));
        let mut conn = outcome.map_err(|error| match error {
            // Its socket is there, and nobody behind it.
            DialError::Addr(_) | DialError::Connect { .. } => none(run),
            other => at(run.join("srv/init"))(other),
        })?;
        conn.set_deadline(ANSWER).map_err(at(run))?;
        Ok(Asker(conn))
    }

    fn read(&mut self, name: &str) -> Result<String, Trouble> {
        let text = self.0.read_all(name).map_err(at(name))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn command(&mut self, line: &str) -> Result<(), Trouble> {
        let fid = self.0.open_path("ctl", 1).map_err(said)?;
        self.0.write_at(fid, 0, line.as_bytes()).map_err(said)?;
        Ok(())
    }
}

fn said(error: DialError) -> Trouble {
    Trouble(error.to_string())
}

fn none(run: &Path) -> Trouble {
    let run = run.display();
    Trouble(format!("{run}: no hive is running here; start one with: coh up --run {run}"))
}

/// The hive, a line per server, a line per worker.
pub(crate) fn status(run: &Path, is_json: bool) -> Result<String, Trouble> {
    let mut init = Asker::dial(run)?;
    let text = init.read("hive")? + &init.read("status")? + &init.read("workers")?;
    Ok(if is_json { text.lines().map(|line| json(line) + "\n").collect() } else { text })
}

/// `log pid=7 state=up` as an object; the first word is its name, unless a field is.
fn json(line: &str) -> String {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let fields = words.filter_map(|word| word.split_once('='));
    let object: serde_json::Map<_, _> = std::iter::once(("name", name))
        .chain(fields)
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// Sends a signal to a server, through init.
pub(crate) fn kill(run: &Path, server: &str, signal: &str) -> Result<(), Trouble> {
    let line = serde_json::json!({ "kill": { "server": server, "signal": signal } });
    Asker::dial(run)?.command(&line.to_string())
}

/// Ends the hive of a run directory and waits until it has ended; clears up after one that was killed.
/// Says whether there was one.
pub(crate) fn down(run: &Path) -> Result<bool, Trouble> {
    let Some(holder) = lock::holder(run) else {
        leftovers::clear(run);
        return Ok(false);
    };
    if let Err(trouble) = Asker::dial(run).and_then(|mut init| init.command("{\"down\":{}}")) {
        // It may still be booting, or be ending already.
        let Some(holder) = holder else { return Err(trouble) };
        crate::program::signal(holder.pid, Signal::TERM);
    }
    let start = Instant::now();
    while lock::holder(run).is_some() {
        if start.elapsed() > DOWN {
            let pid = holder.map_or(0, |holder| holder.pid);
            let run = run.display();
            return Err(Trouble(format!("{run}: pid {pid} has not ended; end it with: kill -9 {pid}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}
