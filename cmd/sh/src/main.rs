//! cohsh: a shell on a door or a console of the hive. Over a door it makes the verbs into file operations
//! itself; what it prints is the same.
#![forbid(unsafe_code)]

mod complete;
mod person;

use clap::Parser;
use cohcmd::{Out, Trouble};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use talk::{Place, PlaceArgs, Played, Recording, Talk, TalkError};

/// Speaks a console's lines with a hive: at a door, or at a console
#[derive(Parser)]
#[command(name = "cohsh", version)]
struct Args {
    /// A script of coh(5) to play; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "replay_trace")]
    script: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let place = Place::of(&args.place)?;
        if let Some(path) = &args.place.hive.replay_trace {
            let mut printer = Printer::new(out);
            let played = talk::replay(path, &mut |line| printer.line(line));
            return printer.done.and(played);
        }
        match &args.script {
            Some(path) => play(path, &place, out),
            None if std::io::stdin().is_terminal() => person::converse(&place, out),
            None => lines(&place, out),
        }
    })
}

/// What went wrong with a conversation, as a command says it.
fn trouble(error: TalkError) -> Trouble {
    Trouble::failed(error.to_string())
}

/// Prints lines as they come; what fails is told at the end.
struct Printer<'a> {
    out: &'a mut Out,
    done: Result<(), Trouble>,
}

impl<'a> Printer<'a> {
    fn new(out: &'a mut Out) -> Printer<'a> {
        Printer { out, done: Ok(()) }
    }

    fn line(&mut self, line: &str) {
        if self.done.is_ok() {
            self.done = self.out.line(line);
        }
    }
}

fn play(path: &Path, place: &Place, out: &mut Out) -> Result<(), Trouble> {
    let name = path.display().to_string();
    let text =
        if name == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|e| Trouble::failed(format!("{name}: {e}")))?;
    // A script that is none is refused before anything is dialled.
    console::Script::new(&text).map_err(|e| Trouble::failed(format!("{name}: {e}")))?;
    let mut printer = Printer::new(out);
    let (mut talk, recording) = place.begin(&mut |line| printer.line(line))?;
    let played = talk::play(&text, &mut talk, &mut |_| {}, &mut |line| printer.line(line));
    printer.done?;
    keep(recording, &talk, printer.out)?;
    match played.map_err(trouble)? {
        Played::Passed => Ok(()),
        Played::Failed(why) => Err(Trouble::failed(format!("{name}: {why}"))),
    }
}

/// Lines of a pipe, and their answers.
fn lines(place: &Place, out: &mut Out) -> Result<(), Trouble> {
    let mut printer = Printer::new(out);
    let (mut talk, recording) = place.begin(&mut |line| printer.line(line))?;
    // Who waits for it before the first line has it.
    flush(&mut printer)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Trouble::failed(format!("standard input: {e}")))?;
        if line.trim().is_empty() {
            continue;
        }
        one(&mut talk, &line, &mut printer)?;
        if line.trim() == "quit" {
            break;
        }
    }
    keep(recording, &talk, printer.out)
}

/// Writes what was recorded.
fn keep(recording: Option<Recording>, talk: &Talk, out: &mut Out) -> Result<(), Trouble> {
    recording.map_or(Ok(()), |recording| recording.keep(talk, out))
}

fn one(talk: &mut Talk, line: &str, printer: &mut Printer) -> Result<(), Trouble> {
    talk.send(line, &mut |line| printer.line(line)).map_err(trouble)?;
    flush(printer)
}

/// Shows what was printed.
fn flush(printer: &mut Printer) -> Result<(), Trouble> {
    std::mem::replace(&mut printer.done, Ok(()))?;
    printer.out.flush()
}
