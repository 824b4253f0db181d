//! How two processes of one machine talk: a byte stream of 9P frames, bounded by the kernel's buffers.
//! Guarantees: a listener is for the hive's own user only, and says who is at the other end. Knows
//! nothing of frames; the peer is not trusted to send any.
#![forbid(unsafe_code)]

pub mod unix;
