//! Tickets (spec 3): who a bearer is and what it may do, minted by the hive's issuer, narrowed offline
//! by whoever holds one, checked by public keys alone.
//! Guarantees: no chain of narrowings allows what its parent did not; a changed, spliced, reordered or
//! non-canonical ticket does not verify; a proof is never shown. Reads no clock and draws no randomness.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod account;
mod block;
mod claims;
mod error;
mod guard;
mod key;
mod meter;
mod token;

pub use account::Accounts;
pub use claims::{
    Attenuation, Bounds, Budget, Claims, Grant, Level, Quota, Role, Scope, Verbs, check_subject,
};
pub use error::TicketError;
pub use guard::{Revocations, Throttle};
pub use key::{IssuerKey, Keys};
pub use meter::{CursorMove, Meter, Refused, Verb};
pub use token::{MAX_BLOCKS, MAX_LEN, Token, mint};
