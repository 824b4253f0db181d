//! The event pump: it sleeps in the kernel until the serial line, the timer or a process has something, and
//! serves that.
// The timer is the core's own; taking it is unsafe, once.
#![allow(unsafe_code)]

use core::fmt::Write as _;
use core::sync::atomic::Ordering;

use console::Editor;
use drivers::Tick;
use hal::PhysicalTimer;
use root_task::bootargs;
use root_task::topology::{Kind, Restart, Topology};
use root_task::watch::Seen;
use sel4::kernel::object;
use sel4::{BootInfo, CNode, Endpoint, Irq, Message, Notification, Rights, Tcb};
use task::Channel;

use crate::cores::Cores;
use crate::fault::Fault;
use crate::output::{Output, say};
use crate::process::{BADGE, BIT, Ends, Process, State};
use crate::relay::Relay;
use crate::reset::Reset;
use crate::shared::Shared;
use crate::space::{Failed, Store};
use crate::verbs;

/// Milliseconds between two ticks; where nobody waits for one, they are slept through.
pub(crate) const TICK_MS: u64 = 5;
/// The longest sleep.
const SLEEP_MS: u64 = 1000;
/// The physical timer's interrupt, private to each core.
const TIMER_LINE: u64 = 30;
/// The serial line's interrupt on QEMU's machine.
const SERIAL_LINE: u64 = 33;
/// Bits of the notification that the pump sleeps on; those of processes follow.
const TIMER: u64 = 1;
const SERIAL: u64 = 2;
/// What a channel's other end rings to wake the root task.
const BELL: u64 = 4;
/// Processes at most: each has a bit of the notification.
pub(crate) const PROCESSES_MAX: usize = 40;
/// The self-test's process, and those of tests.
const OTHERS_MAX: usize = 4;
/// Typed bytes that are served before other events have their turn.
const BURST: usize = 64;
const PROMPT: &str = "cohesix> ";

/// Everything that the pump serves.
pub(crate) struct Pump {
    pub(crate) boot: BootInfo,
    pub(crate) store: Store,
    pub(crate) shared: Shared,
    pub(crate) ticks: u64,
    pub(crate) processes: heapless::Vec<Process, PROCESSES_MAX>,
    /// Channels with processes that nothing is spoken with after the self-test.
    pub(crate) others: heapless::Vec<Channel, OTHERS_MAX>,
    pub(crate) init: Relay,
    pub(crate) console: Relay,
    pub(crate) net: Relay,
    pub(crate) restart: Restart,
    pub(crate) cores: Cores,
    pub(crate) ends: Ends,
    /// What other ends ring.
    pub(crate) bell: Notification,
    pub(crate) has_seed: bool,
    pub(crate) is_ready: bool,
    pub(crate) reset: Reset,
    tick: Tick<PhysicalTimer>,
    timer: Irq,
    serial: Irq,
    /// Says that more was typed than one turn takes.
    typing: Notification,
    editor: Editor,
}

impl Pump {
    /// Takes the timer and the serial line's interrupt; returns when the first tick has come.
    pub(crate) fn new(boot: BootInfo, mut store: Store, cores: Cores) -> Result<Self, Failed> {
        let notification = Notification(store.make(object::NOTIFICATION, 0)?);
        let endpoint = Endpoint(store.make(object::ENDPOINT, 0)?);
        Tcb::OWN.bind(notification)?;
        let timer = claim(&mut store, notification, TIMER_LINE, TIMER)?;
        let serial = claim(&mut store, notification, SERIAL_LINE, SERIAL)?;
        let bell = badged(&mut store, notification, BELL)?;
        let typing = badged(&mut store, notification, SERIAL)?;
        // SAFETY: lib/sel4 builds only for kernels that export the timer; this is the only value made of it.
        let tick = Tick::start(unsafe { PhysicalTimer::new() }, TICK_MS);
        // The device tree holds the firmware's random bytes, where it has any.
        let tree = crate::shared::tree(&boot);
        let has_seed = tree.windows(8).any(|bytes| bytes == b"rng-seed");
        let mut shared = Shared::new(&mut store, &boot, tree)?;
        shared.stir(&tick.now_ms().to_le_bytes());
        let used = bootargs::cores(tree, boot.cores());
        let restart = Topology::new(shared.bundle.file(root_task::topology::FILE).unwrap_or(&[])).restart();
        let mut pump = Self {
            boot,
            store,
            shared,
            ticks: 0,
            processes: heapless::Vec::new(),
            others: heapless::Vec::new(),
            init: Relay::default(),
            console: Relay::default(),
            net: Relay::default(),
            restart,
            cores,
            ends: Ends { faults: endpoint, pump: notification, cores: used },
            bell,
            has_seed,
            is_ready: false,
            reset: Reset::default(),
            tick,
            timer,
            serial,
            typing,
            editor: Editor::new(),
        };
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
        loop {
            self.turn(&mut output);
        }
    }

    /// Waits for one event and serves it.
    pub(crate) fn turn(&mut self, output: &mut Output) {
        self.look(output);
        let message = self.ends.faults.receive();
        if let Err(why) = self.serve(&message, output) {
            say!(output, "event {:#x}: {why}", message.badge);
        }
        self.hear(output);
        if output.take_interrupted() {
            self.prompt(output);
        }
    }

    /// The prompt, and what is typed already.
    pub(crate) fn prompt(&mut self, output: &mut Output) {
        if self.is_ready {
            let _ = output.write_str(PROMPT);
            let typed = core::str::from_utf8(self.editor.pending()).unwrap_or("");
            let _ = output.write_str(typed);
        }
    }

    /// Does what time asks for, and sets the alarm for what it will ask for next.
    fn look(&mut self, output: &mut Output) {
        let now_ms = self.now_ms();
        let lives = self.shared.lives();
        // From here on everybody says aloud for when he wants to be woken; who has said it before is read
        // below.
        lives.look_ms.store(u64::MAX, Ordering::SeqCst);
        let (mut next_ms, mut busy) = (now_ms + SLEEP_MS, 0);
        for number in 0..self.processes.len() {
            let process = &mut self.processes[number];
            match process.state {
                State::Down => {}
                State::Waiting(at_ms) if at_ms <= now_ms => {
                    if let Err(why) = self.begin(number) {
                        say!(output, "{}: {why}", self.processes[number].name);
                    }
                }
                State::Waiting(at_ms) => next_ms = next_ms.min(at_ms),
                State::Up => {
                    let deadline_ms = process.report().deadline_ms.load(Ordering::SeqCst);
                    if deadline_ms <= now_ms && deadline_ms != process.woken_ms {
                        process.woken_ms = deadline_ms;
                        process.wake();
                    } else if deadline_ms > now_ms {
                        next_ms = next_ms.min(deadline_ms);
                    }
                    let (sleeps, turns) = process.report().sleep();
                    match process.watch.look(now_ms, self.ticks, sleeps, turns) {
                        Seen::Well => {}
                        Seen::Busy => {
                            // Until the console is ready, all are on the first one.
                            busy |= 1 << if self.is_ready { process.core } else { 0 };
                            // It is counted in the ticks at which it is looked at.
                            next_ms = next_ms.min(now_ms + TICK_MS);
                        }
                        Seen::Stuck => {
                            say!(output, "fault {} cause=stuck", process.name);
                            self.ended(number, "stuck", output);
                        }
                    }
                }
            }
        }
        self.cores.tick(busy);
        lives.look_ms.store(next_ms, Ordering::SeqCst);
        self.tick.sleep_until(next_ms);
    }

    fn serve(&mut self, message: &Message, output: &mut Output) -> Result<(), Failed> {
        if message.badge & BADGE != 0 {
            self.faulted((message.badge & !BADGE) as usize, message, output);
            return Ok(());
        }
        let bits = message.badge;
        self.timer_came(bits)?;
        if bits & SERIAL != 0 && self.is_ready {
            self.read_line(output)?;
        }
        for number in 0..self.processes.len() {
            if bits & BIT << number != 0 {
                self.reported(number, output);
            }
        }
        Ok(())
    }

    /// Takes what was typed. What comes before the console is ready waits for it.
    pub(crate) fn read_line(&mut self, output: &mut Output) -> Result<(), Failed> {
        // First: what comes while this is read must ring anew.
        output.acknowledge();
        let has_more = self.typed(output);
        self.serial.acknowledge()?;
        if has_more {
            // What waits in the device rings no more: nothing new comes in while that is full.
            self.typing.signal();
        }
        Ok(())
    }

    /// A process may have said that another has spoilt its channel.
    fn reported(&mut self, number: usize, output: &mut Output) {
        if let Some(culprit) = self.processes[number].accused() {
            self.spoilt(culprit as usize, output);
        }
    }

    /// A process has spoilt a channel: it is reported and started again with new ones.
    pub(crate) fn spoilt(&mut self, number: usize, output: &mut Output) {
        let Some(process) = self.processes.get(number).filter(|process| process.state == State::Up) else {
            return;
        };
        say!(output, "fault {} cause=channel", process.name);
        self.ended(number, "channel", output);
    }

    /// A process cannot go on, or has ended.
    fn faulted(&mut self, number: usize, message: &Message, output: &mut Output) {
        let Some(process) = self.processes.get(number) else { return };
        if let Some(status) = process.exit() {
            let mut text = heapless::String::<32>::new();
            let _ = write!(text, "exit status: {status}");
            return self.ended(number, &text, output);
        }
        output.begin_line();
        let _ = write!(output, "[root] fault {} {}", process.name, Fault(message));
        let mut words = process.report().words().peekable();
        if words.peek().is_some() {
            let _ = output.write_str(" words=\"");
            words.for_each(|c| {
                let _ = output.write_char(if c == '"' { '\'' } else { c });
            });
            let _ = output.write_str("\"");
        }
        let _ = output.write_str("\n");
        self.ended(number, "fault", output);
    }

    /// Stops a process, and has it started again where it is to be; the rest goes on.
    pub(crate) fn ended(&mut self, number: usize, how: &str, output: &mut Output) {
        let now_ms = self.now_ms();
        let Some(process) = self.processes.get_mut(number) else { return };
        if let Err(why) = process.stop(&self.shared) {
            say!(output, "{}: {why}", process.name);
        }
        let name = process.name;
        if process.kind == Kind::Worker {
            self.init.send(format_args!("ended {name} {how}\n"));
        } else {
            match process.restarts.ended(&self.restart, now_ms) {
                Some(at_ms) => {
                    process.state = State::Waiting(at_ms);
                    say!(output, "restart {name} {} of {}", process.restarts.recent(), self.restart.deaths);
                }
                None => {
                    let (deaths, window_s) = (self.restart.deaths, self.restart.window_ms / 1000);
                    say!(output, "down {name}: restarted {deaths} times within {window_s} s");
                }
            }
        }
        self.wake_all();
    }

    /// Lets a process begin anew.
    pub(crate) fn begin(&mut self, number: usize) -> Result<(), Failed> {
        let now_ms = self.now_ms();
        self.processes[number].start(&mut self.shared, now_ms)?;
        self.wake_all();
        Ok(())
    }

    /// Everybody looks who lives.
    fn wake_all(&self) {
        self.processes.iter().filter(|process| process.state == State::Up).for_each(Process::wake);
    }

    /// Serves what was typed; says whether there may be more.
    fn typed(&mut self, output: &mut Output) -> bool {
        for _ in 0..BURST {
            let Some(byte) = output.get() else { return false };
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
            }
        }
        true
    }
}

/// Another capability of a notification, which sets `bit`.
fn badged(store: &mut Store, notification: Notification, bit: u64) -> Result<Notification, Failed> {
    let badged = store.slots.take(1)?;
    CNode::OWN.mint_from(badged, 64, CNode::OWN, notification.0, Rights::ALL, bit)?;
    Ok(Notification(badged))
}

/// Claims an interrupt line and has it set `bit`.
fn claim(store: &mut Store, notification: Notification, line: u64, bit: u64) -> Result<Irq, Failed> {
    let badged = badged(store, notification, bit)?;
    let slot = store.slots.take(1)?;
    let irq = Irq::claim(line, false, 0, CNode::OWN, slot)?;
    irq.notify(badged)?;
    irq.acknowledge()?;
    Ok(irq)
}
