//! 9P2000.L, bounded: the codec, the server engine, the client engine, and how to dial.
//!
//! Guarantees: nothing a peer sends panics, allocates without bound, or is answered twice. Does no
//! input or output itself, except in `dial` (feature `std`).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod clnt;
mod credentials;
#[cfg(feature = "std")]
pub mod dial;
mod listing;
pub mod refusal;
pub mod srv;
pub mod wire;

pub use credentials::Credentials;
pub use listing::Listing;
