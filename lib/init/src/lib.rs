//! Init's files and the commands of its ctl, the same on Linux and on seL4. What they show and do is the
//! init's own: [`Init`] names it.
//! Guarantees: a line that is no command has no effect, and no refusal repeats it, since it may hold a ticket.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod orders;

use alloc::format;
use alloc::string::String;
use ninep::refusal::Refusal;
use ninep::srv::{Dir, Now, Service, Tree};

/// Longest command: a ticket of 2048 bytes and what goes with it.
const LINE_MAX: usize = 6144;

/// What an init knows and does. An order's answer is what its acknowledgement says after the verb.
pub trait Init: Service {
    /// The line of `hive`.
    fn hive(&self) -> String;

    /// The boot log.
    fn story(&self) -> String;

    /// A line per server.
    fn servers(&self) -> impl Iterator<Item = String>;

    /// A line per worker.
    fn workers(&self) -> impl Iterator<Item = String>;

    /// Starts a worker with a plain id; `config` is a JSON object that reaches it as one line.
    ///
    /// # Errors
    /// If it cannot be started.
    fn start_worker(&mut self, id: &str, program: &str, config: &str, now: Now) -> Result<String, Refusal>;

    /// Ends a worker.
    ///
    /// # Errors
    /// If there is none.
    fn stop_worker(&mut self, id: &str, now: Now) -> Result<String, Refusal>;

    /// Sends a signal to a server: `KILL` if none is named. One that has ended is started again.
    ///
    /// # Errors
    /// If there is no such server or signal.
    fn kill(&mut self, server: &str, signal: &str, now: Now) -> Result<String, Refusal>;

    /// Ends the hive.
    ///
    /// # Errors
    /// If this home cannot.
    fn down(&mut self, now: Now) -> Result<String, Refusal>;
}

/// The tree, which no client of the door reaches:
///
/// ```text
/// hive      one line: pid, state, door, mount, manifest
/// status    a line per server
/// boot      the story of the boot; its last line is boot_ms=…
/// workers   a line per worker process
/// ctl       start, stop, kill, down
/// ```
pub fn tree<I: Init + 'static>(init: I) -> Tree<I> {
    let main = Dir::new()
        .text("hive", |init: &I, _, out| say(out, &init.hive()))
        .text("status", |init: &I, _, out| init.servers().try_for_each(|line| say(out, &line)))
        .text("boot", |init: &I, _, out| say(out, &init.story()))
        .text("workers", |init: &I, _, out| init.workers().try_for_each(|line| say(out, &line)))
        .orders("ctl", 0o600, LINE_MAX, orders::run);
    Tree::new(init, main)
}

fn say(out: &mut String, line: &str) -> Result<(), Refusal> {
    out.push_str(&format!("{}\n", line.trim_end()));
    Ok(())
}
