//! The issuer's key, and the public keys that a hive accepts.

use crate::TicketError;
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The secret key that mints.
pub struct IssuerKey(pub(crate) SigningKey);

impl core::fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "IssuerKey({})", self.key_id())
    }
}

fn hex(bytes: &[u8]) -> String {
    // In one piece: a text that grows leaves copies of a secret behind.
    let mut text = String::with_capacity(2 * bytes.len());
    for half in bytes.iter().flat_map(|b| [b >> 4, b & 15]) {
        text.extend(char::from_digit(half.into(), 16));
    }
    text
}

fn unhex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

impl IssuerKey {
    /// The key of 32 random bytes.
    pub fn generate(seed: [u8; 32]) -> IssuerKey {
        let seed = Zeroizing::new(seed);
        IssuerKey(SigningKey::from_bytes(&seed))
    }

    /// From 64 hex digits, as a key file holds them.
    pub fn from_hex(text: &str) -> Result<IssuerKey, TicketError> {
        let seed = unhex(text).ok_or(TicketError::Claims("issuer key"))?;
        Ok(IssuerKey(SigningKey::from_bytes(&seed)))
    }

    /// For a key file; wiped when dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&Zeroizing::new(self.0.to_bytes())[..]))
    }

    /// The public half, 64 hex digits.
    pub fn public_hex(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// What tickets call it: the first 8 hex digits of its public half's sha256.
    pub fn key_id(&self) -> String {
        hex(&Sha256::digest(self.0.verifying_key().as_bytes())[..4])
    }
}

/// Accepted public keys. Tickets name theirs by [`IssuerKey::key_id`]; the manifest's own names for
/// keys are for people.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<(String, VerifyingKey)>);

impl Keys {
    /// Adds a public key of 64 hex digits; `name` is what errors call it.
    pub fn add(&mut self, _name: &str, public_hex: &str) -> Result<(), TicketError> {
        let bytes = unhex(public_hex).ok_or(TicketError::Claims("public key"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| TicketError::Claims("public key"))?;
        if key.is_weak() {
            return Err(TicketError::Claims("public key"));
        }
        self.0.push((hex(&Sha256::digest(key.as_bytes())[..4]), key));
        Ok(())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}
