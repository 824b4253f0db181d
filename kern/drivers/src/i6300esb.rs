//! Intel's 6300ESB watchdog on the PCI bus (datasheet 300641, chapter 16), used for one thing: a machine whose
//! watchdog is not fed is reset.

use hal::{Fault, Narrow};

use crate::pci::{Function, Pci};

/// Its vendor and device on the PCI bus.
pub const ID: (u16, u16) = (0x8086, 0x25ab);

/// In the configuration space: what the first stage's end does, which is to be nothing; whether the second's resets,
/// and that timers count milliseconds, is said by zeros.
const CONFIG: usize = 0x60;
const NO_INTERRUPT: u16 = 3;
/// There too: lets the timers run.
const LOCK: usize = 0x68;
const IS_ENABLED: u8 = 1 << 1;
/// In memory: how long the first stage, which only warns, takes, and the second, at whose end the reset comes.
const TIMERS: [usize; 2] = [0x00, 0x04];
const RELOAD: usize = 0x0c;
/// Without these two before it, nothing that is written counts.
const UNLOCK: [u16; 2] = [0x80, 0x86];
/// In units of about a millisecond.
const SOON: u32 = 1;

/// The watchdog, asleep until it is let loose.
#[derive(Debug)]
pub struct Watchdog<C, R> {
    pci: Pci<C>,
    function: Function,
    registers: R,
}

impl<C: Narrow, R: Narrow> Watchdog<C, R> {
    /// Finds it on the bus and gives its `registers` their place at `address`, where there are `room` bytes.
    ///
    /// # Errors
    /// If there is none, or it does not fit.
    pub fn new(mut pci: Pci<C>, registers: R, address: u32, room: u32) -> Result<Self, Fault> {
        let function = pci.find(ID.0, ID.1)?;
        pci.place(function, address, room)?;
        Ok(Self { pci, function, registers })
    }

    /// Lets it reset the machine, in a few milliseconds.
    pub fn reset_machine(&mut self) {
        for timer in TIMERS {
            for key in UNLOCK {
                self.registers.write_u16(RELOAD, key);
            }
            self.registers.write(timer, SOON);
        }
        self.pci.write_u16(self.function, CONFIG, NO_INTERRUPT);
        self.pci.write_u8(self.function, LOCK, IS_ENABLED);
    }
}
