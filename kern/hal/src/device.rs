//! What a network card and a disk do.

use core::fmt;

/// Bytes of an Ethernet frame at most, without its check sequence.
pub const FRAME_MAX: usize = 1514;
/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// Why a device is of no use until it is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no such device there, or it lacks what is needed.
    Absent,
    /// It asks to be reset, or does not come out of one.
    Reset,
    /// It said something that cannot be: an index, a descriptor, a length.
    Lied,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "no such device",
            Self::Reset => "the device asks to be reset",
            Self::Lied => "the device said what cannot be",
        })
    }
}

impl core::error::Error for Fault {}

/// A network card. It moves whole Ethernet frames and waits for nothing.
pub trait Nic {
    /// Its address.
    fn mac(&self) -> [u8; 6];

    /// Whether it has a link, as it last said.
    fn has_link(&self) -> bool;

    /// Takes a received frame into `out`, which holds [`FRAME_MAX`] bytes; returns its length. A frame that is
    /// too short or too long to be one is passed over.
    ///
    /// # Errors
    /// The card needs [`Nic::reset`].
    fn receive(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault>;

    /// Whether [`Nic::send`] would take a frame.
    ///
    /// # Errors
    /// As for [`Nic::receive`].
    fn can_send(&mut self) -> Result<bool, Fault>;

    /// Queues a frame of at most [`FRAME_MAX`] bytes; false if there is no room now.
    ///
    /// # Errors
    /// As for [`Nic::receive`].
    fn send(&mut self, frame: &[u8]) -> Result<bool, Fault>;

    /// Quiets the card's interrupt; what it was about is taken up by the calls above.
    ///
    /// # Errors
    /// As for [`Nic::receive`].
    fn acknowledge(&mut self) -> Result<(), Fault>;

    /// Begins anew; frames on their way are lost.
    ///
    /// # Errors
    /// If the card does not come back.
    fn reset(&mut self) -> Result<(), Fault>;
}

/// What a disk is asked for, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Read one sector.
    Read(u64),
    /// Write one sector.
    Write(u64),
    /// Everything that was written lasts.
    Flush,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The number that [`Block::submit`] gave.
    pub request: u16,
    /// Whether it was done.
    pub is_ok: bool,
}

/// A disk.
pub trait Block {
    /// How many sectors it has.
    fn sectors(&self) -> u64;

    /// Hands a request over; returns its number, or nothing if there is no room now.
    ///
    /// # Errors
    /// The disk needs [`Block::reset`].
    fn submit(&mut self, request: Request, data: &[u8; SECTOR]) -> Result<Option<u16>, Fault>;

    /// The next request that is done; what was read goes into `data`.
    ///
    /// # Errors
    /// As for [`Block::submit`].
    fn done(&mut self, data: &mut [u8; SECTOR]) -> Result<Option<Done>, Fault>;

    /// Quiets the disk's interrupt.
    ///
    /// # Errors
    /// As for [`Block::submit`].
    fn acknowledge(&mut self) -> Result<(), Fault>;

    /// Begins anew; requests on their way are lost, done or not.
    ///
    /// # Errors
    /// If the disk does not come back.
    fn reset(&mut self) -> Result<(), Fault>;
}
