//! Why a ticket is none.

use core::fmt;

/// Why a ticket does not parse, verify, or narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketError {
    /// Not of the form `coh1.block.sig….proof`, or too long.
    Form,
    /// Base64url that is not the only one for its bytes.
    Base64,
    /// A block that is not the canonical CBOR of its claims.
    Block,
    /// A claim is absent that must be there, or there where it must not be.
    Claims(&'static str),
    /// The issuer's key is not one of this hive's.
    Key,
    /// A signature does not fit.
    Signature,
    /// The proof does not fit the last block.
    Proof,
    /// It is sealed: it cannot be narrowed.
    Sealed,
    /// It is for another hive.
    Hive,
    /// Its time is over.
    Expired,
    /// It claims more than the ticket it was made from.
    Widens(&'static str),
    /// It claims more than this hive allows.
    Bounds(&'static str),
}

impl TicketError {
    /// Was it a good ticket once? Then the answer is Revoked; else Permission.
    pub fn is_expired(&self) -> bool {
        *self == TicketError::Expired
    }
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TicketError::Form => f.write_str("not a ticket: coh1.BLOCK.SIGNATURE….PROOF is wanted"),
            TicketError::Base64 => f.write_str("the ticket is not canonical base64url"),
            TicketError::Block => f.write_str("a block of the ticket is not canonical CBOR"),
            TicketError::Claims(what) => write!(f, "the ticket's {what} is malformed or misplaced"),
            TicketError::Key => f.write_str("the ticket was issued by a key that this hive does not accept"),
            TicketError::Signature => f.write_str("a signature of the ticket does not fit"),
            TicketError::Proof => f.write_str("the ticket's proof does not fit its last block"),
            TicketError::Sealed => f.write_str("the ticket is sealed and cannot be narrowed"),
            TicketError::Hive => f.write_str("the ticket is for another hive"),
            TicketError::Expired => f.write_str("the ticket has expired"),
            TicketError::Widens(what) => write!(f, "the ticket's {what} is wider than it was before"),
            TicketError::Bounds(what) => write!(f, "the ticket's {what} is beyond what this hive allows"),
        }
    }
}

impl core::error::Error for TicketError {}
