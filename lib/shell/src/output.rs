//! Lines on their way to the user.

use crate::prelude::*;
use alloc::collections::VecDeque;

/// Bytes that wait for a slow reader before no more is read for it.
pub(crate) const ENOUGH: usize = 64 << 10;

/// A queue of lines.
#[derive(Debug, Default)]
pub(crate) struct Output {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Output {
    pub(crate) fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
    }

    pub(crate) fn pop(&mut self) -> Option<String> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.len() + 1;
        Some(line)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes < ENOUGH
    }
}
