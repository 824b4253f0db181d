//! Namespace text with its variables still in it: what bind/ files are, what the manifest holds,
//! and what a session's table is made from.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::line::{Error, Piece, Quoted, Var, Word, words};
use crate::path::check_name;
use crate::table::{Entry, MAX_ENTRIES, Refused, Table};

/// Deepest nesting of included files.
pub const MAX_INCLUDES: usize = 8;

/// What `$subject` and `$shard` stand for; a line that uses one that is not there is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vars<'a> {
    /// The session's subject, one path component.
    pub subject: Option<&'a str>,
    /// Its shard label.
    pub shard: Option<&'a str>,
}

impl<'a> Vars<'a> {
    fn get(&self, var: Var) -> Option<&'a str> {
        match var {
            Var::Subject => self.subject,
            Var::Shard => self.shard,
        }
    }
}

/// Parsed namespace text, included files in their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    file: Rc<str>,
    number: u32,
    ro: bool,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Mount { server: String, old: Word, spec: Word },
    Bind { new: Word, old: Word },
    Include(String),
}

impl Template {
    /// Text that includes nothing; `file` is its name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Template, Error> {
        let lines = parse_lines(file, text)?;
        match lines.iter().find(|line| matches!(line.what, What::Include(_))) {
            Some(line) => Err(line.error("no file is included here")),
            None => Ok(Template { lines }),
        }
    }

    /// The file `name` with all it includes, read by `read`, whose error is a sentence.
    pub fn load(name: &str, read: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Template, Error> {
        let mut template = Template { lines: Vec::new() };
        let text =
            read(name).map_err(|what| Error { file: name.to_string(), line: 0, what, refused: None })?;
        template.include(name, &text, 0, &mut 0, read)?;
        Ok(template)
    }

    fn include(
        &mut self,
        file: &str,
        text: &str,
        depth: usize,
        files: &mut usize,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<(), Error> {
        for line in parse_lines(file, text)? {
            let What::Include(name) = &line.what else {
                self.lines.push(line);
                continue;
            };
            if depth == MAX_INCLUDES {
                return Err(
                    line.error(&format!(". {name}: files include each other more than {MAX_INCLUDES} deep"))
                );
            }
            *files += 1;
            if *files > MAX_ENTRIES {
                return Err(line.error(&format!(". {name}: more than {MAX_ENTRIES} files are included")));
            }
            let text = read(name).map_err(|what| line.error(&format!(". {name}: {what}")))?;
            self.include(name, &text, depth + 1, files, read)?;
        }
        match self.lines.get(MAX_ENTRIES) {
            Some(line) => Err(line.error(&Refused::Full.to_string())),
            None => Ok(()),
        }
    }

    /// Whether sessions of one role get different tables from it.
    pub fn uses_vars(&self) -> bool {
        let varies = |word: &Word| word.0.iter().any(|piece| matches!(piece, Piece::Var(_)));
        self.lines.iter().any(|line| match &line.what {
            What::Mount { old, spec, .. } => varies(old) || varies(spec),
            What::Bind { new, old } => varies(new) || varies(old),
            What::Include(_) => false,
        })
    }

    /// The table of the session that `vars` describe.
    pub fn expand(&self, vars: &Vars<'_>) -> Result<Table, Error> {
        let mut table = Table::default();
        self.apply_to(&mut table, vars)?;
        Ok(table)
    }

    fn apply_to(&self, table: &mut Table, vars: &Vars<'_>) -> Result<(), Error> {
        self.lines.iter().try_for_each(|line| line.apply(table, vars).map_err(|wrong| line.wrong(wrong)))
    }

    /// The same, but for lines that say what is so already.
    pub(crate) fn add_to(&self, table: &mut Table) -> Result<(), Error> {
        let vars = Vars::default();
        self.lines.iter().try_for_each(|line| {
            if line.is_in(table) {
                Ok(())
            } else {
                line.apply(table, &vars).map_err(|wrong| line.wrong(wrong))
            }
        })
    }

    /// The template without the mounts of servers that are not `enabled`, and without the binds
    /// of what they would have served: those paths then do not exist.
    pub fn enabled(&self, enabled: &dyn Fn(&str) -> bool) -> Result<Template, Error> {
        let vars = Vars { subject: Some("subject"), shard: Some("00") };
        let (mut table, mut missing) = (Table::default(), Table::default());
        let mut lines = Vec::new();
        for line in &self.lines {
            let skipped = match &line.what {
                What::Mount { server, .. } => !enabled(server),
                // A bind whose NEW leads nowhere is gone only if NEW is part of what is missing.
                What::Bind { .. } => line.apply(&mut table.clone(), &vars).is_err_and(|wrong| {
                    matches!(wrong, Wrong::Refused(Refused::Nowhere(_)))
                        && line.apply(&mut missing.clone(), &vars).is_ok()
                }),
                What::Include(_) => false,
            };
            let target = if skipped { &mut missing } else { &mut table };
            line.apply(target, &vars).map_err(|wrong| line.error(&wrong.to_string()))?;
            if !skipped {
                lines.push(line.clone());
            }
        }
        Ok(Template { lines })
    }

    /// File, line number and text of every line. Lines and a table's entries correspond one to one.
    pub fn lines(&self) -> impl Iterator<Item = (&str, u32, String)> {
        self.lines.iter().map(|line| (&*line.file, line.number, line.to_string()))
    }
}

/// Why a line made no entry.
enum Wrong {
    NoVar(Var),
    BadVar(Var),
    Refused(Refused),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::NoVar(var) => write!(f, "${}: this session has none", var.name()),
            Wrong::BadVar(var) => write!(f, "${}: its value is no path component", var.name()),
            Wrong::Refused(why) => why.fmt(f),
        }
    }
}

impl Line {
    fn error(&self, what: &str) -> Error {
        Error { file: self.file.to_string(), line: self.number, what: what.to_string(), refused: None }
    }

    fn wrong(&self, wrong: Wrong) -> Error {
        let error = self.error(&wrong.to_string());
        match wrong {
            Wrong::Refused(why) => Error { refused: Some(why), ..error },
            Wrong::NoVar(_) | Wrong::BadVar(_) => error,
        }
    }

    /// Does the table say so already, the line being of a session that has no variables?
    fn is_in(&self, table: &Table) -> bool {
        match &self.what {
            What::Mount { server, old, spec } => match (old.plain(), spec.plain()) {
                (Some(old), Some(spec)) => table.has(Entry::Mount { ro: self.ro, server, old, spec }),
                _ => false,
            },
            What::Bind { new, old } => match (new.plain(), old.plain()) {
                (Some(new), Some(old)) => table.has(Entry::Bind { ro: self.ro, new, old }),
                _ => false,
            },
            What::Include(_) => false,
        }
    }

    fn apply(&self, table: &mut Table, vars: &Vars<'_>) -> Result<(), Wrong> {
        match &self.what {
            What::Mount { server, old, spec } => {
                table.mount(server, &expand(old, vars)?, &expand(spec, vars)?, self.ro)
            }
            What::Bind { new, old } => table.bind(&expand(new, vars)?, &expand(old, vars)?, self.ro),
            What::Include(_) => Ok(()),
        }
        .map_err(Wrong::Refused)
    }
}

fn expand(word: &Word, vars: &Vars<'_>) -> Result<String, Wrong> {
    let mut text = String::new();
    for piece in &word.0 {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Var(var) => {
                let value = vars.get(*var).ok_or(Wrong::NoVar(*var))?;
                // One component stays one: a subject cannot write a path of its own.
                check_name(value).map_err(|_| Wrong::BadVar(*var))?;
                text.push_str(value);
            }
        }
    }
    Ok(text)
}

fn parse_lines(file: &str, text: &str) -> Result<Vec<Line>, Error> {
    let file: Rc<str> = file.into();
    let mut lines = Vec::new();
    for (i, text) in text.split('\n').enumerate() {
        let number = u32::try_from(i + 1).unwrap_or(u32::MAX);
        let mut line = Line { file: file.clone(), number, ro: false, what: What::Include(String::new()) };
        let words = words(text).map_err(|what| line.error(&what))?;
        let Some((verb, mut args)) = words.split_first() else { continue };
        let verb = verb.plain().unwrap_or("$");
        if verb != "."
            && let Some((flag, rest)) = args.split_first()
            && flag.plain() == Some("-r")
        {
            (line.ro, args) = (true, rest);
        }
        line.what = match (verb, args) {
            ("mount", [server, old, spec @ ..]) if spec.len() <= 1 => {
                let Some(server) = server.plain() else {
                    return Err(line.error("a server's name has no variable in it"));
                };
                let spec = spec.first().cloned().unwrap_or_default();
                What::Mount { server: server.to_string(), old: old.clone(), spec }
            }
            ("mount", _) => return Err(line.error("mount [-r] SERVER OLD [SPEC] expected")),
            ("bind", [new, old]) => What::Bind { new: new.clone(), old: old.clone() },
            ("bind", _) => return Err(line.error("bind [-r] NEW OLD expected")),
            (".", [name]) => match name.plain().map(|name| (name, check_name(name))) {
                Some((name, Ok(()))) => What::Include(name.to_string()),
                _ => return Err(line.error(". takes the name of a file in the same directory")),
            },
            (".", _) => return Err(line.error(". FILE expected")),
            (other, _) => {
                return Err(line.error(&format!("{} found; mount, bind and . allowed", Quoted(other))));
            }
        };
        lines.push(line);
        if lines.len() > MAX_ENTRIES {
            return Err(lines[MAX_ENTRIES].error(&Refused::Full.to_string()));
        }
    }
    Ok(lines)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = if self.ro { "-r " } else { "" };
        match &self.what {
            What::Mount { server, old, spec } if spec.0.is_empty() => {
                write!(f, "mount {flag}{} {old}", Quoted(server))
            }
            What::Mount { server, old, spec } => write!(f, "mount {flag}{} {old} {spec}", Quoted(server)),
            What::Bind { new, old } => write!(f, "bind {flag}{new} {old}"),
            What::Include(name) => write!(f, ". {}", Quoted(name)),
        }
    }
}

/// In bind/ form without comments: what [`Template::parse`] makes the same template from, but
/// for the places in error messages.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    fn load(files: &[(&str, &str)]) -> Result<Template, Error> {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        Template::load("top", &mut |name| {
            files.get(name).map(ToString::to_string).ok_or_else(|| "no such file".to_string())
        })
    }

    #[test]
    fn an_included_file_stands_in_its_place() {
        let template = load(&[("top", "mount a /a\n. sub\nmount c /c\n"), ("sub", "# b\nmount b /b x\n")]);
        assert_eq!(template.expect("loads").to_string(), "mount a /a\nmount b /b x\nmount c /c\n");
    }

    #[test]
    fn errors_name_the_file_that_has_them() {
        let error = load(&[("top", "\n. sub\n"), ("sub", "mount\n")]).expect_err("bad");
        assert_eq!(error.to_string(), "sub:1: mount [-r] SERVER OLD [SPEC] expected");
        let error = load(&[("top", "\n. sub\n")]).expect_err("bad");
        assert_eq!(error.to_string(), "top:2: . sub: no such file");
        let error = load(&[("top", ". ../etc\n")]).expect_err("bad");
        assert_eq!(error.to_string(), "top:1: . takes the name of a file in the same directory");
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        let error = load(&[("top", ". top\n")]).expect_err("bad");
        assert_eq!(error.to_string(), "top:1: . top: files include each other more than 8 deep");
    }

    #[test]
    fn files_that_multiply_without_an_entry_are_refused() {
        let twice = |name| std::format!(". {name}\n").repeat(60);
        let (a, b, c) = (twice("b"), twice("c"), twice("d"));
        let error = load(&[("top", &a), ("b", &b), ("c", &c), ("d", "")]).expect_err("bad");
        assert!(error.what.contains("more than 64 files"), "{error}");
    }

    #[test]
    fn a_text_with_too_many_entries_is_refused() {
        let text: String = (0..65).map(|i| format!("mount a /{i}\n")).collect();
        let error = Template::parse("t", &text).expect_err("bad");
        assert_eq!(error.to_string(), "t:65: a name space has at most 64 entries and 32768 bytes");
        // Nor by including.
        let (top, ten) = (". ten\n".repeat(7), "mount a /a\n".repeat(10));
        let error = load(&[("top", &top), ("ten", &ten)]).expect_err("bad");
        assert!(error.what.contains("at most 64"), "{error}");
    }

    #[test]
    fn variables_are_the_sessions() {
        let template = Template::parse("t", "mount worker /worker/$subject $subject\n").expect("parses");
        assert!(template.uses_vars());
        let table = template.expand(&Vars { subject: Some("w-1"), shard: None }).expect("expands");
        assert_eq!(table.to_string(), "mount worker /worker/w-1 w-1\n");
        let error = template.expand(&Vars::default()).expect_err("no subject");
        assert_eq!(error.to_string(), "t:1: $subject: this session has none");
        for subject in ["../x", "a/b", "..", ""] {
            let error = template.expand(&Vars { subject: Some(subject), shard: None }).expect_err(subject);
            assert_eq!(error.what, "$subject: its value is no path component");
        }
    }

    #[test]
    fn a_disabled_server_takes_its_binds_along() {
        let text = "mount a /a\nmount gpu /gpu\nbind /gpu/models /models\nbind /models /m\nbind /a /b\n";
        let template = Template::parse("t", text).expect("parses");
        let kept = template.enabled(&|server| server == "a").expect("enabled");
        assert_eq!(kept.to_string(), "mount a /a\nbind /a /b\n");
        let error = Template::parse("t", "mount a /a\nbind /c /d\n")
            .and_then(|template| template.enabled(&|_| true))
            .expect_err("/c is not part of anything");
        assert_eq!(error.to_string(), "t:2: /c: nothing is mounted there");
    }

    #[test]
    fn wrong_lines_say_what_is_right() {
        for (text, says) in [
            ("mnt a /a", "mnt found; mount, bind and . allowed"),
            ("bind /a", "bind [-r] NEW OLD expected"),
            ("bind /a /b /c", "bind [-r] NEW OLD expected"),
            ("mount a", "mount [-r] SERVER OLD [SPEC] expected"),
            ("mount $subject /a", "a server's name has no variable in it"),
            ("bind -b /a /b", "bind [-r] NEW OLD expected"),
            (". a b", ". FILE expected"),
        ] {
            assert_eq!(parse_lines("t", text).expect_err(text).what, says);
        }
    }
}
