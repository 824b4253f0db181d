//! Commands for control files from the words of a command line: `GPU-0 mem_mb=4096 budget.ttl_s=120`.

use crate::trouble::Trouble;
use serde_json::{Map, Value};

/// An object of words. Those of the form KEY=VALUE are fields, where a dot nests; the others are the
/// values of `names` in their order, which are all wanted.
pub fn object(names: &[&str], words: &[String]) -> Result<Map<String, Value>, Trouble> {
    let mut top = Map::new();
    let mut names = names.iter();
    for word in words {
        let usage = |why: &str| Trouble::Usage(format!("{word}: {why}"));
        let Some((key, text)) = field(word) else {
            let name = names.next().ok_or_else(|| usage("not of the form KEY=VALUE"))?;
            if top.insert((*name).to_owned(), value(word)).is_some() {
                return Err(usage("given twice"));
            }
            continue;
        };
        let mut path: Vec<&str> = key.split('.').collect();
        if path.iter().any(|name| name.is_empty()) {
            return Err(usage("an empty name in the key"));
        }
        let last = path.pop().unwrap_or(key);
        let mut map = &mut top;
        for name in path {
            let inner = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
            map = inner.as_object_mut().ok_or_else(|| usage("its beginning already has a value"))?;
        }
        if map.insert(last.to_owned(), value(text)).is_some() {
            return Err(usage("given twice"));
        }
    }
    match names.find(|name| !top.contains_key(**name)) {
        Some(name) => Err(Trouble::Usage(format!("{name} is missing"))),
        None => Ok(top),
    }
}

/// A field; a path or a text that holds `=` somewhere is none.
fn field(word: &str) -> Option<(&str, &str)> {
    word.split_once('=')
        .filter(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')))
}

/// Numbers, true and false are themselves, and so is what stands in double quotes; all else is text.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str], words: &[&str]) -> Result<String, Trouble> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        object(names, &words).map(|object| Value::Object(object).to_string())
    }

    #[test]
    fn words_and_fields_become_json() {
        assert_eq!(made(&[], &[]).unwrap(), "{}");
        assert_eq!(
            made(&[], &["ticks=100", "budget.ttl_s=120", "budget.ops=5"]).unwrap(),
            r#"{"budget":{"ops":5,"ttl_s":120},"ticks":100}"#
        );
        assert_eq!(
            made(&["resource", "subject"], &["GPU-0", "ttl_s=5", "worker-3"]).unwrap(),
            r#"{"resource":"GPU-0","subject":"worker-3","ttl_s":5}"#
        );
        assert_eq!(made(&["id", "path"], &["path=/a", "w"]).unwrap(), r#"{"id":"w","path":"/a"}"#);
        assert_eq!(made(&["path"], &["/a=b"]).unwrap(), r#"{"path":"/a=b"}"#);
        assert_eq!(made(&[], &["x=true", "y=\"7\"", "z=a\"b"]).unwrap(), r#"{"x":true,"y":"7","z":"a\"b"}"#);
    }

    #[test]
    fn what_is_no_field_is_a_usage_error() {
        for words in [&["ticks"][..], &["=1"], &["a..b=1"], &["a=1", "a=2"], &["a=1", "a.b=2"]] {
            assert_eq!(made(&[], words).unwrap_err().status(), 2, "{words:?}");
        }
        for words in [&[][..], &["a", "b"], &["id=a", "b"]] {
            assert_eq!(made(&["id"], words).unwrap_err().status(), 2, "{words:?}");
        }
    }
}
