//! `manifest.cbor`: canonical CBOR (RFC 8949 4.2.1: shortest forms, map keys in the order of
//! their encodings, nothing trailing), its fingerprint, and loading it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use ciborium::Value;
use sha2::{Digest, Sha256};

use crate::{Manifest, SCHEMA};

/// sha256 of the canonical CBOR: what names a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The first twelve hex digits, as boot logs show it.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are not a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Not CBOR, or not this shape; the decoder's words.
    Malformed(String),
    /// CBOR of this shape, but not as the compiler writes it.
    NotCanonical,
    /// Another schema.
    Schema(u32),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Malformed(what) => write!(f, "not a manifest: {what}; compile it again with coh-rtc"),
            LoadError::NotCanonical => {
                f.write_str("not as coh-rtc writes it (changed since?); compile it again with coh-rtc")
            }
            LoadError::Schema(found) => {
                write!(f, "schema {found} found; {SCHEMA} allowed; compile it again with coh-rtc")
            }
        }
    }
}

impl core::error::Error for LoadError {}

impl Manifest {
    /// Loads what the compiler wrote, and nothing else.
    pub fn from_cbor(bytes: &[u8]) -> Result<Manifest, LoadError> {
        let manifest: Manifest =
            ciborium::from_reader(bytes).map_err(|error| LoadError::Malformed(error.to_string()))?;
        if manifest.schema != SCHEMA {
            return Err(LoadError::Schema(manifest.schema));
        }
        // The decoder takes long forms, repeated keys and trailing bytes; a fingerprint may not.
        if manifest.to_cbor() != bytes {
            return Err(LoadError::NotCanonical);
        }
        Ok(manifest)
    }

    /// The canonical CBOR.
    #[allow(clippy::expect_used)] // Plain data into memory: neither the types nor a Vec can refuse.
    pub fn to_cbor(&self) -> Vec<u8> {
        let value = Value::serialized(self).expect("a manifest is plain data");
        encode(&sorted(value))
    }

    /// What names this configuration: `/proc/version` shows it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.to_cbor()).into())
    }
}

#[allow(clippy::expect_used)] // As above.
fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("a Vec takes all");
    out
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Map(pairs) => {
            let mut pairs: Vec<(Vec<u8>, (Value, Value))> =
                pairs.into_iter().map(|(key, value)| (encode(&key), (key, sorted(value)))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(pairs.into_iter().map(|(_, pair)| pair).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
