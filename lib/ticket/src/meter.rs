//! What is left of a ticket while it is in use: plain numbers, looked at on every request (spec 3.2).

use crate::account::Account;
use crate::claims::{Grant, Scope, Verbs, within};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Read,
    /// Changes.
    Write,
}

impl Verb {
    pub(crate) fn fits_in(self, verbs: Verbs) -> bool {
        match self {
            Verb::Read => verbs.has_read(),
            Verb::Write => verbs.has_write(),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No scope covers the path.
    Scope,
    /// A scope covers the path, for the other verb.
    Verb,
    /// The ticket's time is over.
    Expired,
    /// Faster than the scope's rate.
    Rate,
    /// All requests are made.
    Ops,
    /// All bytes are moved.
    Bytes,
    /// Cursors were moved on as often as they may be.
    Advances,
    /// Cursors were taken up as often as they may be.
    Resumes,
}

/// What is done with a consumer's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorMove {
    /// It is written.
    Advance,
    /// Records are opened where it is: of a ticket that has moved one.
    Resume,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Scope => "outside the ticket's scopes",
            Refused::Verb => "the ticket's scope is for the other verb",
            Refused::Expired => "the ticket has expired",
            Refused::Rate => "faster than the ticket's rate",
            Refused::Ops => "the ticket's operations are spent",
            Refused::Bytes => "the ticket's bandwidth is spent",
            Refused::Advances => "the ticket's cursor advances are spent",
            Refused::Resumes => "the ticket's cursor resumes are spent",
        })
    }
}

/// What one session may still do. Its accounts are shared with every session of a ticket that has the
/// same blocks, so that neither coming again nor narrowing again begins anything anew. Times are
/// milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub struct Meter {
    expires_ms: u64,
    scopes: Vec<Scope>,
    accounts: Vec<Rc<RefCell<Account>>>,
}

impl Meter {
    /// Fresh accounts, of a ticket that is shown for the first time and never again; what is shown
    /// more than once is opened in [`crate::Accounts`].
    pub fn new(grant: &Grant, now_ms: u64) -> Meter {
        let accounts = grant.levels.iter().map(|level| Rc::new(RefCell::new(Account::new(level, now_ms))));
        Meter::over(grant, accounts.collect())
    }

    pub(crate) fn over(grant: &Grant, accounts: Vec<Rc<RefCell<Account>>>) -> Meter {
        let ends_ms = accounts.iter().map(|account| account.borrow().ends_ms).min();
        Meter {
            expires_ms: ends_ms.map_or(grant.expires_ms, |ends_ms| ends_ms.min(grant.expires_ms)),
            scopes: grant.scopes.clone(),
            accounts,
        }
    }

    /// When the session ends: the ticket's expiry, or the end of its time to live.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Accounts for one request that moves `bytes`, or says why it may not be made; a refused one
    /// costs nothing.
    pub fn charge(&mut self, path: &str, verb: Verb, bytes: u64, now_ms: u64) -> Result<(), Refused> {
        if now_ms >= self.expires_ms {
            return Err(Refused::Expired);
        }
        if !self.scopes.is_empty() {
            self.find_scope(path, verb)?;
        }
        for account in &self.accounts {
            account.borrow_mut().check(path, verb, bytes, now_ms)?;
        }
        for account in &self.accounts {
            account.borrow_mut().take(path, verb, bytes);
        }
        Ok(())
    }

    /// Sets bytes aside for an answer that may bring up to `most`: how many it may.
    pub fn hold(&mut self, most: u64) -> u64 {
        let held = self.accounts.iter().map(|account| account.borrow().bytes_left()).fold(most, u64::min);
        for account in &self.accounts {
            account.borrow_mut().hold(held);
        }
        held
    }

    /// Gives back what was held and not moved.
    pub fn give_back(&mut self, bytes: u64) {
        for account in &self.accounts {
            account.borrow_mut().give_back(bytes);
        }
    }

    /// Accounts for one move of a cursor, or says why it may not be made; a refused one costs nothing.
    pub fn move_cursor(&mut self, what: CursorMove) -> Result<(), Refused> {
        self.accounts.iter().try_for_each(|account| account.borrow().may_move(what))?;
        self.accounts.iter().for_each(|account| account.borrow_mut().move_cursor(what));
        Ok(())
    }

    fn find_scope(&self, path: &str, verb: Verb) -> Result<(), Refused> {
        let mut refused = Refused::Scope;
        for scope in self.scopes.iter().filter(|scope| within(path, &scope.path)) {
            if verb.fits_in(scope.verbs) {
                return Ok(());
            }
            refused = Refused::Verb;
        }
        Err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{Budget, Level, Quota, Role};
    use alloc::string::String;
    use alloc::vec;

    fn grant(scopes: Vec<Scope>) -> Grant {
        limited(scopes, Budget::default(), Quota::default())
    }

    fn limited(scopes: Vec<Scope>, budget: Budget, quota: Quota) -> Grant {
        let level = Level { key: [0; 16], expires_ms: 10_000, budget, scopes: scopes.clone(), quota };
        Grant {
            levels: vec![level],
            id: "00".into(),
            hive: "hive".into(),
            key: "k".into(),
            role: Role::Queen,
            subject: String::new(),
            issued_ms: 0,
            expires_ms: 10_000,
            budget,
            scopes,
            quota,
        }
    }

    fn scope(path: &str, verbs: Verbs, rate_per_s: u32) -> Scope {
        Scope { path: path.into(), verbs, rate_per_s }
    }

    #[test]
    fn scopes_bound_path_and_verb() {
        let scopes = vec![scope("/proc", Verbs::Read, 0), scope("/log", Verbs::Write, 0)];
        let mut meter = Meter::new(&grant(scopes), 0);
        assert_eq!(meter.charge("/proc/boot", Verb::Read, 0, 1), Ok(()));
        assert_eq!(meter.charge("/proc/boot", Verb::Write, 0, 1), Err(Refused::Verb));
        assert_eq!(meter.charge("/process", Verb::Read, 0, 1), Err(Refused::Scope));
        assert_eq!(meter.charge("/log/queen.log", Verb::Read, 0, 1), Err(Refused::Verb));
        assert_eq!(meter.charge("/proc", Verb::Read, 0, 10_000), Err(Refused::Expired));
    }

    #[test]
    fn a_rate_lets_through_its_burst_and_then_its_rate() {
        let mut meter = Meter::new(&grant(vec![scope("/", Verbs::Both, 2)]), 0);
        let mut ask = |now_ms| meter.charge("/x", Verb::Read, 0, now_ms);
        assert_eq!([ask(0), ask(0), ask(0)], [Ok(()), Ok(()), Err(Refused::Rate)]);
        assert_eq!([ask(499), ask(500), ask(501)], [Err(Refused::Rate), Ok(()), Err(Refused::Rate)]);
        assert_eq!([ask(9000), ask(9000), ask(9000)], [Ok(()), Ok(()), Err(Refused::Rate)]);
    }

    #[test]
    fn cursors_are_moved_on_and_taken_up_as_often_as_the_quota_says() {
        use CursorMove::{Advance, Resume};
        let quota = Quota { cursor_advances: Some(2), cursor_resumes: Some(1), ..Quota::default() };
        let mut meter = Meter::new(&limited(vec![], Budget::default(), quota), 0);
        let mut said =
            |moves: &[CursorMove]| moves.iter().map(|it| meter.move_cursor(*it).err()).collect::<Vec<_>>();
        assert_eq!(said(&[Resume, Resume]), [None, None], "there is no cursor to take up yet");
        assert_eq!(said(&[Advance, Advance, Advance]), [None, None, Some(Refused::Advances)]);
        assert_eq!(said(&[Resume, Resume, Resume]), [None, Some(Refused::Resumes), Some(Refused::Resumes)]);
        let mut meter = Meter::new(&limited(vec![], Budget::default(), Quota::default()), 0);
        assert!((0..1000).all(|_| meter.move_cursor(Advance).is_ok() && meter.move_cursor(Resume).is_ok()));
    }

    #[test]
    fn operations_and_bytes_are_spent_once() {
        let budget = Budget { ops: Some(3), ttl_s: Some(5), ..Budget::default() };
        let quota = Quota { bandwidth_bytes: Some(10), ..Quota::default() };
        let grant = limited(vec![], budget, quota);
        let mut meter = Meter::new(&grant, 1000);
        assert_eq!(meter.expires_ms(), 6000);
        assert_eq!(meter.charge("/", Verb::Write, 8, 1000), Ok(()));
        assert_eq!(meter.charge("/", Verb::Write, 3, 1000), Err(Refused::Bytes));
        assert_eq!((meter.hold(1), meter.hold(5)), (1, 1));
        meter.give_back(1);
        assert_eq!(meter.charge("/", Verb::Write, 1, 1000), Ok(()));
        assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Err(Refused::Bytes));
        let mut meter = Meter::new(&limited(vec![], budget, Quota::default()), 1000);
        for _ in 0..3 {
            assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Ok(()));
        }
        assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Err(Refused::Ops));
    }
}
