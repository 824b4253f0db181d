//! The boot: processes and channels as the topology has them, the self-test, and the wait for the hive.

use root_task::program::Program;
use root_task::restart::Restarts;
use root_task::topology::{CONSOLE, Entry, FILE, INIT, Kind, Link, NET, Topology};
use task::Channel;
use task::config::{ROOT, Text, Wire};
use task::place::{LARGE, TEXT_MAX};

use crate::output::{Output, say};
use crate::process::{self, Process};
use crate::pump::Pump;
use crate::relay::Relay;
use crate::space::Failed;

/// The program that the self-test asks.
const SELF_TEST: &str = "pong";
/// How long the self-test waits for its answer: long, because an emulated core may get little time.
const PATIENCE_MS: u64 = 30_000;
/// How long the hive may take to be up before the console is there all the same.
const BOOT_MS: u64 = 10_000;

impl Pump {
    fn topology(&self) -> Topology<'static> {
        Topology::new(self.shared.bundle.file(FILE).unwrap_or(&[]))
    }

    /// Makes every process and every channel that the topology names, and no others.
    pub(crate) fn build(&mut self) -> Result<(), Failed> {
        let topology = self.topology();
        const KINDS: [Kind; 3] = [Kind::Part, Kind::Server, Kind::Worker];
        let all = KINDS.into_iter().flat_map(|kind| topology.processes(kind));
        let data: u64 = all.map(|entry| process::data_bytes(&entry)).sum();
        let kept: u64 = topology.kept().map(|(_, kib)| process::kept_pages(kib) * LARGE).sum();
        // And the pages of their code, and one for each device.
        let devices = topology.devices().count() as u64 * LARGE;
        self.store.ram.expect(data + kept + TEXT_MAX + devices);
        for kind in KINDS {
            for entry in topology.processes(kind) {
                self.make(&entry)?;
            }
        }
        for (name, kib) in topology.kept() {
            let number = self.number(name)?;
            self.processes[number].keep(&mut self.store, kib)?;
        }
        topology.links().try_for_each(|link| self.connect(&link))?;
        self.give_devices(topology)
    }

    fn make(&mut self, entry: &Entry<'static>) -> Result<(), Failed> {
        let file = self.shared.bundle.file(entry.program);
        let file = file.ok_or(Failed::Process("a program is missing from the bundle"))?;
        let program =
            Program::read(file).map_err(|_| Failed::Process("a file of the bundle is no program"))?;
        if !Process::data_fits(&program, entry.memory_kib) {
            return Err(Failed::Process("a program has less memory than it needs"));
        }
        let number = self.processes.len() as u32;
        let text = self.processes.iter().find_map(|process| process.text_of(&program));
        let process = Process::new(&mut self.store, &self.shared, entry, program, text, number, self.ends)?;
        self.processes.push(process).map_err(|_| Failed::Process("too many processes"))
    }

    fn number(&self, name: &str) -> Result<usize, Failed> {
        let at = self.processes.iter().position(|process| process.name == name);
        at.ok_or(Failed::Process("the topology speaks of a process that it does not name"))
    }

    fn connect(&mut self, link: &Link<'_>) -> Result<(), Failed> {
        let rings = process::rings(&mut self.store)?;
        let [one, other] = link.ends;
        if process::is_root(one) {
            let number = self.number(other)?;
            let [out, input] = process::own_end(&mut self.store, number as u64, rings)?;
            let bell = self.processes[number].bell();
            let channel = Channel::new(out, input, bell, self.shared.lives(), ROOT, number as u32);
            match other {
                INIT => self.init = Relay::new(channel, number),
                CONSOLE => self.console = Relay::new(channel, number),
                NET => self.net = Relay::new(channel, number),
                _ => drop(self.others.push(channel)),
            }
            return self.give(link, number, rings, 1, None);
        }
        let numbers = [self.number(one)?, self.number(other)?];
        self.give(link, numbers[0], rings, 0, Some(numbers[1]))?;
        self.give(link, numbers[1], rings, 1, Some(numbers[0]))
    }

    /// Gives a process the end `end` of a channel; no peer is the root task.
    fn give(
        &mut self,
        link: &Link<'_>,
        number: usize,
        rings: [u64; 2],
        end: usize,
        peer: Option<usize>,
    ) -> Result<(), Failed> {
        let bell = peer.map_or(self.bell, |peer| self.processes[peer].bell());
        let wire = Wire {
            peer: Text::new(link.ends[1 - end]),
            number: peer.map_or(ROOT, |peer| peer as u32),
            role: link.roles[end],
        };
        self.processes[number].connect(&mut self.store, rings, end, bell, wire)
    }

    /// One exchange with a process of its own: shows that processes, channels and wake-ups work.
    pub(crate) fn self_test(&mut self, output: &mut Output) -> Result<(), Failed> {
        let spoilt = |_| Failed::Process("pong spoilt its channel");
        let number = self.number(SELF_TEST)?;
        self.begin(number)?;
        say!(output, "ping 1");
        let mut answer = heapless::Vec::<u8, 16>::new();
        let mut is_asked = false;
        let last_ms = self.now_ms() + PATIENCE_MS;
        while self.now_ms() < last_ms {
            let Some(channel) = self.others.iter_mut().find(|channel| channel.peer() as usize == number)
            else {
                break;
            };
            if channel.conversation().is_some() {
                if !is_asked {
                    channel.write(b"ping 1").map_err(spoilt)?;
                    is_asked = true;
                }
                let mut bytes = [0; 16];
                let count = channel.read(&mut bytes).map_err(spoilt)?;
                let _ = answer.extend_from_slice(&bytes[..count]);
                if answer == b"pong 1" {
                    say!(output, "pong 1");
                    return Ok(());
                }
            }
            self.turn(output);
        }
        Err(Failed::Process("pong does not answer"))
    }

    /// Begins every process anew that is started again when it ends, and ends the others. What is kept over lives is
    /// kept.
    pub(crate) fn begin_again(&mut self, output: &mut Output) {
        for number in 0..self.processes.len() {
            if let Err(why) = self.processes[number].stop(&self.shared) {
                say!(output, "{}: {why}", self.processes[number].name);
            }
        }
        for number in 0..self.processes.len() {
            let process = &mut self.processes[number];
            process.restarts = Restarts::default();
            if process.kind == Kind::Worker {
                continue;
            }
            let name = process.name;
            if process.kind == Kind::Server {
                say!(output, "start {name} mem={} core={}", process.memory_kib(), process.core);
            }
            if let Err(why) = self.begin(number) {
                say!(output, "{name}: {why}");
            }
        }
    }

    /// Starts the servers, and waits until the hive is up, within bounds.
    pub(crate) fn start_servers(&mut self, output: &mut Output) -> Result<(), Failed> {
        for number in 0..self.processes.len() {
            let process = &self.processes[number];
            if process.kind == Kind::Worker || process.name == SELF_TEST {
                continue;
            }
            if process.kind == Kind::Server {
                say!(output, "start {} mem={} core={}", process.name, process.memory_kib(), process.core);
            }
            self.begin(number)?;
        }
        let last_ms = self.now_ms() + BOOT_MS;
        let is_waited_for = |relay: &Relay| relay.is_there() && !relay.is_ready;
        while (is_waited_for(&self.init) || is_waited_for(&self.net)) && self.now_ms() < last_ms {
            self.turn(output);
        }
        // The boot is one core's: processes that start on several mostly wait for the kernel's lock, and emulated
        // cores that wait burn the time of the one that has it.
        self.processes.iter().try_for_each(Process::move_to_core)?;
        let boot_ms = self.now_ms();
        say!(output, "console ready boot_ms={boot_ms}");
        output.note(format_args!("boot_ms={boot_ms}"));
        output.forget();
        self.is_ready = true;
        self.prompt(output);
        self.read_line(output)
    }
}
