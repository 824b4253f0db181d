//! When to beat, and what to do when a beat does not arrive. Knows the files only as [`Space`].

use ninep::refusal::Word;
use rt::prelude::*;

/// First wait when the files are away; doubled each time.
const WAIT_MS: u64 = 50;
/// Longest wait.
const WAIT_MAX_MS: u64 = 1000;
/// Waits for a file that is not there: a server that has just come back may not know its workers yet.
const PATIENCE: u32 = 12;

/// Why something did not work.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The word of a refusal; none where the connection failed.
    pub(crate) word: Option<Word>,
    /// The whole of it.
    pub(crate) said: String,
}

#[cfg(not(target_os = "none"))]
impl From<ninep::dial::DialError> for Fault {
    fn from(error: ninep::dial::DialError) -> Fault {
        Fault { word: error.word(), said: error.to_string() }
    }
}

/// The worker's files.
pub(crate) trait Space {
    /// Makes the telemetry file ready for writing, on a fresh connection where the old one is lost.
    fn open(&mut self) -> Result<(), Fault>;
    /// The last beat that the file has; 0 where it has none.
    fn last(&mut self) -> Result<u64, Fault>;
    /// Sends beat `n`; what becomes of it [`Space::taken`] says.
    fn send(&mut self, n: u64) -> Result<(), Fault>;
    /// Waits for the answer to the beat that was sent; it has arrived when this is Ok.
    fn taken(&mut self) -> Result<(), Fault>;
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing for so long, then again.
    Wait(u64),
    /// All ticks are spent.
    Done,
    /// The ticket was revoked, or its budget is spent: somebody has decided that this is over.
    Over,
    /// The hive will never take this.
    Failed(Fault),
}

/// A heart with so many beats.
pub(crate) struct Heart {
    next: u64,
    ticks: u64,
    period_ms: u64,
    wait_ms: u64,
    missing: u32,
    is_open: bool,
    /// Beat `next` was sent, and nobody said what became of it.
    is_in_doubt: bool,
}

impl Heart {
    /// `ticks` 0: until somebody ends it.
    pub(crate) fn new(ticks: u64, period_ms: u64) -> Heart {
        Heart { next: 1, ticks, period_ms, wait_ms: WAIT_MS, missing: 0, is_open: false, is_in_doubt: false }
    }

    /// One beat, if it can be. A number that was acknowledged is never sent again, and none is left out.
    pub(crate) fn beat(&mut self, space: &mut impl Space) -> Step {
        match self.begin(space) {
            Some(step) => step,
            None => self.end(space),
        }
    }

    /// Sends a beat: None, and [`Heart::end`] comes next; or says what to do next where none was sent.
    pub(crate) fn begin(&mut self, space: &mut impl Space) -> Option<Step> {
        match self.send(space) {
            Ok(true) => None,
            Ok(false) => Some(self.arrived()),
            Err(error) => Some(self.fault(error)),
        }
    }

    /// Waits for what became of the beat that was sent.
    pub(crate) fn end(&mut self, space: &mut impl Space) -> Step {
        match space.taken() {
            Ok(()) => self.arrived(),
            Err(error) => {
                self.is_in_doubt = is_doubtful(&error);
                self.fault(error)
            }
        }
    }

    fn send(&mut self, space: &mut impl Space) -> Result<bool, Fault> {
        if !self.is_open {
            space.open()?;
            self.is_open = true;
        }
        if self.is_in_doubt && space.last()? >= self.next {
            return Ok(false);
        }
        let sent = space.send(self.next);
        self.is_in_doubt = sent.as_ref().is_err_and(is_doubtful);
        sent.map(|()| true)
    }

    fn arrived(&mut self) -> Step {
        self.wait_ms = WAIT_MS;
        self.missing = 0;
        self.is_in_doubt = false;
        self.next += 1;
        if self.ticks > 0 && self.next > self.ticks { Step::Done } else { Step::Wait(self.period_ms) }
    }

    fn fault(&mut self, error: Fault) -> Step {
        let wait = |heart: &mut Heart| {
            let wait = heart.wait_ms;
            heart.wait_ms = (wait * 2).min(WAIT_MAX_MS);
            Step::Wait(wait)
        };
        match error.word {
            Some(Word::Revoked | Word::Quota) => Step::Over,
            Some(Word::RateLimited) => wait(self),
            Some(Word::Busy | Word::Closed | Word::Cut) => {
                self.is_open = false;
                wait(self)
            }
            Some(Word::NotFound) if self.missing < PATIENCE => {
                self.is_open = false;
                self.missing += 1;
                wait(self)
            }
            // The door is away, or went in mid-sentence.
            None => {
                self.is_open = false;
                wait(self)
            }
            _ => Step::Failed(error),
        }
    }
}

/// A refusal is without effect, but for a server that died with the request in hand.
fn is_doubtful(error: &Fault) -> bool {
    matches!(error.word, None | Some(Word::Busy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A telemetry file that fails by a script; None: it works.
    #[derive(Default)]
    struct Toy {
        beats: Vec<u64>,
        sent: u64,
        faults: VecDeque<Option<Mishap>>,
        opens: u32,
    }

    #[derive(Clone, Copy)]
    enum Mishap {
        /// Refused, without effect.
        Says(Word),
        /// The connection ends before the beat arrives.
        LostBefore,
        /// The beat arrives, its acknowledgement does not.
        LostAfter,
        /// The server dies, and its rings with it.
        Died,
    }

    fn lost() -> super::Fault {
        super::Fault { word: None, said: "lost".into() }
    }

    fn refused(word: Word) -> super::Fault {
        super::Fault { word: Some(word), said: word.to_string() }
    }

    impl Space for Toy {
        fn open(&mut self) -> Result<(), super::Fault> {
            self.opens += 1;
            Ok(())
        }

        fn last(&mut self) -> Result<u64, super::Fault> {
            Ok(self.beats.last().copied().unwrap_or(0))
        }

        fn send(&mut self, n: u64) -> Result<(), super::Fault> {
            self.sent = n;
            Ok(())
        }

        fn taken(&mut self) -> Result<(), super::Fault> {
            let n = self.sent;
            match self.faults.pop_front().flatten() {
                None => {
                    self.beats.push(n);
                    Ok(())
                }
                Some(Mishap::Says(word)) => Err(refused(word)),
                Some(Mishap::LostBefore) => Err(lost()),
                Some(Mishap::LostAfter) => {
                    self.beats.push(n);
                    Err(lost())
                }
                Some(Mishap::Died) => {
                    self.beats.clear();
                    Err(refused(Word::Busy))
                }
            }
        }
    }

    fn run(heart: &mut Heart, toy: &mut Toy) -> (Step, Vec<u64>) {
        let mut waits = Vec::new();
        loop {
            match heart.beat(toy) {
                Step::Wait(ms) => waits.push(ms),
                step => return (step, waits),
            }
            assert!(waits.len() < 1000, "it does not end");
        }
    }

    #[test]
    fn every_tick_is_beaten_once_in_order() {
        let mut toy = Toy::default();
        let (step, waits) = run(&mut Heart::new(5, 200), &mut toy);
        assert!(matches!(step, Step::Done));
        assert_eq!((toy.beats, toy.opens), (vec![1, 2, 3, 4, 5], 1));
        assert_eq!(waits, [200; 4]);
    }

    #[test]
    fn a_beat_in_doubt_is_looked_up_before_it_is_sent_again() {
        for fault in [Mishap::LostBefore, Mishap::LostAfter] {
            let mut toy = Toy { faults: [None, None, Some(fault), None].into(), ..Toy::default() };
            let (step, _) = run(&mut Heart::new(5, 200), &mut toy);
            assert!(matches!(step, Step::Done));
            assert_eq!((toy.beats, toy.opens), (vec![1, 2, 3, 4, 5], 2));
        }
    }

    #[test]
    fn a_server_that_died_gets_the_beat_that_it_did_not_acknowledge() {
        let mut toy = Toy { faults: [None, None, Some(Mishap::Died), None].into(), ..Toy::default() };
        assert!(matches!(run(&mut Heart::new(5, 200), &mut toy).0, Step::Done));
        assert_eq!(toy.beats, [3, 4, 5]);
    }

    #[test]
    fn waits_grow_to_a_second_and_begin_small_again() {
        let busy = [Some(Mishap::Says(Word::Busy)); 7];
        let faults = busy.into_iter().chain([None, Some(Mishap::Says(Word::Closed))]).collect();
        let mut toy = Toy { faults, ..Toy::default() };
        let (_, waits) = run(&mut Heart::new(2, 7), &mut toy);
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000, 7, 50]);
    }

    #[test]
    fn what_was_revoked_or_is_refused_for_good_ends_it() {
        for (word, is_over) in
            [(Word::Revoked, true), (Word::Quota, true), (Word::Permission, false), (Word::TooBig, false)]
        {
            let mut toy = Toy { faults: [None, Some(Mishap::Says(word))].into(), ..Toy::default() };
            let (step, _) = run(&mut Heart::new(0, 1), &mut toy);
            assert_eq!(matches!(step, Step::Over), is_over, "{word}");
            assert!(matches!(step, Step::Over | Step::Failed(_)));
            assert_eq!(toy.beats, [1]);
        }
    }

    #[test]
    fn a_file_that_stays_away_is_given_up() {
        let faults = [Some(Mishap::Says(Word::NotFound)); 13].into();
        let mut toy = Toy { faults, ..Toy::default() };
        let (step, waits) = run(&mut Heart::new(1, 1), &mut toy);
        assert!(matches!(step, Step::Failed(_)));
        assert_eq!(waits.len(), 12);
    }
}
