//! The queen's command for a worker, from `k=v` words.

use serde_json::{Map, Value};

/// `heartbeat` and `ticks=100 budget.ttl_s=120` as a line for `/queen/ctl`; a dot in a key nests.
pub fn spawn_line<'a>(
    kind: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, String> {
    let mut top = Map::new();
    for (key, text) in fields {
        let wrong = |why: &str| format!("{key}={text}: {why}");
        let mut names: Vec<&str> = key.split('.').collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(wrong("an empty name in the key"));
        }
        let last = names.pop().unwrap_or(key);
        let mut map = &mut top;
        for name in names {
            let inner = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
            map = inner.as_object_mut().ok_or_else(|| wrong("its beginning already has a value"))?;
        }
        if map.insert(last.to_owned(), value(text)).is_some() {
            return Err(wrong("given twice"));
        }
    }
    if top.contains_key("spawn") {
        return Err("spawn: the kind of worker is the first argument".into());
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

    fn made(kind: &str, fields: &[&str]) -> Result<String, String> {
        spawn_line(kind, fields.iter().filter_map(|field| field.split_once('=')))
    }

    #[test]
    fn fields_become_json() {
        assert_eq!(made("heartbeat", &[]).unwrap(), r#"{"spawn":"heartbeat"}"#);
        assert_eq!(
            made("heartbeat", &["ticks=100", "budget.ttl_s=120", "budget.ops=5"]).unwrap(),
            r#"{"spawn":"heartbeat","budget":{"ops":5,"ttl_s":120},"ticks":100}"#
        );
        assert_eq!(
            made("gpu", &["lease.gpu_id=GPU-0", "lease.name=\"7\"", "x=true"]).unwrap(),
            r#"{"spawn":"gpu","lease":{"gpu_id":"GPU-0","name":"7"},"x":true}"#
        );
        assert_eq!(made("bus", &["adapter=a\"b"]).unwrap(), r#"{"spawn":"bus","adapter":"a\"b"}"#);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for fields in [&["=1"][..], &["a..b=1"], &["a=1", "a=2"], &["a=1", "a.b=2"], &["spawn=x"]] {
            assert!(made("heartbeat", fields).is_err(), "{fields:?}");
        }
    }
}
