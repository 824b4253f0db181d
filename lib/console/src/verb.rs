//! Lines to verbs: one table of words, and how many words each wants.

use crate::answer::Answer;
use crate::editor::Fault;
use crate::root::RootVerb;
use crate::words::Words;

/// Most `k=v` words of a spawn.
pub const FIELDS_MAX: usize = 16;
/// Longest time-out of a test, seconds.
const TIMEOUT_MAX_S: u32 = 3600;
/// Where a test has no `--timeout`.
const TIMEOUT_S: u32 = 60;

/// What `help` lists.
pub const HELP: &[&str] = &[
    "attach <role> [ticket]         begin a session",
    "bind <a> <b>                   make a appear at b",
    "cat <path>                     show a file",
    "detach                         end the session",
    "echo <text> > <path>           write a line to a file",
    "help                           this list",
    "kill <id>                      end a worker",
    "lifecycle <word>               cordon, drain, resume, quiesce or reset the hive",
    "log                            the last lines of /log/queen.log",
    "ls <path>                      list a directory",
    "mount <server> <path>          make a server's tree appear at a path",
    "ping                           PONG",
    "quit                           leave",
    "spawn <kind> [k=v ...]         start a worker",
    "tail <path>                    show the end of a file and what is added, until the next line",
    "test [--mode quick|full|negative|smp] [--json] [--timeout s] [--no-mutate]",
];

/// One command of a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb<'a> {
    /// `AUTH <token>`
    Auth {
        /// The rest of the line.
        token: &'a str,
    },
    /// `help`
    Help,
    /// `ping`
    Ping,
    /// `attach <role> [ticket]`
    Attach {
        /// `role` or `role:subject`.
        role: &'a str,
        /// The ticket, where one is shown.
        ticket: Option<&'a str>,
    },
    /// `detach`
    Detach,
    /// `log`
    Log,
    /// `tail <path>`
    Tail {
        /// A valid path, as are those below.
        path: &'a str,
    },
    /// `cat <path>`
    Cat {
        /// The file.
        path: &'a str,
    },
    /// `ls <path>`
    Ls {
        /// The directory.
        path: &'a str,
    },
    /// `echo <text> > <path>`
    Echo {
        /// What to write, as it stands.
        text: &'a str,
        /// The file.
        path: &'a str,
    },
    /// `spawn <kind> [k=v …]`
    Spawn {
        /// heartbeat, gpu, bus or lora.
        kind: &'a str,
        /// Its fields.
        fields: Fields<'a>,
    },
    /// `kill <id>`
    Kill {
        /// The worker.
        id: &'a str,
    },
    /// `bind <a> <b>`
    Bind {
        /// A path that is there.
        from: &'a str,
        /// Where it appears.
        to: &'a str,
    },
    /// `mount <server> <path>`
    Mount {
        /// A server, as the manifest names it.
        server: &'a str,
        /// Where its tree appears.
        at: &'a str,
    },
    /// `lifecycle <word>`
    Lifecycle {
        /// cordon, drain, resume, quiesce or reset; the queen says which there are.
        word: &'a str,
    },
    /// `test …`
    Test(TestArgs),
    /// `quit`
    Quit,
    /// A verb of the serial root console.
    Root(RootVerb),
}

/// The `k=v` words of a spawn, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    words: &'a str,
}

impl<'a> Fields<'a> {
    /// Keys, none empty, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.words.split(' ').filter_map(|word| word.split_once('='))
    }
}

/// Which self test, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestArgs {
    /// Which of the scripts.
    pub mode: Mode,
    /// One line of JSON in place of lines for people.
    pub is_json: bool,
    /// It fails that has not ended by then.
    pub timeout_s: u32,
    /// Only what changes nothing.
    pub is_read_only: bool,
}

/// A self test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// That the hive answers.
    Quick,
    /// What it can.
    Full,
    /// What it refuses.
    Negative,
    /// Several processors.
    Smp,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 4] = [Mode::Quick, Mode::Full, Mode::Negative, Mode::Smp];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Quick => "quick",
            Mode::Full => "full",
            Mode::Negative => "negative",
            Mode::Smp => "smp",
        }
    }

    /// The mode of a word.
    pub fn of(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == word)
    }
}

/// Why a line is no verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The word of the answer; `LINE` where the line has no verb.
    pub verb: &'static str,
    /// The word of spec 4.5.
    pub reason: &'static str,
    /// What is wrong, for people.
    pub detail: &'static str,
}

impl Refused {
    fn invalid(verb: &'static str, detail: &'static str) -> Refused {
        Refused { verb, reason: "invalid", detail }
    }

    /// The ERR line.
    pub fn answer(self) -> Answer {
        Answer::err(self.verb, self.reason).with("detail", self.detail)
    }
}

impl<'a> Verb<'a> {
    /// Reads a line that an [`crate::Editor`] or [`crate::check_line`] has passed.
    pub fn parse(line: &'a str) -> Result<Verb<'a>, Refused> {
        let words = Words::of(line);
        let rest = words.rest();
        let is_free = matches!(words.first(), "echo" | "AUTH");
        if words.has_too_many && !is_free {
            return Err(Refused::invalid("LINE", "too many words"));
        }
        let no = |verb, detail| Err(Refused::invalid(verb, detail));
        match (words.first(), rest) {
            ("AUTH", [_, ..]) => Ok(Verb::Auth { token: words.text() }),
            ("AUTH", _) => no("AUTH", "usage: AUTH <token>"),
            ("help", []) => Ok(Verb::Help),
            ("help", _) => no("HELP", "usage: help"),
            ("ping", []) => Ok(Verb::Ping),
            ("ping", _) => no("PING", "usage: ping"),
            ("attach", [role]) => Ok(Verb::Attach { role, ticket: None }),
            ("attach", [role, ticket]) => Ok(Verb::Attach { role, ticket: Some(ticket) }),
            ("attach", _) => no("ATTACH", "usage: attach <role> [ticket]"),
            ("detach", []) => Ok(Verb::Detach),
            ("detach", _) => no("DETACH", "usage: detach"),
            ("log", []) => Ok(Verb::Log),
            ("log", _) => no("LOG", "usage: log"),
            ("tail", [path]) => Ok(Verb::Tail { path: checked("TAIL", path)? }),
            ("tail", _) => no("TAIL", "usage: tail <path>"),
            ("cat", [path]) => Ok(Verb::Cat { path: checked("CAT", path)? }),
            ("cat", _) => no("CAT", "usage: cat <path>"),
            ("ls", [path]) => Ok(Verb::Ls { path: checked("LS", path)? }),
            ("ls", _) => no("LS", "usage: ls <path>"),
            ("echo", _) => match words.redirected() {
                Some((text, path)) if !text.is_empty() && !path.is_empty() && !path.contains(' ') => {
                    Ok(Verb::Echo { text, path: checked("ECHO", path)? })
                }
                _ => no("ECHO", "usage: echo <text> > <path>"),
            },
            ("spawn", [kind, fields @ ..]) if !kind.contains('=') => spawn(kind, fields.len(), words.text()),
            ("spawn", _) => no("SPAWN", "usage: spawn <kind> [k=v ...]"),
            ("kill", [id]) => Ok(Verb::Kill { id }),
            ("kill", _) => no("KILL", "usage: kill <id>"),
            ("bind", [a, b]) => Ok(Verb::Bind { from: checked("BIND", a)?, to: checked("BIND", b)? }),
            ("bind", _) => no("BIND", "usage: bind <a> <b>"),
            ("mount", [server, at]) => Ok(Verb::Mount { server, at: checked("MOUNT", at)? }),
            ("mount", _) => no("MOUNT", "usage: mount <server> <path>"),
            ("lifecycle", [word]) => Ok(Verb::Lifecycle { word }),
            ("lifecycle", _) => no("LIFECYCLE", "usage: lifecycle <word>"),
            ("test", options) => test(options),
            ("quit", []) => Ok(Verb::Quit),
            ("quit", _) => no("QUIT", "usage: quit"),
            (word, rest) => match RootVerb::of(word) {
                Some(verb) if rest.is_empty() => Ok(Verb::Root(verb)),
                Some(verb) => no(verb.name(), "it takes no argument"),
                None => no("LINE", "no such verb; see help"),
            },
        }
    }

    /// A line or what is wrong with it, to a verb or to what is wrong.
    pub fn of(line: Result<&'a str, Fault>) -> Result<Verb<'a>, Refused> {
        Verb::parse(line.map_err(Fault::refused)?)
    }

    /// The word of its answer.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Auth { .. } => "AUTH",
            Verb::Help => "HELP",
            Verb::Ping => "PING",
            Verb::Attach { .. } => "ATTACH",
            Verb::Detach => "DETACH",
            Verb::Log => "LOG",
            Verb::Tail { .. } => "TAIL",
            Verb::Cat { .. } => "CAT",
            Verb::Ls { .. } => "LS",
            Verb::Echo { .. } => "ECHO",
            Verb::Spawn { .. } => "SPAWN",
            Verb::Kill { .. } => "KILL",
            Verb::Bind { .. } => "BIND",
            Verb::Mount { .. } => "MOUNT",
            Verb::Lifecycle { .. } => "LIFECYCLE",
            Verb::Test(_) => "TEST",
            Verb::Quit => "QUIT",
            Verb::Root(verb) => verb.name(),
        }
    }

    /// Does its OK open a stream?
    pub fn is_stream(&self) -> bool {
        use Verb::{Cat, Help, Log, Ls, Tail, Test};
        matches!(self, Tail { .. } | Cat { .. } | Ls { .. } | Log | Help | Test(_))
    }
}

fn checked<'a>(verb: &'static str, path: &'a str) -> Result<&'a str, Refused> {
    use ns::PathError;
    let detail = match ns::Path::parse(path) {
        Ok(_) => return Ok(path),
        Err(PathError::Relative) => "a path begins with /",
        Err(PathError::Empty) => "a path has no empty component and no / at its end",
        Err(PathError::TooDeep) => "a path has at most 8 components",
        Err(PathError::Dot) => ". and .. are no names here",
        Err(_) => "no path",
    };
    Err(Refused::invalid(verb, detail))
}

fn spawn<'a>(kind: &'a str, count: usize, text: &'a str) -> Result<Verb<'a>, Refused> {
    let fields = Fields { words: text.strip_prefix(kind).unwrap_or_default() };
    if count > FIELDS_MAX {
        return Err(Refused::invalid("SPAWN", "at most 16 fields"));
    }
    if fields.iter().filter(|(key, _)| !key.is_empty()).count() != count {
        return Err(Refused::invalid("SPAWN", "a field is of the form k=v"));
    }
    Ok(Verb::Spawn { kind, fields })
}

fn test(options: &[&str]) -> Result<Verb<'static>, Refused> {
    const USAGE: &str = "usage: test [--mode quick|full|negative|smp] [--json] [--timeout s] [--no-mutate]";
    let usage = Refused::invalid("TEST", USAGE);
    let mut args = TestArgs { mode: Mode::Quick, is_json: false, timeout_s: TIMEOUT_S, is_read_only: false };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--mode" => args.mode = options.next().and_then(|word| Mode::of(word)).ok_or(usage)?,
            "--json" => args.is_json = true,
            "--no-mutate" => args.is_read_only = true,
            "--timeout" => {
                let number = options.next().and_then(|word| word.parse().ok());
                args.timeout_s = number.filter(|s| (1..=TIMEOUT_MAX_S).contains(s)).ok_or(usage)?;
            }
            _ => return Err(usage),
        }
    }
    Ok(Verb::Test(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(line: &str) -> &'static str {
        Verb::parse(line).unwrap_err().detail
    }

    #[test]
    fn every_verb_reads() {
        for (line, verb) in [
            ("AUTH a b", Verb::Auth { token: "a b" }),
            ("help", Verb::Help),
            (" ping  ", Verb::Ping),
            ("attach queen", Verb::Attach { role: "queen", ticket: None }),
            ("attach o:x coh1.a", Verb::Attach { role: "o:x", ticket: Some("coh1.a") }),
            ("detach", Verb::Detach),
            ("log", Verb::Log),
            ("tail /log/queen.log", Verb::Tail { path: "/log/queen.log" }),
            ("ls /", Verb::Ls { path: "/" }),
            (
                "echo {\"kill\":\"x y\"} > /queen/ctl",
                Verb::Echo { text: "{\"kill\":\"x y\"}", path: "/queen/ctl" },
            ),
            ("kill worker-1", Verb::Kill { id: "worker-1" }),
            ("bind /a /b", Verb::Bind { from: "/a", to: "/b" }),
            ("mount gpu /g", Verb::Mount { server: "gpu", at: "/g" }),
            ("lifecycle drain", Verb::Lifecycle { word: "drain" }),
            ("quit", Verb::Quit),
            ("bi", Verb::Root(RootVerb::BootInfo)),
        ] {
            assert_eq!(Verb::parse(line), Ok(verb), "{line}");
        }
        let args = TestArgs { mode: Mode::Full, is_json: true, timeout_s: 9, is_read_only: true };
        assert_eq!(Verb::parse("test --mode full --json --timeout 9 --no-mutate"), Ok(Verb::Test(args)));
    }

    #[test]
    fn fields_come_in_order() {
        let Ok(Verb::Spawn { kind, fields }) = Verb::parse("spawn gpu  a=1 b.c=d=e ") else { panic!() };
        assert_eq!(kind, "gpu");
        assert!(fields.iter().eq([("a", "1"), ("b.c", "d=e")]));
    }

    #[test]
    fn what_is_no_verb_says_what_is_wanted() {
        assert_eq!(detail("PING"), "no such verb; see help");
        assert_eq!(detail("cat"), "usage: cat <path>");
        assert_eq!(detail("cat proc"), "a path begins with /");
        assert_eq!(detail("cat /a/../b"), ". and .. are no names here");
        assert_eq!(detail("cat /1/2/3/4/5/6/7/8/9"), "a path has at most 8 components");
        assert_eq!(detail("echo > /a"), "usage: echo <text> > <path>");
        assert_eq!(detail("echo a > /a b"), "usage: echo <text> > <path>");
        assert_eq!(detail("spawn gpu a=1 =2"), detail("spawn gpu a"));
        assert_eq!(detail("spawn heartbeat ticks"), "a field is of the form k=v");
        assert_eq!(detail("test --timeout 0"), detail("test x"));
        assert_eq!(detail("smp now"), "it takes no argument");
    }

    #[test]
    fn help_names_every_verb() {
        for verb in ["attach", "bind", "cat", "detach", "echo", "help", "kill", "lifecycle", "log", "ls"] {
            assert!(HELP.iter().any(|line| line.starts_with(verb)), "{verb}");
        }
        assert!(HELP.iter().all(|line| line.len() <= 100));
    }
}
