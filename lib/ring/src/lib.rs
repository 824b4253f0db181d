//! Bounded rings of records with absolute offsets
#![no_std]
#![forbid(unsafe_code)]

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
