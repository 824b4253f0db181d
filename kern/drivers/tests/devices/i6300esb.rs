//! The watchdog, simulated: it counts only what was unlocked, and resets only with both timers set.

use std::cell::RefCell;

use drivers::i6300esb::Watchdog;
use drivers::pci::Pci;
use hal::{Fault, Narrow, Registers};

#[derive(Default)]
struct Chip {
    is_there: bool,
    bar: u32,
    command: u32,
    keys: Vec<u16>,
    timers: [u32; 2],
    has_reset: bool,
}

struct Space<'a>(&'a RefCell<Chip>);
struct Window<'a>(&'a RefCell<Chip>);

const AT: usize = 5 << 15;

impl Registers for Space<'_> {
    fn read(&mut self, offset: usize) -> u32 {
        let chip = self.0.borrow();
        match offset.wrapping_sub(AT) {
            0 if chip.is_there => 0x25ab_8086,
            0x04 => chip.command,
            0x10 => chip.bar & !0xf,
            0x14..0x28 => 0,
            _ => u32::MAX,
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        match offset.wrapping_sub(AT) {
            0x04 => self.0.borrow_mut().command = value,
            0x10 => self.0.borrow_mut().bar = value,
            _ => {}
        }
    }
}

impl Narrow for Space<'_> {
    fn read_u8(&mut self, offset: usize) -> u8 {
        panic!("reads {offset:#x}")
    }

    fn write_u8(&mut self, offset: usize, value: u8) {
        assert_eq!((offset, value), (AT + 0x68, 2), "all that is to be enabled are the timers");
        let mut chip = self.0.borrow_mut();
        assert_ne!(chip.command & 2, 0, "its registers are not there");
        chip.has_reset = chip.timers.iter().all(|timer| (1..1000).contains(timer));
    }

    fn read_u16(&mut self, offset: usize) -> u16 {
        panic!("reads {offset:#x}")
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        assert_eq!((offset, value), (AT + 0x60, 3), "no interrupt, and the reset is on");
    }
}

impl Registers for Window<'_> {
    fn read(&mut self, offset: usize) -> u32 {
        panic!("reads {offset:#x}")
    }

    fn write(&mut self, offset: usize, value: u32) {
        let mut chip = self.0.borrow_mut();
        if std::mem::take(&mut chip.keys) == [0x80, 0x86] {
            chip.timers[offset / 4] = value;
        }
    }
}

impl Narrow for Window<'_> {
    fn read_u8(&mut self, offset: usize) -> u8 {
        panic!("reads {offset:#x}")
    }

    fn write_u8(&mut self, offset: usize, _: u8) {
        panic!("writes {offset:#x}")
    }

    fn read_u16(&mut self, offset: usize) -> u16 {
        panic!("reads {offset:#x}")
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        assert_eq!(offset, 0x0c);
        self.0.borrow_mut().keys.push(value);
    }
}

#[test]
fn it_is_placed_and_resets_the_machine_when_it_is_let_loose() {
    let chip = RefCell::new(Chip { is_there: true, ..Chip::default() });
    let mut watchdog = Watchdog::new(Pci::new(Space(&chip)), Window(&chip), 0x1000_1000, 4096).unwrap();
    assert_eq!((chip.borrow().bar, chip.borrow().has_reset), (0x1000_1000, false));
    watchdog.reset_machine();
    assert!(chip.borrow().has_reset);
}

#[test]
fn a_machine_without_one_is_told_so() {
    let chip = RefCell::default();
    let watchdog = Watchdog::new(Pci::new(Space(&chip)), Window(&chip), 0x1000_1000, 4096);
    assert_eq!(watchdog.err(), Some(Fault::Absent));
}
