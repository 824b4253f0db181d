//! A split virtqueue (virtio 1.2, 2.7): descriptors, the driver's ring and the device's ring.
//!
//! The device is not trusted: which descriptors are with it, and how long its buffers are, is kept here and
//! not read back from the rings; what it returns is compared with that.

use hal::{Dma, Fault};

/// Bytes that a queue takes, on a page's border: the device's ring has pages of its own, which legacy devices
/// ask for and which keeps the two writers' cache lines apart.
pub(crate) const QUEUE_BYTES: usize = 2 * PAGE;

const PAGE: usize = 4096;
const DESCRIPTOR: usize = 16;
const NEXT: u16 = 1;
const DEVICE_WRITES: u16 = 2;
const NO_INTERRUPT: u16 = 1;
/// Parts of a chain at most.
const PARTS_MAX: usize = 4;

/// A buffer of a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Where it begins in the DMA memory.
    pub(crate) offset: usize,
    /// How long it is.
    pub(crate) bytes: u32,
    /// Whether the device writes it.
    pub(crate) is_written: bool,
}

/// Where the pieces of a queue are, as the device knows them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) descriptors: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
}

/// A chain by the number of its first descriptor.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    /// How many descriptors; 0 if the chain is not with the device.
    count: u8,
    /// Bytes that the device may write.
    writable: u32,
}

/// A queue of `N` descriptors, a power of two and at most 128.
#[derive(Debug)]
pub(crate) struct Queue<const N: usize> {
    at: usize,
    chains: [Chain; N],
    /// The descriptor that follows one in its chain.
    next: [u16; N],
    free: [u16; N],
    free_count: usize,
    with_device: u16,
    /// Entries ever written to the driver's ring, modulo 2^16, and how many of them were published.
    added: u16,
    published: u16,
    /// Entries ever read from the device's ring, and how many it had when it was last looked at.
    taken: u16,
    returned: u16,
}

impl<const N: usize> Queue<N> {
    const DRIVER: usize = N * DESCRIPTOR;
    const DEVICE: usize = PAGE;
    const FITS: () = assert!(N.is_power_of_two() && Self::DRIVER + 6 + 2 * N <= PAGE && N <= 128);

    /// An empty queue whose memory begins at `at`.
    pub(crate) fn new(dma: &mut impl Dma, at: usize, interrupts: bool) -> Self {
        let () = Self::FITS;
        dma.store(at, &[0; QUEUE_BYTES]);
        if !interrupts {
            dma.store(at + Self::DRIVER, &NO_INTERRUPT.to_le_bytes());
        }
        dma.clean(at..at + QUEUE_BYTES);
        Self {
            at,
            chains: [Chain::default(); N],
            next: [0; N],
            free: core::array::from_fn(|n| (N - 1 - n) as u16),
            free_count: N,
            with_device: 0,
            added: 0,
            published: 0,
            taken: 0,
            returned: 0,
        }
    }

    /// Where its pieces are.
    pub(crate) fn addresses(&self, dma: &impl Dma) -> Addresses {
        Addresses {
            descriptors: dma.bus(self.at),
            driver: dma.bus(self.at + Self::DRIVER),
            device: dma.bus(self.at + Self::DEVICE),
        }
    }

    /// The number that the next chain will have; none if there is no descriptor left.
    pub(crate) fn peek(&self) -> Option<u16> {
        self.free[..self.free_count].last().copied()
    }

    /// Lays out a chain; the device sees it after [`Queue::publish`]. Returns its number, or nothing if there
    /// are too few descriptors.
    pub(crate) fn add(&mut self, dma: &mut impl Dma, parts: &[Part]) -> Option<u16> {
        assert!((1..=PARTS_MAX).contains(&parts.len()), "a chain has 1 to {PARTS_MAX} parts");
        if parts.len() > self.free_count {
            return None;
        }
        let ids: [u16; PARTS_MAX] =
            core::array::from_fn(|n| if n < parts.len() { self.free[self.free_count - 1 - n] } else { 0 });
        self.free_count -= parts.len();
        for (n, part) in parts.iter().enumerate() {
            let is_last = n + 1 == parts.len();
            let next = if is_last { 0 } else { ids[n + 1] };
            let flags = if is_last { 0 } else { NEXT } | if part.is_written { DEVICE_WRITES } else { 0 };
            let mut entry = [0; DESCRIPTOR];
            entry[..8].copy_from_slice(&dma.bus(part.offset).to_le_bytes());
            entry[8..12].copy_from_slice(&part.bytes.to_le_bytes());
            entry[12..14].copy_from_slice(&flags.to_le_bytes());
            entry[14..].copy_from_slice(&next.to_le_bytes());
            dma.store(self.at + usize::from(ids[n]) * DESCRIPTOR, &entry);
            self.next[usize::from(ids[n])] = next;
        }
        let head = ids[0];
        let writable = parts.iter().filter(|part| part.is_written).map(|part| part.bytes).sum();
        self.chains[usize::from(head)] = Chain { count: parts.len() as u8, writable };
        let slot = usize::from(self.added) % N;
        dma.store(self.at + Self::DRIVER + 4 + 2 * slot, &head.to_le_bytes());
        self.added = self.added.wrapping_add(1);
        self.with_device += 1;
        Some(head)
    }

    /// Shows the device what was added; returns whether that was anything.
    pub(crate) fn publish(&mut self, dma: &mut impl Dma) -> bool {
        if self.published == self.added {
            return false;
        }
        let driver = self.at + Self::DRIVER;
        // Everything that the index speaks of goes before the index.
        dma.clean(self.at..driver + 4 + 2 * N);
        dma.store(driver + 2, &self.added.to_le_bytes());
        dma.clean(driver..driver + 4);
        self.published = self.added;
        true
    }

    /// The next chain that the device has returned, and how many bytes it wrote.
    ///
    /// # Errors
    /// If it returned what it did not have, or wrote more than it had room for.
    pub(crate) fn take(&mut self, dma: &mut impl Dma) -> Result<Option<(u16, u32)>, Fault> {
        let device = self.at + Self::DEVICE;
        if self.taken == self.returned {
            dma.invalidate(device..device + 4 + 8 * N);
            let returned = dma.load_u16(device + 2);
            if returned.wrapping_sub(self.taken) > self.with_device {
                return Err(Fault::Lied);
            }
            self.returned = returned;
            if self.taken == returned {
                return Ok(None);
            }
        }
        let entry = device + 4 + 8 * (usize::from(self.taken) % N);
        let (id, bytes) = (dma.load_u32(entry), dma.load_u32(entry + 4));
        let chain = usize::try_from(id).ok().and_then(|id| self.chains.get_mut(id)).ok_or(Fault::Lied)?;
        let Chain { count, writable } = core::mem::take(chain);
        if count == 0 || bytes > writable {
            return Err(Fault::Lied);
        }
        let mut descriptor = id as u16;
        for _ in 0..count {
            self.free[self.free_count] = descriptor;
            self.free_count += 1;
            descriptor = self.next[usize::from(descriptor)];
        }
        self.taken = self.taken.wrapping_add(1);
        self.with_device -= 1;
        Ok(Some((id as u16, bytes)))
    }
}
