//! The virtio disk (virtio 1.2, 5.2): one queue of requests, each of one sector.

use hal::{Block, Dma, Done, Fault, Registers, Request, SECTOR};

use crate::virtio::Virtio;
use crate::virtqueue::{Part, QUEUE_BYTES, Queue};

/// The device's kind.
const KIND: u32 = 2;
const IS_READ_ONLY: u64 = 1 << 5;
const HAS_FLUSH: u64 = 1 << 9;
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
/// Descriptors; a request takes up to three.
const DESCRIPTORS: usize = 64;
const HEADER: usize = 16;
/// A request's memory: header, status in a cache line of its own, sector. What the driver writes shares no
/// line with what the device writes.
const STATUS_AT: usize = 64;
const DATA_AT: usize = 512;
const BUFFER: usize = DATA_AT + SECTOR;
const BUFFERS: usize = QUEUE_BYTES;
/// What the status is before the device writes it.
const PENDING: u8 = 0xff;
const OK: u8 = 0;

/// The disk.
#[derive(Debug)]
pub struct VirtioBlk<R, D> {
    device: Virtio<R>,
    dma: D,
    queue: Queue<DESCRIPTORS>,
    /// What was asked, by the chain's number.
    asked: [Option<Request>; DESCRIPTORS],
    sectors: u64,
}

impl<R: Registers, D: Dma> VirtioBlk<R, D> {
    /// Bytes of DMA memory that it takes.
    pub const MEMORY: usize = BUFFERS + DESCRIPTORS * BUFFER;

    /// Takes the disk behind the registers into use.
    ///
    /// # Errors
    /// If there is none there, or it does not do what is needed.
    pub fn new(registers: R, mut dma: D) -> Result<Self, Fault> {
        assert!(dma.bytes() >= Self::MEMORY, "the disk needs {} bytes of DMA memory", Self::MEMORY);
        let device = Virtio::find(registers, KIND)?;
        let queue = Queue::new(&mut dma, 0, true);
        let mut disk = Self { device, dma, queue, asked: [None; DESCRIPTORS], sectors: 0 };
        disk.reset()?;
        Ok(disk)
    }

    /// Whether the disk takes no writes.
    pub fn is_read_only(&self) -> bool {
        self.device.features & IS_READ_ONLY != 0
    }

    /// Whether a flush means anything to it; a disk without one writes through.
    pub fn has_flush(&self) -> bool {
        self.device.features & HAS_FLUSH != 0
    }
}

impl<R: Registers, D: Dma> Block for VirtioBlk<R, D> {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn submit(&mut self, request: Request, data: &[u8; SECTOR]) -> Result<Option<u16>, Fault> {
        let Some(id) = self.queue.peek() else { return Ok(None) };
        let at = BUFFERS + usize::from(id) * BUFFER;
        let (kind, sector) = match request {
            Request::Read(sector) => (READ, sector),
            Request::Write(sector) => (WRITE, sector),
            Request::Flush => (FLUSH, 0),
        };
        assert!(sector < self.sectors || request == Request::Flush, "the disk ends before sector {sector}");
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        let parts = [
            Part { offset: at, bytes: HEADER as u32, is_written: false },
            Part { offset: at + DATA_AT, bytes: SECTOR as u32, is_written: kind == READ },
            Part { offset: at + STATUS_AT, bytes: 1, is_written: true },
        ];
        let without_data = [parts[0], parts[2]];
        let chain: &[Part] = if kind == FLUSH { &without_data } else { &parts };
        if self.queue.add(&mut self.dma, chain).is_none() {
            return Ok(None);
        }
        self.dma.store(at, &header);
        self.dma.store(at + STATUS_AT, &[PENDING]);
        if kind == WRITE {
            self.dma.store(at + DATA_AT, data);
        }
        self.dma.clean(at..at + BUFFER);
        self.asked[usize::from(id)] = Some(request);
        self.queue.publish(&mut self.dma);
        self.device.notify(0);
        Ok(Some(id))
    }

    fn done(&mut self, data: &mut [u8; SECTOR]) -> Result<Option<Done>, Fault> {
        let Some((id, bytes)) = self.queue.take(&mut self.dma)? else { return Ok(None) };
        let request = self.asked[usize::from(id)].take().ok_or(Fault::Lied)?;
        let at = BUFFERS + usize::from(id) * BUFFER;
        self.dma.invalidate(at + STATUS_AT..at + BUFFER);
        let mut status = [PENDING];
        self.dma.load(at + STATUS_AT, &mut status);
        let is_read = matches!(request, Request::Read(_));
        // A read that is done has written the sector and the status.
        let is_ok = status == [OK] && (!is_read || bytes as usize == SECTOR + 1);
        if is_ok && is_read {
            self.dma.load(at + DATA_AT, data);
        }
        Ok(Some(Done { request: id, is_ok }))
    }

    fn acknowledge(&mut self) -> Result<(), Fault> {
        self.device.acknowledge().map(drop)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.device.begin(IS_READ_ONLY | HAS_FLUSH)?;
        self.queue = Queue::new(&mut self.dma, 0, true);
        self.asked = [None; DESCRIPTORS];
        self.device.place(0, &self.queue, &self.dma)?;
        self.sectors = u64::from(self.device.config(4)) << 32 | u64::from(self.device.config(0));
        self.device.go();
        Ok(())
    }
}
