//! The network of a machine that the hive has for itself: an image's, not a hosted hive's.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{Fids, ListenerKind, Manifest};

/// The network of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Where its address comes from.
    pub mode: NetworkMode,
    /// Its card.
    pub nic: Nic,
    /// `static`: its address with the bits of the network's part, `10.0.2.15/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `static`: the way to other networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Connections at once.
    pub sessions: u32,
    /// Connections at once of which the client has not yet answered.
    pub half_open: u32,
    /// How long that may take.
    pub half_open_s: u32,
    /// Held of what a client sent, for each connection, bytes.
    pub receive_bytes: u32,
    /// Held of what a client has yet to receive, for each connection, bytes.
    pub send_bytes: u32,
    /// What its process may take, KiB.
    pub memory_kib: u64,
    /// Cores it may run on; empty: any.
    pub affinity: Vec<u32>,
}

/// Where the address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// There is no network.
    Off,
    /// It is told.
    Static,
    /// It asks.
    Dhcp,
}

/// A network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nic {
    /// virtio over memory-mapped registers.
    VirtioNet,
    /// RTL8139 over PCI.
    Rtl8139,
}

impl Nic {
    /// The word of the manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::VirtioNet => "virtio-net",
            Self::Rtl8139 => "rtl8139",
        }
    }
}

/// Who serves what comes in on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The console.
    Console,
    /// The door, to strict clients.
    Ninep,
    /// The door, to stock clients.
    Compat,
}

impl Network {
    /// Its own address and the bits of the network's part; none where it is not given or is none.
    #[must_use]
    pub fn address(&self) -> Option<([u8; 4], u8)> {
        let (address, bits) = self.address.as_deref()?.split_once('/')?;
        let bits = bits.parse().ok().filter(|bits| (1..=30).contains(bits))?;
        Some((quad(address)?, bits))
    }

    /// The way to other networks; none where it is not given or is none.
    #[must_use]
    pub fn gateway(&self) -> Option<[u8; 4]> {
        quad(self.gateway.as_deref()?)
    }
}

impl Manifest {
    /// The ports that the network listens on: the console's first, then the listeners' as they stand.
    pub fn ports(&self) -> impl Iterator<Item = (Service, u16)> {
        let port = |addr: &str| addr.rsplit_once('!')?.1.parse().ok();
        let console = self.console.tcp.as_deref().and_then(port).map(|port| (Service::Console, port));
        let doors = self.listeners.iter().filter(|listener| listener.kind == ListenerKind::Tcp);
        let doors = doors.filter_map(move |listener| {
            let service = if listener.fids == Fids::Strict { Service::Ninep } else { Service::Compat };
            Some((service, port(&listener.addr)?))
        });
        console.into_iter().chain(doors)
    }
}

fn quad(text: &str) -> Option<[u8; 4]> {
    text.parse::<core::net::Ipv4Addr>().ok().map(|address| address.octets())
}
