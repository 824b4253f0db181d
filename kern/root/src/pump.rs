//! The event pump: it sleeps in the kernel until the serial line, the timer or a child has something, and
//! serves that.
// The timer is the core's own; taking it is unsafe, once.
#![allow(unsafe_code)]

use core::fmt::Write as _;

use console::Editor;
use drivers::Tick;
use hal::PhysicalTimer;
use root_task::bundle::Bundle;
use root_task::program::Program;
use sel4::kernel::object;
use sel4::{BootInfo, CNode, Endpoint, Irq, Message, Notification, Rights, Tcb};

use crate::fault::Fault;
use crate::output::{Output, say};
use crate::process::{self, BADGE, CHANNEL_BIT, Ends, Process, RESTARTS_MAX};
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
/// Processes at most: each has a bit of the notification.
const PROCESSES_MAX: usize = 16;
/// The program that the self-test asks.
const SELF_TEST: &str = "pong";
/// Ticks that the self-test waits for its answer: half a minute, because an emulated core may get little time.
const PATIENCE: u64 = 30_000 / TICK_MS;
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
    ends: Ends,
    pub(crate) processes: heapless::Vec<Process, PROCESSES_MAX>,
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
        let mut pump = Self {
            boot,
            store,
            ticks: 0,
            tick,
            timer,
            serial,
            endpoint,
            editor: Editor::new(),
            ends: Ends { faults: endpoint, pump: notification },
            processes: heapless::Vec::new(),
        };
        while pump.ticks == 0 {
            let bits = notification.wait();
            pump.timer_came(bits)?;
        }
        Ok(pump)
    }

    /// Starts a program of the bundle as a process on a core; returns its number.
    fn spawn(&mut self, name: &'static str, core: u64) -> Result<usize, Failed> {
        let file = Bundle::new(process::bundle(&self.boot)?).file(name);
        let file = file.ok_or(Failed::Process("a program is missing from the bundle"))?;
        let program =
            Program::read(file).map_err(|_| Failed::Process("a file of the bundle is no program"))?;
        let number = self.processes.len();
        let core = core.min(self.boot.cores() - 1);
        let mut process = Process::new(&mut self.store, name, program, number as u64, core, self.ends)?;
        process.start()?;
        self.processes.push(process).map_err(|_| Failed::Process("too many processes"))?;
        Ok(number)
    }

    /// Starts every other program of the bundle, on one core after the other.
    pub(crate) fn start_servers(&mut self, output: &mut Output) -> Result<(), Failed> {
        let bundle = Bundle::new(process::bundle(&self.boot)?);
        for (name, _) in bundle.files().filter(|(name, _)| *name != SELF_TEST && !name.contains('.')) {
            let core = self.processes.len() as u64 % self.boot.cores();
            let number = self.spawn(name, core)?;
            let process = &self.processes[number];
            say!(output, "start {name} mem={} core={}", process.memory_kib(), process.core);
        }
        Ok(())
    }

    /// One exchange with a process of its own, on another core if there is one: shows that processes,
    /// channels and wake-ups work.
    pub(crate) fn self_test(&mut self, output: &mut Output) -> Result<(), Failed> {
        let spoilt = |_| Failed::Process("pong spoilt its channel");
        let number = self.spawn(SELF_TEST, 1)?;
        say!(output, "ping 1");
        self.processes[number].write(b"ping 1").map_err(spoilt)?;
        let mut answer = [0; 16];
        let last = self.ticks + PATIENCE;
        while self.ticks < last {
            let message = self.endpoint.receive();
            self.serve(&message, output)?;
            let count = self.processes[number].read(&mut answer).map_err(spoilt)?;
            if &answer[..count] == b"pong 1" {
                say!(output, "pong 1");
                return Ok(());
            }
        }
        Err(Failed::Process("pong does not answer"))
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
            if let Err(why) = self.serve(&message, &mut output) {
                say!(output, "event {:#x}: {why}", message.badge);
            }
            if let Err(why) = self.hear(message.badge, &mut output) {
                say!(output, "channel {:#x}: {why}", message.badge);
            }
            if output.take_interrupted() {
                let _ = output.write_str(PROMPT);
                let typed = core::str::from_utf8(self.editor.pending()).unwrap_or("");
                let _ = output.write_str(typed);
            }
        }
    }

    fn serve(&mut self, message: &Message, output: &mut Output) -> Result<(), Failed> {
        if message.badge & BADGE != 0 {
            return self.faulted((message.badge & !BADGE) as usize, message, output);
        }
        let bits = message.badge;
        self.timer_came(bits)?;
        if bits & SERIAL != 0 {
            self.typed(output);
            output.acknowledge();
            self.serial.acknowledge()?;
        }
        Ok(())
    }

    /// Takes what processes have sent. Nothing is spoken on these channels yet but the self-test; a process that
    /// spoils its channel is started again with a new one.
    fn hear(&mut self, badge: u64, output: &mut Output) -> Result<(), Failed> {
        if badge & BADGE != 0 {
            return Ok(());
        }
        for number in 0..self.processes.len() {
            if badge & CHANNEL_BIT << number == 0 {
                continue;
            }
            let process = &mut self.processes[number];
            if process.discard().is_err() {
                say!(output, "fault {} cause=channel", process.name);
                self.restart(number, output)?;
            }
        }
        Ok(())
    }

    /// Reports a process that cannot go on, and starts it again.
    fn faulted(&mut self, number: usize, message: &Message, output: &mut Output) -> Result<(), Failed> {
        let Some(process) = self.processes.get(number) else { return Ok(()) };
        say!(output, "fault {} {}", process.name, Fault(message));
        self.restart(number, output)
    }

    /// Ends a process and starts it again, within bounds; the rest goes on.
    pub(crate) fn restart(&mut self, number: usize, output: &mut Output) -> Result<(), Failed> {
        let now_ms = self.now_ms();
        let Some(process) = self.processes.get_mut(number) else { return Ok(()) };
        if process.restart(now_ms)? {
            say!(output, "restart {} {} of {RESTARTS_MAX}", process.name, process.restarts);
        } else {
            say!(output, "down {}: restarted {RESTARTS_MAX} times within a minute", process.name);
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
