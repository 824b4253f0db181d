//! The typed, resolved hive manifest: the one configuration that every server and command reads.
//! Guarantees: what [`Manifest::from_cbor`] returns is byte for byte what the compiler wrote, so
//! that one fingerprint names one configuration. Reads no file by itself; the compiler's half
//! (TOML in, checks, resolved JSON and CBOR out) is behind the feature `std`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod cbor;
#[cfg(feature = "std")]
pub mod compile;
mod listener;
mod network;
mod types;

pub use cbor::{Fingerprint, LoadError};
#[cfg(feature = "std")]
pub use compile::{Additions, ClientConfig, Compiled, Problem, compile, compile_with};
pub use listener::{AddrError, Fids, Listener, ListenerKind, Overflow};
pub use network::{Network, NetworkMode, Nic, Service};
pub use types::process_name;
pub use types::{
    Audit, Client, Decision, Eviction, Export, FrameSchema, Hive, Lease, Lifecycle, Log, Manifest, Ninep,
    Policy, PolicyRule, Profile, Queen, Resource, Restart, Schedule, Server, Target, Telemetry, Tickets,
    Trace, Workers, WorkersRun,
};

/// The schema that this source reads and writes.
pub const SCHEMA: u32 = 1;
