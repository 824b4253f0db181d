//! What all processes see, read only: who lives, and the manifest; and what only init does, the boot log. Also
//! what each is given of randomness.
// The pages are mapped here to be written.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering;

use root_task::bundle::Bundle;
use sel4::kernel::object;
use sel4::{BootInfo, Frame, Memory, Rights, VSpace};
use sha2::{Digest as _, Sha256};
use task::config::ROOT;
use task::place::{self, PAGE};
use task::shared::{Lives, Story};

use crate::space::{Failed, Store};

/// Where the pages lie here.
const LIVES: u64 = 0x3900_0000;
const MANIFEST: u64 = 0x3901_0000;
const STORY: u64 = 0x3903_0000;
const STORY_PAGES: u64 = place::STORY_MAX / PAGE;

/// The pages, and the source of seeds.
pub(crate) struct Shared {
    pub(crate) bundle: Bundle<'static>,
    pub(crate) manifest_bytes: u64,
    manifest: u64,
    lives: u64,
    story: u64,
    seed: [u8; 32],
}

impl Shared {
    /// Makes and fills them. `noise` is what the firmware has said about randomness.
    pub(crate) fn new(store: &mut Store, boot: &BootInfo, noise: &[u8]) -> Result<Self, Failed> {
        let bundle = Bundle::new(bundle(boot)?);
        let manifest = bundle.file("manifest.cbor").unwrap_or(&[]);
        if manifest.len() as u64 > place::MANIFEST_MAX {
            return Err(Failed::Process("the manifest is too large"));
        }
        let pages = (manifest.len() as u64).div_ceil(PAGE).max(1);
        let mut shared = Self {
            bundle,
            manifest_bytes: manifest.len() as u64,
            manifest: store.make_many(object::ARM_SMALL_PAGE, pages)?,
            lives: store.make_many(object::ARM_SMALL_PAGE, 1)?,
            story: store.make_many(object::ARM_SMALL_PAGE, STORY_PAGES)?,
            seed: [0; 32],
        };
        for (first, pages, at) in
            [(shared.manifest, pages, MANIFEST), (shared.lives, 1, LIVES), (shared.story, STORY_PAGES, STORY)]
        {
            for page in 0..pages {
                let (frame, at) = (Frame(first + page), at + page * PAGE);
                store.map(frame, VSpace::OWN, at, Rights::READ_WRITE, Memory::Data)?;
            }
        }
        // SAFETY: so many pages were just mapped there; nobody else knows of them yet.
        unsafe { (MANIFEST as *mut u8).copy_from_nonoverlapping(manifest.as_ptr(), manifest.len()) };
        shared.lives().started(ROOT);
        shared.stir(noise);
        Ok(shared)
    }

    pub(crate) fn lives(&self) -> &'static Lives {
        // SAFETY: `new` mapped the page there for good, zeroed; it is made of atomics.
        unsafe { &*(LIVES as *const Lives) }
    }

    pub(crate) fn story(&self) -> &'static Story {
        // SAFETY: as above.
        unsafe { &*(STORY as *const Story) }
    }

    /// The time at the machine's reset.
    pub(crate) fn set_reset_ms(&self, ms: u64) {
        self.lives().reset_ms.store(ms, Ordering::Relaxed);
    }

    /// Mixes something unforeseeable into what seeds are made of.
    pub(crate) fn stir(&mut self, noise: &[u8]) {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(noise);
        self.seed = hash.finalize().into();
    }

    /// A seed that was never given before, and from which no other can be told.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"process");
        hash.update(self.seed);
        let seed = hash.finalize().into();
        self.stir(b"next");
        seed
    }

    /// Maps the pages into a process.
    pub(crate) fn map_into(&self, store: &mut Store, vspace: VSpace, is_init: bool) -> Result<(), Failed> {
        let pages = self.manifest_bytes.div_ceil(PAGE).max(1);
        let story = if is_init { STORY_PAGES } else { 0 };
        for (first, pages, at) in [
            (self.manifest, pages, place::MANIFEST),
            (self.lives, 1, place::LIVES),
            (self.story, story, place::STORY),
        ] {
            for page in 0..pages {
                let copy = Frame(store.copy(first + page)?);
                store.map(copy, vspace, at + page * PAGE, Rights::READ, Memory::Data)?;
            }
        }
        Ok(())
    }
}

/// The device tree, as the boot program left it; nothing where the kernel passes none on.
pub(crate) fn tree(boot: &BootInfo) -> &'static [u8] {
    let tree = boot.chunks().find(|chunk| chunk.kind == sel4::kernel::boot_chunk::FDT);
    tree.map_or(&[], |chunk| chunk.bytes)
}

/// The bundle, which the loader put on the page behind the image.
fn bundle(boot: &BootInfo) -> Result<&'static [u8], Failed> {
    unsafe extern "C" {
        static __image_start: u8;
        static __image_end: u8;
    }
    let (start, end) = (&raw const __image_start, &raw const __image_end);
    let own = end as usize - start as usize;
    let frames = boot.image_frames();
    let all = (frames.end - frames.start) as usize * PAGE as usize;
    let length = all.checked_sub(own).ok_or(Failed::Process("there is no bundle"))?;
    // SAFETY: the kernel mapped the whole user image, of which this is the end that nobody writes.
    Ok(unsafe { core::slice::from_raw_parts(end, length) })
}
