//! mirror: a process that copies the first half of its disk to the second and then sleeps. tests/sel4-net puts it
//! into an image to see the virtio disk's driver at work on QEMU's device.
//! Guarantees: it uses nothing but its disk; what goes wrong ends it, with a word why.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The entry point's name is exported, which counts as unsafe, and the registers' address is a pointer.
#![cfg_attr(target_os = "none", allow(unsafe_code))]

#[cfg(target_os = "none")]
task::process!(bare::main);

#[cfg(target_os = "none")]
mod bare {
    use device::{Granted, Lines};
    use drivers::{VIRTIO_WINDOW, VirtioBlk};
    use hal::{Block, Fault, Mmio, Request, SECTOR};
    use task::fail;

    pub(crate) fn main() -> ! {
        let Some(Granted { registers, memory, mut lines, .. }) = device::take() else {
            fail(format_args!("it was given no disk"))
        };
        // SAFETY: the root task mapped this page of registers for this process alone; the disk is the first of the
        // virtio devices on it.
        let registers = unsafe { Mmio::new(registers, VIRTIO_WINDOW) };
        let copied = VirtioBlk::new(registers, memory).and_then(|mut disk| copy(&mut disk, &mut lines));
        if let Err(fault) = copied {
            fail(format_args!("{fault}"));
        }
        loop {
            task::sleep(None);
        }
    }

    fn copy(disk: &mut impl Block, lines: &mut Lines) -> Result<(), Fault> {
        let half = disk.sectors() / 2;
        let mut data = [0; SECTOR];
        for sector in 0..half {
            run(disk, lines, Request::Read(sector), &mut data)?;
            run(disk, lines, Request::Write(half + sector), &mut data)?;
        }
        run(disk, lines, Request::Flush, &mut data)
    }

    /// One request, from its start to its end.
    fn run(
        disk: &mut impl Block,
        lines: &mut Lines,
        request: Request,
        data: &mut [u8; SECTOR],
    ) -> Result<(), Fault> {
        disk.submit(request, data)?;
        loop {
            match disk.done(data)? {
                Some(done) if done.is_ok => return Ok(()),
                Some(_) => fail(format_args!("{request:?} failed")),
                None => {
                    let came = task::sleep_with_device(None);
                    disk.acknowledge()?;
                    lines.rearm(came);
                }
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("mirror: runs on seL4 only, in tests/sel4-net");
}
