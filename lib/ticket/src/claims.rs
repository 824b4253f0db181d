//! What a ticket says, and what it means for one claim to be narrower than another.

use crate::TicketError;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

/// Who a bearer can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The authority.
    Queen,
    /// Tells that it is alive.
    WorkerHeartbeat,
    /// Runs jobs on GPUs.
    WorkerGpu,
    /// Serves a field bus.
    WorkerBus,
    /// Serves a radio.
    WorkerLora,
    /// Watches.
    Observer,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] = [
        Role::Queen,
        Role::WorkerHeartbeat,
        Role::WorkerGpu,
        Role::WorkerBus,
        Role::WorkerLora,
        Role::Observer,
    ];

    /// `worker-heartbeat`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Queen => "queen",
            Role::WorkerHeartbeat => "worker-heartbeat",
            Role::WorkerGpu => "worker-gpu",
            Role::WorkerBus => "worker-bus",
            Role::WorkerLora => "worker-lora",
            Role::Observer => "observer",
        }
    }

    /// Workers need a subject.
    pub fn is_worker(self) -> bool {
        !matches!(self, Role::Queen | Role::Observer)
    }
}

impl FromStr for Role {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Role, TicketError> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(TicketError::Claims("role"))
    }
}

/// What a scope allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// `r`
    Read,
    /// `w`
    Write,
    /// `rw`
    Both,
}

impl Verbs {
    /// `r`, `w`, `rw`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verbs::Read => "r",
            Verbs::Write => "w",
            Verbs::Both => "rw",
        }
    }

    pub(crate) fn has_read(self) -> bool {
        self != Verbs::Write
    }

    pub(crate) fn has_write(self) -> bool {
        self != Verbs::Read
    }

    fn fits_in(self, outer: Verbs) -> bool {
        outer == Verbs::Both || self == outer
    }
}

impl FromStr for Verbs {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Verbs, TicketError> {
        match text {
            "r" => Ok(Verbs::Read),
            "w" => Ok(Verbs::Write),
            "rw" => Ok(Verbs::Both),
            _ => Err(TicketError::Claims("scope")),
        }
    }
}

/// A part of the name space, and what may be done there how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// A prefix, on whole components.
    pub path: String,
    /// What.
    pub verbs: Verbs,
    /// Requests a second; 0: no bound.
    pub rate_per_s: u32,
}

impl Scope {
    fn fits_in(&self, outer: &Scope) -> bool {
        within(&self.path, &outer.path)
            && self.verbs.fits_in(outer.verbs)
            && (outer.rate_per_s == 0 || (1..=outer.rate_per_s).contains(&self.rate_per_s))
    }
}

/// Is `path` at or below `top`? On whole components.
pub(crate) fn within(path: &str, top: &str) -> bool {
    top == "/" || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a bearer may use up. None: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Records of a worker.
    pub ticks: Option<u64>,
    /// Requests.
    pub ops: Option<u64>,
    /// Seconds from the first attach.
    pub ttl_s: Option<u64>,
}

/// What a bearer may move. None: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes read and written.
    pub bandwidth_bytes: Option<u64>,
    /// Cursors taken up again.
    pub cursor_resumes: Option<u64>,
    /// Cursors moved on.
    pub cursor_advances: Option<u64>,
}

/// The claims of a first block, but for the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The hive that it is for.
    pub hive: String,
    /// Names the ticket, in logs too.
    pub id: [u8; 16],
    /// As what.
    pub role: Role,
    /// Who; workers have one, others may: 1..64 of `[a-z0-9-]`, or empty.
    pub subject: String,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Likewise.
    pub expires_ms: u64,
    /// What may be used up.
    pub budget: Budget,
    /// Where; empty: all that the role sees.
    pub scopes: Vec<Scope>,
    /// What may be moved.
    pub quota: Quota,
}

/// What a further block takes away. None: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attenuation {
    /// An earlier end.
    pub expires_ms: Option<u64>,
    /// Narrower scopes.
    pub scopes: Option<Vec<Scope>>,
    /// A smaller budget.
    pub budget: Option<Budget>,
    /// A smaller quota.
    pub quota: Option<Quota>,
    /// Observer, where it was queen.
    pub role: Option<Role>,
    /// For people.
    pub note: Option<String>,
}

/// What a ticket comes to, all its blocks taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// 32 hex digits.
    pub id: String,
    /// The hive that it is for.
    pub hive: String,
    /// The id of the issuer's key.
    pub key: String,
    /// As what.
    pub role: Role,
    /// Who; may be empty.
    pub subject: String,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Likewise.
    pub expires_ms: u64,
    /// What may be used up.
    pub budget: Budget,
    /// Where; empty: all that the role sees.
    pub scopes: Vec<Scope>,
    /// What may be moved.
    pub quota: Quota,
    /// What each block set, the first one's first: use is charged to all of them.
    pub levels: Vec<Level>,
}

/// What one block of a ticket set. A ticket made from it in several ways has one account here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Names the account among those of the ticket's id.
    pub(crate) key: [u8; 16],
    /// The end of everything made from this block.
    pub(crate) expires_ms: u64,
    pub(crate) budget: Budget,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) quota: Quota,
}

impl Level {
    /// Is there anything here that use could spend?
    pub(crate) fn is_limited(&self) -> bool {
        self.budget.ops.is_some()
            || self.budget.ttl_s.is_some()
            || self.quota.bandwidth_bytes.is_some()
            || self.quota.cursor_resumes.is_some()
            || self.quota.cursor_advances.is_some()
            || self.scopes.iter().any(|scope| scope.rate_per_s > 0)
    }
}

fn smaller(new: Option<u64>, old: Option<u64>, what: &'static str) -> Result<Option<u64>, TicketError> {
    match (new, old) {
        (Some(new), Some(old)) if new > old => Err(TicketError::Widens(what)),
        (Some(new), _) => Ok(Some(new)),
        (None, old) => Ok(old),
    }
}

impl Grant {
    /// Takes away what `less` says; refuses what would add.
    pub(crate) fn narrow(mut self, less: &Attenuation, key: [u8; 16]) -> Result<Grant, TicketError> {
        if let Some(expires_ms) = less.expires_ms {
            if expires_ms > self.expires_ms {
                return Err(TicketError::Widens("expiry"));
            }
            self.expires_ms = expires_ms;
        }
        if let Some(role) = less.role {
            if role != self.role && (self.role, role) != (Role::Queen, Role::Observer) {
                return Err(TicketError::Widens("role"));
            }
            self.role = role;
        }
        if let Some(scopes) = &less.scopes {
            let fits = |scope: &Scope| self.scopes.is_empty() || self.scopes.iter().any(|s| scope.fits_in(s));
            // No scopes at all would mean everything.
            if scopes.is_empty() || !scopes.iter().all(fits) {
                return Err(TicketError::Widens("scope"));
            }
            self.scopes.clone_from(scopes);
        }
        if let Some(new) = less.budget {
            let old = self.budget;
            self.budget = Budget {
                ticks: smaller(new.ticks, old.ticks, "budget")?,
                ops: smaller(new.ops, old.ops, "budget")?,
                ttl_s: smaller(new.ttl_s, old.ttl_s, "budget")?,
            };
        }
        if let Some(new) = less.quota {
            let old = self.quota;
            self.quota = Quota {
                bandwidth_bytes: smaller(new.bandwidth_bytes, old.bandwidth_bytes, "quota")?,
                cursor_resumes: smaller(new.cursor_resumes, old.cursor_resumes, "quota")?,
                cursor_advances: smaller(new.cursor_advances, old.cursor_advances, "quota")?,
            };
        }
        self.levels.push(Level {
            key,
            expires_ms: self.expires_ms,
            budget: less.budget.unwrap_or_default(),
            scopes: less.scopes.clone().unwrap_or_default(),
            quota: less.quota.unwrap_or_default(),
        });
        Ok(self)
    }

    /// May this grant do `verbs` at `path`? Rates and budgets aside.
    pub fn allows(&self, path: &str, verbs: Verbs) -> bool {
        self.scopes.is_empty()
            || self.scopes.iter().any(|scope| within(path, &scope.path) && verbs.fits_in(scope.verbs))
    }
}

/// What a hive allows in any ticket, from the manifest's `[tickets]`; 0, the default, bounds nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Scopes.
    pub max_scopes: usize,
    /// Bytes of a scope's path.
    pub max_scope_path: usize,
    /// Rate of a scope.
    pub max_rate_per_s: u32,
    /// Largest bandwidth quota that a ticket may name.
    pub bandwidth_bytes: u64,
    /// Likewise of resumptions.
    pub cursor_resumes: u64,
    /// Likewise of advances.
    pub cursor_advances: u64,
}

impl From<&manifest::Tickets> for Bounds {
    fn from(tickets: &manifest::Tickets) -> Bounds {
        Bounds {
            max_scopes: tickets.max_scopes as usize,
            max_scope_path: tickets.max_scope_path as usize,
            max_rate_per_s: tickets.max_rate_per_s,
            bandwidth_bytes: tickets.bandwidth_bytes,
            cursor_resumes: tickets.cursor_resumes.into(),
            cursor_advances: tickets.cursor_advances.into(),
        }
    }
}

impl Bounds {
    pub(crate) fn check(&self, scopes: &[Scope], quota: &Quota) -> Result<(), TicketError> {
        let over = |value: u64, bound: u64| bound > 0 && value > bound;
        if over(scopes.len() as u64, self.max_scopes as u64) {
            return Err(TicketError::Bounds("number of scopes"));
        }
        for scope in scopes {
            if over(scope.path.len() as u64, self.max_scope_path as u64) {
                return Err(TicketError::Bounds("scope"));
            }
            if over(scope.rate_per_s.into(), self.max_rate_per_s.into()) {
                return Err(TicketError::Bounds("rate"));
            }
        }
        let quotas = [
            (quota.bandwidth_bytes, self.bandwidth_bytes),
            (quota.cursor_resumes, self.cursor_resumes),
            (quota.cursor_advances, self.cursor_advances),
        ];
        if quotas.into_iter().any(|(value, bound)| value.is_some_and(|value| over(value, bound))) {
            return Err(TicketError::Bounds("quota"));
        }
        Ok(())
    }
}

/// Refuses what is no subject; one is 1..64 of `[a-z0-9-]`.
pub fn check_subject(subject: &str) -> Result<(), TicketError> {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&subject.len()) && subject.bytes().all(sound) {
        Ok(())
    } else {
        Err(TicketError::Claims("subject"))
    }
}

/// An absolute path of the name space: no empty, dot or control names.
pub(crate) fn check_scope(scope: &Scope) -> Result<(), TicketError> {
    let sound = |name: &str| {
        !name.is_empty()
            && name != "."
            && name != ".."
            && name.len() <= 255
            && !name.chars().any(char::is_control)
    };
    let is_path =
        scope.path == "/" || scope.path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(sound));
    if is_path { Ok(()) } else { Err(TicketError::Claims("scope")) }
}
