//! The verbs of the serial root console alone.

/// What only the root console answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootVerb {
    /// `bi`: the boot information.
    BootInfo,
    /// `caps`
    Caps,
    /// `mem`
    Mem,
    /// `smp`
    Smp,
    /// `netstats`
    NetStats,
    /// `reboot`
    Reboot,
}

impl RootVerb {
    /// Each with its word and that of its answer.
    const ALL: [(&'static str, &'static str, RootVerb); 6] = [
        ("bi", "BI", RootVerb::BootInfo),
        ("caps", "CAPS", RootVerb::Caps),
        ("mem", "MEM", RootVerb::Mem),
        ("smp", "SMP", RootVerb::Smp),
        ("netstats", "NETSTATS", RootVerb::NetStats),
        ("reboot", "REBOOT", RootVerb::Reboot),
    ];

    pub(crate) fn of(word: &str) -> Option<RootVerb> {
        Self::ALL.iter().find(|(name, ..)| *name == word).map(|(.., verb)| *verb)
    }

    /// The word of its answer.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(.., verb)| *verb == self).map_or("", |(_, name, _)| name)
    }
}
