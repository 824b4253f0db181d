//! The hive's audit key: Ed25519 over a checkpoint's seq and hash.

use crate::hash::{Hash, hex, unhex};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// What a signature is for: what is signed begins with its text, so that it is good for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Checkpoint,
    Snapshot,
}

impl Use {
    fn text(self) -> &'static [u8] {
        match self {
            Use::Checkpoint => b"cohesix journal checkpoint\0",
            Use::Snapshot => b"cohesix journal snapshot\0",
        }
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Not 64 lower-case hex digits.
    Form,
    /// Not a point of the curve, or one under which anything verifies.
    Weak,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::Form => "not 64 lower-case hex digits",
            KeyError::Weak => "not a usable Ed25519 public key",
        })
    }
}

impl core::error::Error for KeyError {}

fn message(what: Use, seq: u64, hash: &Hash) -> Vec<u8> {
    [what.text(), &seq.to_be_bytes(), &hash.0].concat()
}

/// What checkpoints call a key: the first 8 hex digits of its public half's sha256.
fn id(key: &VerifyingKey) -> String {
    hex(&Hash::of(key.as_bytes()).0[..4])
}

/// The secret key that signs checkpoints; wiped when dropped.
pub struct AuditKey(SigningKey);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKey({})", self.id())
    }
}

impl AuditKey {
    /// From 64 hex digits, as a key file holds them.
    pub fn from_hex(text: &str) -> Result<AuditKey, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        unhex(text, seed.as_mut()).ok_or(KeyError::Form)?;
        Ok(AuditKey(SigningKey::from_bytes(&seed)))
    }

    /// The public half, 64 hex digits.
    pub fn public_hex(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// What checkpoints call it.
    pub fn id(&self) -> String {
        id(&self.0.verifying_key())
    }

    /// The signature, 128 hex digits, over a seq and a hash.
    pub(crate) fn sign(&self, what: Use, seq: u64, hash: &Hash) -> String {
        hex(&self.0.sign(&message(what, seq, hash)).to_bytes())
    }
}

/// The public keys whose checkpoints are believed: several after a rotation.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys(Vec<(String, VerifyingKey)>);

impl PublicKeys {
    /// Adds a public key of 64 hex digits.
    pub fn add(&mut self, public_hex: &str) -> Result<(), KeyError> {
        let mut bytes = [0; 32];
        unhex(public_hex, &mut bytes).ok_or(KeyError::Form)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Weak)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        self.0.push((id(&key), key));
        Ok(())
    }

    /// No key: signatures are not checked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether key `id` has signed `seq` and `hash`; or why not.
    pub(crate) fn check(
        &self,
        what: Use,
        id: &str,
        seq: u64,
        hash: &Hash,
        signature: &str,
    ) -> Result<(), &'static str> {
        let mut bytes = [0; 64];
        unhex(signature, &mut bytes).ok_or("the signature is not 128 hex digits")?;
        let mut named = self.0.iter().filter(|(known, _)| known == id).peekable();
        if named.peek().is_none() {
            return Err("signed by a key that is not known");
        }
        let signature = Signature::from_bytes(&bytes);
        let is_signed = |key: &VerifyingKey| key.verify_strict(&message(what, seq, hash), &signature).is_ok();
        if named.any(|(_, key)| is_signed(key)) { Ok(()) } else { Err("the signature does not verify") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    #[test]
    fn a_signature_is_for_one_seq_and_one_hash() {
        let key = AuditKey::from_hex(SECRET).unwrap();
        let mut keys = PublicKeys::default();
        keys.add(&key.public_hex()).unwrap();
        let (hash, other) = (Hash::of(b"a"), Hash::of(b"b"));
        let signature = key.sign(Use::Checkpoint, 7, &hash);
        assert_eq!(keys.check(Use::Checkpoint, &key.id(), 7, &hash, &signature), Ok(()));
        assert!(keys.check(Use::Checkpoint, &key.id(), 8, &hash, &signature).is_err());
        assert!(keys.check(Use::Checkpoint, &key.id(), 7, &other, &signature).is_err());
        assert!(keys.check(Use::Snapshot, &key.id(), 7, &hash, &signature).is_err());
        assert!(keys.check(Use::Checkpoint, "00000000", 7, &hash, &signature).is_err());
    }

    #[test]
    fn a_key_under_which_anything_verifies_is_refused() {
        let mut keys = PublicKeys::default();
        // The neutral element of the curve.
        let weak = alloc::format!("01{}", "00".repeat(31));
        assert_eq!(keys.add(&weak), Err(KeyError::Weak));
        assert_eq!(keys.add("abc"), Err(KeyError::Form));
        assert!(AuditKey::from_hex(&SECRET[1..]).is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key = AuditKey::from_hex(SECRET).unwrap();
        assert!(!alloc::format!("{key:?}").contains(&SECRET[..8]));
    }
}
