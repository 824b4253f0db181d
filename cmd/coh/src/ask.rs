//! `coh status`, `coh kill`, `coh down`: init's own files, from outside.

use crate::trouble::{Trouble, at};
use crate::{leftovers, lock};
use ninep::dial::{Addr, Conn, Credentials, DialError};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

/// An init that does not answer by then is ended by other means, or reported.
const ANSWER: Duration = Duration::from_secs(5);
/// A queen that does not answer by then is not waited for: `coh status` is for such times.
const QUEEN: Duration = Duration::from_secs(1);
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
        let outcome = Conn::dial_spec(&Addr::Unix(path), &coh(), Some(""));
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

/// Who asks: a program of the hive's own user, at sockets that are for nobody else.
fn coh() -> Credentials {
    Credentials { role: "server".into(), subject: "coh".into(), ..Credentials::default() }
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
    let hive = in_lifecycle(&init.read("hive")?, lifecycle(run).as_deref());
    let text = hive + &init.read("status")? + &init.read("workers")?;
    Ok(if is_json { text.lines().map(|line| json(line) + "\n").collect() } else { text })
}

/// What `/proc/lifecycle/state` says, `ONLINE` or another; nothing where the queen does not.
fn lifecycle(run: &Path) -> Option<String> {
    let queen = Addr::Unix(run.join("srv/queen"));
    let mut conn = Conn::dial_within(&queen, &coh(), Some("lifecycle"), QUEEN).ok()?;
    let text = String::from_utf8(conn.read_all("state").ok()?).ok()?;
    let state = text.trim_end().strip_prefix("state=")?;
    state.bytes().all(|b| b.is_ascii_uppercase()).then(|| state.to_owned())
}

/// Init's line for the hive with the lifecycle's state. What init alone knows stays: that it is booting or
/// closing, and that a server which the lifecycle does not require dies over and over.
fn in_lifecycle(hive: &str, state: Option<&str>) -> String {
    let field = |word: &str| match (word, state) {
        ("state=BOOTING" | "state=CLOSING", _) | (_, None) => word.to_owned(),
        ("state=DEGRADED", Some("ONLINE")) => word.to_owned(),
        (word, Some(state)) if word.starts_with("state=") => format!("state={state}"),
        (word, _) => word.to_owned(),
    };
    hive.split(' ').map(field).collect::<Vec<_>>().join(" ")
}

/// `log pid=7 state=up` as an object; the first word is its name, unless a field is.
fn json(line: &str) -> String {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let fields = words.filter_map(|word| word.split_once('='));
    let object: serde_json::Map<_, _> = std::iter::once(("name", name))
        .chain(fields)
        .map(|(key, text)| (key.into(), value(key, text)))
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// Numbers are numbers, and a process that is not there has none; a name or a digest of digits is text.
fn value(key: &str, text: &str) -> serde_json::Value {
    match key {
        "pid" | "since_ms" | "restarts" => text.parse::<u64>().ok().into(),
        _ => text.into(),
    }
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
    if run.join("lock").exists() {
        // It was killed meanwhile: one that ends takes its lock away.
        leftovers::clear(run);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{in_lifecycle, json};

    const HIVE: &str = "hive name=7 pid=9 state=ONLINE since_ms=5 manifest=571184";

    #[test]
    fn the_state_of_a_hive_is_its_lifecycles() {
        let said = |init: &str, lifecycle| {
            let line = in_lifecycle(&HIVE.replace("ONLINE", init), lifecycle);
            line.split(' ').find_map(|word| word.strip_prefix("state=")).unwrap().to_owned()
        };
        assert_eq!(said("ONLINE", Some("BOOTING")), "BOOTING");
        assert_eq!(said("ONLINE", Some("DRAINING")), "DRAINING");
        assert_eq!(said("DEGRADED", Some("DRAINING")), "DRAINING");
        assert_eq!(said("BOOTING", Some("ONLINE")), "BOOTING", "which may be the last boot's yet");
        assert_eq!(said("DEGRADED", Some("ONLINE")), "DEGRADED");
        assert_eq!(said("CLOSING", Some("ONLINE")), "CLOSING");
        assert_eq!(said("ONLINE", None), "ONLINE");
        assert_eq!(in_lifecycle(HIVE, Some("ONLINE")), HIVE);
    }

    #[test]
    fn numbers_of_a_status_are_numbers_in_json() {
        assert_eq!(json(HIVE), r#"{"manifest":"571184","name":"7","pid":9,"since_ms":5,"state":"ONLINE"}"#);
        assert_eq!(
            json("log pid=- state=waiting restarts=5"),
            r#"{"name":"log","pid":null,"restarts":5,"state":"waiting"}"#
        );
    }
}
