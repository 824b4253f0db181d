//! Events that wait for the server's loop to send them on.

use crate::filter::{Cat, Level};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Mutex;

/// Events that may wait.
pub const WAITING_MAX: usize = 1024;
/// The longest text, bytes.
pub const TEXT_MAX: usize = 256;

/// One event. When it happened is said by the loop that takes it, in the same turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// About what.
    pub cat: Cat,
    /// How important.
    pub level: Level,
    /// What.
    pub text: String,
}

struct Queue {
    events: Vec<Event>,
    lost: u64,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { events: Vec::new(), lost: 0 });
/// Something is in the queue: what a loop looks at in each of its turns.
static WAITS: AtomicBool = AtomicBool::new(false);

/// Text up to a bound; the rest is cut off.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_MAX - self.0.len();
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Keeps an event; [`crate::trace!`] asks first whether it is wanted.
pub fn emit(cat: Cat, level: Level, text: fmt::Arguments) {
    let mut bounded = Bounded(String::new());
    // What is cut off is no error.
    let _ = bounded.write_fmt(text);
    let mut queue = QUEUE.lock();
    WAITS.store(true, Ordering::Relaxed);
    if queue.events.len() >= WAITING_MAX {
        queue.lost += 1;
        return;
    }
    queue.events.push(Event { cat, level, text: bounded.0 });
}

/// Is there anything to take?
pub fn is_any_waiting() -> bool {
    WAITS.load(Ordering::Relaxed)
}

/// Takes what waits, and how many found no room.
pub fn take() -> (Vec<Event>, u64) {
    let mut queue = QUEUE.lock();
    WAITS.store(false, Ordering::Relaxed);
    let lost = core::mem::take(&mut queue.lost);
    (core::mem::take(&mut queue.events), lost)
}
