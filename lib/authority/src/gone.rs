//! Which of the queen's workers have ended. Their numbers are never used again, so all of them are what the
//! living leave between them: a few runs of numbers, however many there were.

use crate::workers::{number_of, worker_ticket};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// The first and the last of a run of numbers.
pub type Run = (u64, u64);

/// Numbers, as runs that do not touch: as many as there are gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// A run's numbers are among them from now on. One that ends before it begins has none.
    pub fn add(&mut self, (first, last): Run) {
        if first > last {
            return;
        }
        let (mut first, mut last) = (first, last);
        // Those that it touches become one with it: the last that begins no later than right behind it.
        while let Some((&from, &to)) = self.0.range(..=last.saturating_add(1)).next_back()
            && to.saturating_add(1) >= first
        {
            self.0.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.0.insert(first, last);
    }

    /// Is this number among them?
    pub fn has(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Run> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

/// Lives of the queen that are told apart: without a journal each begins to count anew.
const LIVES_MAX: usize = 16;

/// The ended workers of a hive, as a door knows them: what it was told in whatever order, and twice, comes
/// to the same.
#[derive(Debug, Clone, Default)]
pub struct Gone {
    /// By the name that is in the ids of the tickets.
    lives: Vec<(String, Runs)>,
}

impl Gone {
    /// These have ended.
    pub fn add(&mut self, hive: &str, runs: &[Run]) {
        let at = self.lives.iter().position(|(name, _)| name == hive);
        let at = at.unwrap_or_else(|| {
            if self.lives.len() >= LIVES_MAX {
                self.lives.remove(0);
            }
            self.lives.push((hive.to_owned(), Runs::default()));
            self.lives.len() - 1
        });
        if let Some((_, known)) = self.lives.get_mut(at) {
            runs.iter().for_each(|run| known.add(*run));
        }
    }

    /// The number of the worker whose ticket the queen minted as this one; None: it is somebody else's.
    pub fn number(&self, subject: &str, ticket: &str) -> Option<u64> {
        let number = number_of(subject)?;
        self.lives.iter().any(|(hive, _)| worker_ticket(hive, number) == ticket).then_some(number)
    }

    /// Was this ticket of a worker that has ended?
    pub fn has(&self, subject: &str, ticket: &str) -> bool {
        number_of(subject).is_some_and(|number| {
            let mut lives = self.lives.iter().filter(|(_, runs)| runs.has(number));
            lives.any(|(hive, _)| worker_ticket(hive, number) == ticket)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::ticket_id;
    use alloc::collections::BTreeSet;
    use alloc::{format, vec};
    use proptest::prelude::*;

    #[test]
    fn neighbours_become_one_run() {
        let mut runs = Runs::default();
        for run in [(5, 5), (1, 1), (9, 12), (3, 2), (6, 7), (2, 4), (u64::MAX, u64::MAX)] {
            runs.add(run);
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(1, 7), (9, 12), (u64::MAX, u64::MAX)]);
        runs.add((4, 10));
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(1, 12), (u64::MAX, u64::MAX)]);
        assert!(!runs.has(0) && runs.has(1) && runs.has(12) && !runs.has(13) && runs.has(u64::MAX));
    }

    proptest! {
        #[test]
        fn runs_are_the_set_of_their_numbers(runs in prop::collection::vec((0..60u64, 0..9u64), 0..40)) {
            let (mut these, mut plain) = (Runs::default(), BTreeSet::new());
            for (first, n) in runs {
                these.add((first, first + n));
                plain.extend(first..=first + n);
            }
            for number in 0..80 {
                prop_assert_eq!(these.has(number), plain.contains(&number));
            }
            let apart: Vec<Run> = these.iter().collect();
            prop_assert!(apart.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", apart);
        }
    }

    #[test]
    fn a_million_workers_that_ended_in_order_are_one_run() {
        let mut gone = Gone::default();
        (1..=1_000_000).for_each(|n| gone.add("hive", &[(n, n)]));
        assert_eq!(gone.lives[0].1, Runs(BTreeMap::from([(1, 1_000_000)])));
    }

    #[test]
    fn a_workers_own_ticket_ends_with_it_and_no_other_of_its_name() {
        let mut gone = Gone::default();
        let ticket = ticket_id("hive", "worker-3");
        assert_eq!(gone.number("worker-3", &ticket), None, "nobody has said whose tickets these are");
        gone.add("hive", &[]);
        assert_eq!(gone.number("worker-3", &ticket), Some(3));
        assert!(!gone.has("worker-3", &ticket));
        gone.add("hive", &[(2, 3)]);
        assert!(gone.has("worker-3", &ticket) && gone.has("worker-2", &ticket_id("hive", "worker-2")));
        assert!(!gone.has("worker-4", &ticket_id("hive", "worker-4")));
        // One that an operator has minted for the same subject, and another hive's.
        for (subject, ticket) in [
            ("worker-3", "00112233445566778899aabbccddeeff".to_owned()),
            ("worker-3", ticket_id("other", "worker-3")),
            ("worker-03", ticket_id("hive", "worker-03")),
            ("me", ticket_id("hive", "me")),
        ] {
            assert!(gone.number(subject, &ticket).is_none() && !gone.has(subject, &ticket), "{subject}");
        }
    }

    #[test]
    fn what_comes_late_or_twice_or_of_an_earlier_life_comes_to_the_same() {
        let told: [(&str, Vec<Run>); 4] = [
            ("hive 1", vec![(1, 4)]),
            ("hive 2", vec![(2, 2)]),
            ("hive 1", vec![(6, 6)]),
            ("hive 2", vec![]),
        ];
        let known = |told: &mut dyn Iterator<Item = &(&str, Vec<Run>)>| {
            let mut gone = Gone::default();
            told.for_each(|(hive, runs)| gone.add(hive, runs));
            let mut dead = Vec::new();
            for hive in ["hive 1", "hive 2"] {
                let subject = |n: &u64| format!("worker-{n}");
                let is_dead = |n: &u64| gone.has(&subject(n), &ticket_id(hive, &subject(n)));
                dead.push((1..9).filter(is_dead).collect::<Vec<u64>>());
            }
            dead
        };
        let once = known(&mut told.iter());
        assert_eq!(once, [vec![1, 2, 3, 4, 6], vec![2]]);
        assert_eq!(known(&mut told.iter().rev().chain(&told)), once);
        let mut gone = Gone::default();
        (0..100).for_each(|n| gone.add(&format!("hive {n}"), &[(1, 1)]));
        assert_eq!(gone.lives.len(), LIVES_MAX);
    }
}
