//! The virtio network card.

use drivers::VirtioNet;
use hal::{FRAME_MAX, Fault, Nic};
use proptest::prelude::*;

use crate::memory::Memory;
use crate::virtio::{Handle, VERSION_1};

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const CONFIG: [u8; 8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0];
const OFFERED: u64 = 1 << 5 | 1 << 16 | 1 << 15 | 1;
const FRAMES: usize = 64;

type Card = VirtioNet<Handle, Memory>;

fn device(is_legacy: bool) -> (Memory, Handle) {
    let memory = Memory::new(Card::MEMORY);
    let device = Handle::new(&memory, 1, is_legacy, OFFERED, &CONFIG);
    (memory, device)
}

fn card(is_legacy: bool) -> (Handle, Card) {
    let (memory, device) = device(is_legacy);
    let card = Card::new(device.clone(), memory).unwrap();
    (device, card)
}

fn header(device: &Handle) -> usize {
    if device.0.borrow().accepted & VERSION_1 == 0 { 10 } else { 12 }
}

/// The device receives a frame; false if the driver gave it no buffer.
fn deliver(device: &Handle, frame: &[u8]) -> bool {
    let Some((id, chain)) = device.pop(0) else { return false };
    let [(address, room, true)] = chain[..] else { panic!("not one buffer to write: {chain:?}") };
    let header = header(device);
    assert!(header + frame.len() <= room as usize);
    device.memory().device_store(address, &vec![0; header]);
    device.memory().device_store(address + header as u64, frame);
    device.push(0, id.into(), (header + frame.len()) as u32);
    true
}

/// The device sends what it was given.
fn sent(device: &Handle) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((id, chain)) = device.pop(1) {
        let [(address, bytes, false)] = chain[..] else { panic!("not one buffer to read: {chain:?}") };
        let data = device.memory().device_load(address, bytes as usize);
        let (head, frame) = data.split_at(header(device));
        assert!(head.iter().all(|&byte| byte == 0), "offloads were not agreed upon");
        out.push(frame.to_vec());
        device.push(1, id.into(), 0);
    }
    out
}

fn frame(n: usize) -> Vec<u8> {
    (0..60 + n * 7 % 1400).map(|at| (n + at) as u8).collect()
}

#[test]
fn it_comes_up_and_takes_no_more_features_than_it_knows() {
    for is_legacy in [false, true] {
        let (device, card) = card(is_legacy);
        assert_eq!((card.mac(), card.has_link()), (MAC, true));
        let expected = if is_legacy { 0 } else { VERSION_1 };
        let device = device.0.borrow();
        assert_eq!(device.accepted, 1 << 5 | 1 << 16 | expected);
        assert_eq!(device.status, if is_legacy { 7 } else { 15 });
        assert_eq!(device.notified, [0], "it was given buffers to receive into");
    }
}

#[test]
fn frames_go_both_ways_and_the_counts_pass_their_end() {
    for is_legacy in [false, true] {
        let (device, mut card) = card(is_legacy);
        let mut out = [0; FRAME_MAX];
        for n in 0..if is_legacy { 500 } else { 66_000 } {
            let frame = frame(n);
            let (to, from) =
                if n % 100 == 0 { (&frame[..], &frame[..]) } else { (&frame[..60], &frame[..64]) };
            assert_eq!(card.send(to), Ok(true));
            assert_eq!(sent(&device), [to]);
            assert!(deliver(&device, from), "no buffer for frame {n}");
            card.acknowledge().unwrap();
            assert_eq!(card.receive(&mut out), Ok(Some(from.len())));
            assert_eq!(&out[..from.len()], from);
            assert_eq!(card.receive(&mut out), Ok(None));
        }
        assert_eq!(device.0.borrow().interrupt, 0);
    }
}

#[test]
fn a_card_that_sends_nothing_takes_a_queue_of_frames_and_no_more() {
    let (device, mut card) = card(false);
    for n in 0..FRAMES {
        assert_eq!(card.send(&frame(n)), Ok(true));
    }
    assert_eq!((card.can_send(), card.send(&frame(0))), (Ok(false), Ok(false)));
    let all: Vec<Vec<u8>> = (0..FRAMES).map(frame).collect();
    assert_eq!(sent(&device), all);
    assert_eq!((card.can_send(), card.send(&frame(0))), (Ok(true), Ok(true)));
}

#[test]
fn a_card_that_nobody_reads_runs_out_of_buffers_and_gets_them_back() {
    let (device, mut card) = card(false);
    let delivered = (0..2 * FRAMES).take_while(|n| deliver(&device, &frame(*n))).count();
    assert_eq!(delivered, FRAMES);
    let mut out = [0; FRAME_MAX];
    for n in 0..FRAMES {
        assert_eq!(card.receive(&mut out), Ok(Some(frame(n).len())));
        assert_eq!(out[..frame(n).len()], frame(n));
    }
    assert_eq!(card.receive(&mut out), Ok(None));
    assert!(deliver(&device, &frame(1)));
}

#[test]
fn what_is_no_frame_is_passed_over() {
    let (device, mut card) = card(false);
    let mut out = [0; FRAME_MAX];
    for bytes in [0, 11, 12, 12 + 13, 12 + FRAME_MAX as u32 + 1, 2048] {
        let (id, _) = device.pop(0).unwrap();
        device.push(0, id.into(), bytes);
    }
    assert!(deliver(&device, &frame(3)));
    assert_eq!(card.receive(&mut out), Ok(Some(frame(3).len())));
    assert_eq!(card.receive(&mut out), Ok(None));
}

#[test]
fn a_ring_that_lies_is_a_fault_and_a_reset_mends_it() {
    let lies: [fn(&Handle); 6] = [
        |device| device.push(0, device.pop(0).unwrap().0.into(), 2049),
        |device| device.push(0, 64, 100),
        |device| device.push(0, u32::MAX, 100),
        |device| {
            let (id, _) = device.pop(0).unwrap();
            device.push(0, id.into(), 100);
            device.push(0, id.into(), 100);
        },
        |device| device.claim(0, 65),
        |device| device.claim(0, u16::MAX),
    ];
    for (n, lie) in lies.iter().enumerate() {
        let (device, mut card) = card(false);
        lie(&device);
        let mut out = [0; FRAME_MAX];
        let told = (0..3).map(|_| card.receive(&mut out)).find(Result::is_err);
        assert_eq!(told, Some(Err(Fault::Lied)), "lie {n}");
        card.reset().unwrap();
        assert_eq!(card.receive(&mut out), Ok(None));
        assert!(deliver(&device, &frame(5)));
        assert_eq!(card.receive(&mut out), Ok(Some(frame(5).len())));
    }
}

#[test]
fn a_sent_frame_that_comes_back_twice_is_a_fault() {
    let (device, mut card) = card(false);
    for n in 0..FRAMES {
        assert_eq!(card.send(&frame(n)), Ok(true));
    }
    let (id, _) = device.pop(1).unwrap();
    device.push(1, id.into(), 0);
    device.push(1, id.into(), 0);
    assert_eq!(card.can_send(), Err(Fault::Lied));
    // It writes nothing to what it sends.
    card.reset().unwrap();
    assert_eq!(card.send(&frame(1)), Ok(true));
    let (id, _) = device.pop(1).unwrap();
    device.push(1, id.into(), 1);
    while card.send(&frame(2)) == Ok(true) {}
    assert_eq!(card.can_send(), Err(Fault::Lied));
}

#[test]
fn a_card_that_asks_for_a_reset_gets_it_and_frames_on_their_way_are_gone() {
    let (device, mut card) = card(false);
    assert_eq!(card.send(&frame(1)), Ok(true));
    assert!(deliver(&device, &frame(2)));
    {
        let mut device = device.0.borrow_mut();
        device.status |= 64;
        device.interrupt |= 2;
    }
    assert_eq!(card.acknowledge(), Err(Fault::Reset));
    card.reset().unwrap();
    let mut out = [0; FRAME_MAX];
    assert_eq!(card.receive(&mut out), Ok(None));
    assert!(sent(&device).is_empty());
    assert_eq!(card.send(&frame(3)), Ok(true));
    assert_eq!(sent(&device), [frame(3)]);
}

#[test]
fn the_link_is_what_the_card_last_said() {
    let (device, mut card) = card(false);
    for has_link in [false, true] {
        {
            let mut device = device.0.borrow_mut();
            device.config[6] = has_link.into();
            device.interrupt |= 2;
        }
        assert_ne!(card.has_link(), has_link);
        card.acknowledge().unwrap();
        assert_eq!(card.has_link(), has_link);
    }
}

#[test]
fn a_device_that_is_not_what_is_needed_is_left_alone() {
    let told = |change: fn(&Handle)| {
        let (memory, device) = device(false);
        change(&device);
        Card::new(device, memory).err()
    };
    assert_eq!(told(|_| ()), None);
    assert_eq!(told(|device| device.0.borrow_mut().features &= !VERSION_1), Some(Fault::Absent));
    assert_eq!(told(|device| device.0.borrow_mut().features &= !(1 << 5)), Some(Fault::Absent));
    assert_eq!(told(|device| device.0.borrow_mut().queue_most = 32), Some(Fault::Absent));
    assert_eq!(told(|device| device.0.borrow_mut().is_stuck = true), Some(Fault::Reset));
    let memory = Memory::new(Card::MEMORY);
    let disk = Handle::new(&memory, 2, false, OFFERED, &CONFIG);
    assert_eq!(Card::new(disk, memory).err(), Some(Fault::Absent));
}

proptest! {
    /// Whatever the device returns, the driver takes frames or finds a fault.
    #[test]
    fn any_ring_is_survived(
        returned in prop::collection::vec((0usize..2, prop_oneof![0u32..70, any::<u32>()], prop_oneof![0u32..2100, any::<u32>()]), 0..80),
        claims in prop::collection::vec((0usize..2, any::<u16>()), 0..3),
        sends in 0usize..100,
    ) {
        let (device, mut card) = card(false);
        let mut out = [0; FRAME_MAX];
        for n in 0..sends {
            let _ = card.send(&frame(n));
        }
        for (queue, id, bytes) in returned {
            device.push(queue, id, bytes);
            let _ = (card.receive(&mut out), card.can_send());
        }
        for (queue, used) in claims {
            device.claim(queue, used);
            let _ = (card.receive(&mut out), card.can_send(), card.send(&frame(1)));
        }
        card.reset().unwrap();
        prop_assert_eq!(card.receive(&mut out), Ok(None));
    }
}
