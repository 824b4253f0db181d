//! The root task: the first user process. It prints the banner, checks that it addresses its capabilities as
//! it thinks, takes stock of memory, takes the serial line and the timer, and then runs the event pump.
//! Guarantees: it uses no slot and no memory but those that the boot info names, has no heap, and does not
//! busy-wait once the console is ready.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod begin;
#[cfg(target_os = "none")]
mod cores;
#[cfg(target_os = "none")]
mod device;
#[cfg(target_os = "none")]
mod fault;
#[cfg(target_os = "none")]
mod net;
#[cfg(target_os = "none")]
mod output;
#[cfg(target_os = "none")]
mod process;
#[cfg(target_os = "none")]
mod pump;
#[cfg(target_os = "none")]
mod relay;
#[cfg(target_os = "none")]
mod reset;
#[cfg(target_os = "none")]
mod shared;
#[cfg(target_os = "none")]
mod space;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod verbs;

#[cfg(target_os = "none")]
use bare::run;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("root-task: runs on seL4 only; build the image with sys/sel4/build");
}

#[cfg(target_os = "none")]
mod bare {
    use drivers::Pl011;
    use sel4::{BootInfo, CNode, Rights};

    use crate::cores::Cores;
    use crate::output::{Output, say};
    use crate::pump::Pump;
    use crate::space::{Failed, Store};

    /// The serial line and the clock of QEMU's machine.
    const UART: u64 = 0x0900_0000;
    const CLOCK: u64 = 0x0901_0000;

    /// The boot story.
    pub(crate) fn run(boot: BootInfo) -> ! {
        let mut output = Output::new();
        match prepare(boot, &mut output) {
            Ok(pump) => pump.run(output),
            Err(why) => {
                say!(output, "stopped: {why}");
                loop {
                    // What is wrong will not mend itself, and there is nobody to return to.
                    let _ = sel4::Tcb::OWN.suspend();
                }
            }
        }
    }

    fn prepare(boot: BootInfo, output: &mut Output) -> Result<Pump, Failed> {
        let (version, manifest) = (env!("CARGO_PKG_VERSION"), env!("COHESIX_MANIFEST"));
        output.note(format_args!("[loader] cohesix {version} manifest {manifest}"));
        let cores = root_task::bootargs::cores(crate::shared::tree(&boot), boot.cores());
        say!(output, "banner cohesix {version} manifest {manifest} cores={cores}");
        let empty = boot.empty();
        check_cspace(empty.start)?;
        say!(output, "cspace ok bits={} empty={}..{}", boot.cnode_bits(), empty.start, empty.end);

        crate::start::guard_stack(&boot)?;
        let mut store = Store::new(&boot);
        let cores = Cores::new(&mut store, boot.cores())?;
        say!(output, "untyped ram={} device={}", store.ram.total() >> 20, store.devices.count());

        output.attach(Pl011::new(store.device(UART)?));
        let clock = store.device(CLOCK).map(|mut registers| drivers::seconds(&mut registers));
        let mut pump = Pump::new(boot, store, cores)?;
        // A machine without a clock counts from 1970.
        let wall_ms = clock.map_or(0, |seconds| u64::from(seconds) * 1000);
        pump.shared.set_reset_ms(wall_ms.saturating_sub(pump.now_ms()));
        output.keep(pump.shared.story());
        say!(output, "timer ok tick_ms={}", crate::pump::TICK_MS);
        pump.build()?;
        pump.self_test(output)?;
        pump.start_servers(output)?;
        Ok(pump)
    }

    /// One harmless copy, undone at once: if slots are not addressed as this code thinks, it shows before
    /// anything is changed.
    fn check_cspace(free: u64) -> Result<(), Failed> {
        CNode::OWN.copy(free, sel4::kernel::slot::BOOT_INFO_FRAME, Rights::READ)?;
        Ok(CNode::OWN.delete(free)?)
    }
}
