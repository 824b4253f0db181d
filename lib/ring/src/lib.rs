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

/// Smallest first allocation.
const FIRST_BYTES: usize = 256;

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

    /// Room for `more` bytes: doubled, but never beyond the capacity.
    fn grow(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let target = needed.next_power_of_two().max(FIRST_BYTES).min(self.capacity).max(needed);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
    }
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
        if record.len() > self.capacity {
            return Err(Full);
        }
        if record.is_empty() {
            return Ok(());
        }
        while self.bytes.len() + record.len() > self.capacity {
            self.drop_oldest();
        }
        self.grow(record.len());
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
