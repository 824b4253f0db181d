//! Untyped memory and capability slots, from the boot info's lists.
//!
//! The kernel keeps a watermark in each untyped: an object starts at the next multiple of its size. The same
//! is kept here, so that an untyped is asked only when it will say yes.

use heapless::Vec;

/// Most untypeds that are kept: as many as a boot info can name, and the halves made of devices'.
pub const UNTYPEDS_MAX: usize = 320;

/// An untyped and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its capability's slot.
    pub slot: u64,
    /// Its physical address.
    pub address: u64,
    /// Its size as a power of two.
    pub bits: u8,
    /// Bytes used, from its start.
    pub used: u64,
}

impl Piece {
    /// Where the last of `count` objects of `2^bits` bytes would end, if they fit.
    fn end_with(&self, bits: u8, count: u64) -> Option<u64> {
        let size = 1u64.checked_shl(bits.into())?;
        let end = self.used.checked_next_multiple_of(size)?.checked_add(size.checked_mul(count)?)?;
        (end <= 1 << self.bits).then_some(end)
    }

    fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| offset >> self.bits == 0)
    }
}

/// Why there is nothing to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// No untyped has room for the object.
    Memory,
    /// No slot is left.
    Slots,
    /// No device's untyped covers the address, or it is in use.
    Device,
}

/// Slots of one CNode, given out once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    next: u64,
    end: u64,
}

impl Slots {
    /// The slots from `start` up to but not with `end`.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self { next: start, end }
    }

    /// Gives `count` slots in a row; returns the first.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn take(&mut self, count: u64) -> Result<u64, Spent> {
        let end = self.next.checked_add(count).filter(|end| *end <= self.end).ok_or(Spent::Slots)?;
        Ok(core::mem::replace(&mut self.next, end))
    }

    /// Takes the slot that was given last back, empty.
    pub fn give_back(&mut self, slot: u64) {
        if slot + 1 == self.next {
            self.next = slot;
        }
    }

    /// How many are left.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.end - self.next
    }
}

/// Untypeds of one kind: memory, or devices.
#[derive(Debug, Clone, Default)]
pub struct Untypeds {
    pieces: Vec<Piece, UNTYPEDS_MAX>,
    /// Bytes that are still to be asked for, as far as is known.
    expected: u64,
}

impl Untypeds {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { pieces: Vec::new(), expected: 0 }
    }

    /// Adds an unused untyped; past [`UNTYPEDS_MAX`] it is left alone, which wastes it and harms nothing.
    pub fn add(&mut self, slot: u64, address: u64, bits: u8) {
        if bits < 64 {
            let _ = self.pieces.push(Piece { slot, address, bits, used: 0 });
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Bytes not used yet.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.pieces.iter().map(|piece| (1 << piece.bits) - piece.used).sum()
    }

    /// Bytes in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.pieces.iter().map(|piece| 1 << piece.bits).sum()
    }

    /// Says how many bytes will be asked for from now on. The kernel clears an untyped whole when it is used
    /// first, and that takes long: so new ones are chosen that are no larger than what is still to come.
    pub fn expect(&mut self, bytes: u64) {
        self.expected = bytes;
    }

    /// Uses `2^bits` bytes of an untyped; returns its slot.
    ///
    /// # Errors
    /// If none has them.
    pub fn take(&mut self, bits: u8) -> Result<u64, Spent> {
        self.take_many(bits, 1)
    }

    /// Uses the bytes of `count` objects of `2^bits` bytes in one untyped; returns its slot.
    ///
    /// # Errors
    /// If none has them.
    pub fn take_many(&mut self, bits: u8, count: u64) -> Result<u64, Spent> {
        let expected = self.expected;
        let fitting = self.pieces.iter_mut().filter_map(|piece| Some((piece.end_with(bits, count)?, piece)));
        // One in use before one that is not; of those, the largest that will be used up, else the smallest.
        let (end, piece) = fitting
            .min_by_key(|(_, piece)| {
                let is_new = piece.used == 0;
                let is_used_up = is_new && 1 << piece.bits <= expected;
                (is_new, is_new && !is_used_up, if is_used_up { !piece.bits } else { piece.bits })
            })
            .ok_or(Spent::Memory)?;
        piece.used = end;
        self.expected = expected.saturating_sub(count << bits);
        Ok(piece.slot)
    }

    /// Takes the untyped of exactly `2^bits` bytes at `address` out of the list, halving larger ones:
    /// `halve` makes the two halves of a slot's untyped, each of the bits it is told, and returns their slots.
    ///
    /// # Errors
    /// If no unused untyped covers it, or what `halve` said.
    pub fn carve<E: From<Spent>>(
        &mut self,
        address: u64,
        bits: u8,
        mut halve: impl FnMut(u64, u8) -> Result<[u64; 2], E>,
    ) -> Result<u64, E> {
        let is_it = |piece: &Piece| piece.used == 0 && piece.bits >= bits && piece.contains(address);
        let at = self.pieces.iter().position(is_it).ok_or(Spent::Device)?;
        let mut piece = self.pieces.swap_remove(at);
        while piece.bits > bits {
            let half = piece.bits - 1;
            let slots = halve(piece.slot, half)?;
            let middle = piece.address + (1 << half);
            let is_upper = address >= middle;
            let (kept, other) = if is_upper { (1, 0) } else { (0, 1) };
            self.add(slots[other], if is_upper { piece.address } else { middle }, half);
            piece = Piece {
                slot: slots[kept],
                address: if is_upper { middle } else { piece.address },
                bits: half,
                used: 0,
            };
        }
        if piece.address == address { Ok(piece.slot) } else { Err(Spent::Device.into()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_that_fits_is_used() {
        let mut ram = Untypeds::new();
        ram.add(10, 0x10_0000, 20);
        ram.add(11, 0x1000, 12);
        assert_eq!(ram.take(11), Ok(11));
        assert_eq!(ram.take(12), Ok(10));
        assert_eq!(ram.take(4), Ok(11));
        assert_eq!(ram.take(20), Err(Spent::Memory));
        assert_eq!(ram.free(), (1 << 20) - 4096 + 2048 - 16);
    }

    #[test]
    fn no_more_is_begun_than_will_be_used() {
        let mut ram = Untypeds::new();
        (20..=28).for_each(|bits| ram.add(bits.into(), 1 << bits, bits));
        ram.expect(76 << 20);
        let taken: Vec<u64> = (0..38).map(|_| ram.take(21).unwrap()).collect();
        assert!(taken[..32].iter().all(|slot| *slot == 26) && taken[32..36].iter().all(|slot| *slot == 23));
        assert!(taken[36..].iter().all(|slot| *slot == 22));
        assert_eq!(ram.take_many(12, 300), Ok(21), "the smallest that holds them all");
    }

    #[test]
    fn a_device_page_is_carved_out_once() {
        let mut devices = Untypeds::new();
        devices.add(7, 0x0800_0000, 27);
        let mut next = 100;
        let mut halve = |_slot, _bits| {
            next += 2;
            Ok::<_, Spent>([next - 2, next - 1])
        };
        let uart = devices.carve(0x0900_0000, 12, &mut halve).unwrap();
        assert_eq!(devices.carve(0x0900_0000, 12, &mut halve), Err(Spent::Device));
        let neighbour = devices.carve(0x0900_1000, 12, &mut halve).unwrap();
        assert_ne!(uart, neighbour);
        assert_eq!(devices.total(), (1 << 27) - 2 * 4096);
        assert_eq!(devices.carve(0x2000_0000, 12, &mut halve), Err(Spent::Device));
    }

    #[test]
    fn slots_end() {
        let mut slots = Slots::new(5, 8);
        assert_eq!((slots.take(2), slots.left()), (Ok(5), 1));
        assert_eq!(
            (slots.take(2), slots.take(1), slots.take(1)),
            (Err(Spent::Slots), Ok(7), Err(Spent::Slots))
        );
        assert_eq!(slots.take(u64::MAX), Err(Spent::Slots));
    }

    proptest! {
        /// Against the kernel's own rule, kept for each untyped apart: what is promised is there.
        #[test]
        fn what_is_given_is_there(sizes in prop::collection::vec(4u8..16, 1..8), asks in prop::collection::vec(4u8..14, 0..200)) {
            let mut ram = Untypeds::new();
            let mut model = BTreeMap::new();
            for (slot, &bits) in sizes.iter().enumerate() {
                ram.add(slot as u64, (slot as u64) << 20, bits);
                model.insert(slot as u64, (0u64, 1u64 << bits));
            }
            for bits in asks {
                let size = 1u64 << bits;
                let fits: Vec<u64> = model.iter()
                    .filter(|(_, (used, total))| used.next_multiple_of(size) + size <= *total)
                    .map(|(slot, _)| *slot).collect();
                match ram.take(bits) {
                    Err(_) => prop_assert!(fits.is_empty()),
                    Ok(slot) => {
                        prop_assert!(fits.contains(&slot));
                        let entry = model.get_mut(&slot).unwrap();
                        entry.0 = entry.0.next_multiple_of(size) + size;
                    }
                }
            }
        }
    }
}
