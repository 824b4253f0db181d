//! Many hearts in one process: a thread, a ticket and a session each. Lines on the standard input start
//! and stop them; at its end all end.

use crate::heart::{Heart, Step};
use crate::space::Files;
use crate::{CONFIG_MAX, Config};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use zeroize::Zeroizing;

/// A heart calls little: ten thousand of them take what they touch.
const STACK_BYTES: usize = 256 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Start(Config),
    Stop(Stop),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    worker: String,
}

pub(crate) fn run() -> Result<ExitCode, String> {
    rt::alone().map_err(|error| error.to_string())?;
    let mut input = BufReader::new(std::io::stdin());
    // A heart stops when its sender is dropped.
    let mut hearts: HashMap<String, Sender<()>> = HashMap::new();
    loop {
        let mut line = Zeroizing::new(String::new());
        let n = (&mut input).take(CONFIG_MAX).read_line(&mut line);
        if n.map_err(|error| format!("standard input: {error}"))? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        match serde_json::from_str(&line) {
            Ok(Line::Stop(Stop { worker })) => drop(hearts.remove(&worker)),
            Ok(Line::Start(config)) => {
                let (running, stop) = channel();
                let subject = config.subject.clone();
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                match thread.spawn(move || live(&config, &stop)) {
                    Ok(_) => drop(hearts.insert(subject, running)),
                    Err(error) => eprintln!("worker-heart: {subject}: no thread: {error}"),
                }
            }
            // Without the parser's words: they can repeat a ticket.
            Err(error) => eprintln!("worker-heart: standard input: no order (column {})", error.column()),
        }
    }
}

fn live(config: &Config, stop: &Receiver<()>) {
    let failed = |error: &dyn std::fmt::Display| {
        eprintln!("worker-heart: {}: {}: {error}", config.subject, config.door);
    };
    let mut files = match Files::new(config) {
        Ok(files) => files,
        Err(error) => return failed(&error),
    };
    let mut heart = Heart::new(config.ticks, config.period_ms.max(1));
    loop {
        match heart.beat(&mut files) {
            Step::Wait(ms) => {
                if stop.recv_timeout(Duration::from_millis(ms)) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
            Step::Done | Step::Over => return,
            Step::Failed(error) => return failed(&error),
        }
    }
}
