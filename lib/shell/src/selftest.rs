//! `test`: a script of the hive, carried out by the shell that was asked for it.

use crate::prelude::*;
use console::{Answer, Next, Script, ScriptError, TestArgs};
use serde::{Deserialize, Serialize};

/// What a test has found, as `--json` prints it (spec 10.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Did all of it hold?
    pub ok: bool,
    /// Which test.
    pub mode: String,
    /// How long it took.
    pub elapsed_ms: u64,
    /// One for each command, in order, up to the first that failed.
    pub checks: Vec<Outcome>,
    /// Of this form.
    pub version: String,
}

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The command.
    pub name: String,
    /// Was everything as expected?
    pub ok: bool,
    /// `skipped`, or what was not.
    pub detail: String,
}

impl Report {
    /// A line for each check and one for all.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.iter().map(|check| {
            let word = if check.ok { "ok  " } else { "FAIL" };
            let gap = if check.detail.is_empty() { "" } else { ": " };
            format!("{word} {}{gap}{}", check.name, check.detail)
        });
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        let word = if self.ok { "ok" } else { "FAIL" };
        let (mode, all, ms) = (&self.mode, self.checks.len(), self.elapsed_ms);
        let last = format!("{word} mode={mode} checks={all} failed={failed} elapsed_ms={ms}");
        checks.chain([last])
    }
}

/// A test that is running.
pub(crate) struct Test {
    args: TestArgs,
    text: String,
    script: Script,
    checks: Vec<Outcome>,
    started_ms: u64,
    wait_until_ms: Option<u64>,
}

/// What a test wants done.
pub(crate) enum Wants {
    /// This line; its answer goes to [`Test::response`].
    Send(String),
    /// Time.
    Nothing,
    /// Its end.
    End,
}

impl Test {
    pub(crate) fn new(args: TestArgs, text: Vec<u8>, now_ms: u64) -> Result<Test, String> {
        let text = String::from_utf8(text).map_err(|_| "the script is not UTF-8".to_owned())?;
        let script = Script::new(&text).map_err(|error: ScriptError| error.to_string())?;
        Ok(Test { args, text, script, checks: Vec::new(), started_ms: now_ms, wait_until_ms: None })
    }

    pub(crate) fn ok(&self) -> Answer {
        Answer::ok("TEST").with("mode", self.args.mode.name())
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.args.is_read_only
    }

    pub(crate) fn next(&mut self, now_ms: u64) -> Wants {
        if self.wait_until_ms.is_some_and(|until| now_ms < until) {
            return Wants::Nothing;
        }
        self.wait_until_ms = None;
        match self.script.step(&self.text) {
            Next::Send(line) => {
                let line = line.to_owned();
                self.checks.push(Outcome { name: line.clone(), ok: true, detail: String::new() });
                Wants::Send(line)
            }
            Next::Wait(ms) => {
                self.wait_until_ms = Some(now_ms + u64::from(ms));
                Wants::Nothing
            }
            Next::Done => Wants::End,
            Next::Failed => {
                let why = self.script.failed(&self.text).map(|failed| failed.to_string());
                self.fail(why.unwrap_or_default());
                Wants::End
            }
        }
    }

    fn fail(&mut self, why: String) {
        match self.checks.last_mut() {
            Some(check) => (check.ok, check.detail) = (false, why),
            None => self.checks.push(Outcome { name: "script".into(), ok: false, detail: why }),
        }
    }

    pub(crate) fn response(&mut self, line: &str) {
        self.script.response(line);
    }

    /// The line that was given is not carried out.
    pub(crate) fn skip(&mut self) {
        self.script.skip();
        if let Some(check) = self.checks.last_mut() {
            check.detail = "skipped".into();
        }
    }

    /// When it must be looked at again: a WAIT is over, or its time.
    pub(crate) fn deadline_ms(&self) -> u64 {
        self.wait_until_ms.map_or(self.end_ms(), |until| until.min(self.end_ms()))
    }

    fn end_ms(&self) -> u64 {
        self.started_ms + u64::from(self.args.timeout_s) * 1000
    }

    /// Is it over its time? Then it has failed.
    pub(crate) fn is_late(&mut self, now_ms: u64) -> bool {
        let is_late = now_ms >= self.end_ms();
        if is_late {
            self.fail(format!("no end within {} s", self.args.timeout_s));
        }
        is_late
    }

    /// It fails, for a reason outside the script.
    pub(crate) fn broken(&mut self, why: &str) {
        self.fail(why.to_owned());
    }

    /// The lines of its report.
    pub(crate) fn report(self, now_ms: u64) -> Vec<String> {
        let report = Report {
            ok: self.checks.iter().all(|check| check.ok),
            mode: self.args.mode.name().to_owned(),
            elapsed_ms: now_ms.saturating_sub(self.started_ms),
            checks: self.checks,
            version: "1".to_owned(),
        };
        if self.args.is_json {
            // Strings, numbers and truths: there is nothing that could not be written.
            return serde_json::to_string(&report).into_iter().collect();
        }
        report.lines().collect()
    }
}
