//! Memory that the root task and its processes share: who lives, how a process is, the boot log.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Who lives, and when it is: written by the root task, read by all.
#[derive(Debug)]
#[repr(C)]
pub struct Lives {
    /// Milliseconds since 1970 at the machine's reset; 0 where there is no clock.
    pub reset_ms: AtomicU64,
    /// When the root task looks at deadlines next, on the clock that began at the reset.
    pub look_ms: AtomicU64,
    lives: [Life; 64],
}

#[derive(Debug)]
#[repr(C)]
struct Life {
    starts: AtomicU32,
    is_up: AtomicU32,
}

impl Lives {
    fn life(&self, number: u32) -> &Life {
        &self.lives[(number & 63) as usize]
    }

    /// How often a process has been started.
    #[must_use]
    pub fn starts(&self, number: u32) -> u32 {
        self.life(number).starts.load(Ordering::Acquire)
    }

    /// Whether it lives.
    #[must_use]
    pub fn is_up(&self, number: u32) -> bool {
        self.life(number).is_up.load(Ordering::Acquire) == 1
    }

    /// The number of the conversation that two processes may have now, never 0 and never used before; nothing
    /// where one is not up.
    #[must_use]
    pub fn conversation(&self, one: u32, other: u32) -> Option<u32> {
        (self.is_up(one) && self.is_up(other)).then(|| self.starts(one).wrapping_add(self.starts(other)))
    }

    /// A process is started.
    pub fn started(&self, number: u32) {
        let life = self.life(number);
        life.starts.fetch_add(1, Ordering::AcqRel);
        life.is_up.store(1, Ordering::Release);
    }

    /// It has ended.
    pub fn ended(&self, number: u32) {
        self.life(number).is_up.store(0, Ordering::Release);
    }
}

/// Bytes of a process's last words.
pub const WORDS_MAX: usize = 480;
/// It wants no wake-up.
pub const NEVER: u64 = u64::MAX;

/// How a process is: written by it, read and not believed by the root task.
#[derive(Debug)]
#[repr(C)]
pub struct Report {
    /// When it wants to be woken, on the clock that began at the reset.
    pub deadline_ms: AtomicU64,
    /// How often it has gone to sleep, times two, and one more while it sleeps.
    pub turns: AtomicU64,
    /// Bytes of its heap in use.
    pub heap_used: AtomicU64,
    /// The most that were.
    pub heap_peak: AtomicU64,
    /// One more than the number of a channel whose other end has spoilt it.
    pub accused: AtomicU32,
    /// One more than the status with which it has ended of its own.
    pub exit: AtomicU32,
    words_bytes: AtomicU32,
    words: [AtomicU8; WORDS_MAX],
}

impl Report {
    /// As it is at the start.
    pub fn clear(&self) {
        self.deadline_ms.store(NEVER, Ordering::Relaxed);
        self.turns.store(0, Ordering::Relaxed);
        self.heap_used.store(0, Ordering::Relaxed);
        self.heap_peak.store(0, Ordering::Relaxed);
        self.accused.store(0, Ordering::Relaxed);
        self.exit.store(0, Ordering::Relaxed);
        self.words_bytes.store(0, Ordering::Relaxed);
    }

    /// Adds to its last words, as far as there is room.
    pub fn say(&self, text: &str) {
        let mut at = (self.words_bytes.load(Ordering::Relaxed) as usize).min(WORDS_MAX);
        for byte in text.bytes() {
            let Some(place) = self.words.get(at) else { break };
            place.store(byte, Ordering::Relaxed);
            at += 1;
        }
        self.words_bytes.store(at as u32, Ordering::Release);
    }

    /// Its last words, a printable character for each byte.
    pub fn words(&self) -> impl Iterator<Item = char> + '_ {
        let count = (self.words_bytes.load(Ordering::Acquire) as usize).min(WORDS_MAX);
        self.words[..count].iter().map(|byte| match byte.load(Ordering::Relaxed) {
            byte @ b' '..=b'~' => char::from(byte),
            _ => ' ',
        })
    }

    /// Whether it sleeps, and a number that changes whenever it wakes or goes to sleep.
    #[must_use]
    pub fn sleep(&self) -> (bool, u64) {
        let turns = self.turns.load(Ordering::Relaxed);
        (turns & 1 == 1, turns)
    }
}

/// Text that the root task adds to.
#[derive(Debug)]
#[repr(C)]
pub struct Story {
    length: AtomicU32,
    bytes: [AtomicU8; crate::place::STORY_MAX as usize - 4],
}

impl Story {
    /// Adds text, as far as there is room.
    pub fn push(&self, text: &str) {
        let mut at = self.length.load(Ordering::Relaxed) as usize;
        for byte in text.bytes() {
            let Some(place) = self.bytes.get(at) else { break };
            place.store(byte, Ordering::Relaxed);
            at += 1;
        }
        self.length.store(at as u32, Ordering::Release);
    }

    /// What there is.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let count = (self.length.load(Ordering::Acquire) as usize).min(self.bytes.len());
        self.bytes[..count].iter().map(|byte| byte.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeroed<T>() -> Box<T> {
        // SAFETY: both pages are made of atomics alone, for which zeros are a value.
        #[allow(unsafe_code)]
        unsafe {
            Box::new(core::mem::zeroed())
        }
    }

    #[test]
    fn a_conversation_is_one_of_two_lives() {
        let lives = zeroed::<Lives>();
        assert_eq!(lives.conversation(1, 2), None);
        lives.started(1);
        assert_eq!(lives.conversation(1, 2), None);
        lives.started(2);
        assert_eq!(lives.conversation(2, 1), Some(2));
        lives.ended(1);
        assert_eq!(lives.conversation(1, 2), None);
        lives.started(1);
        assert_eq!(lives.conversation(1, 2), Some(3));
    }

    #[test]
    fn last_words_are_bounded_and_printable() {
        let report = zeroed::<Report>();
        report.clear();
        report.say("at src/log.rs:1\n");
        report.say(&"x".repeat(2 * WORDS_MAX));
        let words: String = report.words().collect();
        assert!(words.starts_with("at src/log.rs:1 x") && words.len() == WORDS_MAX);
    }

    #[test]
    fn they_fit_their_pages() {
        assert!(size_of::<Lives>() <= 4096 && size_of::<Report>() <= 4096);
    }
}
