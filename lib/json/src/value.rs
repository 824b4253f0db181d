//! A value, and reading one into a type.

use crate::complaint::quoted;
use crate::{DEPTH_MAX, ELEMENTS_MAX, Error, KEYS_MAX, NUMBER_MAX};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Any value that a strict text may hold. There is no null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// Values in order.
    Array(Vec<Value>),
    /// Keys in the order in which they were written, each once.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// What it is, for a complaint.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a truth",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// An object's keys and values.
    pub fn object(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Object(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The value of an object's key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.object()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is not below zero.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Number(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Reads it into a type.
    pub fn into_type<T: DeserializeOwned>(self) -> Result<T, Error> {
        T::deserialize(self)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(n) => serializer.serialize_i64(*n),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Array(values) => serializer.collect_seq(values),
            Value::Object(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Nested(0).deserialize(deserializer)
    }
}

/// A value so many levels down.
struct Nested(usize);

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Nested {
    fn below<E: de::Error>(&self) -> Result<Nested, E> {
        if self.0 >= DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(Nested(self.0 + 1))
    }
}

fn number<E: de::Error>(n: i64) -> Result<Value, E> {
    if n.unsigned_abs() > NUMBER_MAX {
        return Err(E::custom(format!("{n} found; numbers go up to {NUMBER_MAX}")));
    }
    Ok(Value::Number(n))
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, a whole number, text, an array or an object")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Value, E> {
        number(n)
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Value, E> {
        number(i64::try_from(n).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom(format!("numbers are whole and go up to {NUMBER_MAX}")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Err(E::custom("null found; leave the key out"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_string()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.below()?)? {
            if values.len() == ELEMENTS_MAX {
                return Err(de::Error::custom(format!("more than {ELEMENTS_MAX} elements")));
            }
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(de::Error::custom(format!("key {} twice", quoted(&key))));
            }
            if pairs.len() == KEYS_MAX {
                return Err(de::Error::custom(format!("more than {KEYS_MAX} keys")));
            }
            let value = map.next_value_seed(self.below()?)?;
            pairs.push((key, value));
        }
        Ok(Value::Object(pairs))
    }
}
