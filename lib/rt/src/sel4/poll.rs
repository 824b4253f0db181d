//! The process's channels, and its sleep.

use super::network::Network;
use crate::conn::Stream;
use crate::prelude::*;
use chan::Moved;
use ninep::srv::Now;
use task::config::Role;

/// This end of a channel, one conversation after the other.
pub struct Wire {
    /// Who is at the other end.
    pub peer: &'static str,
    /// What the channel is for.
    pub role: Role,
    number: usize,
    channel: task::Channel,
    conversation: Option<u32>,
    is_told: bool,
    bytes_read: u64,
}

impl Wire {
    /// Looks whether the other end is there; says whether what was said before is void: there is a new
    /// conversation, or none.
    pub fn has_changed(&mut self) -> bool {
        let now = self.channel.conversation();
        core::mem::replace(&mut self.conversation, now) != now
    }

    /// Whether both ends are there, as of the last look.
    pub fn is_open(&self) -> bool {
        self.conversation.is_some()
    }

    fn moved(&mut self, count: Result<usize, chan::ring::Corrupt>) -> Moved {
        match count {
            Ok(0) => Moved::Later,
            Ok(count) => Moved::Bytes(count),
            Err(_) => {
                if !core::mem::replace(&mut self.is_told, true) {
                    task::accuse(self.number);
                }
                Moved::Ended
            }
        }
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> Moved {
        if self.conversation.is_none() {
            return Moved::Later;
        }
        let count = self.channel.read(buffer);
        self.bytes_read += count.unwrap_or(0) as u64;
        self.moved(count)
    }

    /// Bytes that were ever read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Writes once.
    pub fn write(&mut self, bytes: &[u8]) -> Moved {
        if self.conversation.is_none() {
            return Moved::Later;
        }
        let count = self.channel.write(bytes);
        self.moved(count)
    }
}

impl Stream for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> Moved {
        Wire::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> Moved {
        Wire::write(self, bytes)
    }
}

/// The channels that nobody has taken yet.
pub struct Poll {
    wires: Vec<Wire>,
}

impl Poll {
    /// All of the process's. Made once.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Poll {
        let wires = task::channels().enumerate().map(|(number, (wire, channel))| Wire {
            peer: wire.peer.as_str(),
            role: wire.role,
            number,
            channel,
            conversation: None,
            is_told: false,
            bytes_read: 0,
        });
        Poll { wires: wires.collect() }
    }

    /// Takes the channels of a role, in the order of the topology.
    pub fn take(&mut self, role: Role) -> Vec<Wire> {
        let (taken, left) = core::mem::take(&mut self.wires).into_iter().partition(|wire| wire.role == role);
        self.wires = left;
        taken
    }

    /// Takes the channels on which others open streams.
    pub fn take_networks(&mut self) -> Vec<Network> {
        let wires = self.take(Role::Many).into_iter();
        wires.map(|wire| Network::accepting(wire.peer, wire.number, wire.channel)).collect()
    }

    /// Takes the channels on which this process opens streams.
    pub fn take_offers(&mut self) -> Vec<Network> {
        let wires = self.take(Role::Offer).into_iter();
        wires.map(|wire| Network::opening(wire.peer, wire.number, wire.channel)).collect()
    }

    /// Sleeps until a channel has something, or the clock reaches `deadline_ms`.
    pub fn wait(&self, deadline_ms: Option<u64>, now: Now) {
        if deadline_ms.is_none_or(|at| at > now.mono_ms) {
            task::sleep(deadline_ms);
        }
    }
}
