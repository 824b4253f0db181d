//! What a file is as telemetry (spec 5.2): a small one is `cohesix-telemetry/v1` envelopes, a large one a
//! `cohesix-refs/v1` manifest whose chunks are elsewhere. Both are records of bounded size, and both can
//! be sent twice: what they say is the same. The formats are pure; [`chunks`] is files.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod chunks;
pub mod envelope;
pub mod refs;

use alloc::string::String;
use sha2::{Digest, Sha256};

/// Bytes of an artefact's name.
pub const NAME_MAX: usize = 128;

/// A name that a file may have too: letters, digits, `.`, `_`, `-`; no dot first.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_name_byte)
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

/// The name for a file that is called `name`: what may not be in one becomes `_`.
pub fn name_of(name: &str) -> String {
    let plain = |c: char| if u8::try_from(c).is_ok_and(is_name_byte) { c } else { '_' };
    let name: String = name.trim_start_matches('.').chars().map(plain).take(NAME_MAX).collect();
    if name.is_empty() { "_".into() } else { name }
}

/// 64 lower-case hex digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A sha256 under way.
#[derive(Debug, Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// More bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// 64 hex digits.
    pub fn hex(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut hex, byte| {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
            }
            hex
        })
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> String {
        let mut sum = Sum::default();
        sum.add(bytes);
        sum.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_name_gives_a_name() {
        for (file, name) in [("a.bin", "a.bin"), (".hidden", "hidden"), ("ä b/c", "__b_c"), ("...", "_")] {
            assert_eq!(name_of(file), name);
            assert!(is_name(name));
        }
        for none in ["", ".", "..", ".a", "a/b", "a b", &"x".repeat(129)] {
            assert!(!is_name(none), "{none}");
        }
        assert_eq!(Sum::of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
