//! Who a client says it is.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// Who wants in. Shows no ticket when printed.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `queen`, `observer`, …; empty: queen without a ticket, and with one what the ticket says.
    pub role: String,
    /// Whose; may be empty.
    pub subject: String,
    /// The ticket; empty on a local door.
    pub ticket: String,
    /// What to send as n_uname; some foreign servers want a user's number.
    pub n_uname: u32,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.uname())
    }
}

impl Credentials {
    /// Tattach's uname, `role` or `role:subject`.
    pub fn uname(&self) -> String {
        let role = if self.role.is_empty() && self.ticket.is_empty() { "queen" } else { &self.role };
        if self.subject.is_empty() { role.to_string() } else { format!("{role}:{}", self.subject) }
    }
}
