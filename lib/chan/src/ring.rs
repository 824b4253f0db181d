//! A byte ring in memory that two processes share: one writes, the other reads.
//! Guarantees: neither side trusts the other. Each keeps its own index where the other cannot reach it,
//! publishes it, and checks what the other publishes; a peer that lies is told apart from one that is slow,
//! and can spoil only bytes that it could have spoilt by sending them. Bytes are copied out before anybody
//! looks at them. Waking the peer is the caller's.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The memory of one ring: `N` bytes, a power of two, behind both indices. All zeros is an empty ring.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Ring<const N: usize> {
    /// Bytes ever written, modulo 2^32: the writer's.
    written: Line,
    /// Bytes ever read, modulo 2^32: the reader's.
    read: Line,
    bytes: [AtomicU8; N],
}

/// An index alone in its cache line, and the conversation that it counts in.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Line(AtomicU32, AtomicU32);

impl Line {
    const fn new() -> Self {
        Self(AtomicU32::new(0), AtomicU32::new(0))
    }

    fn join(&self, conversation: u32) {
        self.0.store(0, Ordering::Release);
        self.1.store(conversation, Ordering::Release);
    }
}

/// The peer published an index that cannot be: nothing more is to be believed of this ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

impl core::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the peer's ring index is out of range")
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    const MASK: u32 = {
        assert!(N.is_power_of_two() && N <= 1 << 30, "a ring's size is a power of two");
        N as u32 - 1
    };

    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self { written: Line::new(), read: Line::new(), bytes: [const { AtomicU8::new(0) }; N] }
    }

    fn byte(&self, index: u32) -> &AtomicU8 {
        &self.bytes[(index & Self::MASK) as usize]
    }
}

/// The writing end. There must be one.
#[derive(Debug)]
pub struct Writer<'a, const N: usize> {
    ring: &'a Ring<N>,
    written: u32,
    /// The last that the reader published.
    read: u32,
}

impl<'a, const N: usize> Writer<'a, N> {
    /// The end of an empty ring.
    #[must_use]
    pub const fn new(ring: &'a Ring<N>) -> Self {
        Self { ring, written: 0, read: 0 }
    }

    /// Begins to count anew, in a conversation of that number. Nothing may be written before the other end
    /// has joined it too.
    pub fn join(&mut self, conversation: u32) {
        *self = Self::new(self.ring);
        self.ring.written.join(conversation);
    }

    /// Whether the reader counts in that conversation.
    #[must_use]
    pub fn is_joined(&self, conversation: u32) -> bool {
        self.ring.read.1.load(Ordering::Acquire) == conversation
    }

    /// Bytes that fit now.
    ///
    /// # Errors
    /// If the reader claims to have read what was never written, or takes back what it had read.
    pub fn room(&mut self) -> Result<usize, Corrupt> {
        let read = self.ring.read.0.load(Ordering::Acquire);
        // It may only move from where it was towards what is written.
        if read.wrapping_sub(self.read) > self.written.wrapping_sub(self.read) {
            return Err(Corrupt);
        }
        self.read = read;
        Ok(N - self.written.wrapping_sub(read) as usize)
    }

    /// Writes as much of `data` as fits; returns how much that was.
    ///
    /// # Errors
    /// As for [`Writer::room`]; nothing is written.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Corrupt> {
        let count = data.len().min(self.room()?);
        for &byte in &data[..count] {
            self.ring.byte(self.written).store(byte, Ordering::Relaxed);
            self.written = self.written.wrapping_add(1);
        }
        self.ring.written.0.store(self.written, Ordering::Release);
        Ok(count)
    }
}

/// The reading end. There must be one.
#[derive(Debug)]
pub struct Reader<'a, const N: usize> {
    ring: &'a Ring<N>,
    read: u32,
    /// The last that the writer published.
    written: u32,
}

impl<'a, const N: usize> Reader<'a, N> {
    /// The end of an empty ring.
    #[must_use]
    pub const fn new(ring: &'a Ring<N>) -> Self {
        Self { ring, read: 0, written: 0 }
    }

    /// As [`Writer::join`].
    pub fn join(&mut self, conversation: u32) {
        *self = Self::new(self.ring);
        self.ring.read.join(conversation);
    }

    /// Whether the writer counts in that conversation.
    #[must_use]
    pub fn is_joined(&self, conversation: u32) -> bool {
        self.ring.written.1.load(Ordering::Acquire) == conversation
    }

    /// Bytes that wait.
    ///
    /// # Errors
    /// If the writer claims more than the ring holds, or takes back what it had written.
    pub fn waiting(&mut self) -> Result<usize, Corrupt> {
        let written = self.ring.written.0.load(Ordering::Acquire);
        let waiting = written.wrapping_sub(self.read);
        let had = self.written.wrapping_sub(self.read);
        if waiting as usize > N || waiting < had {
            return Err(Corrupt);
        }
        self.written = written;
        Ok(waiting as usize)
    }

    /// Copies what waits into `out`, as much as fits; returns how much that was.
    ///
    /// # Errors
    /// As for [`Reader::waiting`]; nothing is read.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Corrupt> {
        let count = out.len().min(self.waiting()?);
        for byte in &mut out[..count] {
            *byte = self.ring.byte(self.read).load(Ordering::Relaxed);
            self.read = self.read.wrapping_add(1);
        }
        self.ring.read.0.store(self.read, Ordering::Release);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::thread;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_ring_takes_no_more_and_an_empty_one_gives_none() {
        let ring = Ring::<8>::new();
        let (mut writer, mut reader) = (Writer::new(&ring), Reader::new(&ring));
        assert_eq!(writer.write(b"0123456789"), Ok(8));
        assert_eq!(writer.write(b"x"), Ok(0));
        let mut out = [0; 16];
        assert_eq!(reader.read(&mut out), Ok(8));
        assert_eq!(&out[..8], b"01234567");
        assert_eq!(reader.read(&mut out), Ok(0));
    }

    #[test]
    fn indices_pass_their_end() {
        let ring = Ring::<4>::new();
        let mut writer = Writer { ring: &ring, written: u32::MAX - 1, read: u32::MAX - 1 };
        let mut reader = Reader { ring: &ring, read: u32::MAX - 1, written: u32::MAX - 1 };
        ring.read.0.store(u32::MAX - 1, Ordering::Relaxed);
        assert_eq!(writer.write(b"abcd"), Ok(4));
        let mut out = [0; 4];
        assert_eq!(reader.read(&mut out), Ok(4));
        assert_eq!((&out, writer.room()), (b"abcd", Ok(4)));
    }

    #[test]
    fn a_new_conversation_begins_when_both_ends_have_joined_it() {
        let ring = Ring::<8>::new();
        let (mut writer, mut reader) = (Writer::new(&ring), Reader::new(&ring));
        assert_eq!(writer.write(b"abcd"), Ok(4));
        assert_eq!(reader.read(&mut [0; 2]), Ok(2));
        writer.join(2);
        assert!(!writer.is_joined(2) && reader.is_joined(2));
        reader.join(2);
        assert!(writer.is_joined(2));
        assert_eq!((writer.room(), reader.waiting()), (Ok(8), Ok(0)));
        assert_eq!(writer.write(b"efghij"), Ok(6));
        let mut out = [0; 8];
        assert_eq!(reader.read(&mut out), Ok(6));
        assert_eq!(&out[..6], b"efghij");
    }

    #[test]
    fn a_writer_that_lies_is_found_out() {
        let ring = Ring::<8>::new();
        let (mut writer, mut reader) = (Writer::new(&ring), Reader::new(&ring));
        assert_eq!(writer.write(b"abcd"), Ok(4));
        assert_eq!(reader.waiting(), Ok(4));
        for lie in [9, 3, u32::MAX] {
            ring.written.0.store(lie, Ordering::Relaxed);
            assert_eq!(reader.waiting(), Err(Corrupt), "{lie}");
            assert_eq!(reader.read(&mut [0; 8]), Err(Corrupt), "{lie}");
        }
    }

    #[test]
    fn a_reader_that_lies_is_found_out() {
        let ring = Ring::<8>::new();
        let (mut writer, mut reader) = (Writer::new(&ring), Reader::new(&ring));
        assert_eq!(writer.write(b"abcd"), Ok(4));
        assert_eq!(reader.read(&mut [0; 2]), Ok(2));
        assert_eq!(writer.room(), Ok(6));
        for lie in [5, 1, u32::MAX] {
            ring.read.0.store(lie, Ordering::Relaxed);
            assert_eq!(writer.write(b"x"), Err(Corrupt), "{lie}");
        }
    }

    #[test]
    fn two_threads_pass_every_byte_in_order() {
        const BYTES: u32 = 200_000;
        let ring = Ring::<64>::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = Writer::new(&ring);
                let mut sent = 0;
                while sent < BYTES {
                    let chunk: Vec<u8> = (sent..BYTES.min(sent + 37)).map(|n| n as u8).collect();
                    let count = writer.write(&chunk).unwrap();
                    sent += count as u32;
                    if count == 0 {
                        thread::yield_now();
                    }
                }
            });
            let mut reader = Reader::new(&ring);
            let mut got = 0;
            let mut out = [0; 41];
            while got < BYTES {
                let count = reader.read(&mut out).unwrap();
                for byte in &out[..count] {
                    assert_eq!(*byte, got as u8);
                    got += 1;
                }
                if count == 0 {
                    thread::yield_now();
                }
            }
        });
    }

    proptest! {
        #[test]
        fn it_is_a_bounded_queue(steps in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..100)) {
            let ring = Ring::<32>::new();
            let (mut writer, mut reader) = (Writer::new(&ring), Reader::new(&ring));
            let mut model = VecDeque::new();
            for (is_write, data) in steps {
                if is_write {
                    let count = writer.write(&data).unwrap();
                    prop_assert_eq!(count, data.len().min(32 - model.len()));
                    model.extend(&data[..count]);
                } else {
                    let mut out = vec![0; data.len()];
                    let count = reader.read(&mut out).unwrap();
                    let expected: Vec<u8> = model.drain(..count).collect();
                    prop_assert_eq!(count, data.len().min(count + model.len()));
                    prop_assert_eq!(&out[..count], expected.as_slice());
                }
            }
        }

        /// Whatever the peer publishes, no end panics, and no end counts past the ring.
        #[test]
        fn any_indices_are_survived(values in prop::collection::vec((any::<u32>(), any::<u32>()), 0..50)) {
            let ring = Ring::<16>::new();
            let (mut writer, mut reader) = (Writer::new(&ring), Reader::new(&ring));
            for (written, read) in values {
                let _ = writer.write(&[1, 2, 3]);
                ring.read.0.store(read, Ordering::Relaxed);
                prop_assert!(writer.room().unwrap_or(0) <= 16);
                ring.written.0.store(written, Ordering::Relaxed);
                prop_assert!(reader.read(&mut [0; 20]).unwrap_or(0) <= 16);
            }
        }
    }
}
