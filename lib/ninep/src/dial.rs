//! How a program reaches a door: addresses, credentials, and two connections: [`Conn`], blocking, for
//! one thread; [`SharedConn`] for many.

mod addr;
mod conn;
mod error;
mod shared;
mod stream;

pub use crate::Credentials;
pub use crate::Listing;
pub use addr::Addr;
pub use conn::{Conn, Listed, Stat};
pub use error::DialError;
pub use shared::SharedConn;
pub use stream::{Stream, Transport};

use std::time::Duration;

/// How long a call may take, unless it is set otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Requests in flight: what every listener allows.
pub const WINDOW: usize = 32;
/// Longest ticket that goes in Tattach's aname; a longer one is written to an afid.
const ANAME_MAX: usize = 1024;
