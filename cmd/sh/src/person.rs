//! At a terminal: line editing, history, completion; a lost connection is made again.

use crate::complete::{Completion, Shared};
use crate::{Printer, flush, keep};
use cohcmd::{Out, Trouble};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talk::{Place, Recording, Talk, TalkError};

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
    let (begun, recording) = place.begin(&mut |line| show(&mut printer, line))?;
    let talk: Shared = Arc::new(Mutex::new(Some(begun)));
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
    let mut person = Person { place, printer, recording, interrupt: Interrupt::new()? };
    // What was pasted in several lines, or typed into a tail.
    let mut next: VecDeque<String> = VecDeque::new();
    loop {
        let line = match next.pop_front() {
            Some(line) => line,
            None => match editor.readline(PROMPT) {
                Ok(lines) => {
                    next.extend(lines.lines().map(str::to_owned));
                    continue;
                }
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
        next.extend(person.one(&mut talk, line)?);
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
    person.keep(talk.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
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

/// A line in the colour of what it is, on a terminal.
fn show(printer: &mut Printer, line: &str) {
    let is_terminal = printer.out.is_terminal();
    match line.split(' ').next() {
        Some("ERR") if is_terminal => printer.line(&format!("\u{1b}[31m{line}\u{1b}[0m")),
        Some("OK" | "END" | "PONG") if is_terminal => printer.line(&format!("\u{1b}[2m{line}\u{1b}[0m")),
        _ => printer.line(line),
    }
}

/// ^C: it ends a tail that is shown, and else the shell, as it does any program.
struct Interrupt {
    came: Arc<AtomicBool>,
    ends_shell: Arc<AtomicBool>,
}

impl Interrupt {
    fn new() -> Result<Interrupt, Trouble> {
        let (came, ends_shell) = (Arc::<AtomicBool>::default(), Arc::new(AtomicBool::new(true)));
        let failed = |e: std::io::Error| Trouble::failed(format!("signals: {e}"));
        flag::register_conditional_default(SIGINT, Arc::clone(&ends_shell)).map_err(failed)?;
        flag::register(SIGINT, Arc::clone(&came)).map_err(failed)?;
        Ok(Interrupt { came, ends_shell })
    }

    fn begin(&self) {
        self.came.store(false, Ordering::SeqCst);
        self.ends_shell.store(false, Ordering::SeqCst);
    }

    fn end(&self) {
        self.ends_shell.store(true, Ordering::SeqCst);
    }

    fn has_come(&self) -> bool {
        self.came.load(Ordering::SeqCst)
    }
}

/// Who types, and what is shown to him.
struct Person<'a> {
    place: &'a Place,
    printer: Printer<'a>,
    recording: Option<Recording>,
    interrupt: Interrupt,
}

impl Person<'_> {
    /// One line and its answer; where that is a tail, until the person types again: then that is the next.
    fn one(&mut self, talk: &mut Option<Talk>, line: &str) -> Result<Option<String>, Trouble> {
        let Some(open) = talk else {
            self.printer.out.note("there is no connection")?;
            if line != "quit" {
                *talk = self.again()?;
            }
            return Ok(None);
        };
        let done = open.send(line, &mut |line| show(&mut self.printer, line)).map(|()| open.is_following());
        flush(&mut self.printer)?;
        match done {
            Ok(false) => Ok(None),
            Ok(true) => {
                self.interrupt.begin();
                let next = self.follow(talk);
                self.interrupt.end();
                next
            }
            Err(error) => {
                self.lost(talk, &error, line != "quit")?;
                Ok(None)
            }
        }
    }

    /// The connection has ended: what was recorded of it is kept, and it is made again.
    fn lost(&mut self, talk: &mut Option<Talk>, why: &TalkError, is_wanted: bool) -> Result<(), Trouble> {
        self.printer.out.note(&why.to_string())?;
        self.keep(talk.as_ref())?;
        *talk = None;
        if is_wanted {
            *talk = self.again()?;
        }
        Ok(())
    }

    fn keep(&mut self, talk: Option<&Talk>) -> Result<(), Trouble> {
        match talk {
            Some(talk) => keep(self.recording.take(), talk, self.printer.out),
            None => Ok(()),
        }
    }

    fn again(&mut self) -> Result<Option<Talk>, Trouble> {
        for ms in BACK_OFF_MS {
            std::thread::sleep(Duration::from_millis(ms));
            match self.place.dial(&mut |line| show(&mut self.printer, line)) {
                Ok(talk) => {
                    flush(&mut self.printer)?;
                    self.printer.out.note("connected again; the last line was not repeated")?;
                    return Ok(Some(talk));
                }
                // Another hive than it was: that does not pass.
                Err(TalkError::Policy(why)) => return Err(Trouble::failed(why)),
                Err(error) => self.printer.out.note(&error.to_string())?,
            }
        }
        self.printer.out.note("given up; the next line tries again")?;
        Ok(None)
    }

    fn follow(&mut self, talk: &mut Option<Talk>) -> Result<Option<String>, Trouble> {
        self.printer.out.note("following; Enter or ^C ends it")?;
        loop {
            let Some(open) = talk else { return Ok(None) };
            let waited = open.wait(GLANCE, &mut |line| show(&mut self.printer, line));
            flush(&mut self.printer)?;
            if let Err(error) = waited {
                self.lost(talk, &error, true)?;
                return Ok(None);
            }
            if !self.interrupt.has_come() {
                if !has_input() {
                    continue;
                }
                let mut line = String::new();
                let n = std::io::stdin().read_line(&mut line);
                let line = line.trim().to_owned();
                if n.is_ok_and(|n| n > 0) && !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            // An empty line ends a tail, and is then told off.
            let ended = open.send("", &mut |line| {
                if !line.starts_with("ERR LINE") {
                    show(&mut self.printer, line);
                }
            });
            flush(&mut self.printer)?;
            return ended.or_else(|error| self.lost(talk, &error, true)).map(|()| None);
        }
    }
}

fn has_input() -> bool {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|n| n > 0)
}
