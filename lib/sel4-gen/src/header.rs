//! Reads C headers as far as a kernel's interface needs: conditionals on the configuration, enumerations,
//! simple macros, and structures' members.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::expr;

/// The named integers of the headers read so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constants {
    values: BTreeMap<String, i128>,
}

/// One member of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) is_pointer: bool,
    /// The array's length as written, if it is an array.
    pub(crate) array: Option<String>,
}

/// The text that is left when comments are gone and the conditionals are decided. Macros of the header
/// itself stay as lines; only `CONFIG_…` names decide.
pub(crate) fn surviving(text: &str, config: &Config) -> Result<String, String> {
    let mut kept = String::new();
    // For each open conditional: whether its present branch counts, and whether one has counted before.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let text = without_comments(text).replace("\\\n", " ");
    for line in text.lines() {
        let trimmed = line.trim();
        let Some(directive) = trimmed.strip_prefix('#').map(str::trim_start) else {
            if open.iter().all(|(counts, _)| *counts) {
                kept.push_str(line);
                kept.push('\n');
            }
            continue;
        };
        let (word, rest) = directive.split_once([' ', '\t', '(']).unwrap_or((directive, ""));
        let rest =
            if directive.as_bytes().get(word.len()) == Some(&b'(') { &directive[word.len()..] } else { rest };
        match word {
            "if" => {
                let holds = holds(rest, config)?;
                open.push((holds, holds));
            }
            "ifdef" | "ifndef" => {
                let holds = is_defined(rest.trim(), config) == (word == "ifdef");
                open.push((holds, holds));
            }
            "elif" | "else" => {
                let (counts, had) = open.last_mut().ok_or("#else without #if")?;
                *counts = !*had && (word == "else" || holds(rest, config)?);
                *had |= *counts;
            }
            "endif" => {
                open.pop().ok_or("#endif without #if")?;
            }
            _ if open.iter().all(|(counts, _)| *counts) => {
                kept.push_str(trimmed);
                kept.push('\n');
            }
            _ => {}
        }
    }
    if open.is_empty() { Ok(kept) } else { Err("#if without #endif".to_owned()) }
}

fn is_defined(name: &str, config: &Config) -> bool {
    name.strip_prefix("CONFIG_").is_some_and(|option| config.has(option))
}

fn holds(text: &str, config: &Config) -> Result<bool, String> {
    let number = |name: &str| config.number(name.strip_prefix("CONFIG_")?);
    expr::condition(text, &number, &|name| is_defined(name, config))
        .ok_or_else(|| format!("cannot read the condition: {}", text.trim()))
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        out.push_str(&rest[..start]);
        let is_line = rest[start..].starts_with("//");
        let end = if is_line { rest[start..].find('\n') } else { rest[start..].find("*/").map(|n| n + 2) };
        // A comment parts words; one over several lines must not join two directives.
        out.push(if !is_line && rest[start..end.map_or(rest.len(), |n| start + n)].contains('\n') {
            '\n'
        } else {
            ' '
        });
        rest = end.map_or("", |n| &rest[start + n..]);
    }
    out + rest
}

impl Constants {
    /// Adds the options that are numbers, under their `CONFIG_` names.
    pub(crate) fn of(config: &Config) -> Self {
        let values = config.numbers().map(|(name, value)| (format!("CONFIG_{name}"), value)).collect();
        Self { values }
    }

    /// Reads the macros and enumerations of a header that [`surviving`] has gone through.
    pub(crate) fn read(&mut self, text: &str) {
        self.macros(text);
        self.enumerations(text);
        // Some are made of the enumerations' values.
        self.macros(text);
    }

    fn macros(&mut self, text: &str) {
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("#define") else { continue };
            let Some((name, body)) = rest.trim().split_once([' ', '\t']) else { continue };
            if let Some(value) = self.evaluate(body) {
                self.values.insert(name.to_owned(), value);
            }
        }
    }

    fn enumerations(&mut self, text: &str) {
        let code: String = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let mut rest = code.as_str();
        while let Some(at) = find_word(rest, "enum") {
            rest = &rest[at + 4..];
            let Some(brace) = rest.find('{') else { return };
            // `enum x y;` names one elsewhere.
            if rest[..brace].contains([';', ')']) {
                continue;
            }
            let Some(end) = rest.find('}') else { return };
            self.enumeration(&rest[brace + 1..end]);
            rest = &rest[end..];
        }
    }

    fn enumeration(&mut self, body: &str) {
        let mut next = Some(0);
        for item in body.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, written) = match item.split_once('=') {
                Some((name, text)) => (name.trim(), Some(text)),
                None => (item, None),
            };
            if name.contains('(') {
                continue; // a macro that only widens the enumeration
            }
            if let Some(text) = written {
                next = self.evaluate(text);
            }
            if let Some(value) = next {
                self.values.insert(name.to_owned(), value);
                next = value.checked_add(1);
            }
        }
    }

    pub(crate) fn evaluate(&self, text: &str) -> Option<i128> {
        expr::value(text, &|name| self.get(name))
    }

    pub(crate) fn get(&self, name: &str) -> Option<i128> {
        self.values.get(name).copied()
    }

    /// Every constant whose name starts with `prefix` and ends with `suffix`, with the part between.
    pub(crate) fn between<'a>(
        &'a self,
        prefix: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = (&'a str, i128)> {
        self.values
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?.strip_suffix(suffix)?, *value)))
            .filter(|(middle, _)| !middle.is_empty())
    }
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        !text[..at].chars().next_back().is_some_and(is_part)
            && !text[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

/// The members of `struct name { … }`, in order.
pub(crate) fn members(text: &str, name: &str) -> Option<Vec<Member>> {
    let at = text
        .match_indices(&format!("struct {name}"))
        .map(|(at, found)| at + found.len())
        .find(|&at| text[at..].trim_start().starts_with('{'))?;
    let body = &text[at + text[at..].find('{')? + 1..];
    let body = &body[..body.find('}')?];
    let mut out = Vec::new();
    for line in body.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (declared, array) = match line.split_once('[') {
            Some((before, length)) => (before, Some(length.trim_end_matches(']').trim().to_owned())),
            None => (line, None),
        };
        let name_at = declared.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')? + 1;
        let kind = declared[..name_at].trim();
        out.push(Member {
            name: declared[name_at..].to_owned(),
            kind: kind.trim_end_matches('*').trim().to_owned(),
            is_pointer: kind.ends_with('*'),
            array,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::GOOD;

    fn read(text: &str) -> Constants {
        let config = Config::parse(GOOD).unwrap();
        let mut constants = Constants::of(&config);
        constants.read(&surviving(text, &config).unwrap());
        constants
    }

    #[test]
    fn enumerations_count_on_through_conditionals() {
        let c = read(
            "typedef enum toy {\n toy_A,\n#ifdef CONFIG_KERNEL_MCS\n toy_M,\n#endif\n toy_B, /* two */\n toy_C = 8,\n\
             toy_D,\n WIDEN(toy),\n} toy;\nenum more { more_A = toy_D, more_B };",
        );
        let want = [("toy_A", 0), ("toy_B", 1), ("toy_C", 8), ("toy_D", 9), ("more_A", 9), ("more_B", 10)];
        for (name, value) in want {
            assert_eq!(c.get(name), Some(value), "{name}");
        }
        assert_eq!(c.get("toy_M"), None);
    }

    #[test]
    fn macros_take_the_branch_of_the_configuration() {
        let c = read(
            "#if defined(CONFIG_KERNEL_MCS) || \\\n  defined(CONFIG_ARM_HYPERVISOR_SUPPORT)\n#define toyBits 12\n\
             #elif CONFIG_MAX_NUM_NODES > 1\n#define toyBits 11\n#else\n#define toyBits 10\n#endif\n\
             #define toySize TOY_BIT(toyBits)\n#define toyMost (TOY_BIT(toyWidth)-1)\n\
             enum toy { toyWidth = 2 };\n",
        );
        assert_eq!((c.get("toyBits"), c.get("toySize")), (Some(11), Some(2048)));
        assert_eq!(c.get("toyMost"), Some(3));
    }

    #[test]
    fn members_are_read_with_pointers_and_arrays() {
        let text = "typedef struct toy {\n Word a;\n Buf *b;\n Desc list[CONFIG_N];\n} toy;";
        let found = members(text, "toy").unwrap();
        let names: Vec<_> = found.iter().map(|m| (m.name.as_str(), m.kind.as_str(), m.is_pointer)).collect();
        assert_eq!(names, [("a", "Word", false), ("b", "Buf", true), ("list", "Desc", false)]);
        assert_eq!(found[2].array.as_deref(), Some("CONFIG_N"));
        assert_eq!(members(text, "other"), None);
    }

    #[test]
    fn an_open_conditional_is_an_error() {
        assert!(surviving("#ifdef CONFIG_X\nint a;\n", &Config::default()).is_err());
    }
}
