//! Shard labels (spec 5.1), in one place because the door routes by them and servers own by them.

use sha2::{Digest, Sha256};

/// The label of a worker's shard: the top `bits` of the first byte of sha256(id), as two hex
/// digits; `bits` above 8 count as 8. With 8 bits labels run 00..ff, with 4 bits 00..0f, with
/// none there is one shard, 00.
pub fn shard_label(id: &str, bits: u8) -> ShardLabel {
    let first = Sha256::digest(id.as_bytes())[0];
    let bits = bits.min(8);
    ShardLabel::of(if bits == 0 { 0 } else { first >> (8 - bits) })
}

/// Which of `parts` processes owns a shard: shards are split evenly, neighbours together. `parts` is a
/// power of two of at most `1 << bits`.
pub fn shard_part(shard: u8, bits: u8, parts: u32) -> u32 {
    let part = u32::from(shard).saturating_mul(parts.max(1)) >> bits.min(8);
    part.min(parts.saturating_sub(1))
}

/// Two hex digits; reads as a `str`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardLabel([u8; 2]);

impl ShardLabel {
    /// The label of the shard with that number.
    pub fn of(shard: u8) -> ShardLabel {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        ShardLabel([HEX[usize::from(shard >> 4)], HEX[usize::from(shard & 15)]])
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        // Both bytes come from HEX, so this is UTF-8.
        core::str::from_utf8(&self.0).unwrap_or("00")
    }

    /// The shard that a label of two lower-case hex digits names.
    pub fn parse(label: &str) -> Option<u8> {
        let shard = u8::from_str_radix(label, 16).ok()?;
        (ShardLabel::of(shard).as_str() == label).then_some(shard)
    }
}

impl core::ops::Deref for ShardLabel {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl core::fmt::Display for ShardLabel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    // First bytes by sha256sum(1): printf worker-1 | sha256sum.
    #[test]
    fn labels_are_the_top_bits_of_sha256() {
        assert_eq!(&*shard_label("", 8), "e3"); // the empty string's digest is well known
        assert_eq!(&*shard_label("", 4), "0e");
        assert_eq!(&*shard_label("", 1), "01");
        assert_eq!(&*shard_label("", 0), "00");
        assert_eq!(&*shard_label("abc", 8), "ba"); // FIPS 180-2, B.1
    }

    #[test]
    fn shards_are_split_evenly_and_in_order() {
        for bits in 0..=8u8 {
            for parts in (0..=bits).map(|log| 1u32 << log) {
                let shards = 1usize << bits;
                let owners: Vec<u32> =
                    (0..shards).map(|shard| shard_part(shard as u8, bits, parts)).collect();
                assert!(owners.is_sorted(), "{bits} bits, {parts} parts");
                for part in 0..parts {
                    let owned = owners.iter().filter(|owner| **owner == part).count();
                    assert_eq!(owned, shards / parts as usize, "{bits} bits, part {part} of {parts}");
                }
            }
        }
        assert_eq!((shard_part(255, 4, 2), shard_part(7, 0, 0)), (1, 0), "what nobody has goes to the last");
    }

    #[test]
    fn a_label_parses_only_as_it_is_printed() {
        for shard in 0..=255 {
            assert_eq!(ShardLabel::parse(&ShardLabel::of(shard)), Some(shard));
        }
        for label in ["", "4", "4F", "+4", "100", "zz"] {
            assert_eq!(ShardLabel::parse(label), None, "{label}");
        }
    }
}
