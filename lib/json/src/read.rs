//! A value as a source of types: objects where structs are meant, and nothing for nothing.

use crate::complaint::quoted;
use crate::{Error, Value};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

type Pairs = vec::IntoIter<(String, Value)>;

fn wanted(value: &Value, what: &str) -> Error {
    Error(format!("{} found; {what} is wanted", value.kind()))
}

fn within(key: &str, error: Error) -> Error {
    Error(format!("{key}: {error}"))
}

impl<'de> Deserializer<'de> for Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(n) => match u64::try_from(n) {
                Ok(n) => visitor.visit_u64(n),
                Err(_) => visitor.visit_i64(n),
            },
            Value::Text(text) => visitor.visit_string(text),
            Value::Array(values) => visitor.visit_seq(Elements(values.into_iter())),
            Value::Object(pairs) => {
                let mut members = Members { rest: pairs.into_iter(), next: None };
                let made = visitor.visit_map(&mut members)?;
                match members.rest.next() {
                    Some((key, _)) => Err(Error(format!("unknown key {}", quoted(&key)))),
                    None => Ok(made),
                }
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(wanted(&other, "an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, content) = match self {
            Value::Text(name) => (name, None),
            Value::Object(mut pairs) if pairs.len() == 1 => match pairs.pop() {
                Some((name, content)) => (name, Some(content)),
                None => return Err(Error("an empty object found".into())),
            },
            Value::Object(_) => {
                return Err(Error(format!("exactly one key is wanted, one of {}", variants.join(", "))));
            }
            other => return Err(wanted(&other, "a word or an object with one key")),
        };
        visitor.visit_enum(Variant { name, content })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Value {
    type Deserializer = Value;

    fn into_deserializer(self) -> Value {
        self
    }
}

struct Elements(vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Elements {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|value| seed.deserialize(value)).transpose()
    }
}

struct Members {
    rest: Pairs,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for &mut Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        let made = seed.deserialize(StringDeserializer::new(key.clone()))?;
        self.next = Some((key, value));
        Ok(Some(made))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let (key, value) = self.next.take().ok_or_else(|| Error("a value without its key".into()))?;
        seed.deserialize(value).map_err(|error| within(&key, error))
    }
}

struct Variant {
    name: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Content;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content), Error> {
        let made = seed.deserialize(StringDeserializer::<Error>::new(self.name.clone()))?;
        Ok((made, Content { name: self.name, content: self.content }))
    }
}

struct Content {
    name: String,
    content: Option<Value>,
}

impl Content {
    fn value(self) -> Result<(String, Value), Error> {
        match self.content {
            Some(value) => Ok((self.name, value)),
            None => Err(Error(format!("{} alone found; it has a value", self.name))),
        }
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(Error(format!("{} has no value", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let (name, value) = self.value()?;
        seed.deserialize(value).map_err(|error| within(&name, error))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        let (name, value) = self.value()?;
        value.deserialize_any(visitor).map_err(|error| within(&name, error))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, value) = self.value()?;
        value.deserialize_map(visitor).map_err(|error| within(&name, error))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Value, from_str, parse, to_string};
    use alloc::string::String;
    use alloc::vec::Vec;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase", deny_unknown_fields)]
    enum Command {
        Add(Add),
        Drop(String),
        End { worker: String },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Add {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        ticks: Option<u64>,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[test]
    fn what_is_meant_is_read() {
        let add = Command::Add(Add { id: "a".into(), ticks: Some(5), tags: Vec::new() });
        assert_eq!(from_str(r#"{"add":{"id":"a","ticks":5}}"#), Ok(add));
        assert_eq!(from_str(r#" {"drop" : "a"} "#), Ok(Command::Drop("a".into())));
        assert_eq!(from_str(r#"{"end":{"worker":"a"}}"#), Ok(Command::End { worker: "a".into() }));
    }

    #[test]
    fn what_a_derived_reader_would_let_pass_is_refused() {
        for line in [
            "",
            "null",
            "[]",
            "{}",
            "7",
            r#""drop""#,
            r#"["drop","a"]"#,
            r#"{"add":["a",5]}"#,
            r#"{"add":null}"#,
            r#"{"add":{"id":"a","ticks":null}}"#,
            r#"{"add":{"id":"a","id":"a"}}"#,
            r#"{"add":{"id":"a","x":1}}"#,
            r#"{"add":{"id":"a","tags":{}}}"#,
            r#"{"add":{"id":"a","ticks":1.0}}"#,
            r#"{"add":{"id":"a","ticks":-1}}"#,
            r#"{"add":{"id":"a","ticks":"5"}}"#,
            r#"{"add":{"id":"a","ticks":9007199254740993}}"#,
            r#"{"add":{"id":"a","ticks":99999999999999999999999}}"#,
            r#"{"drop":"a","drop":"a"}"#,
            r#"{"drop":"a","add":{"id":"a"}}"#,
            r#"{"drop":"a"} x"#,
            r#"{"drop":"a"}{"drop":"b"}"#,
            r#"{"drop":["a"]}"#,
            r#"{"end":["a"]}"#,
            "{\"drop\":\"a\u{1}\"}",
        ] {
            assert!(from_str::<Command>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn depth_keys_and_elements_are_bounded() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse(&deep(8)).is_ok() && parse(&deep(10)).is_err() && parse(&deep(100_000)).is_err());
        let keys = |n: usize| {
            let keys: Vec<String> = (0..n).map(|i| alloc::format!("\"{i}\":1")).collect();
            alloc::format!("{{{}}}", keys.join(","))
        };
        assert!(parse(&keys(64)).is_ok() && parse(&keys(65)).is_err());
        let elements = |n: usize| alloc::format!("[{}]", Vec::from_iter((0..n).map(|_| "1")).join(","));
        assert!(parse(&elements(1024)).is_ok() && parse(&elements(1025)).is_err());
    }

    #[test]
    fn a_complaint_names_the_key() {
        let error = from_str::<Command>(r#"{"add":{"id":"a","ticks":"5"}}"#).unwrap_err();
        assert_eq!(error.0, "add: ticks: `5` found; a whole number of 0 or more is wanted");
    }

    fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            (-(1i64 << 53)..=1 << 53).prop_map(Value::Number),
            ".{0,8}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in ".{0,200}") {
            let _ = parse(&text);
            let _ = from_str::<Command>(&text);
        }

        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            proptest::prop_assert_eq!(parse(&to_string(&value)), Ok(value));
        }
    }
}
