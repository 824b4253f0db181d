//! What consumers have handled of each worker's records. Where it is to outlive the process, every change
//! is a line of one file before it is acknowledged; the file is written anew when most of it is history.

#[cfg(not(target_os = "none"))]
mod kept;

use alloc::collections::BTreeMap;
#[cfg(not(target_os = "none"))]
use kept::Kept;
use ninep::refusal::{Refusal, Word};
use rt::HashMap;
use rt::prelude::*;
use serde::{Deserialize, Serialize};

/// Consumers of one worker that are remembered.
pub const CONSUMERS_MAX: usize = 16;
/// Lines of history that the file may have beside as many as there are cursors.
const HISTORY: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    handled: u64,
    /// The log knows that the ring has passed it.
    is_told: bool,
}

/// All cursors, by worker and consumer.
#[derive(Debug, Default)]
pub struct Cursors {
    of: HashMap<String, BTreeMap<String, Cursor>>,
    kept: Option<Kept>,
}

/// Without a disk nothing outlives the process.
#[cfg(target_os = "none")]
#[derive(Debug)]
enum Kept {}

#[cfg(target_os = "none")]
impl Kept {
    fn sync(&self) -> Result<(), Refusal> {
        match *self {}
    }

    fn push(&mut self, _: &str) -> Result<(), Refusal> {
        match *self {}
    }

    fn lines(&self) -> usize {
        match *self {}
    }

    fn rewritten(&self, _: &str, _: usize) -> Result<Kept, Refusal> {
        match *self {}
    }
}

/// A line of the file; without `handled` the worker is gone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    worker: String,
    consumer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handled: Option<u64>,
}

impl Line {
    fn text(worker: &str, consumer: &str, handled: Option<u64>) -> String {
        let mut text = json::to_string(&Line { worker: worker.into(), consumer: consumer.into(), handled });
        text.push('\n');
        text
    }
}

impl Cursors {
    /// None yet, and none that outlive the process.
    pub fn new() -> Cursors {
        Cursors::default()
    }

    /// Takes the lines of the file; says how many are not readable.
    #[cfg(not(target_os = "none"))]
    fn take(&mut self, text: &str) -> usize {
        let mut unread = 0;
        for line in text.lines() {
            match json::from_str(line) {
                Ok(Line { worker, handled: None, .. }) => drop(self.of.remove(&worker)),
                Ok(Line { worker, consumer, handled: Some(handled) }) => {
                    let of = self.of.entry(worker).or_default();
                    if of.len() < CONSUMERS_MAX || of.contains_key(&consumer) {
                        of.insert(consumer, Cursor { handled, is_told: false });
                    }
                }
                Err(_) => unread += 1,
            }
        }
        unread
    }

    /// The lines that say what is live, and how many they are.
    fn text(&self) -> (String, usize) {
        let (mut text, mut lines) = (String::new(), 0);
        for (worker, of) in &self.of {
            for (consumer, cursor) in of {
                text.push_str(&Line::text(worker, consumer, Some(cursor.handled)));
                lines += 1;
            }
        }
        (text, lines)
    }

    /// What the consumer has handled.
    pub fn get(&self, worker: &str, consumer: &str) -> Option<u64> {
        Some(self.of.get(worker)?.get(consumer)?.handled)
    }

    /// The furthest of a worker's cursors: its records go on from there after a restart.
    pub fn furthest(&self, worker: &str) -> u64 {
        let handled = self.of.get(worker).into_iter().flatten().map(|(_, cursor)| cursor.handled);
        handled.max().unwrap_or(0)
    }

    /// Moves one on. Invalid backwards; Quota where too many consumers have one.
    pub fn set(&mut self, worker: &str, consumer: &str, handled: u64) -> Result<(), Refusal> {
        let of = self.of.get(worker);
        match of.and_then(|of| of.get(consumer)) {
            Some(cursor) if handled < cursor.handled => {
                let detail = format!("{handled}; cursors never move backwards, it is at {}", cursor.handled);
                return Err(Refusal::new(Word::Invalid, detail));
            }
            Some(cursor) if handled == cursor.handled => return Ok(()),
            None if of.is_some_and(|of| of.len() >= CONSUMERS_MAX) => {
                let detail = format!("{CONSUMERS_MAX} consumers have a cursor of {worker}");
                return Err(Refusal::new(Word::Quota, detail));
            }
            _ => {}
        }
        self.keep(&Line::text(worker, consumer, Some(handled)))?;
        let cursor = Cursor { handled, is_told: false };
        self.of.entry(worker.into()).or_default().insert(consumer.into(), cursor);
        self.shrink()
    }

    /// Notes that the ring has passed a cursor; says whether that is news.
    pub fn tell(&mut self, worker: &str, consumer: &str) -> bool {
        let cursor = self.of.get_mut(worker).and_then(|of| of.get_mut(consumer));
        cursor.is_some_and(|cursor| !core::mem::replace(&mut cursor.is_told, true))
    }

    /// The worker is gone.
    pub fn forget(&mut self, worker: &str) -> Result<(), Refusal> {
        if self.of.remove(worker).is_none() {
            return Ok(());
        }
        self.keep(&Line::text(worker, "", None))?;
        self.shrink()
    }

    /// Workers that have cursors.
    pub fn workers(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }

    /// What was acknowledged outlives the machine too.
    pub fn sync(&self) -> Result<(), Refusal> {
        self.kept.as_ref().map_or(Ok(()), Kept::sync)
    }

    fn keep(&mut self, line: &str) -> Result<(), Refusal> {
        self.kept.as_mut().map_or(Ok(()), |kept| kept.push(line))
    }

    fn shrink(&mut self) -> Result<(), Refusal> {
        let live: usize = self.of.values().map(BTreeMap::len).sum();
        if let Some(kept) = &self.kept
            && kept.lines() > 2 * live + HISTORY
        {
            let (text, lines) = self.text();
            self.kept = Some(kept.rewritten(&text, lines)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_cursor_never_moves_backwards() {
        let mut cursors = Cursors::new();
        assert_eq!(cursors.get("w", "queen"), None);
        for (handled, said) in [(0, Ok(())), (5, Ok(())), (5, Ok(())), (4, Err(Word::Invalid))] {
            assert_eq!(cursors.set("w", "queen", handled).map_err(|refusal| refusal.word), said);
        }
        assert_eq!((cursors.get("w", "queen"), cursors.furthest("w")), (Some(5), 5));
    }

    #[test]
    fn a_worker_has_so_many_consumers() {
        let mut cursors = Cursors::new();
        for i in 0..CONSUMERS_MAX {
            cursors.set("w", &format!("queen:{i}"), 1).unwrap();
        }
        assert_eq!(cursors.set("w", "one more", 1).unwrap_err().word, Word::Quota);
        assert_eq!(cursors.set("w", "queen:3", 2), Ok(()));
        assert_eq!(cursors.set("other", "one more", 1), Ok(()));
    }

    #[test]
    fn kept_cursors_come_back_and_a_torn_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (mut cursors, _) = Cursors::open(dir.path()).unwrap();
            cursors.set("a", "queen", 3).unwrap();
            cursors.set("a", "queen", 8).unwrap();
            cursors.set("a", "queen:\"x\"", 2).unwrap();
            cursors.set("b", "queen", 1).unwrap();
            cursors.forget("b").unwrap();
        }
        let path = dir.path().join("cursors");
        let whole = fs::read(&path).unwrap();
        let torn =
            [&whole[..], b"nonsense\n", b"{\"worker\":\"a\",\"consumer\":\"queen\",\"handled\":9"].concat();
        fs::write(&path, torn).unwrap();
        let (cursors, unread) = Cursors::open(dir.path()).unwrap();
        assert_eq!((cursors.get("a", "queen"), cursors.get("a", "queen:\"x\"")), (Some(8), Some(2)));
        assert_eq!((cursors.get("b", "queen"), unread), (None, 1));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2, "history goes at the start");
    }

    #[test]
    fn the_file_stays_as_small_as_what_is_live() {
        let dir = tempfile::tempdir().unwrap();
        let (mut cursors, _) = Cursors::open(dir.path()).unwrap();
        (1..=5000).for_each(|i| cursors.set("a", "queen", i).unwrap());
        let text = fs::read_to_string(dir.path().join("cursors")).unwrap();
        assert!(text.lines().count() <= HISTORY + 3, "{}", text.lines().count());
        drop(cursors);
        assert_eq!(Cursors::open(dir.path()).unwrap().0.get("a", "queen"), Some(5000));
    }
}
