//! Which of the hive's doors this is, the numbers of its sessions, and whose door a ticket's is.
//! Sessions of door k are numbered k modulo the number of doors: a number says where its session is,
//! and never comes again, not even after the door's death.

use manifest::process_name;
use rt::prelude::*;

/// Numbers that are reserved at once: as often is the mark moved that the next life begins at.
const BLOCK: u32 = 1024;

/// Writes down where the next life's numbers begin.
pub type Reserve = Box<dyn FnMut(u32)>;

/// One of the doors of a hive.
pub struct Seat {
    pub(crate) index: u32,
    pub(crate) count: u32,
    /// The next number is `next * count + index`.
    next: u32,
    reserved: u32,
    reserve: Reserve,
    /// Who had the last session without a ticket.
    last: u32,
}

impl Seat {
    /// Door `index` of `count`, whose earlier lives had reserved numbers up to `next`.
    pub fn new(index: u32, count: u32, next: u32, reserve: Reserve) -> Seat {
        let next = next.max(1);
        Seat { index, count: count.max(1), next, reserved: next, reserve, last: 0 }
    }

    /// The only door, in its first life.
    pub fn only() -> Seat {
        Seat::new(0, 1, 1, Box::new(|_| ()))
    }

    /// A session's number.
    pub(crate) fn number(&mut self) -> u32 {
        if self.next >= u32::MAX / self.count {
            // After four thousand million sessions, from the beginning.
            (self.next, self.reserved) = (1, 1);
        }
        if self.next >= self.reserved {
            self.reserved = self.next.saturating_add(BLOCK);
            (self.reserve)(self.reserved);
        }
        let number = self.next * self.count + self.index;
        self.next += 1;
        number
    }

    /// The door that has this session.
    pub(crate) fn door_of(&self, session: u32) -> u32 {
        session % self.count
    }

    /// The doors but this one, by number and process name.
    pub(crate) fn others(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        (0..self.count).filter(|k| *k != self.index).map(|k| (k, process_name("door", k)))
    }

    /// Does this door decide where sessions go? The first does: it has the listeners.
    pub(crate) fn is_front(&self) -> bool {
        self.index == 0 && self.count > 1
    }

    /// The door of all sessions of a ticket: one process accounts for what they use up.
    pub(crate) fn home_of(&self, ticket: &str) -> u32 {
        (crate::request::path_hash(ticket) % u64::from(self.count)) as u32
    }

    /// The door of a session without a ticket: the next in turn that is there.
    pub(crate) fn next_home(&mut self, mut is_there: impl FnMut(u32) -> bool) -> u32 {
        for _ in 0..self.count {
            self.last = (self.last + 1) % self.count;
            if self.last == self.index || is_there(self.last) {
                return self.last;
            }
        }
        self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    #[test]
    fn the_only_door_counts_from_one() {
        let mut seat = Seat::only();
        assert_eq!([seat.number(), seat.number(), seat.number()], [1, 2, 3]);
        assert!(!seat.is_front());
    }

    #[test]
    fn no_number_comes_twice_at_any_door_or_in_any_life() {
        let mut seen = BTreeSet::new();
        for index in 0..3 {
            let mark = Rc::new(Cell::new(0));
            for _life in 0..4 {
                let to = Rc::clone(&mark);
                let mut seat = Seat::new(index, 3, mark.get(), Box::new(move |next| to.set(next)));
                for _ in 0..BLOCK + 7 {
                    let number = seat.number();
                    assert_eq!(seat.door_of(number), index);
                    assert!(number > 0 && seen.insert(number), "{number}");
                }
            }
        }
    }

    #[test]
    fn numbers_begin_again_before_they_overflow() {
        let mut seat = Seat::new(2, 3, u32::MAX / 3 - 1, Box::new(|_| ()));
        assert_eq!(seat.number() % 3, 2);
        assert_eq!(seat.number(), 5);
    }

    #[test]
    fn a_ticket_has_one_home_and_tickets_spread() {
        let seat = Seat::new(0, 3, 1, Box::new(|_| ()));
        let mut homes = [0; 3];
        for i in 0..300u32 {
            let id = format!("{:032x}", u128::from(i) * 0x9e37_79b9_7f4a_7c15);
            assert_eq!(seat.home_of(&id), seat.home_of(&id));
            homes[seat.home_of(&id) as usize] += 1;
        }
        assert!(homes.iter().all(|n| *n > 60), "{homes:?}");
    }

    #[test]
    fn sessions_without_a_ticket_go_round_past_doors_that_are_away() {
        let mut seat = Seat::new(0, 3, 1, Box::new(|_| ()));
        let mut round = |away: u32| [(); 4].map(|()| seat.next_home(|k| k != away));
        assert_eq!(round(9), [1, 2, 0, 1]);
        assert_eq!(round(1), [2, 0, 2, 0]);
    }
}
