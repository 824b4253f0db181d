//! What is wrong with a text, said to who wrote it: what was found, and what is wanted.

use crate::Error;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use serde::de::{Expected, Unexpected};

/// Characters of a text that are repeated.
const SHOWN: usize = 40;

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Error(what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Error(format!("{} found; {} is wanted", shown(found), named(wanted)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_variant(found: &str, wanted: &'static [&'static str]) -> Self {
        Error(format!("{} found; {} is wanted", quoted(found), one_of(wanted)))
    }

    fn unknown_field(found: &str, allowed: &'static [&'static str]) -> Self {
        Error(format!("unknown key {}; {} is allowed", quoted(found), one_of(allowed)))
    }

    fn missing_field(key: &'static str) -> Self {
        Error(format!("{key} is missing"))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Error(format!("{key} twice"))
    }
}

/// Not in double quotes, in which an acknowledgement has all of the detail.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let shown: String = text.chars().take(SHOWN).map(plain).collect();
    let more = if text.chars().nth(SHOWN).is_some() { "..." } else { "" };
    format!("`{shown}`{more}")
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Str(text) => quoted(text),
        Unexpected::Seq => "an array".into(),
        Unexpected::Map => "an object".into(),
        other => other.to_string(),
    }
}

/// A type of the reader in the writer's words.
fn named(wanted: &dyn Expected) -> String {
    let name = wanted.to_string();
    match name.as_str() {
        "u8" => "a whole number of 0..255",
        "u16" => "a whole number of 0..65535",
        "u32" => "a whole number of 0..4294967295",
        "u64" | "usize" => "a whole number of 0 or more",
        "i64" | "isize" => "a whole number",
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        other => other,
    }
    .to_owned()
}

/// `a, b or c`.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".into(),
        [one] => (*one).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Where a text is no JSON, and how; or what in it is not taken, and under which key. Commands are one line:
/// the column says where.
pub(crate) fn of_text(text: &str, error: &serde_json::Error) -> Error {
    let (said, column) = (error.to_string(), error.column());
    let what = said.split(" at line ").next().unwrap_or_default();
    if error.is_data() {
        let is_plain = error.line() == 1 && !what.starts_with("key ");
        let key = last_key(text, column).filter(|_| is_plain);
        let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
        return Error(format!("{key}{what} at column {column}"));
    }
    let how = match what {
        "expected value" => "a value is wanted".into(),
        "expected ident" => "a word that is none".into(),
        "key must be a string" => "a key is text in double quotes".into(),
        "trailing characters" => "more than one value".into(),
        _ => match what.strip_prefix("EOF while parsing ") {
            Some(within) => format!("the end of the line in {within}"),
            None => what.to_owned(),
        },
    };
    Error(format!("not JSON at column {column}: {how}"))
}

/// The key whose value is before a column, as far as it is a plain word.
fn last_key(text: &str, column: usize) -> Option<&str> {
    let before = text.get(..column.min(text.len()))?;
    let mut quotes = before[..before.rfind("\":")?].rsplit('"');
    let key = quotes.next()?;
    let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    (is_plain && !key.is_empty() && key.len() <= SHOWN).then_some(key)
}

#[cfg(test)]
mod tests {
    use crate::from_str;
    use alloc::string::String;
    use alloc::vec::Vec;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase", deny_unknown_fields)]
    enum Command {
        #[allow(dead_code, reason = "only read")]
        Add(Add),
        Drop,
        End,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    #[serde(deny_unknown_fields)]
    struct Add {
        id: String,
        ticks: u64,
        #[serde(default)]
        small: u8,
        #[serde(default)]
        is: bool,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[test]
    fn a_refusal_names_the_key_what_was_found_and_what_is_wanted() {
        for (line, said) in [
            ("x", "not JSON at column 1: a value is wanted"),
            ("", "not JSON at column 0: the end of the line in a value"),
            (r#"{"add":"#, "not JSON at column 7: the end of the line in a value"),
            (r#"{"add":{}"#, "not JSON at column 9: the end of the line in an object"),
            (r#"{"drop":tru}"#, "not JSON at column 12: a word that is none"),
            ("{'drop':1}", "not JSON at column 2: a key is text in double quotes"),
            (r#"{"drop":1} x"#, "not JSON at column 12: more than one value"),
            (r#"{"add":{"id":null}}"#, "id: null found; leave the key out at column 17"),
            (
                r#"{"add":{"ticks":1.5}}"#,
                "ticks: numbers are whole and go up to 9007199254740992 at column 19",
            ),
            (r#"{"add":{"id":"a","id":"b"}}"#, "key `id` twice at column 21"),
            ("[]", "an array found; an object is wanted"),
            (r#"{"move":1}"#, "`move` found; add, drop or end is wanted"),
            (r#"{"add":{"id":"a"}}"#, "add: ticks is missing"),
            (r#"{"add":{"id":7}}"#, "add: id: 7 found; text is wanted"),
            (r#"{"add":{"id":["a"]}}"#, "add: id: an array found; text is wanted"),
            (r#"{"add":{"ticks":"5"}}"#, "add: ticks: `5` found; a whole number of 0 or more is wanted"),
            (r#"{"add":{"ticks":-1}}"#, "add: ticks: -1 found; a whole number of 0 or more is wanted"),
            (r#"{"add":{"small":256}}"#, "add: small: 256 found; a whole number of 0..255 is wanted"),
            (r#"{"add":{"is":"no"}}"#, "add: is: `no` found; true or false is wanted"),
            (r#"{"add":{"tags":true}}"#, "add: tags: true found; an array is wanted"),
            (r#"{"add":{"x":1}}"#, "add: unknown key `x`; id, ticks, small, is or tags is allowed"),
        ] {
            assert_eq!(from_str::<Command>(line).unwrap_err().0, said, "{line}");
        }
        let long = alloc::format!(r#"{{"add":{{"ticks":"{}"}}}}"#, "é".repeat(100));
        assert!(from_str::<Command>(&long).unwrap_err().0.len() < 200, "what is long is not repeated whole");
    }
}
