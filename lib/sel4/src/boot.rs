//! What the kernel tells the first process (seL4 manual 9): slots, memory, and extra chunks.
// The boot info is memory that the kernel wrote; every access to it is below.
#![allow(unsafe_code)]

use crate::kernel::{boot_info as at, config};

/// The kernel's page with facts about this boot.
#[derive(Debug, Clone, Copy)]
pub struct BootInfo {
    base: *const u8,
}

/// Slots of the first CNode, from `start` up to but not with `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The first slot.
    pub start: u64,
    /// The slot after the last.
    pub end: u64,
}

/// A piece of memory that the kernel does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untyped {
    /// Its slot.
    pub slot: u64,
    /// Its physical address.
    pub address: u64,
    /// Its size, as a power of two.
    pub bits: u8,
    /// Whether it is a device's, which the kernel never clears.
    pub is_device: bool,
}

/// One piece of extra boot information: its kind and its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// See [`crate::kernel::boot_chunk`].
    pub kind: u64,
    /// Its content, without the header.
    pub bytes: &'static [u8],
}

/// The extra chunks start here.
const FRAME_BYTES: usize = 4096;

impl BootInfo {
    /// The boot info at the address that the first process was started with.
    ///
    /// # Safety
    /// `base` is that address, and the pages there stay mapped.
    #[must_use]
    pub unsafe fn at(base: *const u8) -> Self {
        Self { base }
    }

    fn word(&self, offset: u64) -> u64 {
        // SAFETY: `at`'s caller promised the page; the offsets are of the kernel's own structure.
        unsafe { self.base.add(offset as usize).cast::<u64>().read() }
    }

    fn region(&self, offset: u64) -> Region {
        Region { start: self.word(offset), end: self.word(offset + 8) }
    }

    /// Slots that are free.
    #[must_use]
    pub fn empty(&self) -> Region {
        self.region(at::EMPTY)
    }

    /// The first CNode's size, as a power of two.
    #[must_use]
    pub fn cnode_bits(&self) -> u64 {
        self.word(at::INIT_THREAD_C_NODE_SIZE_BITS)
    }

    /// How many cores run.
    #[must_use]
    pub fn cores(&self) -> u64 {
        self.word(at::NUM_NODES)
    }

    /// Frames of this process's own image, in the order of their addresses.
    #[must_use]
    pub fn image_frames(&self) -> Region {
        self.region(at::USER_IMAGE_FRAMES)
    }

    /// The IPC buffer that the kernel gave the first thread.
    #[must_use]
    pub fn ipc_buffer(&self) -> *mut u64 {
        self.word(at::IPC_BUFFER) as *mut u64
    }

    /// The memory that is free.
    pub fn untyped(&self) -> impl Iterator<Item = Untyped> {
        let slots = self.region(at::UNTYPED);
        let this = *self;
        let count = (slots.end - slots.start).min(config::MAX_NUM_BOOTINFO_UNTYPED_CAPS);
        (0..count).map(move |index| {
            let entry = at::UNTYPED_LIST + 16 * index;
            let shape = this.word(entry + 8).to_le_bytes();
            Untyped {
                slot: slots.start + index,
                address: this.word(entry),
                bits: shape[0],
                is_device: shape[1] != 0,
            }
        })
    }

    /// The extra chunks: the device tree among them.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let end = self.word(at::EXTRA_LEN) as usize;
        let base = self.base;
        let mut offset = 0;
        core::iter::from_fn(move || {
            if offset + 16 > end {
                return None;
            }
            // SAFETY: the kernel maps `end` bytes past the first page; the header lies within them.
            let (kind, len) = unsafe {
                let header = base.add(FRAME_BYTES + offset).cast::<u64>();
                (header.read_unaligned(), header.add(1).read_unaligned() as usize)
            };
            let content = len.checked_sub(16).filter(|_| len <= end - offset)?;
            // SAFETY: `len` was compared with what is mapped; nobody writes to these pages.
            let bytes = unsafe { core::slice::from_raw_parts(base.add(FRAME_BYTES + offset + 16), content) };
            offset += len;
            Some(Chunk { kind, bytes })
        })
    }
}
