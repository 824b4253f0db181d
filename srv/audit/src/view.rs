//! The journal and its decisions as streams.

use crate::Store;
use journal::Kind;
use ring::{Full, Lapped, Ring, Stream};

/// The whole retained journal, by absolute byte.
pub(crate) struct Chain {
    pub(crate) store: Store,
}

impl Stream for Chain {
    fn base(&self) -> u64 {
        self.store.base()
    }

    fn end(&self) -> u64 {
        self.store.end()
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<usize, Lapped> {
        if at < self.base() {
            return Err(Lapped { first: self.base() });
        }
        // A disk that does not give what it took: the reader sees an end, and `verify` says why.
        Ok(self.store.read_at(at, out).unwrap_or(0))
    }

    /// Nobody writes here: records come in at `[in]/append`.
    fn append(&mut self, _: &[u8]) -> Result<(), Full> {
        Err(Full)
    }
}

/// The records of decisions, newest last.
pub(crate) struct Decisions {
    pub(crate) ring: Ring,
    /// The seqs of those that the ring has had, as far as it still has them.
    seqs: alloc::collections::VecDeque<(u64, u64)>,
    /// One past the newest.
    next: u64,
}

/// Is it what `/audit/decisions` shows?
pub(crate) fn is_decision(kind: Kind) -> bool {
    matches!(kind, Kind::Gate | Kind::Deny)
}

impl Decisions {
    pub(crate) fn new(bytes: u64) -> Decisions {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Decisions { ring: Ring::new(bytes), seqs: alloc::collections::VecDeque::new(), next: 0 }
    }

    /// Adds the line of the record `seq`, its newline included.
    pub(crate) fn push(&mut self, seq: u64, line: &[u8]) {
        let at = self.ring.end();
        if self.ring.append(line).is_err() {
            return;
        }
        self.next = seq + 1;
        self.seqs.push_back((at, seq));
        while self.seqs.front().is_some_and(|(at, _)| *at < self.ring.base()) {
            self.seqs.pop_front();
        }
    }

    /// The seq of the oldest that is there, and one past the newest's; both `otherwise` where none is.
    pub(crate) fn window(&self, otherwise: u64) -> (u64, u64) {
        self.seqs.front().map_or((otherwise, otherwise), |(_, first)| (*first, self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_ring() {
        let mut decisions = Decisions::new(20);
        assert_eq!(decisions.window(7), (7, 7));
        for seq in [10, 20, 30] {
            decisions.push(seq, b"12345678\n");
        }
        assert_eq!(decisions.window(7), (20, 31));
    }
}
