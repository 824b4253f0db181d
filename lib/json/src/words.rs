//! Commands for control files from the words of a line: `GPU-0 mem_mb=4096 budget.ttl_s=120`.

use crate::Error;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// An object of words. Those of the form KEY=VALUE are fields, where a dot nests; the others are the
/// values of `names` in their order, which are all wanted.
pub fn object<'a>(
    names: &[&str],
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Map<String, Value>, Error> {
    let mut top = Map::new();
    let mut names = names.iter();
    for word in words {
        let wrong = |why: &str| Error(format!("{word}: {why}"));
        let Some((key, text)) = field(word) else {
            let name = names.next().ok_or_else(|| wrong("not of the form KEY=VALUE"))?;
            if top.insert((*name).to_owned(), value(word)).is_some() {
                return Err(wrong("given twice"));
            }
            continue;
        };
        let mut path: Vec<&str> = key.split('.').collect();
        if path.iter().any(|name| name.is_empty()) {
            return Err(wrong("an empty name in the key"));
        }
        let last = path.pop().unwrap_or(key);
        let mut map = &mut top;
        for name in path {
            let inner = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
            map = inner.as_object_mut().ok_or_else(|| wrong("its beginning already has a value"))?;
        }
        if map.insert(last.to_owned(), value(text)).is_some() {
            return Err(wrong("given twice"));
        }
    }
    match names.find(|name| !top.contains_key(**name)) {
        Some(name) => Err(Error(format!("{name} is missing"))),
        None => Ok(top),
    }
}

/// The queen's command for a worker: `heartbeat` and `ticks=100 budget.ttl_s=120`.
pub fn spawn<'a>(kind: &str, fields: impl IntoIterator<Item = &'a str>) -> Result<String, Error> {
    let top = object(&[], fields)?;
    if top.contains_key("spawn") {
        return Err(Error("spawn: the kind of worker is the first argument".into()));
    }
    // The verb first, as people write it.
    let rest = Value::Object(top).to_string();
    let kind = Value::from(kind);
    Ok(if rest == "{}" {
        format!("{{\"spawn\":{kind}}}")
    } else {
        format!("{{\"spawn\":{kind},{}", &rest[1..])
    })
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

    fn made(names: &[&str], words: &[&str]) -> Result<String, Error> {
        object(names, words.iter().copied()).map(|object| Value::Object(object).to_string())
    }

    fn spawned(kind: &str, fields: &[&str]) -> Result<String, Error> {
        spawn(kind, fields.iter().copied())
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
    fn what_is_no_field_is_refused() {
        for words in [&["ticks"][..], &["=1"], &["a..b=1"], &["a=1", "a=2"], &["a=1", "a.b=2"]] {
            assert!(made(&[], words).is_err(), "{words:?}");
        }
        for words in [&[][..], &["a", "b"], &["id=a", "b"]] {
            assert!(made(&["id"], words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_spawn_is_the_verb_and_its_fields() {
        assert_eq!(spawned("heartbeat", &[]).unwrap(), r#"{"spawn":"heartbeat"}"#);
        assert_eq!(
            spawned("heartbeat", &["ticks=100", "budget.ttl_s=120", "budget.ops=5"]).unwrap(),
            r#"{"spawn":"heartbeat","budget":{"ops":5,"ttl_s":120},"ticks":100}"#
        );
        assert_eq!(
            spawned("gpu", &["lease.gpu_id=GPU-0", "lease.name=\"7\"", "x=true"]).unwrap(),
            r#"{"spawn":"gpu","lease":{"gpu_id":"GPU-0","name":"7"},"x":true}"#
        );
        assert_eq!(spawned("bus", &["adapter=a\"b"]).unwrap(), r#"{"spawn":"bus","adapter":"a\"b"}"#);
        for fields in [&["ticks"][..], &["a=1", "a=2"], &["spawn=x"]] {
            assert!(spawned("heartbeat", fields).is_err(), "{fields:?}");
        }
    }
}
