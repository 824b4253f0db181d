//! Replay: the recorded commands through fresh states, a slice at a time, every acknowledgement
//! compared, and the states with the live ones.

use crate::Store;
use crate::fold::{Folds, Part, Shadow};
use crate::snapshots::{begin, fold};
use ninep::refusal::{Refusal, Word};
use rt::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What is asked: both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Range {
    /// From a line of `/replay/ctl`; 0 is the beginning.
    pub(crate) fn read(line: &str, store: &Store) -> Result<Range, Refusal> {
        let invalid = |what: String| Refusal::new(Word::Invalid, what);
        let asked: Range = json::from_str(line).map_err(|error| invalid(error.0))?;
        let (first, last) = (store.first(), store.head().next - 1);
        let range = Range { from: asked.from.max(1), ..asked };
        if range.from < first || range.to > last || range.from > range.to {
            let Range { from, to } = asked;
            return Err(invalid(format!("{from}..{to} found; the journal has {first}..{last}")));
        }
        Ok(range)
    }
}

/// What a server has live.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Live {
    /// It is asked.
    Asked,
    /// After the record `seq` its state had this hash.
    Known { seq: u64, hash: String },
    /// It did not say.
    Away,
    /// The same as ours.
    Same,
}

/// One replay under way.
pub(crate) struct Replay {
    range: Range,
    shadow: Shadow,
    live: Vec<(Part, Live)>,
    records: u64,
    acks: Sha256,
    /// Of the states after `range.to`.
    state: Option<String>,
}

impl Replay {
    /// Begins one; the live ones are to be asked for their hashes.
    pub(crate) fn new(range: Range, store: &Store, folds: &Folds) -> Result<Replay, String> {
        Ok(Replay {
            range,
            shadow: begin(store, range.from - 1, folds)?,
            live: folds.live.iter().map(|part| (*part, Live::Asked)).collect(),
            records: 0,
            acks: Sha256::new(),
            state: None,
        })
    }

    /// `running at=…`
    pub(crate) fn status(&self) -> String {
        format!("running at={}", self.shadow.next)
    }

    /// A server has said `seq=118 sha256=…`, or nothing.
    pub(crate) fn live(&mut self, part: Part, said: Option<&str>) {
        let word = |key| said?.split_ascii_whitespace().find_map(|word| word.strip_prefix(key));
        let seq = word("seq=").and_then(|seq| seq.parse().ok());
        let live = match (seq, word("sha256=")) {
            (Some(seq), Some(hash)) => Live::Known { seq, hash: hash.into() },
            _ => Live::Away,
        };
        self.live.iter_mut().filter(|(of, _)| *of == part).for_each(|(_, it)| *it = live.clone());
    }

    /// It waits for servers to say what they have, and has nothing else to do.
    pub(crate) fn waits(&self) -> bool {
        self.state.is_some() && self.live.iter().any(|(_, live)| *live == Live::Asked)
    }

    /// Does a slice; what came of it, once it is over.
    pub(crate) fn step(&mut self, store: &Store) -> Option<String> {
        if let Some(diverged) = self.compare() {
            return Some(diverged);
        }
        // As far as asked, then as far as the live states are: they may be ahead, never beyond the end.
        let known = self.live.iter().filter_map(|(_, live)| match live {
            Live::Known { seq, .. } => Some(*seq),
            _ => None,
        });
        let last = known.fold(self.range.to, u64::max).min(store.head().next - 1);
        if self.shadow.next > last {
            self.state.get_or_insert_with(|| self.shadow.hashes());
            return (!self.waits()).then(|| self.done());
        }
        // One stop at a time: where states are compared, and where the range ends.
        let stops = self.live.iter().filter_map(|(_, live)| match live {
            Live::Known { seq, .. } => Some(*seq),
            _ => None,
        });
        let stop = stops.chain([self.range.to]).filter(|seq| *seq >= self.shadow.next).min().unwrap_or(last);
        let Replay { range, shadow, records, acks, .. } = self;
        let outcome = fold(shadow, store, stop.min(last), &mut |seq, ack| {
            if (range.from..=range.to).contains(&seq) {
                *records += 1;
                ack.into_iter().for_each(|ack| {
                    acks.update(ack);
                    acks.update("\n");
                });
            }
        });
        if let Err(diverged) = outcome {
            return Some(format!("diverged {diverged}"));
        }
        if self.shadow.next > self.range.to {
            self.state.get_or_insert_with(|| self.shadow.hashes());
        }
        self.compare()
    }

    /// Compares states with those live ones that stand where the shadow does.
    fn compare(&mut self) -> Option<String> {
        let at = self.shadow.next - 1;
        for (part, live) in &mut self.live {
            // One that stands earlier has had no record since: records of others changed nothing.
            let Live::Known { seq, hash } = live else { continue };
            if *seq > at {
                continue;
            }
            let got = self.shadow.hash(*part);
            if *hash != got {
                return Some(format!("diverged seq={seq} want={hash} got={got}"));
            }
            *live = Live::Same;
        }
        None
    }

    fn done(&self) -> String {
        let away = self.live.iter().filter(|(_, live)| *live == Live::Away).map(|(part, _)| part.server());
        let away: Vec<&str> = away.collect();
        let unknown = if away.is_empty() { String::new() } else { format!(" unknown={}", away.join(",")) };
        let acks: [u8; 32] = self.acks.clone().finalize().into();
        let (records, acks) = (self.records, journal::Hash(acks));
        let state = self.state.as_deref().unwrap_or_default();
        format!("ok records={records} acks_sha256={acks} state_sha256={state}{unknown}")
    }
}
