//! Init of the seL4 image, as its files show it: which servers there are and answer, which workers run in which
//! places, and how the boot went. It starts and stops nothing itself: orders go to the root task, which has the
//! capabilities.
//! Guarantees: a worker has a place of its own or is refused; what a process was told does not outlive it here.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod orders;
#[cfg(target_os = "none")]
mod process;
mod state;

use alloc::format;
use alloc::string::String;
use ninep::refusal::Refusal;
use ninep::srv::{Dir, Tree};
#[cfg(target_os = "none")]
pub use process::main;
pub use state::{Hive, Init, Order};

/// Longest command: a ticket of 2048 bytes and what goes with it.
const LINE_MAX: usize = 6144;

/// The tree, which no client of the door reaches:
///
/// ```text
/// hive      one line: state, since when, manifest
/// status    a line per server
/// boot      the boot log; its last line is boot_ms=…
/// workers   a line per worker
/// ctl       start, stop, kill
/// ```
pub fn tree(init: Init) -> Tree<Init> {
    let main = Dir::new()
        .text("hive", |init: &Init, _, out| say(out, &init.hive_line()))
        .text("status", |init: &Init, _, out| init.status().try_for_each(|line| say(out, &line)))
        .text("boot", |init: &Init, _, out| say(out, &(init.hive.story)()))
        .text("workers", |init: &Init, _, out| init.workers().try_for_each(|line| say(out, &line)))
        .orders("ctl", 0o600, LINE_MAX, orders::run);
    Tree::new(init, main)
}

fn say(out: &mut String, line: &str) -> Result<(), Refusal> {
    out.push_str(&format!("{}\n", line.trim_end()));
    Ok(())
}
