//! Plays any program of a hive, by the name that it is started as, so that init is tested alone:
//! `logfs` writes its lines to DATA/log, `queenfs` its events to DATA/events, `worker-heart` its
//! configuration to the file that the configuration names. `DATA/<name>.mute` keeps a server from
//! ever answering, `DATA/<name>.fail` makes it end at once.
#![allow(clippy::unwrap_used)] // Test code outside of test functions.

use ninep::srv::{Dir, Tree, Verdict};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = PathBuf::from(std::env::args().next().unwrap());
    let program = program.file_name().and_then(|name| name.to_str()).unwrap();
    match program.strip_suffix("fs") {
        Some(name) => serve(name.to_owned().leak()),
        None if program == "ninedoor" => serve("door"),
        None if program == "consoled" => serve("console"),
        None => work(),
    }
}

fn serve(name: &'static str) -> ExitCode {
    rt::serve(name, |boot| {
        if boot.data.join(format!("{name}.fail")).exists() {
            return Err(rt::BootError("told to fail".into()));
        }
        if boot.data.join(format!("{name}.mute")).exists() {
            loop {
                std::thread::park();
            }
        }
        let env: String = std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(boot.data.join(format!("{name}.env")), env).unwrap();
        if name == "door" {
            // The door's clients get the same tree by another socket: enough for "is it there?".
            let _ = std::fs::remove_file(boot.run.join("door"));
            std::os::unix::fs::symlink(boot.socket("door"), boot.run.join("door")).unwrap();
        }
        let lines = |file: PathBuf| {
            move |_: &mut (), _: &ninep::srv::Call, line: &str| {
                let mut file = OpenOptions::new().append(true).create(true).open(&file).unwrap();
                writeln!(file, "{line}").unwrap();
                Verdict::Ack("OK".into())
            }
        };
        let sink = Dir::new().orders("queen.log", 0o600, 8000, lines(boot.data.join("log")));
        let events = Dir::new().orders("events", 0o600, 8000, lines(boot.data.join("events")));
        Ok(Tree::new((), Dir::new()).internal("sink", sink).internal("in", events))
    })
}

/// Writes its configuration down, environment and all, and stays until it is told to end.
fn work() -> ExitCode {
    rt::alone().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let path = line.split('"').find(|part| part.starts_with('/')).unwrap();
    std::fs::write(path, format!("{line}{:?}\n", std::env::args().collect::<Vec<_>>())).unwrap();
    if line.contains("\"quit\":true") {
        return ExitCode::from(3);
    }
    loop {
        std::thread::park();
    }
}
