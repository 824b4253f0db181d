//! The other doors of the hive, as far as `/proc/9p` and `/proc/pressure` show them too: before a client
//! reads there, each is asked for its counts. One that does not answer in time is left out, and not waited
//! for again until it has.

use crate::door::Door;
use crate::facts::{Facts, State, WORDS};
use alloc::collections::BTreeMap;
use core::fmt::Write;
use ninep::refusal::Refusal;
use ninep::srv::{Op, Request};
use ninep::wire::kind;
use rt::prelude::*;

/// How long a reader waits for the other doors.
const WAIT_MS: u64 = 1000;
/// The ids of the questions: this one and those above it.
pub(crate) const COUNTS: u64 = 16;

/// What one door counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) outstanding: u64,
    pub(crate) short_writes: u64,
    pub(crate) short_retries: u64,
    pub(crate) active: u64,
    pub(crate) draining: u64,
    pub(crate) workers: u64,
    pub(crate) refused: [u64; WORDS.len()],
    /// Sessions of workers by shard.
    pub(crate) shards: BTreeMap<u8, u64>,
    pub(crate) sessions: Vec<u32>,
}

impl Counts {
    /// Sessions by what they are.
    pub(crate) fn of_sessions(facts: &Facts) -> Counts {
        let mut counts = Counts::default();
        for session in facts.sessions.values() {
            let session = session.borrow();
            if session.owner.starts_with("worker-") && session.state != State::Closed {
                counts.workers += 1;
            }
            counts.active += u64::from(session.state == State::Active);
            counts.draining += u64::from(session.state == State::Draining);
            if let Some(shard) = session.shard {
                *counts.shards.entry(shard).or_insert(0) += 1;
            }
        }
        counts
    }

    /// All that another door is told.
    fn all(facts: &Facts) -> Counts {
        Counts {
            outstanding: facts.outstanding as u64,
            short_writes: facts.short_writes,
            short_retries: facts.short_retries,
            refused: facts.refused,
            sessions: facts.sessions.keys().copied().collect(),
            ..Counts::of_sessions(facts)
        }
    }

    /// As one door tells another: a word and its numbers on a line.
    pub(crate) fn tell(facts: &Facts, out: &mut String) -> core::fmt::Result {
        let it = Counts::all(facts);
        writeln!(out, "outstanding {}", it.outstanding)?;
        writeln!(out, "short {} {}", it.short_writes, it.short_retries)?;
        writeln!(out, "states {} {} {}", it.active, it.draining, it.workers)?;
        line(out, "refused", it.refused.iter())?;
        line(out, "shards", it.shards.iter().flat_map(|(shard, n)| [u64::from(*shard), *n]))?;
        line(out, "sessions", it.sessions.iter())
    }

    fn parse(text: &str) -> Option<Counts> {
        let mut lines = text.lines();
        let mut numbers = |word: &str| -> Option<Vec<u64>> {
            let rest = lines.next()?.strip_prefix(word)?;
            rest.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
        };
        let [outstanding] = numbers("outstanding")?[..] else { return None };
        let [short_writes, short_retries] = numbers("short")?[..] else { return None };
        let [active, draining, workers] = numbers("states")?[..] else { return None };
        let refused = numbers("refused")?.try_into().ok()?;
        let shards = numbers("shards")?;
        let shards = shards.chunks_exact(2).map(|pair| Some((u8::try_from(pair[0]).ok()?, pair[1])));
        Some(Counts {
            outstanding,
            short_writes,
            short_retries,
            active,
            draining,
            workers,
            refused,
            shards: shards.collect::<Option<_>>()?,
            sessions: numbers("sessions")?.into_iter().map(|id| id.try_into().ok()).collect::<Option<_>>()?,
        })
    }
}

fn line(
    out: &mut String,
    word: &str,
    numbers: impl Iterator<Item = impl core::fmt::Display>,
) -> core::fmt::Result {
    out.write_str(word)?;
    numbers.into_iter().try_for_each(|number| write!(out, " {number}"))?;
    writeln!(out)
}

/// Another door.
#[derive(Debug)]
pub(crate) struct Far {
    /// Its process.
    pub(crate) name: &'static str,
    /// None: it is away.
    pub(crate) counts: Option<Counts>,
    /// A question is out.
    is_asked: bool,
    /// A reader waits for its answer.
    is_awaited: bool,
}

impl Far {
    pub(crate) fn new(name: &'static str) -> Far {
        Far { name, counts: None, is_asked: false, is_awaited: false }
    }
}

impl Facts {
    /// Asks every other door that owes no answer; says whether any will give one.
    fn ask_doors(&mut self) -> bool {
        for (i, far) in self.far.iter_mut().enumerate().filter(|(_, far)| !far.is_asked) {
            (far.is_asked, far.is_awaited) = (true, true);
            let id = COUNTS + i as u64;
            self.outbox.push(Request {
                id,
                server: far.name,
                root: "ctl",
                path: "counts".into(),
                op: Op::Read,
            });
        }
        self.awaits_doors()
    }

    fn awaits_doors(&self) -> bool {
        self.far.iter().any(|far| far.is_awaited)
    }

    /// Whoever has not answered by now is away.
    fn give_up_doors(&mut self) {
        for far in self.far.iter_mut().filter(|far| far.is_awaited) {
            far.is_awaited = false;
            far.counts = None;
        }
    }

    /// A door has answered, or is not there.
    pub(crate) fn door_answered(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>) {
        let Some(far) = id.checked_sub(COUNTS).and_then(|i| self.far.get_mut(i as usize)) else { return };
        far.is_asked = false;
        // An answer that comes too late is out of date.
        let is_awaited = core::mem::take(&mut far.is_awaited);
        far.counts = answer
            .ok()
            .filter(|_| is_awaited)
            .and_then(|text| Counts::parse(core::str::from_utf8(&text).ok()?));
    }

    /// What the other doors count, those that are there.
    pub(crate) fn far_counts(&self) -> impl Iterator<Item = &Counts> {
        self.far.iter().filter_map(|far| far.counts.as_ref())
    }
}

/// Requests about the door's own files that wait for the other doors' counts.
pub(crate) struct Gather {
    /// So many bytes of what is queued: what came later asks again.
    covers: usize,
    deadline_ms: u64,
}

impl Door {
    /// How many bytes of the requests to the door's own files can be answered now.
    pub(crate) fn fresh(&mut self, asked: &[u8]) -> usize {
        if self.facts.borrow().far.is_empty() || asked.is_empty() {
            return asked.len();
        }
        let Some(gather) = &self.gather else {
            let plain = until_look(asked);
            if plain > 0 {
                return plain;
            }
            if !self.facts.borrow_mut().ask_doors() {
                return asked.len();
            }
            let deadline_ms = self.now.mono_ms + WAIT_MS;
            self.gather = Some(Gather { covers: asked.len(), deadline_ms });
            self.wake_at(deadline_ms);
            return 0;
        };
        if self.facts.borrow().awaits_doors() {
            if self.now.mono_ms < gather.deadline_ms {
                self.wake_at(gather.deadline_ms);
                return 0;
            }
            self.facts.borrow_mut().give_up_doors();
        }
        let covers = gather.covers;
        self.gather = None;
        covers
    }
}

/// Bytes of the frames before the first that shows what a file says: an open, an attribute, a listing.
fn until_look(frames: &[u8]) -> usize {
    let mut at = 0;
    // The frames are our own: size[4] type[1], one behind the other.
    while let Some([a, b, c, d, kind]) = frames.get(at..).and_then(|rest| rest.first_chunk::<5>()) {
        if matches!(*kind, kind::TLOPEN | kind::TGETATTR | kind::TREADDIR) {
            break;
        }
        at += u32::from_le_bytes([*a, *b, *c, *d]).max(7) as usize;
    }
    at.min(frames.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_door_tells_the_other_understands() {
        let mut facts = Facts { outstanding: 3, short_writes: 4, short_retries: 5, ..Facts::default() };
        facts.refused[2] = 7;
        let mut text = String::new();
        Counts::tell(&facts, &mut text).unwrap();
        assert_eq!(Counts::parse(&text), Some(Counts::all(&facts)));
        let full = "outstanding 1\nshort 2 3\nstates 4 5 6\nrefused 0 1 2 3 4 5 6 7 8 9 10 11\nshards 79 2 255 1\nsessions 4 7\n";
        let counts = Counts::parse(full).unwrap();
        assert_eq!((counts.workers, counts.refused[11], counts.shards[&79]), (6, 11, 2));
        assert_eq!(counts.sessions, [4, 7]);
        for bad in ["", "outstanding x\n", &full[..full.len() - 14], &full.replace(" 255", " 256")] {
            assert_eq!(Counts::parse(bad), None, "{bad}");
        }
    }
}
