//! Whether this node's queen is to be reached (spec 4.2), and the first reason why not.

use crate::lifecycle::Phase;
use serde::{Deserialize, Serialize};

/// Why a node is cut off from its queen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// The lifecycle is OFFLINE.
    LifecycleOffline,
    /// The session with her was revoked.
    SessionRevoked,
    /// A rule forbids it.
    PolicyDenied,
    /// No way leads there.
    NetworkUnreachable,
}

impl Cut {
    /// Every reason, the first that is told before the others.
    pub const ALL: [Cut; 4] =
        [Cut::LifecycleOffline, Cut::SessionRevoked, Cut::PolicyDenied, Cut::NetworkUnreachable];

    /// The reason of that word.
    pub fn named(word: &str) -> Option<Cut> {
        Cut::ALL.into_iter().find(|cut| cut.word() == word)
    }

    /// The word in `/proc/root/cut_reason`.
    pub fn word(self) -> &'static str {
        match self {
            Cut::LifecycleOffline => "lifecycle_offline",
            Cut::SessionRevoked => "session_revoked",
            Cut::PolicyDenied => "policy_denied",
            Cut::NetworkUnreachable => "network_unreachable",
        }
    }
}

/// What is known of the way to the queen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    session_revoked: bool,
    policy_denied: bool,
    network_unreachable: bool,
    /// When it was cut, while it is.
    pub(crate) cut_ms: Option<u64>,
}

impl Root {
    /// The first reason that holds.
    pub(crate) fn cut(&self, phase: Phase) -> Option<Cut> {
        [
            (phase == Phase::Offline, Cut::LifecycleOffline),
            (self.session_revoked, Cut::SessionRevoked),
            (self.policy_denied, Cut::PolicyDenied),
            (self.network_unreachable, Cut::NetworkUnreachable),
        ]
        .into_iter()
        .find(|(holds, _)| *holds)
        .map(|(_, cut)| cut)
    }

    /// Does it hold? What the lifecycle says is not asked.
    pub(crate) fn holds(&self, cut: Cut) -> bool {
        match cut {
            Cut::LifecycleOffline => false,
            Cut::SessionRevoked => self.session_revoked,
            Cut::PolicyDenied => self.policy_denied,
            Cut::NetworkUnreachable => self.network_unreachable,
        }
    }

    /// A hive begins: sessions and ways of an earlier one are gone. Rules stay, and so does what they deny.
    pub(crate) fn boots(&mut self) {
        self.session_revoked = false;
        self.network_unreachable = false;
    }

    pub(crate) fn set(&mut self, cut: Cut, holds: bool) {
        match cut {
            // That is the lifecycle's to say.
            Cut::LifecycleOffline => {}
            Cut::SessionRevoked => self.session_revoked = holds,
            Cut::PolicyDenied => self.policy_denied = holds,
            Cut::NetworkUnreachable => self.network_unreachable = holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_that_holds_is_told() {
        let mut root = Root::default();
        assert_eq!(root.cut(Phase::Online), None);
        root.set(Cut::NetworkUnreachable, true);
        assert_eq!(root.cut(Phase::Online), Some(Cut::NetworkUnreachable));
        root.set(Cut::PolicyDenied, true);
        assert_eq!(root.cut(Phase::Online), Some(Cut::PolicyDenied));
        root.set(Cut::SessionRevoked, true);
        assert_eq!(root.cut(Phase::Draining), Some(Cut::SessionRevoked));
        assert_eq!(root.cut(Phase::Offline), Some(Cut::LifecycleOffline));
        root.boots();
        assert_eq!(root.cut(Phase::Online), Some(Cut::PolicyDenied));
        root.set(Cut::NetworkUnreachable, true);
        assert!(root.holds(Cut::NetworkUnreachable) && !root.holds(Cut::SessionRevoked));
        root.set(Cut::PolicyDenied, false);
        root.set(Cut::NetworkUnreachable, false);
        assert_eq!(root.cut(Phase::Online), None);
        assert!(Cut::ALL.into_iter().all(|cut| Cut::named(cut.word()) == Some(cut)));
    }
}
