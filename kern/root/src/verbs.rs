//! What the serial root console answers by itself: the verbs about this machine. The hive's verbs are the
//! console process's to answer.

use core::fmt::Write as _;
use core::sync::atomic::Ordering;

use console::{Answer, Fault, RootVerb, Verb};
use root_task::topology::Kind;
use task::config::LINES_MAX;
use task::slots;

use crate::output::Output;
use crate::process::State;
use crate::pump::Pump;

/// Answers one line, or hands it on.
pub(crate) fn serve(pump: &mut Pump, line: Result<&str, Fault>, output: &mut Output) {
    if line == Ok("") {
        return pump.prompt(output);
    }
    match Verb::of(line) {
        Ok(Verb::Root(verb)) => {
            if !root(pump, verb, output) {
                return;
            }
        }
        Ok(Verb::Kill { id }) if is_kept(pump, id) => kill(pump, id, output),
        parsed => {
            if let Ok(line) = line
                && pump.console.is_up()
                && pump.console.send(format_args!("{line}\n"))
            {
                pump.console.waiting += 1;
                return pump.bell.signal();
            }
            match parsed {
                Err(refused) => print(output, &refused.answer()),
                Ok(Verb::Ping) => print(output, &Answer::pong()),
                Ok(verb) => {
                    let detail = "the console's server does not run, or does not keep up";
                    print(output, &Answer::err(verb.name(), "busy").with("detail", detail));
                }
            }
        }
    }
    pump.prompt(output);
}

fn print(output: &mut Output, answer: &Answer) {
    let _ = writeln!(output, "{}", answer.as_str());
}

/// Whether that is a process that is started again when it ends.
fn is_kept(pump: &Pump, name: &str) -> bool {
    pump.processes.iter().any(|process| process.name == name && process.kind != Kind::Worker)
}

/// Ends a process of the image as a fault would. The answer comes before the effect.
fn kill(pump: &mut Pump, name: &str, output: &mut Output) {
    let Some(number) = pump.processes.iter().position(|process| process.name == name) else { return };
    if pump.processes[number].state != State::Up {
        return print(output, &Answer::err("KILL", "busy").with("detail", "it does not run"));
    }
    print(output, &Answer::ok("KILL").with("server", name));
    pump.ended(number, "killed", output);
}

/// Answers a verb of this console's own; false if the answer is still to come.
fn root(pump: &mut Pump, verb: RootVerb, output: &mut Output) -> bool {
    let answer = Answer::ok(verb.name());
    let (boot, store) = (&pump.boot, &pump.store);
    match verb {
        RootVerb::BootInfo => {
            let extra = boot.chunks().map(|chunk| chunk.bytes.len() as u64).sum();
            let answer = answer
                .with_number("cores", boot.cores())
                .with_number("cnode_bits", boot.cnode_bits())
                .with_number("untypeds", boot.untyped().count() as u64)
                .with_number("extra_bytes", extra)
                .with_number("up_ms", pump.now_ms())
                .with("seed", if pump.has_seed { "firmware" } else { "counter" });
            print(output, &answer);
        }
        RootVerb::Caps => {
            print(output, &answer.with_number("free_slots", store.slots.left()));
            caps(pump, output);
            print(output, &Answer::end());
        }
        RootVerb::Mem => {
            let up = pump.processes.iter().map(|process| process.memory_kib() + process.keep_kib());
            let answer = answer
                .with_number("total_kib", store.ram.total() >> 10)
                .with_number("free_kib", store.ram.free() >> 10)
                .with_number("devices", store.devices.count() as u64)
                .with_number("processes_kib", up.sum());
            print(output, &answer);
            for process in &pump.processes {
                let report = process.report();
                let kib =
                    |bytes: &core::sync::atomic::AtomicU64| bytes.load(Ordering::Relaxed).div_ceil(1024);
                let (used, peak) = (kib(&report.heap_used), kib(&report.heap_peak));
                let (name, all, heap) = (process.name, process.memory_kib(), process.heap_kib());
                let keep = process.keep_kib();
                let _ = writeln!(
                    output,
                    "{name} kib={all} heap_kib={heap} used_kib={used} peak_kib={peak} keep_kib={keep}"
                );
            }
            print(output, &Answer::end());
        }
        RootVerb::Smp => {
            print(output, &answer.with_number("cores", pump.ends.cores).with_number("ticks", pump.ticks));
            for process in &pump.processes {
                let state = match process.state {
                    State::Up => "up",
                    State::Waiting(_) => "waiting",
                    State::Down => "down",
                };
                let (name, core) = (process.name, process.core);
                let _ =
                    writeln!(output, "{name} core={core} state={state} restarts={}", process.restarts.count);
            }
            print(output, &Answer::end());
        }
        // It answers itself, and the prompt comes after it.
        RootVerb::NetStats if pump.ask_net() => return false,
        RootVerb::NetStats if pump.net.is_there() => {
            let detail = "the network does not run, or does not keep up";
            print(output, &Answer::err(verb.name(), "busy").with("detail", detail));
        }
        RootVerb::NetStats => {
            let detail = "this image has no network";
            print(output, &Answer::err(verb.name(), "unsupported").with("detail", detail));
        }
        RootVerb::Reboot => pump.reboot(output),
    }
    true
}

/// Every capability of every process. `fault`, `wait` and `root` are what all have; then the bells of its
/// channels, by the name of who hears them. What was put into a slot is looked for there; where the kernel says
/// nothing on its console about empty slots, all others are looked into as well.
fn caps(pump: &mut Pump, output: &mut Output) {
    let Ok(free) = pump.store.slots.take(1) else { return };
    for process in &mut pump.processes {
        let _ = write!(output, "{}", process.name);
        let wires = process.wires().len() as u64;
        // The memory's frame, and the interrupt lines behind it.
        let device = match u64::from(process.config().lines) {
            0 => 0..0,
            lines => slots::DMA..slots::DMA + 1 + lines,
        };
        for slot in 0..1 << slots::BITS {
            let is_given = [slots::FAULT, slots::WAIT, slots::ROOT].contains(&slot)
                || (slots::notify(0)..slots::notify(0) + wires).contains(&slot)
                || device.contains(&slot);
            if !(is_given || !sel4::HAS_CONSOLE) || !process.has(slot, free) {
                continue;
            }
            let _ = match slot {
                slots::FAULT => output.write_str(" fault"),
                slots::WAIT => output.write_str(" wait"),
                slots::ROOT => output.write_str(" root"),
                slots::DMA => output.write_str(" dma"),
                slot if (0..LINES_MAX).any(|line| slots::interrupt(line) == slot) => {
                    output.write_str(" interrupt")
                }
                slot => match process.wires().get((slot - slots::notify(0)) as usize) {
                    Some(wire) => write!(output, " {}", wire.peer.as_str()),
                    None => write!(output, " unknown={slot}"),
                },
            };
        }
        let _ = output.write_str("\n");
    }
    pump.store.slots.give_back(free);
}
