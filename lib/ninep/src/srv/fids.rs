//! The fid table of one session: bounded, and on a strict listener without reuse (spec 1.2).

use crate::refusal::Word;
use crate::wire::NOFID;
use hashbrown::HashMap;

/// What each live fid stands for.
#[derive(Debug)]
pub struct Fids<T> {
    live: HashMap<u32, T>,
    max: usize,
    is_strict: bool,
    highest: Option<u32>,
    /// What was the highest before it.
    before: Option<u32>,
}

impl<T> Fids<T> {
    /// A table of at most `max` fids. A strict one never takes a number twice: newfid must be above
    /// every number used before.
    pub fn new(max: usize, is_strict: bool) -> Self {
        Fids { live: HashMap::new(), max, is_strict, highest: None, before: None }
    }

    /// May `fid` come into being now? In use or NOFID: Invalid. Spent: Closed. No room: Quota.
    pub fn check_new(&self, fid: u32) -> Result<(), Word> {
        if fid == NOFID || self.live.contains_key(&fid) {
            return Err(Word::Invalid);
        }
        if self.is_strict && self.highest.is_some_and(|highest| fid <= highest) {
            return Err(Word::Closed);
        }
        if self.live.len() >= self.max {
            return Err(Word::Quota);
        }
        Ok(())
    }

    /// Puts `fid` in the table, by the rules of [`Fids::check_new`].
    pub fn insert(&mut self, fid: u32, value: T) -> Result<(), Word> {
        self.check_new(fid)?;
        if self.highest.is_none_or(|highest| fid > highest) {
            (self.before, self.highest) = (self.highest, Some(fid));
        }
        self.live.insert(fid, value);
        Ok(())
    }

    /// Ends a fid that has not come into being after all: the walk to it failed. Its number was not used, as
    /// long as none above it has been meanwhile.
    pub fn take_back(&mut self, fid: u32) -> Result<T, Word> {
        let value = self.remove(fid)?;
        if self.highest == Some(fid) {
            self.highest = self.before;
        }
        Ok(value)
    }

    /// The value of a live fid; Closed where there is none.
    pub fn get(&self, fid: u32) -> Result<&T, Word> {
        self.live.get(&fid).ok_or(Word::Closed)
    }

    /// The value of a live fid, to change.
    pub fn get_mut(&mut self, fid: u32) -> Result<&mut T, Word> {
        self.live.get_mut(&fid).ok_or(Word::Closed)
    }

    /// Ends a fid.
    pub fn remove(&mut self, fid: u32) -> Result<T, Word> {
        self.live.remove(&fid).ok_or(Word::Closed)
    }

    /// Ends every fid and forgets which numbers were used, as Tversion does.
    pub fn reset(&mut self) -> impl Iterator<Item = (u32, T)> {
        (self.before, self.highest) = (None, None);
        core::mem::take(&mut self.live).into_iter()
    }

    /// The highest number that was used.
    pub fn highest(&self) -> Option<u32> {
        self.highest
    }

    /// Numbers up to `highest` have been used, by the same session in another place.
    pub fn spend(&mut self, highest: Option<u32>) {
        self.highest = self.highest.max(highest);
        self.before = self.highest;
    }

    /// Live fids.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Is no fid live?
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Every live fid, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.live.iter().map(|(fid, value)| (*fid, value))
    }

    /// Every live fid, to change, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.live.iter_mut().map(|(fid, value)| (*fid, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clunked_fid_does_not_come_back_on_a_strict_listener() {
        let mut fids = Fids::new(4, true);
        fids.insert(5, ()).unwrap();
        fids.remove(5).unwrap();
        assert_eq!(fids.insert(5, ()), Err(Word::Closed));
        assert_eq!(fids.insert(3, ()), Err(Word::Closed));
        assert_eq!(fids.insert(6, ()), Ok(()));
    }

    #[test]
    fn a_fid_that_never_came_to_be_leaves_its_number_free() {
        let mut fids = Fids::new(4, true);
        fids.insert(2, ()).unwrap();
        fids.insert(5, ()).unwrap();
        assert_eq!(fids.take_back(5), Ok(()));
        assert_eq!(
            (fids.highest(), fids.insert(2, ()), fids.insert(5, ())),
            (Some(2), Err(Word::Invalid), Ok(()))
        );
        fids.insert(6, ()).unwrap();
        assert_eq!(fids.take_back(5), Ok(()));
        assert_eq!(fids.insert(5, ()), Err(Word::Closed), "another was used above it");
        fids.take_back(6).unwrap();
        assert_eq!(fids.insert(5, ()), Err(Word::Closed), "it was used once");
        assert_eq!(fids.insert(6, ()), Ok(()));
    }

    #[test]
    fn numbers_that_were_used_elsewhere_are_spent() {
        let mut fids = Fids::new(4, true);
        fids.insert(2, ()).unwrap();
        fids.spend(Some(5));
        fids.spend(None);
        assert_eq!(
            (fids.highest(), fids.insert(5, ()), fids.insert(6, ())),
            (Some(5), Err(Word::Closed), Ok(()))
        );
    }

    #[test]
    fn a_clunked_fid_comes_back_where_kernels_attach() {
        let mut fids = Fids::new(4, false);
        fids.insert(5, ()).unwrap();
        fids.remove(5).unwrap();
        assert_eq!(fids.insert(5, ()), Ok(()));
    }

    #[test]
    fn a_fid_in_use_is_invalid_and_a_full_table_is_a_quota() {
        let mut fids = Fids::new(2, true);
        fids.insert(1, ()).unwrap();
        assert_eq!(fids.insert(1, ()), Err(Word::Invalid));
        assert_eq!(fids.insert(NOFID, ()), Err(Word::Invalid));
        fids.insert(2, ()).unwrap();
        assert_eq!(fids.insert(3, ()), Err(Word::Quota));
        assert_eq!(fids.get(3), Err(Word::Closed));
    }
}
