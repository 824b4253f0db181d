//! What the serial root console answers by itself: the verbs about this machine. The hive's verbs need the
//! hive, and say so.

use core::fmt::Write as _;

use console::{Answer, Fault, HELP, RootVerb, Verb};

use crate::output::Output;
use crate::pump::Pump;

/// Answers one line.
pub(crate) fn serve(pump: &mut Pump, line: Result<&str, Fault>, output: &mut Output) {
    if line == Ok("") {
        return;
    }
    match Verb::of(line) {
        Err(refused) => print(output, &refused.answer()),
        Ok(Verb::Ping) => print(output, &Answer::pong()),
        Ok(Verb::Help) => {
            print(output, &Answer::ok("HELP"));
            for line in HELP {
                let _ = writeln!(output, "{line}");
            }
            print(output, &Answer::end());
        }
        Ok(Verb::Root(verb)) => print(output, &root(pump, verb)),
        Ok(Verb::Kill { id }) => kill(pump, id, output),
        Ok(verb) => {
            let answer = Answer::err(verb.name(), "busy").with("detail", "the hive is not up on this image");
            print(output, &answer);
        }
    }
}

fn print(output: &mut Output, answer: &Answer) {
    let _ = writeln!(output, "{}", answer.as_str());
}

/// Ends a process of the image as a fault would. The answer comes before the effect.
fn kill(pump: &mut Pump, name: &str, output: &mut Output) {
    let Some(number) = pump.processes.iter().position(|process| process.name == name) else {
        let answer =
            Answer::err("KILL", "not-found").with("detail", "no process of this image has that name");
        return print(output, &answer);
    };
    print(output, &Answer::ok("KILL").with("server", name));
    if let Err(why) = pump.restart(number, output) {
        let _ = writeln!(output, "[root] {name}: {why}");
    }
}

fn root(pump: &Pump, verb: RootVerb) -> Answer {
    let answer = Answer::ok(verb.name());
    let (boot, store) = (&pump.boot, &pump.store);
    match verb {
        RootVerb::BootInfo => {
            let extra = boot.chunks().map(|chunk| chunk.bytes.len() as u64).sum();
            answer
                .with_number("cores", boot.cores())
                .with_number("cnode_bits", boot.cnode_bits())
                .with_number("untypeds", boot.untyped().count() as u64)
                .with_number("extra_bytes", extra)
                .with_number("up_ms", pump.now_ms())
        }
        RootVerb::Caps => answer.with_number("free_slots", store.slots.left()),
        RootVerb::Mem => {
            let answer = answer
                .with_number("total_kib", store.ram.total() >> 10)
                .with_number("free_kib", store.ram.free() >> 10)
                .with_number("devices", store.devices.count() as u64);
            let up = pump.processes.iter().filter(|process| process.is_up());
            answer.with_number("processes_kib", up.map(|process| process.memory_kib()).sum())
        }
        RootVerb::Smp => {
            let mut answer = answer.with_number("cores", boot.cores()).with_number("ticks", pump.ticks);
            for process in &pump.processes {
                answer = answer.with_number(process.name, process.core);
            }
            answer
        }
        RootVerb::NetStats => {
            Answer::err(verb.name(), "unsupported").with("detail", "this image has no network")
        }
        RootVerb::Reboot => {
            Answer::err(verb.name(), "unsupported").with("detail", "the kernel passes no firmware calls on")
        }
    }
}
