//! Memory that a driver sees through a cache and a device without one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use hal::{Cache, Dma};

const LINE: usize = 64;
const BUS: u64 = 0x4020_0000;

#[derive(Default)]
struct State {
    ram: Vec<u8>,
    /// What the processor has of a line, and whether memory has not.
    cached: BTreeMap<usize, ([u8; LINE], bool)>,
}

/// A handle of the memory.
#[derive(Clone)]
pub(crate) struct Memory(Rc<RefCell<State>>);

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        // Not zeros: a driver must not count on them.
        let ram = vec![0xa5; bytes.next_multiple_of(LINE)];
        Self(Rc::new(RefCell::new(State { ram, cached: BTreeMap::new() })))
    }

    fn lines(bytes: &Range<usize>) -> impl Iterator<Item = usize> + use<> {
        bytes.start / LINE..bytes.end.div_ceil(LINE)
    }

    /// What a device reads at an address of its own.
    pub(crate) fn device_load(&self, address: u64, count: usize) -> Vec<u8> {
        let at = usize::try_from(address - BUS).unwrap();
        self.0.borrow().ram[at..at + count].to_vec()
    }

    /// What a device writes there.
    pub(crate) fn device_store(&self, address: u64, data: &[u8]) {
        let at = usize::try_from(address - BUS).unwrap();
        let mut state = self.0.borrow_mut();
        for line in Self::lines(&(at..at + data.len())) {
            let is_dirty = state.cached.get(&line).is_some_and(|(_, is_dirty)| *is_dirty);
            assert!(!is_dirty, "the device writes line {line:#x}, which the cache may yet overwrite");
        }
        state.ram[at..at + data.len()].copy_from_slice(data);
    }

    pub(crate) fn device_u16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.device_load(address, 2).try_into().unwrap())
    }

    pub(crate) fn device_u32(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.device_load(address, 4).try_into().unwrap())
    }

    pub(crate) fn device_u64(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.device_load(address, 8).try_into().unwrap())
    }
}

impl State {
    fn line(&mut self, line: usize) -> &mut ([u8; LINE], bool) {
        let ram = &self.ram;
        self.cached
            .entry(line)
            .or_insert_with(|| (ram[line * LINE..(line + 1) * LINE].try_into().unwrap(), false))
    }
}

impl Cache for Memory {
    fn clean(&mut self, bytes: Range<usize>) {
        let mut state = self.0.borrow_mut();
        for line in Self::lines(&bytes) {
            if let Some((content, is_dirty)) = state.cached.get_mut(&line) {
                *is_dirty = false;
                let content = *content;
                state.ram[line * LINE..(line + 1) * LINE].copy_from_slice(&content);
            }
        }
    }

    fn invalidate(&mut self, bytes: Range<usize>) {
        let mut state = self.0.borrow_mut();
        for line in Self::lines(&bytes) {
            let was = state.cached.remove(&line);
            assert!(!was.is_some_and(|(_, is_dirty)| is_dirty), "what was written to line {line:#x} is lost");
        }
    }
}

impl Dma for Memory {
    fn bytes(&self) -> usize {
        self.0.borrow().ram.len()
    }

    fn bus(&self, offset: usize) -> u64 {
        BUS + offset as u64
    }

    fn load(&self, offset: usize, out: &mut [u8]) {
        let mut state = self.0.borrow_mut();
        for (n, byte) in out.iter_mut().enumerate() {
            let at = offset + n;
            *byte = state.line(at / LINE).0[at % LINE];
        }
    }

    fn store(&mut self, offset: usize, data: &[u8]) {
        let mut state = self.0.borrow_mut();
        for (n, byte) in data.iter().enumerate() {
            let at = offset + n;
            let (content, is_dirty) = state.line(at / LINE);
            content[at % LINE] = *byte;
            *is_dirty = true;
        }
    }
}

#[test]
fn what_is_not_cleaned_is_not_there_and_what_is_not_invalidated_is_stale() {
    let mut memory = Memory::new(128);
    memory.store(3, b"new");
    assert_eq!(memory.device_load(BUS + 3, 3), [0xa5; 3]);
    memory.clean(3..6);
    assert_eq!(memory.device_load(BUS + 3, 3), b"new");
    memory.device_store(BUS + 3, b"dev");
    let mut seen = [0; 3];
    memory.load(3, &mut seen);
    assert_eq!(&seen, b"new");
    memory.invalidate(3..6);
    memory.load(3, &mut seen);
    assert_eq!(&seen, b"dev");
}
