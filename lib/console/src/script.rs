//! `.coh` scripts (coh(5)): verb lines, EXPECT, WAIT. The interpreter says what to send or how long to
//! wait, is told what came back, and stops at the first failure.

use crate::answer::Response;
use crate::editor::LINE_MAX;
use core::fmt;

/// Most lines of a script.
pub const LINES_MAX: usize = 256;
/// Longest WAIT.
pub const WAIT_MAX_MS: u32 = 2000;
/// How much of a response an EXPECT looks at.
const RESPONSE_MAX: usize = crate::data::DATA_MAX;

/// What an EXPECT line asks of the last response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect<'a> {
    /// The command was answered with OK, or PONG.
    Ok,
    /// With ERR.
    Err,
    /// The last line holds this.
    Substr(&'a str),
    /// It does not.
    Not(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Verb(&'a str),
    Expect(Expect<'a>),
    Wait(u32),
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Result<Line<'a>, &'static str> {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.len() > LINE_MAX {
            return Err("a line has at most 256 bytes");
        }
        if line.is_empty() || line.starts_with('#') {
            return Ok(Line::Nothing);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_matches(' ');
        match word {
            "EXPECT" => {
                let (what, text) = rest.split_once(' ').unwrap_or((rest, ""));
                match (what, text.trim_matches(' ')) {
                    ("OK", "") => Ok(Line::Expect(Expect::Ok)),
                    ("ERR", "") => Ok(Line::Expect(Expect::Err)),
                    ("SUBSTR", text) if !text.is_empty() => Ok(Line::Expect(Expect::Substr(text))),
                    ("NOT", text) if !text.is_empty() => Ok(Line::Expect(Expect::Not(text))),
                    _ => Err("EXPECT wants OK, ERR, SUBSTR <text> or NOT <text>"),
                }
            }
            "WAIT" => match rest.parse() {
                Ok(ms) if ms <= WAIT_MAX_MS => Ok(Line::Wait(ms)),
                _ => Err("WAIT wants milliseconds, at most 2000"),
            },
            _ => Ok(Line::Verb(line)),
        }
    }
}

/// Why a text is no script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptError {
    /// Of the text, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl core::error::Error for ScriptError {}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// Send this line, and tell [`Script::response`] each line that comes back, until its answer is whole.
    Send(&'a str),
    /// Let so much time pass; lines that come meanwhile belong to the last command.
    Wait(u32),
    /// All that was expected was so.
    Done,
    /// It was not; nothing comes after.
    Failed,
}

/// A failure, for people: `line 3: cat /x: expected OK, the response was: ERR CAT …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed<'s> {
    /// The line that failed: an EXPECT's, or a command's that was answered with ERR unexpectedly.
    pub line: usize,
    /// The command that it is about.
    pub command: &'s str,
    /// What was expected.
    pub expected: Expect<'s>,
    /// The last line of the response; empty where there was none.
    pub response: &'s str,
}

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: expected ", self.line, self.command)?;
        match self.expected {
            Expect::Ok => f.write_str("OK"),
            Expect::Err => f.write_str("ERR"),
            Expect::Substr(text) => write!(f, "'{text}'"),
            Expect::Not(text) => write!(f, "no '{text}'"),
        }?;
        write!(f, ", the response was: {}", if self.response.is_empty() { "nothing" } else { self.response })
    }
}

/// A script in execution. It keeps no text: each call is given the one that [`Script::new`] has checked.
#[derive(Debug, Clone)]
pub struct Script {
    /// Lines that are behind us.
    number: usize,
    /// Where the next begins.
    at: usize,
    /// The line of the last command, from 1.
    command: usize,
    answer: Option<Response>,
    is_stream: bool,
    is_skipped: bool,
    response: heapless::String<RESPONSE_MAX>,
    /// An ERR that no EXPECT has looked at yet.
    is_unexpected: bool,
    /// The line that failed.
    failed: Option<usize>,
}

impl Script {
    /// Checks a whole text before any of it is carried out.
    pub fn new(text: &str) -> Result<Script, ScriptError> {
        let mut has_command = false;
        for (i, line) in text.lines().enumerate() {
            let wrong = |what| ScriptError { line: i + 1, what };
            if i >= LINES_MAX {
                return Err(wrong("a script has at most 256 lines"));
            }
            match Line::parse(line).map_err(wrong)? {
                Line::Expect(_) if !has_command => {
                    return Err(wrong("nothing was sent that could be expected"));
                }
                Line::Verb(_) => has_command = true,
                _ => {}
            }
        }
        Ok(Script {
            number: 0,
            at: 0,
            command: 0,
            answer: None,
            is_stream: false,
            is_skipped: false,
            response: heapless::String::new(),
            is_unexpected: false,
            failed: None,
        })
    }

    /// What to do now.
    pub fn step<'a>(&mut self, text: &'a str) -> Next<'a> {
        while self.failed.is_none() {
            let rest = text.get(self.at..).unwrap_or_default();
            let line = match rest.split_inclusive('\n').next() {
                Some(line) => line,
                None if self.is_unexpected => return self.fail(self.command),
                None => return Next::Done,
            };
            let parsed = Line::parse(line.trim_end_matches('\n'));
            if matches!(parsed, Ok(Line::Verb(_))) && self.is_unexpected {
                return self.fail(self.command);
            }
            self.number += 1;
            self.at += line.len();
            match parsed {
                Ok(Line::Nothing) => {}
                Ok(Line::Wait(_)) if self.is_skipped => {}
                Ok(Line::Wait(ms)) => return Next::Wait(ms),
                Ok(Line::Expect(expect)) => {
                    self.is_unexpected = false;
                    if !self.is_skipped && !self.holds(expect) {
                        return self.fail(self.number);
                    }
                }
                Ok(Line::Verb(line)) => {
                    self.command = self.number;
                    self.answer = None;
                    self.is_stream = false;
                    self.is_skipped = false;
                    self.response.clear();
                    return Next::Send(line);
                }
                // The text was checked.
                Err(_) => return self.fail(self.number),
            }
        }
        Next::Failed
    }

    fn fail<'a>(&mut self, line: usize) -> Next<'a> {
        self.failed = Some(line);
        Next::Failed
    }

    fn holds(&self, expect: Expect) -> bool {
        match expect {
            Expect::Ok => matches!(self.answer, Some(Response::Ok | Response::Pong)),
            Expect::Err => self.answer == Some(Response::Err),
            Expect::Substr(text) => self.response.contains(text),
            Expect::Not(text) => !self.response.contains(text),
        }
    }

    /// A line has come back. END is no response of its own.
    pub fn response(&mut self, line: &str) {
        let kind = Response::of(line, self.is_stream);
        match (kind, self.answer) {
            (Response::End, _) => return,
            (kind @ (Response::Ok | Response::Err | Response::Pong), None) => {
                self.answer = Some(kind);
                self.is_unexpected = kind == Response::Err;
                self.is_stream = kind == Response::Ok;
            }
            _ => {}
        }
        self.response.clear();
        for c in line.chars() {
            if self.response.push(c).is_err() {
                break;
            }
        }
    }

    /// The command that was given last is not carried out, nor are the lines that are about it.
    pub fn skip(&mut self) {
        self.is_skipped = true;
    }

    /// The line of the command that was given last, from 1; 0 before the first.
    pub fn command(&self) -> usize {
        self.command
    }

    /// The last line that came back.
    pub fn last(&self) -> &str {
        &self.response
    }

    /// What [`Next::Failed`] is about.
    pub fn failed<'s>(&'s self, text: &'s str) -> Option<Failed<'s>> {
        let line = self.failed?;
        let at = |number: usize| text.lines().nth(number.checked_sub(1)?).map(Line::parse)?.ok();
        let command = match at(self.command) {
            Some(Line::Verb(command)) => command,
            _ => "",
        };
        let expected = match at(line) {
            Some(Line::Expect(expect)) => expect,
            _ => Expect::Ok,
        };
        Some(Failed { line, command, expected, response: &self.response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::string::{String, ToString};

    /// Runs a script against answers: the failure, if any.
    fn run(text: &str, answers: &[(&str, &[&str])]) -> Option<String> {
        let mut script = Script::new(text).unwrap();
        let mut answers = answers.iter();
        loop {
            match script.step(text) {
                Next::Send(line) => {
                    let (command, lines) = answers.next().unwrap();
                    assert_eq!(line, *command);
                    lines.iter().for_each(|line| script.response(line));
                }
                Next::Wait(ms) => assert_eq!(ms, 5),
                Next::Done => return None,
                Next::Failed => return script.failed(text).map(|failed| failed.to_string()),
            }
        }
    }

    #[test]
    fn what_is_expected_passes() {
        let text = "# a comment\n\n  cat /a\r\nEXPECT OK\nEXPECT SUBSTR boot_ms\nEXPECT NOT OK CAT\nWAIT 5\nping\n\
                    EXPECT OK\ncat /b\nEXPECT ERR\nEXPECT SUBSTR reason=notfound";
        let cat: &[&str] = &["OK CAT path=/a", "x", "boot_ms=41", "END"];
        let answers: [(&str, &[&str]); 3] =
            [("cat /a", cat), ("ping", &["PONG"]), ("cat /b", &["ERR CAT reason=notfound"])];
        assert_eq!(run(text, &answers), None);
    }

    #[test]
    fn the_first_failure_names_line_command_and_response() {
        let no: (&str, &[&str]) = ("cat /a", &["ERR CAT reason=busy"]);
        assert_eq!(
            run("cat /a\n\nEXPECT OK\nping\n", &[no]).unwrap(),
            "line 3: cat /a: expected OK, the response was: ERR CAT reason=busy"
        );
        assert_eq!(
            run("cat /a\nEXPECT SUBSTR reason=notfound", &[no]).unwrap(),
            "line 2: cat /a: expected 'reason=notfound', the response was: ERR CAT reason=busy"
        );
    }

    #[test]
    fn an_error_that_nothing_expects_is_a_failure() {
        let no: (&str, &[&str]) = ("cat /a", &["ERR CAT reason=busy"]);
        let said = "line 1: cat /a: expected OK, the response was: ERR CAT reason=busy";
        assert_eq!(run("cat /a\nWAIT 5\nping", &[no]).unwrap(), said);
        assert_eq!(run("cat /a", &[no]).unwrap(), said);
    }

    #[test]
    fn data_that_looks_like_an_answer_is_data() {
        let cat: (&str, &[&str]) = ("cat /a", &["OK CAT", "ERR CAT reason=busy", "\\END", "END"]);
        assert_eq!(run("cat /a\nEXPECT OK\nEXPECT SUBSTR \\END", &[cat]), None);
    }

    #[test]
    fn a_text_that_is_no_script_is_refused_whole() {
        let error = |text: &str| Script::new(text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error("EXPECT OK"), "line 1: nothing was sent that could be expected");
        assert_eq!(error("ping\nEXPECT MAYBE"), "line 2: EXPECT wants OK, ERR, SUBSTR <text> or NOT <text>");
        assert_eq!(
            error("ping\nEXPECT SUBSTR "),
            "line 2: EXPECT wants OK, ERR, SUBSTR <text> or NOT <text>"
        );
        assert_eq!(error("WAIT 2001"), "line 1: WAIT wants milliseconds, at most 2000");
        assert_eq!(error(&"ping\n".repeat(257)), "line 257: a script has at most 256 lines");
        assert_eq!(error(&"x".repeat(257)), "line 1: a line has at most 256 bytes");
    }
}
