//! What is left of a ticket while it is in use: plain numbers, looked at on every request (spec 3.2).

use crate::claims::{Grant, Verbs, within};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Read,
    /// Changes.
    Write,
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
        })
    }
}

/// A scope in use. Tokens are thousandths of a request, so that a slow rate refills evenly.
#[derive(Debug, Clone)]
struct Metered {
    path: String,
    verbs: Verbs,
    rate_per_s: u64,
    tokens: u64,
    filled_ms: u64,
}

/// One ticket's account, shared by all of its sessions. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub struct Meter {
    expires_ms: u64,
    ops_left: Option<u64>,
    bytes_left: Option<u64>,
    scopes: Vec<Metered>,
}

impl Meter {
    /// The account of a ticket that is shown for the first time.
    pub fn new(grant: &Grant, now_ms: u64) -> Meter {
        let ttl_ms = grant.budget.ttl_s.map_or(u64::MAX, |s| now_ms.saturating_add(s.saturating_mul(1000)));
        let scopes = grant.scopes.iter().map(|scope| Metered {
            path: scope.path.clone(),
            verbs: scope.verbs,
            rate_per_s: scope.rate_per_s.into(),
            tokens: u64::from(scope.rate_per_s) * 1000,
            filled_ms: now_ms,
        });
        Meter {
            expires_ms: grant.expires_ms.min(ttl_ms),
            ops_left: grant.budget.ops,
            bytes_left: grant.quota.bandwidth_bytes,
            scopes: scopes.collect(),
        }
    }

    /// When its sessions end: the ticket's expiry, or the end of its time to live.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Requests that are left; None: any number.
    pub fn ops_left(&self) -> Option<u64> {
        self.ops_left
    }

    /// Gives it so many requests from now on.
    pub fn set_ops(&mut self, ops: u64) {
        self.ops_left = Some(ops);
    }

    /// Accounts for one request that moves `bytes`, or says why it may not be made; a refused one
    /// costs nothing.
    pub fn charge(&mut self, path: &str, verb: Verb, bytes: u64, now_ms: u64) -> Result<(), Refused> {
        if now_ms >= self.expires_ms {
            return Err(Refused::Expired);
        }
        if self.ops_left == Some(0) {
            return Err(Refused::Ops);
        }
        if self.bytes_left.is_some_and(|left| left == 0 || left < bytes) {
            return Err(Refused::Bytes);
        }
        if !self.scopes.is_empty() {
            self.charge_scope(path, verb, now_ms)?;
        }
        if let Some(left) = &mut self.ops_left {
            *left -= 1;
        }
        self.spend(bytes);
        Ok(())
    }

    /// Accounts for bytes that an answer has brought.
    pub fn spend(&mut self, bytes: u64) {
        if let Some(left) = &mut self.bytes_left {
            *left = left.saturating_sub(bytes);
        }
    }

    fn charge_scope(&mut self, path: &str, verb: Verb, now_ms: u64) -> Result<(), Refused> {
        let mut refused = Refused::Scope;
        for scope in self.scopes.iter_mut().filter(|scope| within(path, &scope.path)) {
            let fits = match verb {
                Verb::Read => scope.verbs.has_read(),
                Verb::Write => scope.verbs.has_write(),
            };
            if !fits {
                if refused == Refused::Scope {
                    refused = Refused::Verb;
                }
                continue;
            }
            if scope.take(now_ms) {
                return Ok(());
            }
            refused = Refused::Rate;
        }
        Err(refused)
    }
}

impl Metered {
    fn take(&mut self, now_ms: u64) -> bool {
        if self.rate_per_s == 0 {
            return true;
        }
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        let full = self.rate_per_s * 1000;
        self.tokens = self.tokens.saturating_add(elapsed_ms.saturating_mul(self.rate_per_s)).min(full);
        // A clock that went back refills nothing until it has caught up.
        self.filled_ms = self.filled_ms.max(now_ms);
        if self.tokens < 1000 {
            return false;
        }
        self.tokens -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{Budget, Quota, Role, Scope};
    use alloc::vec;

    fn grant(scopes: Vec<Scope>) -> Grant {
        Grant {
            id: "00".into(),
            hive: "hive".into(),
            key: "k".into(),
            role: Role::Queen,
            subject: String::new(),
            issued_ms: 0,
            expires_ms: 10_000,
            budget: Budget::default(),
            scopes,
            quota: Quota::default(),
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
    fn operations_and_bytes_are_spent_once() {
        let mut grant = grant(vec![]);
        grant.budget.ops = Some(3);
        grant.quota.bandwidth_bytes = Some(10);
        grant.budget.ttl_s = Some(5);
        let mut meter = Meter::new(&grant, 1000);
        assert_eq!(meter.expires_ms(), 6000);
        assert_eq!(meter.charge("/", Verb::Write, 8, 1000), Ok(()));
        assert_eq!(meter.charge("/", Verb::Write, 3, 1000), Err(Refused::Bytes));
        meter.spend(1);
        assert_eq!(meter.charge("/", Verb::Write, 1, 1000), Ok(()));
        meter.bytes_left = None;
        assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Ok(()));
        assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Err(Refused::Ops));
        meter.set_ops(1);
        assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Ok(()));
    }
}
