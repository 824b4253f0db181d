//! The virtio disk.

use std::collections::BTreeMap;

use drivers::VirtioBlk;
use hal::{Block, Done, Fault, Request, SECTOR};

use crate::memory::Memory;
use crate::virtio::Handle;

type Disk = VirtioBlk<Handle, Memory>;

fn disk(is_legacy: bool) -> (Handle, Disk) {
    let memory = Memory::new(Disk::MEMORY);
    let mut config = [0; 16];
    config[..8].copy_from_slice(&2048u64.to_le_bytes());
    let device = Handle::new(&memory, 2, is_legacy, 1 << 9, &config);
    let disk = Disk::new(device.clone(), memory).unwrap();
    (device, disk)
}

/// The device does the next request: status 0, unless the sector is bad.
fn work(device: &Handle, sectors: &mut BTreeMap<u64, Vec<u8>>) -> bool {
    const BAD: u64 = 13;
    let Some((id, chain)) = device.pop(0) else { return false };
    let memory = device.memory();
    let (header, 16, false) = chain[0] else { panic!("no header: {chain:?}") };
    let &(status, 1, true) = chain.last().unwrap() else { panic!("no status: {chain:?}") };
    let (kind, sector) = (memory.device_u32(header), memory.device_u64(header + 8));
    let mut written = 1;
    match (kind, &chain[1..chain.len() - 1]) {
        (0, &[(data, 512, true)]) => {
            let content = sectors.get(&sector).cloned().unwrap_or_else(|| vec![0; SECTOR]);
            memory.device_store(data, &content);
            written += SECTOR as u32;
        }
        (1, &[(data, 512, false)]) => drop(sectors.insert(sector, memory.device_load(data, SECTOR))),
        (4, []) => {}
        other => panic!("what is {other:?}?"),
    }
    memory.device_store(status, &[u8::from(sector == BAD)]);
    device.push(0, id.into(), written);
    true
}

fn sector(n: u64) -> [u8; SECTOR] {
    core::array::from_fn(|at| (n as usize * 3 + at) as u8)
}

#[test]
fn what_is_written_is_read() {
    for is_legacy in [false, true] {
        let (device, mut disk) = disk(is_legacy);
        let mut sectors = BTreeMap::new();
        let mut data = [0; SECTOR];
        assert_eq!((disk.sectors(), disk.has_flush(), disk.is_read_only()), (2048, true, false));
        for n in 0..200 {
            let n = n * 7 % 2048 + u64::from(n == 13);
            if n == 13 {
                continue;
            }
            for request in [Request::Write(n), Request::Flush, Request::Read(n)] {
                let id = disk.submit(request, &sector(n)).unwrap().unwrap();
                assert!(work(&device, &mut sectors));
                disk.acknowledge().unwrap();
                data.fill(0);
                assert_eq!(disk.done(&mut data), Ok(Some(Done { request: id, is_ok: true })));
            }
            assert_eq!(data, sector(n));
        }
        assert_eq!(disk.done(&mut data), Ok(None));
    }
}

#[test]
fn a_bad_sector_is_an_error_and_gives_no_data() {
    let (device, mut disk) = disk(false);
    let mut data = [7; SECTOR];
    let id = disk.submit(Request::Read(13), &data).unwrap().unwrap();
    work(&device, &mut BTreeMap::new());
    assert_eq!(disk.done(&mut data), Ok(Some(Done { request: id, is_ok: false })));
    assert_eq!(data, [7; SECTOR]);
}

#[test]
fn requests_are_bounded_and_come_back_in_any_order() {
    let (device, mut disk) = disk(false);
    let mut data = [0; SECTOR];
    let mut ids = Vec::new();
    while let Some(id) = disk.submit(Request::Write(ids.len() as u64), &sector(1)).unwrap() {
        ids.push(id);
    }
    assert_eq!(ids.len(), 21);
    assert_eq!(disk.submit(Request::Read(1), &data), Ok(None));
    let mut chains: Vec<_> = std::iter::from_fn(|| device.pop(0)).collect();
    chains.reverse();
    for (id, chain) in chains {
        device.memory().device_store(chain[2].0, &[0]);
        device.push(0, id.into(), 1);
        assert_eq!(disk.done(&mut data), Ok(Some(Done { request: id, is_ok: true })));
    }
    assert!(disk.submit(Request::Flush, &data).unwrap().is_some());
}

#[test]
fn a_status_that_was_not_written_and_a_read_that_was_cut_are_no_success() {
    let (device, mut disk) = disk(false);
    let mut data = [0; SECTOR];
    for (bytes, status) in [(0, None), (1, Some(0)), (512, Some(0)), (513, Some(2))] {
        let id = disk.submit(Request::Read(1), &data).unwrap().unwrap();
        let (_, chain) = device.pop(0).unwrap();
        if let Some(status) = status {
            device.memory().device_store(chain[2].0, &[status]);
        }
        device.push(0, id.into(), bytes);
        assert_eq!(disk.done(&mut data), Ok(Some(Done { request: id, is_ok: false })), "{bytes} {status:?}");
    }
}

#[test]
fn a_ring_that_lies_is_a_fault_and_a_reset_forgets_what_was_asked() {
    let (device, mut disk) = disk(false);
    let mut data = [0; SECTOR];
    // The second descriptor of a chain is not a chain; more than sector and status cannot be written.
    for (offset, bytes) in [(1, 1), (0, 514)] {
        let id = disk.submit(Request::Read(1), &data).unwrap().unwrap();
        device.push(0, u32::from(id).abs_diff(offset), bytes);
        assert_eq!(disk.done(&mut data), Err(Fault::Lied));
        disk.reset().unwrap();
        assert_eq!(disk.done(&mut data), Ok(None));
        assert!(device.pop(0).is_none());
    }
    assert!(disk.submit(Request::Read(1), &data).unwrap().is_some());
}
