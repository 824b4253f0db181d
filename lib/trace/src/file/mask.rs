//! Secrets do not go into a trace: each is replaced by as many x.

use alloc::string::String;
use alloc::vec::Vec;

/// What must not be written.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    secrets: Vec<Vec<u8>>,
}

impl Mask {
    /// One more secret.
    pub fn add(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.secrets.push(secret.as_bytes().to_vec());
        }
    }

    /// What stands for a secret of that length.
    pub fn stand_in(len: usize) -> String {
        core::iter::repeat_n('x', len).collect()
    }

    /// The bytes without secrets, as many as there were.
    pub fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for secret in &self.secrets {
            let mut at = 0;
            while at + secret.len() <= bytes.len() {
                if bytes[at..].starts_with(secret) {
                    bytes[at..at + secret.len()].fill(b'x');
                }
                at += 1;
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_replaced_wherever_it_stands() {
        let mut mask = Mask::default();
        mask.add("coh1.ab");
        mask.add("");
        assert_eq!(mask.masked(b"a coh1.ab, coh1.abcoh1.ab"), b"a xxxxxxx, xxxxxxxxxxxxxx");
        assert_eq!(Mask::stand_in(3), "xxx");
    }
}
