//! Where the user image and the device tree go, and how long the device tree really is.

const PAGE: u64 = 4096;

/// What is on board, in bytes and physical addresses.
#[derive(Debug, Clone, Copy)]
pub struct Cargo {
    /// First byte of the kernel, and the byte after its last.
    pub kernel: (u64, u64),
    /// The loader with its memory.
    pub loader: (u64, u64),
    /// Bytes of the root task with its zeroed memory.
    pub root: u64,
    /// Bytes of the bundle.
    pub bundle: u64,
    /// Bytes of the device tree.
    pub tree: u64,
    /// The memory of the machine.
    pub ram: (u64, u64),
}

/// Where everything goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The device tree.
    pub tree: u64,
    /// The root task.
    pub root: u64,
    /// The bundle, on the page after the root task.
    pub bundle: u64,
    /// The end of both, a page's start.
    pub user_end: u64,
}

/// Why nothing can be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The kernel's memory and the loader's meet.
    KernelMeetsLoader,
    /// There is not enough memory.
    TooBig,
}

impl Cargo {
    /// Lays everything out behind the loader.
    ///
    /// # Errors
    /// If something would lie on something else, or past the memory's end.
    pub fn plan(&self) -> Result<Plan, NoPlace> {
        if self.kernel.0 < self.loader.1 && self.loader.0 < self.kernel.1 {
            return Err(NoPlace::KernelMeetsLoader);
        }
        let behind = self.loader.1.max(self.kernel.1);
        let plan = || {
            // The kernel wants the device tree below the user image, and no hole between them: it has few
            // slots for pieces of free memory.
            let tree = behind.checked_next_multiple_of(PAGE)?;
            let root = tree.checked_add(self.tree)?.checked_next_multiple_of(PAGE)?;
            let bundle = root.checked_add(self.root)?.checked_next_multiple_of(PAGE)?;
            let user_end = bundle.checked_add(self.bundle)?.checked_next_multiple_of(PAGE)?;
            (user_end <= self.ram.1 && self.kernel.0 >= self.ram.0).then_some(Plan {
                tree,
                root,
                bundle,
                user_end,
            })
        };
        plan().ok_or(NoPlace::TooBig)
    }
}

/// Bytes of a flattened device tree up to the end of its last block: what makes one may leave room behind.
/// `header` is its first ten words, big endian as they lie; nothing if it is not a device tree.
#[must_use]
pub fn tree_bytes(header: &[u32; 10]) -> Option<u32> {
    const MAGIC: u32 = 0xd00d_feed;
    let word = |n: usize| u32::from_be(header[n]);
    let (total, structure, strings) = (word(1), word(2), word(3));
    let end = structure.checked_add(word(9))?.max(strings.checked_add(word(8))?);
    (word(0) == MAGIC && end <= total).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARGO: Cargo = Cargo {
        kernel: (0x4000_0000, 0x4024_c000),
        loader: (0x4100_0000, 0x4108_1000),
        root: 0x1_2345,
        bundle: 100,
        tree: 0x2000,
        ram: (0x4000_0000, 0x8000_0000),
    };

    #[test]
    fn everything_follows_the_loader_on_pages() {
        let plan = CARGO.plan().unwrap();
        assert_eq!(
            plan,
            Plan { tree: 0x4108_1000, root: 0x4108_3000, bundle: 0x4109_6000, user_end: 0x4109_7000 }
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(
            Cargo { kernel: (0x4000_0000, 0x4100_0001), ..CARGO }.plan(),
            Err(NoPlace::KernelMeetsLoader)
        );
        assert_eq!(Cargo { ram: (0x4000_0000, 0x4109_6fff), ..CARGO }.plan(), Err(NoPlace::TooBig));
        assert_eq!(Cargo { bundle: u64::MAX, ..CARGO }.plan(), Err(NoPlace::TooBig));
    }

    #[test]
    fn a_device_tree_ends_with_its_last_block() {
        let mut header =
            [0xd00d_feed, 0x10_0000, 0x38, 0x1000, 0x28, 17, 16, 0, 0x200, 0xf00].map(u32::to_be);
        assert_eq!(tree_bytes(&header), Some(0x1200));
        header[1] = 0x1100u32.to_be();
        assert_eq!(tree_bytes(&header), None);
        header[0] = 0;
        assert_eq!(tree_bytes(&header), None);
    }
}
