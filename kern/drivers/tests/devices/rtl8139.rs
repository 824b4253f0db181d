//! The RTL8139 network card.

use std::cell::RefCell;
use std::rc::Rc;

use drivers::Rtl8139;
use hal::{FRAME_MAX, Fault, Narrow, Nic, Registers};
use proptest::prelude::*;

use crate::memory::Memory;

const MAC: [u8; 8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0];
const RING: usize = 32 << 10;

struct Device {
    memory: Memory,
    ring: u64,
    command: u8,
    interrupt: u16,
    has_link: bool,
    is_stuck: bool,
    /// Where it writes next, and what the driver says it has read.
    at: usize,
    read: u16,
    slots: [(u64, u32); 4],
    sent: Vec<Vec<u8>>,
    /// It does not send what it is given.
    is_idle: bool,
}

#[derive(Clone)]
struct Handle(Rc<RefCell<Device>>);

impl Device {
    fn room(&self) -> usize {
        let read = (usize::from(self.read) + 16) % RING;
        (read + RING - self.at - 1) % RING
    }

    /// Receives a frame; false if the ring has no room.
    fn deliver(&mut self, frame: &[u8]) -> bool {
        let length = frame.len() + 4;
        if (4 + length).next_multiple_of(4) > self.room() {
            self.interrupt |= 1 << 4;
            return false;
        }
        self.raw(1, length as u16, frame);
        self.interrupt |= 1;
        true
    }

    /// Writes any header, and what follows it.
    fn raw(&mut self, status: u16, length: u16, frame: &[u8]) {
        let mut data = status.to_le_bytes().to_vec();
        data.extend(length.to_le_bytes());
        data.extend(frame);
        data.extend([0xcc; 4]);
        self.memory.device_store(self.ring + self.at as u64, &data);
        self.at = (self.at + data.len()).next_multiple_of(4) % RING;
        self.command &= !1;
    }
}

impl Registers for Handle {
    fn read(&mut self, offset: usize) -> u32 {
        let device = self.0.borrow();
        match offset {
            0 | 4 => u32::from_le_bytes(MAC[offset..offset + 4].try_into().unwrap()),
            0x10..0x20 => device.slots[(offset - 0x10) / 4].1,
            other => panic!("reads {other:#x}"),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let mut device = self.0.borrow_mut();
        match offset {
            0x10..0x20 => {
                let slot = (offset - 0x10) / 4;
                let (address, _) = device.slots[slot];
                device.slots[slot].1 = value;
                if !device.is_idle {
                    let frame = device.memory.device_load(address, (value & 0x1fff) as usize);
                    device.sent.push(frame);
                    device.slots[slot].1 = value | 1 << 13 | 1 << 15;
                }
            }
            0x20..0x30 => device.slots[(offset - 0x20) / 4].0 = value.into(),
            0x30 => device.ring = value.into(),
            0x40 | 0x44 => {}
            other => panic!("writes {other:#x}"),
        }
    }
}

impl Narrow for Handle {
    fn read_u8(&mut self, offset: usize) -> u8 {
        let device = self.0.borrow();
        match offset {
            0x37 => device.command,
            0x58 => u8::from(!device.has_link) << 2,
            other => panic!("reads {other:#x}"),
        }
    }

    fn write_u8(&mut self, offset: usize, value: u8) {
        let mut device = self.0.borrow_mut();
        match offset {
            0x37 if value & 1 << 4 != 0 && !device.is_stuck => {
                device.command = 1;
                (device.at, device.read, device.interrupt) = (0, (RING - 16) as u16, 0);
                device.slots = [(0, 1 << 13); 4];
            }
            0x37 => device.command = device.command & 1 | value,
            0x52 => {}
            other => panic!("writes {other:#x}"),
        }
    }

    fn read_u16(&mut self, offset: usize) -> u16 {
        assert_eq!(offset, 0x3e);
        self.0.borrow().interrupt
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        let mut device = self.0.borrow_mut();
        match offset {
            0x38 => {
                device.read = value;
                if (usize::from(value) + 16) % RING == device.at {
                    device.command |= 1;
                }
            }
            0x3c => assert_eq!(value, 0x73),
            0x3e => device.interrupt &= !value,
            other => panic!("writes {other:#x}"),
        }
    }
}

type Card = Rtl8139<Handle, Memory>;

fn device() -> (Memory, Handle) {
    let memory = Memory::new(Card::MEMORY);
    let device = Device {
        memory: memory.clone(),
        ring: 0,
        command: 0,
        interrupt: 0,
        has_link: true,
        is_stuck: false,
        at: 0,
        read: 0,
        slots: [(0, 0); 4],
        sent: Vec::new(),
        is_idle: false,
    };
    (memory, Handle(Rc::new(RefCell::new(device))))
}

fn card() -> (Handle, Card) {
    let (memory, device) = device();
    let card = Card::new(device.clone(), memory).unwrap();
    (device, card)
}

fn frame(n: usize) -> Vec<u8> {
    (0..60 + n * 7 % 1400).map(|at| (n + at) as u8).collect()
}

#[test]
fn frames_go_both_ways_many_times_round_the_ring() {
    let (device, mut card) = card();
    assert_eq!((card.mac(), card.has_link()), ([0x52, 0x54, 0, 0x12, 0x34, 0x56], true));
    let mut out = [0; FRAME_MAX];
    for n in 0..5000 {
        let frame = frame(n);
        assert!(device.0.borrow_mut().deliver(&frame), "frame {n}");
        card.acknowledge().unwrap();
        assert_eq!(card.receive(&mut out), Ok(Some(frame.len())));
        assert_eq!(out[..frame.len()], frame);
        assert_eq!(card.receive(&mut out), Ok(None));
        assert_eq!(card.send(&frame), Ok(true));
        assert_eq!(device.0.borrow_mut().sent.pop(), Some(frame));
    }
}

#[test]
fn a_short_frame_is_sent_with_zeros_behind_it() {
    let (device, mut card) = card();
    assert_eq!(card.send(&[1; 1500]), Ok(true));
    for _ in 0..4 {
        assert_eq!(card.send(&[2; 20]), Ok(true));
    }
    let mut expected = vec![2; 20];
    expected.resize(60, 0);
    assert_eq!(device.0.borrow().sent[4], expected);
}

#[test]
fn a_card_that_sends_nothing_takes_four_frames() {
    let (device, mut card) = card();
    device.0.borrow_mut().is_idle = true;
    for n in 0..4 {
        assert_eq!(card.send(&frame(n)), Ok(true));
    }
    assert_eq!((card.can_send(), card.send(&frame(5))), (Ok(false), Ok(false)));
    // They come back in order: a later one alone is not enough.
    device.0.borrow_mut().slots[1].1 |= 1 << 13;
    assert_eq!(card.can_send(), Ok(false));
    device.0.borrow_mut().slots[0].1 |= 1 << 13;
    assert_eq!(card.can_send(), Ok(true));
}

#[test]
fn a_full_ring_is_emptied_and_goes_on() {
    let (device, mut card) = card();
    let delivered = (0..200).take_while(|n| device.0.borrow_mut().deliver(&frame(*n))).count();
    assert!(delivered > 20);
    assert_eq!(card.acknowledge(), Ok(()), "what it has can still be read");
    let mut out = [0; FRAME_MAX];
    for n in 0..delivered {
        assert_eq!(card.receive(&mut out), Ok(Some(frame(n).len())));
    }
    assert!(device.0.borrow_mut().deliver(&frame(1)));
    assert_eq!(card.receive(&mut out), Ok(Some(frame(1).len())));
    // A ring that is empty and yet overrun will not go on by itself.
    device.0.borrow_mut().interrupt = 1 << 4;
    assert_eq!(card.acknowledge(), Err(Fault::Reset));
}

#[test]
fn a_header_that_is_none_is_a_fault_and_a_reset_mends_it() {
    for (status, length) in [(0, 64), (1, 0), (1, 3), (1, 17), (1, 1519), (1, u16::MAX), (0xfff0, 64)] {
        let (device, mut card) = card();
        device.0.borrow_mut().raw(status, length, &[0; 60]);
        let mut out = [0; FRAME_MAX];
        assert_eq!(card.receive(&mut out), Err(Fault::Lied), "{status:#x} {length}");
        card.reset().unwrap();
        assert_eq!(card.receive(&mut out), Ok(None));
        assert!(device.0.borrow_mut().deliver(&frame(2)));
        assert_eq!(card.receive(&mut out), Ok(Some(frame(2).len())));
    }
}

#[test]
fn a_link_that_goes_and_a_card_that_goes_are_told_apart() {
    let (device, mut card) = card();
    device.0.borrow_mut().has_link = false;
    device.0.borrow_mut().interrupt = 1 << 5;
    assert_eq!(card.acknowledge(), Ok(()));
    assert!(!card.has_link());
    device.0.borrow_mut().interrupt = u16::MAX;
    assert_eq!(card.acknowledge(), Err(Fault::Reset));
    let (memory, stuck) = self::device();
    {
        let mut stuck = stuck.0.borrow_mut();
        stuck.is_stuck = true;
        stuck.command = 1 << 4;
    }
    assert_eq!(Card::new(stuck, memory).err(), Some(Fault::Reset));
}

proptest! {
    /// Whatever the ring holds, the driver takes frames or finds a fault, and ends.
    #[test]
    fn any_ring_is_survived(headers in prop::collection::vec((any::<u16>(), prop_oneof![0u16..1600, any::<u16>()]), 1..40)) {
        let (device, mut card) = card();
        let mut out = [0; FRAME_MAX];
        for (status, length) in headers {
            device.0.borrow_mut().raw(status, length, &[7; 60]);
            for _ in 0..10 {
                if !matches!(card.receive(&mut out), Ok(Some(_))) {
                    break;
                }
            }
        }
        card.reset().unwrap();
        prop_assert_eq!(card.receive(&mut out), Ok(None));
    }
}
