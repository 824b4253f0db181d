//! The event pump: it sleeps in the kernel until the serial line, the timer or a child has something, and
//! serves that.
// The timer is the core's own; taking it is unsafe, once.
#![allow(unsafe_code)]

use core::fmt::Write as _;

use console::Editor;
use drivers::Tick;
use hal::PhysicalTimer;
use sel4::kernel::object;
use sel4::{BootInfo, CNode, Endpoint, Irq, Notification, Rights, Tcb};

use crate::output::{Output, say};
use crate::space::{Failed, Store};
use crate::verbs;

/// Milliseconds between two ticks.
pub(crate) const TICK_MS: u64 = 5;
/// The physical timer's interrupt, private to each core.
const TIMER_LINE: u64 = 30;
/// The serial line's interrupt on QEMU's machine.
const SERIAL_LINE: u64 = 33;
/// Bits of the notification that the pump sleeps on.
const TIMER: u64 = 1;
const SERIAL: u64 = 2;
/// Typed bytes that are served before other events have their turn.
const BURST: usize = 64;
const PROMPT: &str = "cohesix> ";

/// Everything that the pump serves.
pub(crate) struct Pump {
    pub(crate) boot: BootInfo,
    pub(crate) store: Store,
    pub(crate) ticks: u64,
    tick: Tick<PhysicalTimer>,
    timer: Irq,
    serial: Irq,
    endpoint: Endpoint,
    editor: Editor,
}

impl Pump {
    /// Takes the timer and the serial line's interrupt; returns when the first tick has come.
    pub(crate) fn new(boot: BootInfo, mut store: Store) -> Result<Self, Failed> {
        let notification = Notification(store.make(object::NOTIFICATION, 0)?);
        let endpoint = Endpoint(store.make(object::ENDPOINT, 0)?);
        Tcb::OWN.bind(notification)?;
        let timer = claim(&mut store, notification, TIMER_LINE, TIMER)?;
        let serial = claim(&mut store, notification, SERIAL_LINE, SERIAL)?;
        // SAFETY: lib/sel4 builds only for kernels that export the timer; this is the only value made of it.
        let tick = Tick::start(unsafe { PhysicalTimer::new() }, TICK_MS);
        let mut pump = Self { boot, store, ticks: 0, tick, timer, serial, endpoint, editor: Editor::new() };
        while pump.ticks == 0 {
            let bits = notification.wait();
            pump.timer_came(bits)?;
        }
        Ok(pump)
    }

    /// Milliseconds since the machine was reset.
    pub(crate) fn now_ms(&self) -> u64 {
        self.tick.now_ms()
    }

    fn timer_came(&mut self, bits: u64) -> Result<(), Failed> {
        if bits & TIMER != 0 {
            self.ticks += self.tick.passed();
            self.timer.acknowledge()?;
        }
        Ok(())
    }

    /// Serves events for ever.
    pub(crate) fn run(mut self, mut output: Output) -> ! {
        say!(output, "console ready boot_ms={}", self.now_ms());
        let _ = output.write_str(PROMPT);
        loop {
            let message = self.endpoint.receive();
            if let Err(why) = self.serve(message.badge, &mut output) {
                say!(output, "event {:#x}: {why}", message.badge);
            }
        }
    }

    fn serve(&mut self, bits: u64, output: &mut Output) -> Result<(), Failed> {
        self.timer_came(bits)?;
        if bits & SERIAL != 0 {
            self.typed(output);
            output.acknowledge();
            self.serial.acknowledge()?;
        }
        Ok(())
    }

    fn typed(&mut self, output: &mut Output) {
        for _ in 0..BURST {
            let Some(byte) = output.get() else { return };
            let is_line = self.editor.feed(byte);
            let _ = match byte {
                b'\r' | b'\n' => output.write_str(if is_line { "\n" } else { "" }),
                0x08 | 0x7f => output.write_str("\u{8} \u{8}"),
                b' '..=b'~' => output.write_char(char::from(byte)),
                _ => Ok(()),
            };
            if is_line {
                // The editor keeps the line until the next byte, and a verb may ask the pump for anything.
                let editor = self.editor.clone();
                verbs::serve(self, editor.line(), output);
                let _ = output.write_str(PROMPT);
            }
        }
    }
}

/// Claims an interrupt line and has it set `bit`.
fn claim(store: &mut Store, notification: Notification, line: u64, bit: u64) -> Result<Irq, Failed> {
    let badged = store.slots.take(1)?;
    CNode::OWN.mint_from(badged, 64, CNode::OWN, notification.0, Rights::ALL, bit)?;
    let slot = store.slots.take(1)?;
    let irq = Irq::claim(line, false, 0, CNode::OWN, slot)?;
    irq.notify(Notification(badged))?;
    irq.acknowledge()?;
    Ok(irq)
}
