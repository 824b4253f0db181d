//! TOML text to a resolved tree: every key looked up in [`KEYS`], every value checked, absent
//! ones filled in. All that is wrong is reported, not the first alone: a value that is refused
//! is replaced by the default, so that the rest can still be looked at.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::keys::{Absent, Allowed, KEYS, Key, is_wildcard};
use super::problem::Problem;
use super::served::{self, KINDS, ROLES};

/// A manifest's text, resolved, and where its keys stand.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) tree: Table,
    pub(crate) lines: Lines,
    pub(crate) problems: Vec<Problem>,
}

/// Where keys stand, and how to complain about one.
#[derive(Debug)]
pub(crate) struct Lines {
    file: String,
    of: BTreeMap<String, u32>,
}

impl Lines {
    /// A complaint about a key: at its line, or at that of the nearest section around it.
    pub(crate) fn problem(&self, key: &str, what: &str) -> Problem {
        Problem { file: self.file.clone(), line: self.line(key), what: format!("{key}: {what}") }
    }

    pub(crate) fn line(&self, mut key: &str) -> u32 {
        loop {
            if let Some(line) = self.of.get(key) {
                return *line;
            }
            match key.rfind(['.', '[']) {
                Some(at) => key = &key[..at],
                None => return 0,
            }
        }
    }

    /// Whether the manifest itself says it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.of.contains_key(key)
    }
}

pub(crate) fn read(file: &str, text: &str) -> Result<Read, Problem> {
    let line_at = |offset: usize| {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        u32::try_from(1 + before.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u32::MAX)
    };
    let document = DeTable::parse(text).map_err(|error| Problem {
        file: file.to_owned(),
        line: error.span().map_or(0, |span| line_at(span.start)),
        what: format!("not TOML: {}", error.message()),
    })?;
    let mut walk = Walk {
        lines: Lines { file: file.to_owned(), of: BTreeMap::new() },
        problems: Vec::new(),
        line_at: &line_at,
    };
    let mut tree = walk.table("", "", document.get_ref());
    fill("", "", &mut tree, &mut |key, path| {
        if key.absent == Absent::Refused && !walk.lines.has(path) {
            let what = format!("missing; {} allowed", key.allowed);
            walk.problems.push(walk.lines.problem(path, &what));
        }
    });
    Ok(Read { tree, lines: walk.lines, problems: walk.problems })
}

struct Walk<'a> {
    lines: Lines,
    problems: Vec<Problem>,
    line_at: &'a dyn Fn(usize) -> u32,
}

impl Walk<'_> {
    /// `path` is the table's concrete path, `pattern` the one in [`KEYS`].
    fn table(&mut self, path: &str, pattern: &str, table: &DeTable<'_>) -> Table {
        let mut out = Table::new();
        for (name, value) in table {
            let here = join(path, name.get_ref());
            let line = (self.line_at)(name.span().start);
            self.lines.of.entry(here.clone()).or_insert(line);
            let Some(pattern) = self.pattern(&here, pattern, name.get_ref()) else { continue };
            if let Some(value) = self.value(&here, &pattern, value.get_ref()) {
                out.insert(name.get_ref().to_string(), value);
            }
        }
        out
    }

    /// The pattern of `pattern`'s member `name`; if there is none, or the name is not one, that
    /// is reported.
    fn pattern(&mut self, here: &str, pattern: &str, name: &str) -> Option<String> {
        let members = members(pattern);
        let wildcard = members.iter().find(|member| is_wildcard(member));
        let allowed = match wildcard.copied() {
            None if members.iter().any(|member| member.trim_end_matches("[]") == name) => {
                return Some(join(pattern, name));
            }
            None => {
                let near = nearest(name, &members);
                let hint = near.map_or_else(
                    || format!("{} allowed", members.join(", ").replace("[]", "")),
                    |near| format!("did you mean {near}?"),
                );
                self.problems.push(self.lines.problem(here, &format!("unknown key; {hint}")));
                return None;
            }
            Some("NAME") if served::find(name).is_none() => {
                Some(served::SERVERS.iter().map(|server| server.name).collect::<Vec<_>>().join(", "))
            }
            Some("ROLE") if !ROLES.contains(&name) => Some(ROLES.join(", ")),
            Some("KIND") if !KINDS.contains(&name) => Some(KINDS.join(", ")),
            Some("ID") if !is_name(name) => Some(Allowed::Name.to_string()),
            Some(_) => None,
        };
        if let Some(allowed) = allowed {
            self.problems.push(self.lines.problem(here, &format!("{name} found; {allowed} allowed")));
            return None;
        }
        wildcard.map(|member| join(pattern, member))
    }

    fn value(&mut self, here: &str, pattern: &str, value: &DeValue<'_>) -> Option<Value> {
        if let Some(key) = KEYS.iter().find(|key| key.path == pattern) {
            return match leaf(key.allowed, value) {
                Ok(value) => Some(value),
                Err(found) => {
                    self.problems
                        .push(self.lines.problem(here, &format!("{found} found; {} allowed", key.allowed)));
                    None
                }
            };
        }
        let elements = format!("{pattern}[]");
        let is_array = KEYS.iter().any(|key| key.path.starts_with(&elements));
        match value {
            DeValue::Table(table) if !is_array => Some(Value::Table(self.table(here, pattern, table))),
            DeValue::Array(array) if is_array => {
                let mut out = Vec::new();
                for (i, element) in array.iter().enumerate() {
                    let here = format!("{here}[{i}]");
                    self.lines.of.insert(here.clone(), (self.line_at)(element.span().start));
                    match element.get_ref() {
                        DeValue::Table(table) => out.push(Value::Table(self.table(&here, &elements, table))),
                        other => self.not_a_section(&here, "[[…]]", other),
                    }
                }
                Some(Value::Array(out))
            }
            other => {
                let form = if is_array { format!("[[{here}]]") } else { format!("[{here}]") };
                self.not_a_section(here, &form, other);
                None
            }
        }
    }

    fn not_a_section(&mut self, here: &str, form: &str, found: &DeValue<'_>) {
        let what = format!("{} found; a section {form} allowed", show(found));
        self.problems.push(self.lines.problem(here, &what));
    }
}

/// Puts defaults where [`KEYS`] has one and the tree has nothing; tells `absent` of every key
/// that is not there.
fn fill(path: &str, pattern: &str, table: &mut Table, absent: &mut dyn FnMut(&Key, &str)) {
    for member in members(pattern) {
        let name = member.trim_end_matches("[]");
        let below = join(pattern, member);
        if is_wildcard(member) {
            for (name, value) in table.iter_mut() {
                if let Value::Table(table) = value {
                    fill(&join(path, name), &below, table, absent);
                }
            }
            continue;
        }
        let here = join(path, name);
        if let Some(key) = KEYS.iter().find(|key| key.path == below) {
            if !table.contains_key(name) {
                absent(key, &here);
                if let Some(value) = default_of(key.absent) {
                    table.insert(name.to_string(), value);
                }
            }
        } else if member.ends_with("[]") {
            let entry = table.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            for (i, element) in entry.as_array_mut().into_iter().flatten().enumerate() {
                if let Value::Table(table) = element {
                    fill(&format!("{here}[{i}]"), &below, table, absent);
                }
            }
        } else {
            let entry = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(table) = entry {
                fill(&here, &below, table, absent);
            }
        }
    }
}

fn default_of(absent: Absent) -> Option<Value> {
    match absent {
        Absent::Refused | Absent::None | Absent::ByServer => None,
        Absent::Int(value) => Some(Value::Integer(value)),
        Absent::Bool(value) => Some(Value::Boolean(value)),
        Absent::Text(text) => Some(Value::String(text.to_string())),
        Absent::List(list) => Some(Value::Array(list.iter().map(|text| Value::from(*text)).collect())),
    }
}

/// The components that may follow `pattern`, in the table's order.
fn members(pattern: &str) -> Vec<&'static str> {
    let mut members = Vec::new();
    for key in KEYS {
        let rest = match pattern {
            "" => Some(key.path),
            _ => key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.')),
        };
        if let Some(member) = rest.and_then(|rest| rest.split('.').next())
            && !members.contains(&member)
        {
            members.push(member);
        }
    }
    members
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// The value, or how to name what was found instead.
fn leaf(allowed: Allowed, value: &DeValue<'_>) -> Result<Value, String> {
    let text = |sound: &dyn Fn(&str) -> bool| match value {
        DeValue::String(text) if sound(text) => Ok(Value::String(text.to_string())),
        other => Err(show(other)),
    };
    match allowed {
        Allowed::Int(min, max) => integer(value).filter(|i| (min..=max).contains(i)).map(Value::Integer),
        Allowed::PowerOfTwo(min, max) => {
            integer(value).filter(|i| (min..=max).contains(i) && i.count_ones() == 1).map(Value::Integer)
        }
        Allowed::Bool => match value {
            DeValue::Boolean(value) => Some(Value::Boolean(*value)),
            _ => None,
        },
        Allowed::Word(words) => return text(&|text| words.contains(&text)),
        Allowed::Name => return text(&is_name),
        Allowed::File => return text(&is_file),
        Allowed::Path | Allowed::Addr => return text(&|text| !text.is_empty() && !text.contains('\0')),
        Allowed::FileReference => return text(&|text| is_reference(text, "file:")),
        Allowed::PublicKey => return text(&|text| text.len() == 64 && text.bytes().all(is_hex)),
        // Whatever stands there may be the secret itself: it is not repeated.
        Allowed::Secret => {
            return text(&|text| is_reference(text, "file:") || is_reference(text, "env:"))
                .map_err(|_| "a literal (not shown)".to_string());
        }
        Allowed::Targets => list(value, &|element| {
            let text = element.as_str().filter(|text| is_target(text))?;
            Some(Value::String(text.to_owned()))
        }),
        Allowed::Mimes => list(value, &|element| {
            let text = element.as_str().filter(|text| is_mime(text))?;
            Some(Value::String(text.to_owned()))
        }),
        Allowed::Files => list(value, &|element| leaf(Allowed::File, element).ok()),
        Allowed::Cores => list(value, &|element| leaf(Allowed::Int(0, 255), element).ok()),
    }
    .ok_or_else(|| show(value))
}

fn list(value: &DeValue<'_>, element: &dyn Fn(&DeValue<'_>) -> Option<Value>) -> Option<Value> {
    let elements: Option<Vec<Value>> =
        value.as_array()?.iter().map(|spanned| element(spanned.get_ref())).collect();
    elements.map(Value::Array)
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// `type/subtype`, without parameters; `type/*` is all of a kind.
fn is_mime(text: &str) -> bool {
    let is_word = |word: &str| {
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b);
        (1..=63).contains(&word.len()) && word.bytes().all(sound)
    };
    text.split_once('/').is_some_and(|(kind, sub)| is_word(kind) && (sub == "*" || is_word(sub)))
}

fn is_name(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(sound)
}

fn is_file(text: &str) -> bool {
    ns::check_name(text).is_ok() && !text.chars().any(char::is_control)
}

/// An absolute path of at most 8 components (DESIGN 4).
fn is_target(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(|rest| rest.split('/').count() <= 8 && rest.split('/').all(is_file))
}

fn is_reference(text: &str, scheme: &str) -> bool {
    text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.contains('\0'))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 40 => {
            format!("{:?}…", text.chars().take(40).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.as_str().to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) => {
            let elements: Vec<String> = array.iter().map(|element| show(element.get_ref())).collect();
            format!("[{}]", elements.join(", "))
        }
        DeValue::Table(_) => "a section".to_string(),
    }
}

/// The member at most two edits away, if there is one.
fn nearest<'m>(name: &str, members: &[&'m str]) -> Option<&'m str> {
    let near = |member: &&&str| edits(name, member.trim_end_matches("[]")) <= 2;
    members.iter().find(near).map(|member| member.trim_end_matches("[]"))
}

/// Levenshtein's distance, over characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let cost = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
