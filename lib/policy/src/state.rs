//! The fold: which rules are in force, which approvals wait, and what the gate says.

use crate::Config;
use crate::action::{Action, Choice, Progress, Wish};
use crate::command::{Apply, Command, Consume, Entry, PolicyCtl, Rollback, System};
use crate::rule::{self, Decision, MANIFEST, Rule};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use authority::{Ack, Refused, Word};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the gate says of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It passes.
    Pass,
    /// It passes on this approval, once it is consumed.
    Consume(String),
    /// This rule wants an approval, and there is none.
    NeedsApproval(String),
    /// This rule denies it.
    Denied(String),
}

/// A set of rules that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Its name.
    pub id: String,
    /// Its rules, in the order in which they are looked at.
    pub rules: Vec<Rule>,
}

/// Policy's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    #[serde(skip)]
    config: Config,
    /// Bounds do not hold for what was accepted under earlier ones.
    #[serde(skip)]
    is_recorded: bool,
    /// The latest time of any command.
    now_ms: u64,
    /// Changes of the rules so far.
    generation: u64,
    /// Oldest first.
    sets: VecDeque<Set>,
    /// The set in force; None: the manifest's.
    active: Option<String>,
    next: u64,
    actions: BTreeMap<String, Action>,
}

impl State {
    /// Nothing has happened yet: the manifest's rules are in force.
    pub fn new(config: Config) -> State {
        State {
            config,
            is_recorded: false,
            now_ms: 0,
            generation: 0,
            sets: VecDeque::new(),
            active: None,
            next: 1,
            actions: BTreeMap::new(),
        }
    }

    /// Carries out one command; returns its acknowledgement without its number. A refused one changes
    /// nothing.
    pub fn apply(&mut self, entry: &Entry) -> Result<String, Refused> {
        let ts_ms = entry.ts_ms.max(self.now_ms);
        let ack = Ack::new(entry.command.verb());
        let ack = match entry.command {
            Command::Policy(PolicyCtl::Apply(apply)) => self.apply_set(ack, apply),
            Command::Policy(PolicyCtl::Rollback(rollback)) => self.roll_back(ack, rollback),
            Command::Action(wish) => self.act(ack, wish, ts_ms),
            Command::System(System::Consume(consume)) => self.consume(ack, consume, ts_ms),
            Command::System(System::Refuse(refuse)) => {
                Ok(ack.with("target", &refuse.target).with("reason", &refuse.reason))
            }
            Command::System(System::Expire(id)) => self.expire(ack, id, ts_ms),
        }?;
        self.now_ms = ts_ms;
        Ok(ack.text())
    }

    /// Carries out a command of the journal: it was within the bounds of its time.
    pub fn fold(&mut self, entry: &Entry) -> Result<String, Refused> {
        self.is_recorded = true;
        let ack = self.apply(entry);
        self.is_recorded = false;
        ack
    }

    fn apply_set(&mut self, ack: Ack, apply: &Apply) -> Result<Ack, Refused> {
        let Apply { id, rules, .. } = apply;
        if self.sets.iter().any(|set| set.id == *id) {
            return Err(Refused::invalid(format!("id={id}: there is such a set; roll back to it")));
        }
        if rules.len() > self.config.max_rules && !self.is_recorded {
            let detail = format!("{} rules; policy.max_rules allows {}", rules.len(), self.config.max_rules);
            return Err(Refused::new(Word::Quota, detail));
        }
        // The oldest goes, though not the one in force.
        while self.sets.len() >= self.config.max_sets.max(2) {
            let oldest = self.sets.iter().position(|set| Some(&set.id) != self.active.as_ref());
            self.sets.remove(oldest.unwrap_or(0));
        }
        self.sets.push_back(Set { id: id.clone(), rules: rules.clone() });
        self.active = Some(id.clone());
        self.generation += 1;
        Ok(ack.with("id", id).with("rules", rules.len()).with("sha256", rule::digest(rules)))
    }

    fn roll_back(&mut self, ack: Ack, rollback: &Rollback) -> Result<Ack, Refused> {
        let to = &rollback.to;
        if to != MANIFEST && !self.sets.iter().any(|set| set.id == *to) {
            return Err(Refused::unknown("set", to));
        }
        self.active = (to != MANIFEST).then(|| to.clone());
        self.generation += 1;
        Ok(ack.with("to", to))
    }

    fn act(&mut self, ack: Ack, wish: &Wish, ts_ms: u64) -> Result<Ack, Refused> {
        let Wish { id, target, decision, ttl_s } = wish;
        match self.actions.get(id).map(|action| action.progress) {
            Some(Progress::Consumed) => {
                return Err(Refused::new(Word::Permission, format!("id={id}: it is consumed")));
            }
            Some(progress) => {
                let detail = format!("id={id}: there is such an approval, {}", progress.word());
                return Err(Refused::invalid(detail));
            }
            None => {}
        }
        let is_full = self.actions.len() >= self.config.max_actions;
        let oldest = || {
            let over = self.actions.iter().filter(|(_, action)| action.progress != Progress::Queued);
            over.min_by_key(|(_, action)| action.number).map(|(id, _)| id.clone())
        };
        match if is_full { oldest() } else { None } {
            Some(id) => {
                self.actions.remove(&id);
            }
            None if is_full && !self.is_recorded => {
                let most = self.config.max_actions;
                let detail = format!("{most} approvals are queued, as many as policy.max_actions allows");
                return Err(Refused::new(Word::Busy, detail));
            }
            None => {}
        }
        let progress = match decision {
            Choice::Approve => Progress::Queued,
            Choice::Deny => {
                let queued = self.actions.values_mut().filter(|action| action.is_for(target, ts_ms));
                queued.for_each(|action| action.progress = Progress::Denied);
                Progress::Denied
            }
        };
        let ttl_ms = ttl_s.unwrap_or(self.config.approval_ttl_s).saturating_mul(1000);
        let expires_ms = ts_ms.saturating_add(ttl_ms);
        let action = Action { number: self.next, target: target.clone(), progress, expires_ms };
        self.next += 1;
        self.actions.insert(id.clone(), action);
        Ok(ack.with("id", id).with("target", target).with("expires_ms", expires_ms))
    }

    fn consume(&mut self, ack: Ack, consume: &Consume, ts_ms: u64) -> Result<Ack, Refused> {
        let Consume { id, target, .. } = consume;
        match self.actions.get_mut(id) {
            Some(action) if action.is_for(target, ts_ms) => {
                action.progress = Progress::Consumed;
                Ok(ack.with("id", id).with("target", target))
            }
            Some(action) => {
                Err(Refused::new(Word::Permission, format!("id={id}: it is {}", action.progress.word())))
            }
            None => Err(Refused::unknown("id", id)),
        }
    }

    fn expire(&mut self, ack: Ack, id: &str, ts_ms: u64) -> Result<Ack, Refused> {
        match self.actions.get_mut(id) {
            Some(action) if action.progress == Progress::Queued && action.expires_ms <= ts_ms => {
                action.progress = Progress::Expired;
                Ok(ack.with("id", id))
            }
            Some(_) => Err(Refused::invalid(format!("id={id}: its time has not come"))),
            None => Err(Refused::unknown("id", id)),
        }
    }

    /// What the gate says of a write of `path`. Approvals that `is_taken` names are spoken for.
    pub fn gate(&self, path: &str, ts_ms: u64, is_taken: &dyn Fn(&str) -> bool) -> Gate {
        let ts_ms = ts_ms.max(self.now_ms);
        match rule::first(self.rules(), path) {
            None => Gate::Pass,
            Some(rule) => match rule.decision {
                Decision::Allow => Gate::Pass,
                Decision::Deny => Gate::Denied(rule.id.clone()),
                Decision::Gate => {
                    let fits = self.actions.iter().filter(|(id, it)| it.is_for(path, ts_ms) && !is_taken(id));
                    match fits.min_by_key(|(_, action)| action.number) {
                        Some((id, _)) => Gate::Consume(id.clone()),
                        None => Gate::NeedsApproval(rule.id.clone()),
                    }
                }
            },
        }
    }

    /// The approvals whose time is over by now: policy's own commands, to be recorded and applied.
    pub fn due(&self, now_ms: u64) -> Vec<Command> {
        let late = |action: &Action| action.progress == Progress::Queued && action.expires_ms <= now_ms;
        let late = self.actions.iter().filter(|(_, action)| late(action));
        late.take(256).map(|(id, _)| Command::System(System::Expire(id.clone()))).collect()
    }

    /// When [`State::due`] has something next.
    pub fn next_due_ms(&self) -> Option<u64> {
        let queued = self.actions.values().filter(|action| action.progress == Progress::Queued);
        queued.map(|action| action.expires_ms).min()
    }

    // What it is asked.

    /// The rules in force.
    pub fn rules(&self) -> &[Rule] {
        self.active.as_ref().and_then(|id| self.set(id)).unwrap_or(&self.config.rules)
    }

    /// The name of the set in force.
    pub fn active(&self) -> &str {
        self.active.as_deref().unwrap_or(MANIFEST)
    }

    fn set(&self, id: &str) -> Option<&[Rule]> {
        if id == MANIFEST {
            return Some(&self.config.rules);
        }
        self.sets.iter().find(|set| set.id == id).map(|set| set.rules.as_slice())
    }

    /// Sets that were applied, oldest first.
    pub fn sets(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter()
    }

    /// Changes of the rules so far.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What a command of `/policy/ctl` would change in the rules, a line each.
    pub fn diff(&self, ctl: &PolicyCtl) -> Result<Vec<String>, Refused> {
        let to = match ctl {
            PolicyCtl::Apply(apply) => &apply.rules,
            PolicyCtl::Rollback(Rollback { to }) => {
                self.set(to).ok_or_else(|| Refused::unknown("set", to))?
            }
        };
        Ok(rule::diff(self.rules(), to))
    }

    /// Approvals, by name.
    pub fn actions(&self) -> impl Iterator<Item = (&str, &Action)> {
        self.actions.iter().map(|(id, action)| (id.as_str(), action))
    }

    /// The approval with that name.
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.get(id)
    }

    /// The latest time of any command.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    // How it is written down.

    /// All of it, but for the bounds, as JSON: the same state gives the same bytes.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }

    /// What [`State::to_json`] wrote.
    pub fn from_json(config: Config, text: &str) -> Result<State, String> {
        let mut state: State = serde_json::from_str(text).map_err(|error| error.to_string())?;
        state.config = config;
        Ok(state)
    }

    /// sha256 of [`State::to_json`].
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_json().as_bytes()).into()
    }
}
