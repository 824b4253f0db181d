//! At a terminal: line editing, history, completion; a lost connection is made again.

use crate::complete::{Completion, Shared};
use crate::{Printer, trouble};
use cohcmd::{Out, Trouble};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talk::{Place, Talk, TalkError};

const PROMPT: &str = "coh> ";
const HISTORY_MAX: usize = 1000;
/// Waits before each attempt to connect again.
const BACK_OFF_MS: [u64; 6] = [200, 400, 800, 1600, 2000, 2000];
/// How often the conversation is looked after while the person thinks.
const CARE_EVERY: Duration = Duration::from_secs(5);
/// How often a tail is looked at for the person's next line.
const GLANCE: Duration = Duration::from_millis(100);

/// Converses until `quit` or the end of input.
pub(crate) fn converse(place: &Place, out: &mut Out) -> Result<(), Trouble> {
    let mut printer = Printer::new(out);
    let talk: Shared = Arc::new(Mutex::new(Some(dial(place, &mut printer).map_err(trouble)?)));
    flush(&mut printer)?;
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_MAX)
        .map_err(said)?
        .build();
    let mut editor = Editor::<Completion, FileHistory>::with_config(config).map_err(said)?;
    editor.set_helper(Some(Completion { talk: Arc::clone(&talk) }));
    let history = history();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let cared_for = Arc::clone(&talk);
    std::thread::spawn(move || care(&cared_for));
    let mut next: Option<String> = None;
    loop {
        let line = match next.take() {
            Some(line) => line,
            None => match editor.readline(PROMPT) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(said(error)),
            },
        };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        // A ticket is nothing for a file of old lines.
        if !line.starts_with("attach") && !line.starts_with("AUTH") {
            let _ = editor.add_history_entry(line);
        }
        let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
        next = one(&mut talk, line, place, &mut printer)?;
        if line == "quit" {
            break;
        }
    }
    if let Some(path) = &history {
        if let Some(dir) = path.parent() {
            let _ = std::fs::create_dir_all(dir);
        }
        // A history that cannot be kept is no reason to complain.
        let _ = editor.save_history(path);
    }
    Ok(())
}

fn said(error: ReadlineError) -> Trouble {
    Trouble::failed(format!("the terminal: {error}"))
}

fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Some(state.or_else(home)?.join("coh/cohsh_history"))
}

/// Keeps a console from thinking that nobody is there.
fn care(talk: &Shared) {
    loop {
        std::thread::sleep(CARE_EVERY);
        if let Ok(mut talk) = talk.try_lock()
            && let Some(talk) = talk.as_mut()
        {
            // What is wrong shows at the next line.
            let _ = talk.wait(Duration::from_millis(5), &mut |_| {});
        }
    }
}

fn dial(place: &Place, printer: &mut Printer) -> Result<Talk, TalkError> {
    place.dial(&mut |line| show(printer, line))
}

/// A line in the colour of what it is, on a terminal.
fn show(printer: &mut Printer, line: &str) {
    let is_terminal = printer.out.is_terminal();
    match line.split(' ').next() {
        Some("ERR") if is_terminal => printer.line(&format!("\u{1b}[31m{line}\u{1b}[0m")),
        Some("OK" | "END" | "PONG") if is_terminal => printer.line(&format!("\u{1b}[2m{line}\u{1b}[0m")),
        _ => printer.line(line),
    }
}

fn flush(printer: &mut Printer) -> Result<(), Trouble> {
    std::mem::replace(&mut printer.done, Ok(()))?;
    printer.out.flush()
}

/// One line and its answer; where that is a tail, until the person types again: then that is the next.
fn one(
    talk: &mut Option<Talk>,
    line: &str,
    place: &Place,
    printer: &mut Printer,
) -> Result<Option<String>, Trouble> {
    let done = match talk {
        Some(talk) => talk.send(line, &mut |line| show(printer, line)).map(|()| talk.is_following()),
        None => Err(TalkError::Lost("there is no connection".into())),
    };
    flush(printer)?;
    match done {
        Ok(false) => Ok(None),
        Ok(true) => follow(talk, place, printer),
        Err(error) => {
            printer.out.note(&error.to_string())?;
            *talk = None;
            if line != "quit" {
                *talk = again(place, printer)?;
            }
            Ok(None)
        }
    }
}

fn again(place: &Place, printer: &mut Printer) -> Result<Option<Talk>, Trouble> {
    for ms in BACK_OFF_MS {
        std::thread::sleep(Duration::from_millis(ms));
        match dial(place, printer) {
            Ok(talk) => {
                flush(printer)?;
                printer.out.note("connected again; the last line was not repeated")?;
                return Ok(Some(talk));
            }
            Err(error) => printer.out.note(&error.to_string())?,
        }
    }
    Ok(None)
}

fn follow(talk: &mut Option<Talk>, place: &Place, printer: &mut Printer) -> Result<Option<String>, Trouble> {
    printer.out.note("following; Enter ends it")?;
    loop {
        let Some(open) = talk else { return Ok(None) };
        let waited = open.wait(GLANCE, &mut |line| show(printer, line));
        flush(printer)?;
        if let Err(error) = waited {
            printer.out.note(&error.to_string())?;
            *talk = again(place, printer)?;
            return Ok(None);
        }
        if !has_input() {
            continue;
        }
        let mut line = String::new();
        let n = std::io::stdin().read_line(&mut line);
        let line = line.trim().to_owned();
        if n.is_ok_and(|n| n > 0) && !line.is_empty() {
            return Ok(Some(line));
        }
        // An empty line ends a tail, and is then told off.
        let _ = open.send("", &mut |line| {
            if !line.starts_with("ERR LINE") {
                show(printer, line);
            }
        });
        flush(printer)?;
        return Ok(None);
    }
}

fn has_input() -> bool {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|n| n > 0)
}
