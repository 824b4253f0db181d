//! Realtek's RTL8139 network card: one ring of bytes for what it receives, four slots for what it sends.

use hal::{Dma, FRAME_MAX, Fault, Narrow, Nic};

/// Its vendor and device on the PCI bus.
pub const ID: (u16, u16) = (0x10ec, 0x8139);

const ADDRESS: usize = 0x00;
const SEND_STATUS: usize = 0x10;
const SEND_ADDRESS: usize = 0x20;
const RECEIVE_ADDRESS: usize = 0x30;
const COMMAND: usize = 0x37;
const READ_AT: usize = 0x38;
const MASK: usize = 0x3c;
const INTERRUPT: usize = 0x3e;
const RECEIVE_CONFIG: usize = 0x44;
const SEND_CONFIG: usize = 0x40;
const POWER: usize = 0x52;
const MEDIA: usize = 0x58;

const IS_EMPTY: u8 = 1;
const SENDS: u8 = 1 << 2;
const RECEIVES: u8 = 1 << 3;
const RESET: u8 = 1 << 4;
const NO_LINK: u8 = 1 << 2;

const RECEIVED: u16 = 1 << 0;
const RECEIVE_ERROR: u16 = 1 << 1;
const OVERFLOW: u16 = 1 << 4 | 1 << 6;
const LINK_CHANGED: u16 = 1 << 5;
const INTERRUPTS: u16 = RECEIVED | RECEIVE_ERROR | OVERFLOW | LINK_CHANGED;

/// The slot is ours: what was in it is sent.
const IS_SENT: u32 = 1 << 13;
const SLOTS: usize = 4;
const SLOT: usize = 2048;
const FRAME_MIN: usize = 60;

/// Bytes of the ring; a frame that begins before its end goes on past it.
const RING: usize = 32 << 10;
const RING_ROOM: usize = RING + 16 + SLOT;
const SLOTS_AT: usize = RING_ROOM.next_multiple_of(4096);
const HEADER: usize = 4;
const CHECK: usize = 4;
const IS_OK: u16 = 1;
/// Frames to this card, to all and to groups; whole bursts; a ring of 32 KiB; frames go on past its end.
const TAKES: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 7 << 8 | 2 << 11 | 1 << 7;
/// Whole bursts, and the gap that the standard wants.
const SENDING: u32 = 7 << 8 | 3 << 24;
/// Reads of the command until a reset must be over.
const PATIENCE: u32 = 1000;

/// The card.
#[derive(Debug)]
pub struct Rtl8139<R, D> {
    registers: R,
    dma: D,
    mac: [u8; 6],
    has_link: bool,
    /// Where the next received frame begins.
    at: usize,
    /// The slot to send from next, and how many are with the card.
    slot: usize,
    busy: usize,
}

impl<R: Narrow, D: Dma> Rtl8139<R, D> {
    /// Bytes of DMA memory that it takes.
    pub const MEMORY: usize = SLOTS_AT + SLOTS * SLOT;

    /// Takes the card behind the registers into use.
    ///
    /// # Errors
    /// If it does not come out of its reset, or the memory lies where it does not reach.
    pub fn new(registers: R, dma: D) -> Result<Self, Fault> {
        assert!(dma.bytes() >= Self::MEMORY, "the card needs {} bytes of DMA memory", Self::MEMORY);
        let mut card = Self { registers, dma, mac: [0; 6], has_link: false, at: 0, slot: 0, busy: 0 };
        card.reset()?;
        Ok(card)
    }

    fn bus(&self, offset: usize) -> Result<u32, Fault> {
        u32::try_from(self.dma.bus(offset)).map_err(|_| Fault::Absent)
    }

    fn read_link(&mut self) {
        self.has_link = self.registers.read_u8(MEDIA) & NO_LINK == 0;
    }

    /// Counts the slots that have come back, in order.
    fn reap(&mut self) {
        while self.busy > 0 {
            let oldest = (self.slot + SLOTS - self.busy) % SLOTS;
            if self.registers.read(SEND_STATUS + 4 * oldest) & IS_SENT == 0 {
                break;
            }
            self.busy -= 1;
        }
    }
}

impl<R: Narrow, D: Dma> Nic for Rtl8139<R, D> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn has_link(&self) -> bool {
        self.has_link
    }

    fn receive(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        if self.registers.read_u8(COMMAND) & IS_EMPTY != 0 {
            return Ok(None);
        }
        self.dma.invalidate(self.at..self.at + HEADER);
        let (status, length) = (self.dma.load_u16(self.at), usize::from(self.dma.load_u16(self.at + 2)));
        let frame = length.wrapping_sub(CHECK);
        // Frames with errors are not kept, so a header that is none means that the place is wrong.
        if status & IS_OK == 0 || frame > FRAME_MAX || frame > out.len() || frame < 14 {
            return Err(Fault::Lied);
        }
        let start = self.at + HEADER;
        self.dma.invalidate(start..start + frame);
        self.dma.load(start, &mut out[..frame]);
        self.at = (start + length).next_multiple_of(4) % RING;
        // The card counts from 16 before.
        self.registers.write_u16(READ_AT, (self.at as u16).wrapping_sub(16));
        Ok(Some(frame))
    }

    fn can_send(&mut self) -> Result<bool, Fault> {
        if self.busy == SLOTS {
            self.reap();
        }
        Ok(self.busy < SLOTS)
    }

    fn send(&mut self, frame: &[u8]) -> Result<bool, Fault> {
        assert!(frame.len() <= FRAME_MAX, "a frame has {FRAME_MAX} bytes at most");
        if !self.can_send()? {
            return Ok(false);
        }
        let at = SLOTS_AT + self.slot * SLOT;
        let bytes = frame.len().max(FRAME_MIN);
        self.dma.store(at, &[0; FRAME_MIN]);
        self.dma.store(at, frame);
        self.dma.clean(at..at + bytes);
        let address = self.bus(at)?;
        self.registers.write(SEND_ADDRESS + 4 * self.slot, address);
        // Clears "is sent" too: the slot is the card's.
        self.registers.write(SEND_STATUS + 4 * self.slot, bytes as u32);
        self.slot = (self.slot + 1) % SLOTS;
        self.busy += 1;
        Ok(true)
    }

    fn acknowledge(&mut self) -> Result<(), Fault> {
        let bits = self.registers.read_u16(INTERRUPT);
        self.registers.write_u16(INTERRUPT, bits);
        if bits & LINK_CHANGED != 0 {
            self.read_link();
        }
        // All bits at once is what a card that is gone reads as.
        if bits == u16::MAX || bits & OVERFLOW != 0 && self.registers.read_u8(COMMAND) & IS_EMPTY != 0 {
            return Err(Fault::Reset);
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Fault> {
        let ring = self.bus(0)?;
        self.bus(Self::MEMORY)?;
        let registers = &mut self.registers;
        registers.write_u8(POWER, 0);
        registers.write_u8(COMMAND, RESET);
        if (0..PATIENCE).all(|_| registers.read_u8(COMMAND) & RESET != 0) {
            return Err(Fault::Reset);
        }
        let (low, high) = (registers.read(ADDRESS).to_le_bytes(), registers.read(ADDRESS + 4).to_le_bytes());
        self.mac = [low[0], low[1], low[2], low[3], high[0], high[1]];
        (self.at, self.slot, self.busy) = (0, 0, 0);
        for at in (0..RING_ROOM).step_by(16) {
            self.dma.store(at, &[0; 16]);
        }
        self.dma.clean(0..Self::MEMORY);
        self.registers.write(RECEIVE_ADDRESS, ring);
        self.registers.write_u8(COMMAND, SENDS | RECEIVES);
        self.registers.write(RECEIVE_CONFIG, TAKES);
        self.registers.write(SEND_CONFIG, SENDING);
        self.registers.write_u16(INTERRUPT, u16::MAX);
        self.registers.write_u16(MASK, INTERRUPTS);
        self.read_link();
        Ok(())
    }
}
