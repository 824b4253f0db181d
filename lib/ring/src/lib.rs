//! Bounded streams of records with absolute offsets: bytes ever written, counted from 0.
//! Guarantees: whole records only, the oldest dropped first; an offset never changes its meaning.
//! Pure: no input or output, no clock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;

/// The asked offset has left the stream; `first` is the oldest that is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapped {
    /// Oldest retained offset.
    pub first: u64,
}

/// The record is larger than the stream can ever hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Bytes that only grow at the end and may be dropped at the front, by absolute offset.
pub trait Stream {
    /// Oldest retained offset.
    fn base(&self) -> u64;
    /// One past the newest byte.
    fn end(&self) -> u64;
    /// Copies bytes from `at` on; 0 at the end.
    fn read(&self, at: u64, out: &mut [u8]) -> Result<usize, Lapped>;
    /// Adds a record.
    fn append(&mut self, record: &[u8]) -> Result<(), Full>;
}

/// A ring in memory, allocated as it fills.
#[derive(Debug, Clone)]
pub struct Ring {
    bytes: VecDeque<u8>,
    /// Lengths of the retained records, oldest first, seven bits a byte, low bits first: a
    /// heartbeat's costs one byte.
    lengths: VecDeque<u8>,
    end: u64,
    records: u64,
    retained: u64,
    capacity: usize,
}

/// Smallest first allocations.
const FIRST_BYTES: usize = 256;
const FIRST_LENGTHS: usize = 16;

impl Ring {
    /// A ring of at most `capacity` bytes.
    pub fn new(capacity: usize) -> Ring {
        Ring::after(capacity, 0)
    }

    /// An empty ring whose first record's sequence is `records + 1`: the successor of one that is lost.
    pub fn after(capacity: usize, records: u64) -> Ring {
        Ring { bytes: VecDeque::new(), lengths: VecDeque::new(), end: 0, records, retained: 0, capacity }
    }

    /// Records ever appended, which is the newest one's sequence: sequences count from 1.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The sequence of the oldest record that is retained; of the next one where there is none.
    pub fn first(&self) -> u64 {
        self.records - self.retained + 1
    }

    /// Where the record of a sequence begins, the end for those that are not there yet. Looks at every
    /// older record that is retained.
    pub fn offset_of(&self, sequence: u64) -> Result<u64, Lapped> {
        if sequence < self.first() {
            return Err(Lapped { first: self.base() });
        }
        if sequence > self.records {
            return Ok(self.end);
        }
        let mut lengths = self.lengths.iter().copied();
        let older = (self.first()..sequence).map(|_| take_length(|| lengths.next()) as u64);
        Ok(self.base() + older.sum::<u64>())
    }

    /// Bytes that the ring holds of the machine's memory now.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.lengths.capacity()
    }

    fn drop_oldest(&mut self) {
        let length = take_length(|| self.lengths.pop_front());
        self.bytes.drain(..length);
        self.retained -= 1;
    }

    /// Appends, and holds at most `most` bytes of memory with that: rather than take more, it drops older
    /// records. Full where the record finds no room even so.
    pub fn append_within(&mut self, record: &[u8], most: usize) -> Result<(), Full> {
        if record.len() > self.capacity {
            return Err(Full);
        }
        if record.is_empty() {
            return Ok(());
        }
        while self.bytes.len() + record.len() > self.capacity {
            self.drop_oldest();
        }
        while !self.grow(record.len(), length_bytes(record.len()), most) {
            if self.retained == 0 {
                return Err(Full);
            }
            self.drop_oldest();
        }
        self.bytes.extend(record);
        let mut length = record.len();
        while length > 0x7f {
            self.lengths.push_back(length as u8 | 0x80);
            length >>= 7;
        }
        self.lengths.push_back(length as u8);
        self.end += record.len() as u64;
        self.records += 1;
        self.retained += 1;
        Ok(())
    }

    /// Gives back memory beyond `most` bytes, and drops older records where it must.
    pub fn trim(&mut self, most: usize) {
        if self.memory() <= most {
            return;
        }
        while self.bytes.len() + self.lengths.len() > most {
            self.drop_oldest();
        }
        self.split(self.bytes.len(), self.lengths.len(), most);
    }

    /// Room for so many bytes more, of records and of lengths: doubled where `most` allows it. Says whether
    /// there is.
    fn grow(&mut self, bytes: usize, lengths: usize, most: usize) -> bool {
        let (bytes, lengths) = (self.bytes.len() + bytes, self.lengths.len() + lengths);
        let (has_bytes, has_lengths) = (self.bytes.capacity(), self.lengths.capacity());
        if bytes <= has_bytes && lengths <= has_lengths {
            return true;
        }
        let doubled = |needed: usize, has: usize, first: usize| {
            if needed <= has { has } else { needed.next_power_of_two().max(first) }
        };
        let generous = (
            doubled(bytes, has_bytes, FIRST_BYTES).min(self.capacity.max(has_bytes)),
            doubled(lengths, has_lengths, FIRST_LENGTHS),
        );
        for (to_bytes, to_lengths) in [generous, (bytes.max(has_bytes), lengths.max(has_lengths))] {
            if to_bytes + to_lengths <= most {
                self.bytes.reserve_exact(to_bytes - self.bytes.len());
                self.lengths.reserve_exact(to_lengths - self.lengths.len());
                return true;
            }
        }
        // One has room that the other lacks. As much as an eighth is worth moving everything once.
        let fits = bytes + lengths <= most - most / 8;
        if fits {
            self.split(bytes, lengths, most);
        }
        fits
    }

    /// So many bytes of records and of lengths, and half of what is left of `most` for each.
    fn split(&mut self, bytes: usize, lengths: usize, most: usize) {
        let half = (most - bytes - lengths) / 2;
        let (bytes, lengths) = ((bytes + half).min(self.capacity.max(bytes)), lengths + half);
        self.bytes.shrink_to(bytes);
        self.lengths.shrink_to(lengths);
        self.bytes.reserve_exact(bytes.saturating_sub(self.bytes.len()));
        self.lengths.reserve_exact(lengths.saturating_sub(self.lengths.len()));
    }
}

/// Bytes of a record's length.
fn length_bytes(length: usize) -> usize {
    (usize::BITS - length.leading_zeros()).div_ceil(7).max(1) as usize
}

/// The next record's length.
fn take_length(mut next: impl FnMut() -> Option<u8>) -> usize {
    let (mut length, mut shift) = (0, 0);
    while let Some(byte) = next() {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    length
}

impl Stream for Ring {
    fn base(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    fn end(&self) -> u64 {
        self.end
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<usize, Lapped> {
        let base = self.base();
        if at < base {
            return Err(Lapped { first: base });
        }
        let from = usize::try_from(at - base).unwrap_or(usize::MAX).min(self.bytes.len());
        let n = out.len().min(self.bytes.len() - from);
        let (front, back) = self.bytes.as_slices();
        let head = front.get(from..).unwrap_or_default();
        let in_front = n.min(head.len());
        out[..in_front].copy_from_slice(&head[..in_front]);
        let from_back = from.saturating_sub(front.len());
        out[in_front..n].copy_from_slice(&back[from_back..from_back + n - in_front]);
        Ok(n)
    }

    fn append(&mut self, record: &[u8]) -> Result<(), Full> {
        self.append_within(record, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// The plain reference: every record ever, the retained ones found by counting back.
    #[derive(Default)]
    struct Model {
        records: Vec<Vec<u8>>,
    }

    impl Model {
        fn retained(&self, capacity: usize) -> (u64, Vec<u8>) {
            let total: usize = self.records.iter().map(Vec::len).sum();
            let mut kept = Vec::new();
            for record in self.records.iter().rev() {
                if kept.len() + record.len() > capacity {
                    break;
                }
                kept.splice(0..0, record.iter().copied());
            }
            ((total - kept.len()) as u64, kept)
        }
    }

    #[test]
    fn a_ring_equals_its_model_at_every_alignment() {
        let mut seed = 7u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        for capacity in [16, 64, 300] {
            let (mut ring, mut model) = (Ring::new(capacity), Model::default());
            for i in 0..2000usize {
                let record = vec![i as u8; 1 + random(capacity.min(200))];
                ring.append(&record).unwrap();
                model.records.push(record);
                if model.records.len() > 400 {
                    continue;
                }
                let (base, kept) = model.retained(capacity);
                assert_eq!(ring.base(), base);
                let mut out = vec![0; capacity + 8];
                let from = random(kept.len() + 1);
                let n = ring.read(base + from as u64, &mut out).unwrap();
                assert_eq!(out[..n], kept[from..]);
            }
        }
    }

    #[test]
    fn an_offset_that_was_lapped_names_the_first_retained() {
        let mut ring = Ring::new(8);
        ring.append(b"aaaa").unwrap();
        ring.append(b"bbbb").unwrap();
        ring.append(b"c").unwrap();
        assert_eq!(ring.read(0, &mut [0; 4]), Err(Lapped { first: 4 }));
        assert_eq!(ring.read(9, &mut [0; 4]), Ok(0));
    }

    #[test]
    fn a_record_beyond_the_capacity_is_refused_and_changes_nothing() {
        let mut ring = Ring::new(8);
        ring.append(b"abc").unwrap();
        assert_eq!(ring.append(&[0; 9]), Err(Full));
        assert_eq!((ring.base(), ring.end(), ring.records()), (0, 3, 1));
    }

    #[test]
    fn a_sequence_leads_to_its_record_or_to_where_the_retained_ones_begin() {
        for capacity in [16usize, 300, 700] {
            let mut ring = Ring::after(capacity, 40);
            assert_eq!(
                (ring.first(), ring.offset_of(41), ring.offset_of(40)),
                (41, Ok(0), Err(Lapped { first: 0 }))
            );
            let mut begins = vec![];
            for i in 0..200u64 {
                begins.push(ring.end());
                ring.append(&vec![i as u8; 1 + (i as usize * 37) % capacity]).unwrap();
                let first = ring.first();
                assert_eq!(begins[(first - 41) as usize], ring.base());
                for sequence in first..=ring.records() {
                    assert_eq!(ring.offset_of(sequence), Ok(begins[(sequence - 41) as usize]));
                }
                assert_eq!(ring.offset_of(first - 1), Err(Lapped { first: ring.base() }));
                assert_eq!(ring.offset_of(ring.records() + 1), Ok(ring.end()));
            }
        }
    }

    #[test]
    fn a_ring_within_a_bound_keeps_to_it_and_to_its_newest_records() {
        let mut seed = 11u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        for (capacity, most) in [(256usize, 256usize), (256, 300), (4096, 4096), (4096, 4200), (4096, 9000)] {
            let (mut ring, mut model) = (Ring::new(capacity), Model::default());
            for i in 0..3000usize {
                // Long stretches of one size, then of another: what is room for one is none for the other.
                let largest = if i / 400 % 2 == 0 { 2 } else { capacity / 4 };
                let record = vec![i as u8; 1 + random(largest)];
                ring.append_within(&record, most).unwrap();
                model.records.push(record);
                assert!(ring.memory() <= most, "{} of {most} at {i}", ring.memory());
                let kept = (ring.end() - ring.base()) as usize;
                let retained = (ring.records() + 1 - ring.first()) as usize;
                let newest = &model.records[model.records.len() - retained..];
                assert_eq!(newest.iter().map(Vec::len).sum::<usize>(), kept);
                let used = kept + newest.iter().map(|record| length_bytes(record.len())).sum::<usize>();
                let is_whole = retained == model.records.len();
                assert!(is_whole || used + capacity / 4 + 4 > capacity.min(most - most / 8), "{used} at {i}");
                if i % 50 == 0 {
                    let mut out = vec![0; capacity];
                    let n = ring.read(ring.base(), &mut out).unwrap();
                    assert_eq!(out[..n], newest.concat());
                }
            }
            ring.trim(capacity / 2);
            assert!(ring.memory() <= capacity / 2);
            let retained = (ring.records() + 1 - ring.first()) as usize;
            let newest = model.records[model.records.len() - retained..].concat();
            let mut out = vec![0; capacity];
            assert_eq!(ring.read(ring.base(), &mut out), Ok(newest.len()));
            assert_eq!(out[..newest.len()], newest);
        }
        assert_eq!(Ring::new(256).append_within(b"x", 1), Err(Full), "its length has no room");
    }

    #[test]
    fn memory_follows_what_is_retained() {
        let mut ring = Ring::new(1 << 20);
        assert_eq!(ring.memory(), 0);
        ring.append(&[1; 100]).unwrap();
        assert!(ring.memory() < 1024);
        for _ in 0..100_000 {
            ring.append(&[1; 100]).unwrap();
        }
        assert!(ring.memory() <= (1 << 20) + (1 << 18));
    }
}
