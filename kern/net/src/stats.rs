//! What has happened, for `netstats`.

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
