//! The audit journal (spec 6): one JSON object a line, chained by sha256, vouched for by signed
//! checkpoints. Guarantees: a record has exactly one spelling; a changed, missing, moved or torn record
//! is found, and the first bad one named. The core is pure; records are kept in `lib/files`.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod chain;
mod hash;
mod key;
mod lines;
mod record;
mod store;
mod verify;

pub use hash::Hash;
pub use key::{AuditKey, KeyError, PublicKeys};
pub use lines::{Line, Lines, Source};
pub use record::{Entry, Kind, NotARecord, RECORD_MAX, Record, concealed, entries};
pub use store::{Health, Opened, Options, Refused, SIDECAR, Store, StoreError, noted};
pub use verify::{Fault, Head, Summary, Verifier};

#[cfg(test)]
mod tests;
