//! What has happened, for `netstats`.

use core::fmt;

/// What has happened, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that came, and their bytes.
    pub received: u64,
    /// See `received`.
    pub received_bytes: u64,
    /// Frames that went, and their bytes.
    pub sent: u64,
    /// See `sent`.
    pub sent_bytes: u64,
    /// Frames that found no room in the card.
    pub dropped: u64,
    /// How often the card was reset.
    pub resets: u64,
    /// Connections that were made.
    pub accepted: u64,
    /// Connections that were reset because there were as many as there may be.
    pub refused: u64,
    /// Connections that the client left half open.
    pub half_open_dropped: u64,
    /// Requests for connections that were not answered, because too many were half open.
    pub syn_dropped: u64,
    /// Connections that are open now.
    pub sessions: u64,
    /// Connections that are half open now.
    pub half_open: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, count)) in [
            ("sessions", self.sessions),
            ("half_open", self.half_open),
            ("accepted", self.accepted),
            ("refused", self.refused),
            ("half_open_dropped", self.half_open_dropped),
            ("syn_dropped", self.syn_dropped),
            ("rx_frames", self.received),
            ("rx_bytes", self.received_bytes),
            ("tx_frames", self.sent),
            ("tx_bytes", self.sent_bytes),
            ("tx_dropped", self.dropped),
            ("resets", self.resets),
        ]
        .into_iter()
        .enumerate()
        {
            let before = if n == 0 { "" } else { " " };
            write!(f, "{before}{name}={count}")?;
        }
        Ok(())
    }
}
