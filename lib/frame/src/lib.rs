//! `telemetry-frame/v1`: one record of a worker in CBOR, a map of six keys, each there once, in any order.
//! Guarantees: what is decoded is borrowed, nothing is allocated, and what is not a frame is refused.
//! Knows no ring and no clock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// What `schema` says.
pub const SCHEMA: &str = "telemetry-frame/v1";

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `worker-3`.
    pub worker_id: &'a str,
    /// `worker-heartbeat`.
    pub role: &'a str,
    /// The writer's own count.
    pub seq: u64,
    /// Milliseconds since the Unix epoch by the writer's clock.
    pub emitted_ms: u64,
    /// A byte string; a text string is taken too.
    pub payload: &'a [u8],
}

/// Why bytes are not a frame: a phrase for their writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Malformed {}

impl From<minicbor::decode::Error> for Malformed {
    fn from(_: minicbor::decode::Error) -> Self {
        Malformed("not CBOR of this shape")
    }
}

/// The keys, shortest first, as they are written (RFC 8949 4.2.1).
const KEYS: [&str; 6] = ["seq", "role", "schema", "payload", "worker_id", "emitted_ms"];

impl<'a> Frame<'a> {
    /// Appends the frame to `out`, its keys in canonical order, its numbers in their shortest form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        // Writing to a vector cannot fail.
        let _ = self.write(&mut encoder);
    }

    fn write(
        &self,
        encoder: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
        let [seq, role, schema, payload, worker_id, emitted_ms] = KEYS;
        encoder
            .map(KEYS.len() as u64)?
            .str(seq)?
            .u64(self.seq)?
            .str(role)?
            .str(self.role)?
            .str(schema)?
            .str(SCHEMA)?
            .str(payload)?
            .bytes(self.payload)?
            .str(worker_id)?
            .str(self.worker_id)?
            .str(emitted_ms)?
            .u64(self.emitted_ms)?;
        Ok(())
    }

    /// The frame at the beginning of `bytes`, and how many bytes it has.
    pub fn decode(bytes: &'a [u8]) -> Result<(Frame<'a>, usize), Malformed> {
        let mut decoder = Decoder::new(bytes);
        if decoder.map()? != Some(KEYS.len() as u64) {
            return Err(Malformed("a map of six keys is wanted"));
        }
        let (mut frame, mut seen) =
            (Frame { worker_id: "", role: "", seq: 0, emitted_ms: 0, payload: &[] }, 0u8);
        for _ in KEYS {
            let key = decoder.str()?;
            match key {
                "seq" => frame.seq = decoder.u64()?,
                "role" => frame.role = decoder.str()?,
                "schema" if decoder.str()? == SCHEMA => {}
                "schema" => return Err(Malformed("schema is not telemetry-frame/v1")),
                "payload" if decoder.datatype()? == Type::String => {
                    frame.payload = decoder.str()?.as_bytes();
                }
                "payload" => frame.payload = decoder.bytes()?,
                "worker_id" => frame.worker_id = decoder.str()?,
                "emitted_ms" => frame.emitted_ms = decoder.u64()?,
                _ => return Err(Malformed("a key that frames do not have")),
            }
            let bit = KEYS.iter().position(|known| *known == key).map_or(0, |i| 1 << i);
            if seen & bit != 0 {
                return Err(Malformed("a key twice"));
            }
            seen |= bit;
        }
        Ok((frame, decoder.position()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const FRAME: Frame = Frame {
        worker_id: "worker-3",
        role: "worker-heartbeat",
        seq: 300,
        emitted_ms: 1_795_224_360_123,
        payload: b"heartbeat 300\n",
    };

    fn encoded() -> Vec<u8> {
        let mut out = vec![];
        FRAME.encode(&mut out);
        out
    }

    #[test]
    fn a_frame_comes_back_and_says_its_length() {
        let mut out = encoded();
        let len = out.len();
        out.extend_from_slice(b"next");
        assert_eq!(Frame::decode(&out), Ok((FRAME, len)));
    }

    #[test]
    fn no_beginning_of_a_frame_is_one() {
        let out = encoded();
        (0..out.len()).for_each(|n| assert!(Frame::decode(&out[..n]).is_err(), "{n}"));
    }

    #[test]
    fn keys_come_in_any_order_but_once_and_no_others() {
        let pair = |encoder: &mut Encoder<&mut Vec<u8>>, key: &str| {
            let _ = match key {
                "seq" | "emitted_ms" => encoder.str(key).and_then(|e| e.u64(7)),
                "schema" => encoder.str(key).and_then(|e| e.str(SCHEMA)),
                "payload" => encoder.str(key).and_then(|e| e.str("text")),
                _ => encoder.str(key).and_then(|e| e.str("w")),
            };
        };
        let built = |keys: &[&str]| {
            let mut out = vec![];
            let mut encoder = Encoder::new(&mut out);
            let _ = encoder.map(keys.len() as u64);
            keys.iter().for_each(|key| pair(&mut encoder, key));
            Frame::decode(&out).map(|(frame, _)| frame.payload.to_vec())
        };
        let keys = ["schema", "worker_id", "role", "seq", "emitted_ms", "payload"];
        assert_eq!(built(&keys), Ok(b"text".to_vec()));
        assert_eq!(built(&keys[..5]), Err(Malformed("a map of six keys is wanted")));
        let twice = ["schema", "worker_id", "role", "seq", "seq", "payload"];
        assert_eq!(built(&twice), Err(Malformed("a key twice")));
        let other = ["schema", "worker_id", "role", "seq", "emitted_ms", "colour"];
        assert_eq!(built(&other), Err(Malformed("a key that frames do not have")));
    }
}
