//! The frame around every command: arguments, output, complaints, the exit status.

use crate::completion;
use crate::fields::Record;
use crate::trace;
use crate::trouble::Trouble;
use clap::Parser;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;

/// Standard output, and the complaints that do not stop a command.
pub struct Out {
    name: String,
    stdout: BufWriter<StdoutLock<'static>>,
    has_failed: bool,
    /// What was last said beside the output.
    last_note: String,
}

impl Out {
    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.stdout.write_all(bytes).map_err(stdout_trouble)
    }

    /// Writes one line.
    pub fn line(&mut self, line: impl AsRef<str>) -> Result<(), Trouble> {
        self.bytes(line.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes a value as one line of JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Trouble> {
        let line = serde_json::to_string(value).map_err(|e| Trouble::failed(format!("JSON: {e}")))?;
        self.line(line)
    }

    /// Writes what came of something, a line such as `ok records=118`, or the same as JSON, where the first
    /// word is the `result`.
    pub fn outcome(&mut self, line: &str, is_json: bool) -> Result<(), Trouble> {
        if is_json { self.json(&Record::parse(line).json(&["result"])) } else { self.line(line) }
    }

    /// Lets what was written be seen now.
    pub fn flush(&mut self) -> Result<(), Trouble> {
        self.stdout.flush().map_err(stdout_trouble)
    }

    /// Says what went wrong with one file; the command goes on with the next and ends with status 1.
    /// What cannot be reported and passed over (our reader has gone) comes back.
    pub fn complain(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if trouble == Trouble::Quiet {
            return Err(trouble);
        }
        self.has_failed = true;
        self.note(&trouble.to_string())
    }

    /// Says something beside the output, after what has been written so far.
    pub fn note(&mut self, what: &str) -> Result<(), Trouble> {
        let flushed = self.flush();
        // Nobody is left to hear that standard error is closed.
        let _ = writeln!(io::stderr(), "{}: {what}", self.name);
        what.clone_into(&mut self.last_note);
        flushed
    }

    /// Is a person looking at the output?
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

fn stdout_trouble(e: io::Error) -> Trouble {
    match e.kind() {
        io::ErrorKind::BrokenPipe => Trouble::Quiet,
        _ => Trouble::failed(format!("standard output: {e}")),
    }
}

/// The arguments of a program that does not go through [`main`]; else the status to end with: 0 where help
/// was asked for, 2 for a usage error.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    if let Some(status) = completion::answer::<A>(std::env::args_os().skip(1)) {
        return Err(status);
    }
    A::try_parse().map_err(|usage| {
        // Nothing to do where even that cannot be written.
        let _ = usage.print();
        if usage.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
    })
}

/// Parses the arguments, runs the command, reports, and gives the exit status: 0 done, 1 refused or
/// failed, 2 usage. A reader that closes our output early (`| head`) is no failure.
pub fn main<A: Parser>(run: impl FnOnce(A, &mut Out) -> Result<(), Trouble>) -> ExitCode {
    let args: A = match arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let name = A::command().get_name().to_owned();
    let mut out = Out {
        name,
        stdout: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        has_failed: false,
        last_note: String::new(),
    };
    let mut done = run(args, &mut out).and_then(|()| out.flush());
    // A trace ends with the command, however that ended; what is wrong with the command comes first.
    match trace::finish() {
        Ok(None) => {}
        Ok(Some(remark)) => done = done.and(out.note(&remark)),
        // What broke off the command was said by it.
        Err(trouble) if trouble.to_string() == out.last_note => {}
        Err(trouble) => done = done.and(Err(trouble)),
    }
    let status = match done {
        Ok(()) => u8::from(out.has_failed),
        Err(Trouble::Quiet) => u8::from(out.has_failed),
        Err(trouble) => {
            // The output comes first, so that the message stands where the failure was.
            let _ = out.note(&trouble.to_string());
            trouble.status()
        }
    };
    // What a gone reader left in the buffer must not be tried again on drop.
    let (_, _unwritten) = out.stdout.into_parts();
    ExitCode::from(status)
}
