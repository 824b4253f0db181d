//! The rings: all events, and those of each task. Has never heard of 9P.

use core::fmt::Write;
use ring::{Ring, Stream};
use rt::prelude::*;

/// What servers and the time say of an event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Which server.
    pub task: &'a str,
    /// About what.
    pub cat: &'a str,
    /// How important.
    pub level: &'a str,
    /// What.
    pub text: &'a str,
}

/// All rings.
#[derive(Debug)]
pub struct Rings {
    events: Ring,
    kmesg: Ring,
    tasks: Vec<(String, Ring)>,
    /// The number of the next event: there are no gaps.
    seq: u64,
    born_ms: u64,
}

impl Rings {
    /// Empty ones, `bytes` each.
    pub fn new(tasks: &[String], bytes: usize) -> Rings {
        let tasks = tasks.iter().map(|task| (task.clone(), Ring::new(bytes))).collect();
        Rings { events: Ring::new(bytes), kmesg: Ring::new(bytes), tasks, seq: 1, born_ms: 0 }
    }

    /// Times in `kmesg` count from here.
    pub fn start(&mut self, mono_ms: u64) {
        self.born_ms = mono_ms;
    }

    /// Takes an event.
    pub fn push(&mut self, event: &Event, wall_ms: u64, mono_ms: u64) {
        let Event { task, cat, level, text } = *event;
        let mut line = format!("{{\"seq\":{},\"ts_ms\":{wall_ms},\"task\":", self.seq);
        self.seq += 1;
        for (key, value) in [("", task), (",\"cat\":", cat), (",\"level\":", level), (",\"text\":", text)] {
            line.push_str(key);
            line.push_str(&json::to_string(&value));
        }
        line.push_str("}\n");
        // An event is smaller than any ring.
        let _ = self.events.append(line.as_bytes());
        if let Some((_, ring)) = self.tasks.iter_mut().find(|(name, _)| is_of(task, name)) {
            let _ = ring.append(line.as_bytes());
        }
        if cat == "boot" || level == "error" {
            let since = mono_ms.saturating_sub(self.born_ms);
            let mut line = String::new();
            let _ = writeln!(line, "[{:5}.{:03}] {task}: {text}", since / 1000, since % 1000);
            let _ = self.kmesg.append(line.as_bytes());
        }
    }

    /// Every event.
    pub fn events(&mut self) -> &mut Ring {
        &mut self.events
    }

    /// What the machine's own messages would be: starts, ends, errors.
    pub fn kmesg(&mut self) -> &mut Ring {
        &mut self.kmesg
    }

    /// The events of one task.
    pub fn task(&mut self, i: usize) -> Option<&mut Ring> {
        self.tasks.get_mut(i).map(|(_, ring)| ring)
    }

    /// Tasks by name.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().map(|(name, _)| name.as_str())
    }
}

/// Is the task the server's process, or one of its several: `worker`, `worker.1`?
fn is_of(task: &str, server: &str) -> bool {
    let is_part = |rest: &str| rest.strip_prefix('.').is_some_and(|part| part.parse::<u32>().is_ok());
    task.strip_prefix(server).is_some_and(|rest| rest.is_empty() || is_part(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ring: &Ring) -> String {
        let mut out = vec![0; 1000];
        let n = ring.read(ring.base(), &mut out).unwrap();
        String::from_utf8_lossy(&out[..n]).into_owned()
    }

    #[test]
    fn a_servers_processes_share_its_ring() {
        let mut rings = Rings::new(&["worker".into()], 4096);
        for task in ["worker.1", "worker", "worker-1", "worker.x", "worke"] {
            rings.push(&Event { task, cat: "ninep", level: "debug", text: "" }, 0, 0);
        }
        let text = text(rings.task(0).unwrap());
        let tasks: Vec<_> = text.lines().filter_map(|line| line.split('"').nth(7)).collect();
        assert_eq!(tasks, ["worker.1", "worker"]);
    }

    #[test]
    fn events_are_numbered_without_gaps_and_sorted_by_task() {
        let mut rings = Rings::new(&["log".into(), "queen".into()], 4096);
        rings.start(500);
        rings.push(&Event { task: "queen", cat: "ninep", level: "debug", text: "a \"b\"" }, 7, 600);
        rings.push(&Event { task: "log", cat: "boot", level: "info", text: "up" }, 8, 1750);
        let first = "{\"seq\":1,\"ts_ms\":7,\"task\":\"queen\",\"cat\":\"ninep\",\"level\":\"debug\",\"text\":\"a \\\"b\\\"\"}\n";
        let second =
            "{\"seq\":2,\"ts_ms\":8,\"task\":\"log\",\"cat\":\"boot\",\"level\":\"info\",\"text\":\"up\"}\n";
        assert_eq!(text(rings.events()), format!("{first}{second}"));
        assert_eq!(text(rings.task(1).unwrap()), first);
        assert_eq!(text(rings.kmesg()), "[    1.250] log: up\n");
    }
}
