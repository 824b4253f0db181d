//! What a command stands on: find the hive, open, read, write, tail, report (spec 13.2).
//!
//! Guarantees: an operation on a mount and on a door behaves, prints and fails alike; nothing is tried
//! twice but what has no second effect; a path never leaves the hive. Knows no server's files but what
//! every session has, `/proc/9p/self/{errstr,ns}`, and `/proc/version`, to tell one hive from another.
#![forbid(unsafe_code)]

mod args;
mod completion;
mod door;
mod enter;
mod fields;
mod hive;
mod mount;
mod object;
mod path;
mod points;
mod policy;
mod progress;
mod run;
mod secret;
mod spaces;
mod tail;
mod time;
mod trace;
mod trouble;
mod verbs;

pub use args::{FollowArgs, HiveArgs, data_dir, door_address, run_dir, ticket};
pub use completion::COMPLETION;
pub use enter::not_entered;
pub use fields::{Record, columns, mode_string, table};
pub use hive::{Access, Entry, File, Hive, LINE_MAX, NodeKind, Stat};
pub use ninep::refusal::Word;
pub use object::{object, spawn};
pub use path::clean;
pub use points::{Life, MountPoint, life, mount_path, mount_points, mounted_at, unmount};
pub use policy::{Policy, fingerprint};
pub use progress::Progress;
pub use run::{Out, arguments, main};
pub use secret::secret;
pub use serde_json;
pub use spaces::{Mounted, mounts, server_at};
pub use tail::{Follow, LastLines, lines, tail};
pub use time::{duration_ms, now_ms};
pub use trouble::Trouble;
pub use verbs::{Board, BoardArgs, Words};
