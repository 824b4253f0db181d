//! JSON as the hive's control files take it. A line has one meaning or none: what a derived reader
//! would let pass (an array for an object, null for a key that is absent, a key twice) is refused
//! here, in one place. Numbers are whole and at most 2^53, so that every reader sees the same one.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod complaint;
mod quote;
mod read;
mod value;
mod words;

use alloc::string::String;
use core::fmt;
pub use quote::quote;
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use value::Value;
pub use words::{object, spawn};

/// Numbers go up to here, and as far below zero.
pub const NUMBER_MAX: u64 = 1 << 53;
/// Objects and arrays inside each other.
pub const DEPTH_MAX: usize = 8;
/// Keys of one object.
pub const KEYS_MAX: usize = 64;
/// Elements of one array.
pub const ELEMENTS_MAX: usize = 1024;

/// What is wrong with a text: a phrase for its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Error {}

/// Reads any strict text.
pub fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|error| complaint::of_text(text, &error))
}

/// Reads an object into a type whose structs deny unknown fields.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let value = parse(text)?;
    match value {
        Value::Object(_) => value.into_type(),
        other => Err(Error(alloc::format!("{} found; an object is wanted", other.kind()))),
    }
}

/// The text of a value without spaces. Maps whose keys are no text, which have none, give an empty one.
pub fn to_string(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
