//! The virtio network card (virtio 1.2, 5.1): one queue of frames each way.

use hal::{Dma, FRAME_MAX, Fault, Nic, Registers};

use crate::virtio::{CHANGED, Virtio};
use crate::virtqueue::{Part, QUEUE_BYTES, Queue};

/// The device's kind.
const KIND: u32 = 1;
const HAS_MAC: u64 = 1 << 5;
const HAS_STATUS: u64 = 1 << 16;
const LINK_UP: u16 = 1;
/// Frames each way.
const FRAMES: usize = 64;
/// A buffer: header and frame.
const BUFFER: usize = 2048;
const FRAME_MIN: usize = 14;
const RECEIVE: u32 = 0;
const SEND: u32 = 1;
const RECEIVE_AT: usize = 0;
const SEND_AT: usize = QUEUE_BYTES;
const RECEIVE_BUFFERS: usize = 2 * QUEUE_BYTES;
const SEND_BUFFERS: usize = RECEIVE_BUFFERS + FRAMES * BUFFER;
/// Returned receive buffers that are given back together.
const REFILL: usize = 8;

/// The card.
#[derive(Debug)]
pub struct VirtioNet<R, D> {
    device: Virtio<R>,
    dma: D,
    receive: Queue<FRAMES>,
    send: Queue<FRAMES>,
    to_refill: usize,
    mac: [u8; 6],
    has_link: bool,
}

impl<R: Registers, D: Dma> VirtioNet<R, D> {
    /// Bytes of DMA memory that it takes.
    pub const MEMORY: usize = SEND_BUFFERS + FRAMES * BUFFER;

    /// Takes the card behind the registers into use.
    ///
    /// # Errors
    /// If there is none there, or it does not do what is needed.
    pub fn new(registers: R, mut dma: D) -> Result<Self, Fault> {
        assert!(dma.bytes() >= Self::MEMORY, "the card needs {} bytes of DMA memory", Self::MEMORY);
        let device = Virtio::find(registers, KIND)?;
        let receive = Queue::new(&mut dma, RECEIVE_AT, true);
        let send = Queue::new(&mut dma, SEND_AT, false);
        let mut card = Self { device, dma, receive, send, to_refill: 0, mac: [0; 6], has_link: true };
        card.reset()?;
        Ok(card)
    }

    fn header(&self) -> usize {
        // The count of merged buffers came with virtio 1.
        if self.device.is_legacy { 10 } else { 12 }
    }

    /// Gives every free receive buffer to the card.
    fn refill(&mut self) {
        while let Some(id) = self.receive.peek() {
            let offset = RECEIVE_BUFFERS + usize::from(id) * BUFFER;
            self.receive.add(&mut self.dma, &[Part { offset, bytes: BUFFER as u32, is_written: true }]);
        }
        self.to_refill = 0;
        if self.receive.publish(&mut self.dma) {
            self.device.notify(RECEIVE);
        }
    }

    /// Takes back what the card has sent.
    fn reap(&mut self) -> Result<(), Fault> {
        while self.send.take(&mut self.dma)?.is_some() {}
        Ok(())
    }

    fn read_link(&mut self) {
        if self.device.features & HAS_STATUS != 0 {
            let word = self.device.config(4);
            self.has_link = (word >> 16) as u16 & LINK_UP != 0;
        }
    }
}

impl<R: Registers, D: Dma> Nic for VirtioNet<R, D> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn has_link(&self) -> bool {
        self.has_link
    }

    fn receive(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        // At most a queue of what is no frame is passed over, so that a broken card cannot hold us here.
        for _ in 0..FRAMES {
            let Some((id, bytes)) = self.receive.take(&mut self.dma)? else {
                if self.to_refill > 0 {
                    self.refill();
                }
                return Ok(None);
            };
            let header = self.header();
            let frame = (bytes as usize).saturating_sub(header);
            let is_frame = (FRAME_MIN..=FRAME_MAX).contains(&frame) && frame <= out.len();
            if is_frame {
                let at = RECEIVE_BUFFERS + usize::from(id) * BUFFER + header;
                self.dma.invalidate(at..at + frame);
                self.dma.load(at, &mut out[..frame]);
            }
            self.to_refill += 1;
            if self.to_refill >= REFILL {
                self.refill();
            }
            if is_frame {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn can_send(&mut self) -> Result<bool, Fault> {
        if self.send.peek().is_none() {
            self.reap()?;
        }
        Ok(self.send.peek().is_some())
    }

    fn send(&mut self, frame: &[u8]) -> Result<bool, Fault> {
        assert!(frame.len() <= FRAME_MAX, "a frame has {FRAME_MAX} bytes at most");
        if !self.can_send()? {
            return Ok(false);
        }
        let Some(id) = self.send.peek() else { return Ok(false) };
        let (header, at) = (self.header(), SEND_BUFFERS + usize::from(id) * BUFFER);
        let bytes = header + frame.len();
        // No offloads: a header of zeros, which the buffer's begins with since it was made.
        self.dma.store(at + header, frame);
        self.dma.clean(at..at + bytes);
        self.send.add(&mut self.dma, &[Part { offset: at, bytes: bytes as u32, is_written: false }]);
        self.send.publish(&mut self.dma);
        self.device.notify(SEND);
        Ok(true)
    }

    fn acknowledge(&mut self) -> Result<(), Fault> {
        if self.device.acknowledge()? & CHANGED != 0 {
            self.read_link();
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.device.begin(HAS_MAC | HAS_STATUS)?;
        if self.device.features & HAS_MAC == 0 {
            return Err(Fault::Absent);
        }
        self.receive = Queue::new(&mut self.dma, RECEIVE_AT, true);
        self.send = Queue::new(&mut self.dma, SEND_AT, false);
        self.device.place(RECEIVE, &self.receive, &self.dma)?;
        self.device.place(SEND, &self.send, &self.dma)?;
        for at in (RECEIVE_BUFFERS..Self::MEMORY).step_by(BUFFER) {
            self.dma.store(at, &[0; BUFFER]);
        }
        self.dma.clean(RECEIVE_BUFFERS..Self::MEMORY);
        let (low, high) = (self.device.config(0).to_le_bytes(), self.device.config(4).to_le_bytes());
        self.mac = [low[0], low[1], low[2], low[3], high[0], high[1]];
        self.read_link();
        self.device.go();
        self.refill();
        Ok(())
    }
}
