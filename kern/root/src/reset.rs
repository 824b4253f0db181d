//! `reboot`: a reset of the machine by its watchdog where it has one that is nobody else's, and else a new beginning of
//! every process. The kernel passes no firmware calls on, so there is no other way to a reset from here.

use console::Answer;
use core::fmt::Write as _;
use drivers::Watchdog;
use drivers::pci::Pci;
use hal::Mmio;
use sel4::kernel::object;

use crate::device::{PCI, PCI_REGISTERS};
use crate::output::{Output, say};
use crate::pump::Pump;
use crate::space::{Failed, PAGE, Store};

/// Where the watchdog's registers go: the page behind the one that a card's take.
const REGISTERS: u64 = PCI_REGISTERS + PAGE;
/// How long a reset may take to come.
const PATIENCE_MS: u64 = 1000;

/// What resets the machine: looked for when it is asked for first.
#[derive(Default)]
pub(crate) enum Reset {
    #[default]
    Unknown,
    Absent,
    Found(Watchdog<Mmio, Mmio>),
}

impl Reset {
    fn find(store: &mut Store) -> Result<Self, Failed> {
        let bus = store.device_of(PCI, object::ARM_LARGE_PAGE)?;
        let registers = store.device(REGISTERS)?;
        let watchdog = Watchdog::new(Pci::new(bus), registers, REGISTERS as u32, PAGE as u32);
        Ok(watchdog.map_or(Self::Absent, Self::Found))
    }
}

impl Pump {
    /// Resets the machine, or begins every process anew, with what is kept over its lives. The answer, which says which
    /// of both it is, comes before the effect.
    pub(crate) fn reboot(&mut self, output: &mut Output) {
        if matches!(self.reset, Reset::Unknown) {
            // A bus that is another process's is not there for this one.
            self.reset = Reset::find(&mut self.store).unwrap_or(Reset::Absent);
        }
        let is_machine = matches!(self.reset, Reset::Found(_));
        let scope = if is_machine { "machine" } else { "hive" };
        let _ = writeln!(output, "{}", Answer::ok("REBOOT").with("scope", scope).as_str());
        if let Reset::Found(watchdog) = &mut self.reset {
            watchdog.reset_machine();
            let last_ms = self.now_ms() + PATIENCE_MS;
            while self.now_ms() < last_ms {
                core::hint::spin_loop();
            }
            say!(output, "the watchdog does not reset the machine; every process begins anew");
            self.reset = Reset::Absent;
        }
        self.begin_again(output);
    }
}
