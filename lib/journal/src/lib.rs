//! The audit journal (spec 6): one JSON object a line, chained by sha256, vouched for by signed
//! checkpoints. Guarantees: a record has exactly one spelling; a changed, missing, moved or torn record
//! is found, and the first bad one named. The core is pure; keeping records on a disk is behind the
//! feature `std`.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod chain;
mod hash;
mod key;
#[cfg(feature = "std")]
mod lines;
mod record;
#[cfg(feature = "std")]
mod store;
mod verify;

pub use hash::Hash;
pub use key::{AuditKey, KeyError, PublicKeys};
#[cfg(feature = "std")]
pub use lines::{Line, Lines};
pub use record::{Entry, Kind, NotARecord, RECORD_MAX, Record, concealed, entries};
#[cfg(feature = "std")]
pub use store::{Disk, Health, Opened, Options, Real, Refused, Store, StoreError};
pub use verify::{Fault, Head, Summary, Verifier};

#[cfg(test)]
mod tests;
