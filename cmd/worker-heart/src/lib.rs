//! worker-heart: the heartbeat worker. It appends `heartbeat <tick>` to its telemetry until its ticks are
//! spent, through the door and with its own ticket, like any client. Guarantees: an acknowledged tick is
//! neither repeated nor left out, whatever is restarted meanwhile; without init it ends.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod heart;
mod record;

#[cfg(not(target_os = "none"))]
mod hosted;
#[cfg(not(target_os = "none"))]
mod pool;
#[cfg(target_os = "none")]
mod sel4;
#[cfg(not(target_os = "none"))]
mod space;

use alloc::string::String;
#[cfg(not(target_os = "none"))]
pub use hosted::main;
use serde::Deserialize;

/// What init hands over, as one JSON line on the standard input, or on the channel: a ticket belongs into no
/// argument and no environment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[cfg_attr(target_os = "none", expect(dead_code, reason = "there the door is at the end of a channel"))]
    door: String,
    ticket: String,
    subject: String,
    /// 0: until somebody ends it.
    ticks: u64,
    period_ms: u64,
    #[serde(default)]
    frame_schema: FrameSchema,
}

/// What a record is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FrameSchema {
    /// A line.
    #[default]
    Text,
    /// A `telemetry-frame/v1`.
    Cbor,
}

/// The longest configuration: a ticket of 2048 bytes and what goes with it.
const CONFIG_MAX: u64 = 8192;
/// The exit status of a worker whose ticket was revoked, or whose budget was spent.
const OVER: u8 = 3;

#[cfg(target_os = "none")]
rt::run!("worker-heart", sel4::run);
