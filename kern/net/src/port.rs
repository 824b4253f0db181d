//! The network card as smoltcp wants it, with counts, and with what must not even reach smoltcp left out.

use hal::{FRAME_MAX, Fault, Nic};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Ports of ours at most.
pub(crate) const PORTS_MAX: usize = 4;
/// How long a card that had to be reset twice rests.
const REST_MS: u64 = 100;

/// What the card has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) syn_dropped: u64,
    pub(crate) resets: u64,
}

/// A card and a frame's room each way.
#[derive(Debug)]
pub struct Port<N> {
    nic: N,
    counts: Counts,
    /// What the card has said wrong, until it is reset.
    fault: Option<Fault>,
    rests_until_ms: u64,
    /// Ports of ours that have no room for a client now: it is to try again, not to be refused.
    full: [u16; PORTS_MAX],
    incoming: [u8; FRAME_MAX],
    outgoing: [u8; FRAME_MAX],
}

impl<N: Nic> Port<N> {
    /// A card that runs.
    pub const fn new(nic: N) -> Self {
        Self {
            nic,
            counts: Counts {
                received: 0,
                received_bytes: 0,
                sent: 0,
                sent_bytes: 0,
                dropped: 0,
                syn_dropped: 0,
                resets: 0,
            },
            fault: None,
            rests_until_ms: 0,
            full: [0; PORTS_MAX],
            incoming: [0; FRAME_MAX],
            outgoing: [0; FRAME_MAX],
        }
    }

    /// The card.
    pub const fn nic(&self) -> &N {
        &self.nic
    }

    /// Its interrupt came: what it was about is taken up at the next turn.
    pub fn interrupted(&mut self) {
        if let Err(fault) = self.nic.acknowledge() {
            self.fault = Some(fault);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn set_full(&mut self, at: usize, port: Option<u16>) {
        self.full[at] = port.unwrap_or(0);
    }

    /// Resets a card that needs it, and not at every turn; returns when to try again.
    pub(crate) fn mend(&mut self, now_ms: u64) -> Option<u64> {
        let fault = self.fault?;
        if now_ms < self.rests_until_ms {
            return Some(self.rests_until_ms);
        }
        self.rests_until_ms = now_ms + REST_MS;
        self.counts.resets += 1;
        match self.nic.reset() {
            Ok(()) => self.fault = None,
            Err(_) => self.fault = Some(fault),
        }
        self.fault.map(|_| self.rests_until_ms)
    }

    /// Whether the frame opens a connection to a port that has no room now.
    fn is_too_many(&self, frame: &[u8]) -> bool {
        let Some(port) = opens(frame) else { return false };
        port != 0 && self.full.contains(&port)
    }
}

/// The port that an Ethernet frame opens a TCP connection to, if it does.
fn opens(frame: &[u8]) -> Option<u16> {
    const IPV4: [u8; 2] = [8, 0];
    const TCP: u8 = 6;
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let ip = frame.get(14..).filter(|_| frame[12..14] == IPV4)?;
    let header = usize::from(ip.first()? & 15) * 4;
    let tcp = ip.get(header..).filter(|_| ip.get(9) == Some(&TCP))?;
    let flags = tcp.get(13)?;
    (flags & (SYN | ACK) == SYN).then(|| u16::from_be_bytes([tcp[2], tcp[3]]))
}

/// A frame that came.
pub struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

/// Room for a frame that goes.
pub struct Outgoing<'a, N> {
    nic: &'a mut N,
    room: &'a mut [u8; FRAME_MAX],
    counts: &'a mut Counts,
    fault: &'a mut Option<Fault>,
}

impl<N: Nic> TxToken for Outgoing<'_, N> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let frame = &mut self.room[..length];
        let result = fill(frame);
        match self.nic.send(frame) {
            Ok(true) => {
                self.counts.sent += 1;
                self.counts.sent_bytes += length as u64;
            }
            Ok(false) => self.counts.dropped += 1,
            Err(fault) => *self.fault = Some(fault),
        }
        result
    }
}

impl<N: Nic> Device for Port<N> {
    type RxToken<'a>
        = Incoming<'a>
    where
        N: 'a;
    type TxToken<'a>
        = Outgoing<'a, N>
    where
        N: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        // An answer may be due, so what cannot be answered waits.
        if !self.can_send() {
            return None;
        }
        let length = match self.nic.receive(&mut self.incoming) {
            Ok(length) => length?,
            Err(fault) => {
                self.fault = Some(fault);
                return None;
            }
        };
        self.counts.received += 1;
        self.counts.received_bytes += length as u64;
        let mut kept = length;
        if self.is_too_many(&self.incoming[..length]) {
            self.counts.syn_dropped += 1;
            // Of no frame, smoltcp makes nothing.
            kept = 0;
        }
        let Self { nic, counts, fault, incoming, outgoing, .. } = self;
        Some((Incoming(&incoming[..kept]), Outgoing { nic, room: outgoing, counts, fault }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        if !self.can_send() {
            return None;
        }
        let Self { nic, counts, fault, outgoing, .. } = self;
        Some(Outgoing { nic, room: outgoing, counts, fault })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }
}

impl<N: Nic> Port<N> {
    fn can_send(&mut self) -> bool {
        if self.fault.is_some() {
            return false;
        }
        self.nic.can_send().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            false
        })
    }
}
