//! Mount tables: what a session sees, and which server's file a path of it is.
//! Guarantees: a table that parses or accepts a `bind` resolves every path in bounded steps, and
//! prints as text that parses back to the same name space; nothing here panics on any text or
//! path. Pure: no I/O, no clock; files to include come from the caller, and whether a server has
//! a file is the server's to say.
//!
//! ```
//! use ns::{Resolved, Table, Vars};
//! let text = "mount -r proc /proc\nmount worker /worker/$subject $subject\nbind /worker/$subject /worker/self\n";
//! let table = Table::parse(text, &Vars { subject: Some("worker-3"), shard: Some("4f") }).unwrap();
//! let path = ns::Path::parse("/worker/self/telemetry").unwrap();
//! let Resolved::Mount(place) = table.resolve(&path) else { panic!() };
//! assert_eq!(table.entry(place.entry).unwrap().to_string(), "mount worker /worker/worker-3 worker-3");
//! assert_eq!(place.rest(&path).collect::<Vec<_>>(), ["telemetry"]);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod line;
mod path;
mod shard;
mod table;
mod template;

pub use line::Error;
pub use path::{MAX_DEPTH, MAX_NAME, Path, PathError, check_name};
pub use shard::{ShardLabel, shard_label, shard_part};
pub use table::{Entry, MAX_ENTRIES, MAX_TEXT, Place, Refused, Resolved, Table};
pub use template::{MAX_INCLUDES, Template, Vars};
