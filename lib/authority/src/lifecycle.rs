//! The hive's lifecycle (spec 4.2): six states, five words, four automatic transitions.

use crate::refused::{Refused, Word};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A state of the hive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// Servers are starting.
    #[default]
    Booting,
    /// A required server is missing.
    Degraded,
    /// All is there.
    Online,
    /// No new work; what runs may finish.
    Draining,
    /// Nothing runs.
    Quiesced,
    /// Taken out of service.
    Offline,
}

impl Phase {
    /// Every state.
    pub const ALL: [Phase; 6] =
        [Phase::Booting, Phase::Degraded, Phase::Online, Phase::Draining, Phase::Quiesced, Phase::Offline];

    /// `ONLINE`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Booting => "BOOTING",
            Phase::Degraded => "DEGRADED",
            Phase::Online => "ONLINE",
            Phase::Draining => "DRAINING",
            Phase::Quiesced => "QUIESCED",
            Phase::Offline => "OFFLINE",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// The state in `state=ONLINE`, as `/proc/lifecycle/state` says it.
    pub fn shown(line: &str) -> Option<Phase> {
        Phase::named(line.trim().strip_prefix("state=")?)
    }

    /// May workers attach, and may new work begin: spawns, leases, jobs?
    pub fn allows_work(self) -> bool {
        matches!(self, Phase::Online | Phase::Degraded)
    }

    /// May telemetry and the host's publishers write?
    pub fn allows_telemetry(self) -> bool {
        matches!(self, Phase::Online | Phase::Degraded | Phase::Draining)
    }
}

/// A word of `/queen/lifecycle/ctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// No new work from now on.
    Cordon,
    /// To rest, once nothing runs.
    Drain,
    /// Back to work.
    Resume,
    /// To rest now.
    Quiesce,
    /// To begin again.
    Reset,
}

impl Order {
    /// Every word.
    pub const ALL: [Order; 5] = [Order::Cordon, Order::Drain, Order::Resume, Order::Quiesce, Order::Reset];

    /// The word, `cordon`.
    pub fn word(self) -> &'static str {
        match self {
            Order::Cordon => "cordon",
            Order::Drain => "drain",
            Order::Resume => "resume",
            Order::Quiesce => "quiesce",
            Order::Reset => "reset",
        }
    }

    /// The verb of its acknowledgement, `CORDON`.
    pub fn verb(self) -> &'static str {
        match self {
            Order::Cordon => "CORDON",
            Order::Drain => "DRAIN",
            Order::Resume => "RESUME",
            Order::Quiesce => "QUIESCE",
            Order::Reset => "RESET",
        }
    }

    pub(crate) fn read(word: &str) -> Result<Order, Refused> {
        Order::ALL
            .into_iter()
            .find(|order| order.word() == word)
            .ok_or_else(|| Refused::invalid("one of cordon, drain, resume, quiesce, reset is wanted"))
    }
}

/// Which transitions happen by themselves, from the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automatic {
    /// BOOTING to ONLINE when every required server answers.
    pub online_when_ready: bool,
    /// BOOTING to DEGRADED when one is missing after [`Automatic::boot_deadline_ms`].
    pub degraded_at_deadline: bool,
    /// ONLINE to DEGRADED when a required server is lost.
    pub degraded_when_lost: bool,
    /// DEGRADED to ONLINE when it is back.
    pub online_when_back: bool,
    /// How long a boot may take.
    pub boot_deadline_ms: u64,
}

impl Default for Automatic {
    fn default() -> Self {
        Automatic {
            online_when_ready: true,
            degraded_at_deadline: true,
            degraded_when_lost: true,
            online_when_back: true,
            boot_deadline_ms: 10_000,
        }
    }
}

/// What keeps a hive from rest, and what it lacks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outstanding {
    pub(crate) leases: usize,
    pub(crate) workers: usize,
}

/// The state, why, since when, and which required servers are known to be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    pub(crate) phase: Phase,
    pub(crate) reason: String,
    pub(crate) since_ms: u64,
    /// None: nobody has looked since the boot.
    pub(crate) missing: Option<Vec<String>>,
}

impl Lifecycle {
    /// Where a word leads; None: it stays. The table of spec 4.2, cell for cell.
    pub(crate) fn ordered(&self, order: Order, left: Outstanding) -> Result<Option<Phase>, Refused> {
        let rest = || match left {
            Outstanding { leases: 0, workers: 0 } => Ok(Some(Phase::Quiesced)),
            Outstanding { leases: 0, workers } => Err(busy("outstanding-workers", workers)),
            Outstanding { leases, .. } => Err(busy("outstanding-leases", leases)),
        };
        match (self.phase, order) {
            (Phase::Booting, Order::Reset) => Ok(Some(Phase::Offline)),
            (Phase::Degraded | Phase::Online, Order::Cordon) => Ok(Some(Phase::Draining)),
            (Phase::Degraded, Order::Resume) => match &self.missing {
                Some(missing) if missing.is_empty() => Ok(Some(Phase::Online)),
                missing => {
                    let missing = missing.as_ref().map_or("unknown".into(), |missing| missing.join(","));
                    Err(Refused::new(Word::Busy, format!("reason=missing-servers servers={missing}")))
                }
            },
            (Phase::Degraded | Phase::Quiesced | Phase::Offline, Order::Reset) => Ok(Some(Phase::Booting)),
            (Phase::Online | Phase::Draining, Order::Quiesce) => rest(),
            (Phase::Draining, Order::Drain) => Ok(rest().unwrap_or(None)),
            (Phase::Draining | Phase::Quiesced, Order::Resume) => Ok(Some(Phase::Online)),
            (phase, _) => Err(Refused::invalid(format!("reason=invalid-transition state={}", phase.name()))),
        }
    }

    /// The transition that the manifest wants now, and its reason.
    pub(crate) fn automatic(&self, config: &Automatic, now_ms: u64) -> Option<(Phase, String)> {
        let is_late = now_ms >= self.since_ms.saturating_add(config.boot_deadline_ms);
        let lacks = |missing: &[String]| format!("missing:{}", missing.join(","));
        match (self.phase, self.missing.as_deref()) {
            (Phase::Booting, Some([])) if config.online_when_ready => Some((Phase::Online, "boot".into())),
            (Phase::Booting, Some(missing)) if is_late && config.degraded_at_deadline => {
                Some((Phase::Degraded, lacks(missing)))
            }
            (Phase::Booting, None) if is_late && config.degraded_at_deadline => {
                Some((Phase::Degraded, "missing:unknown".into()))
            }
            (Phase::Online, Some(missing)) if !missing.is_empty() && config.degraded_when_lost => {
                Some((Phase::Degraded, format!("lost:{}", missing.join(","))))
            }
            (Phase::Degraded, Some([])) if config.online_when_back => Some((Phase::Online, "back".into())),
            _ => None,
        }
    }

    /// When an automatic transition comes by time alone.
    pub(crate) fn next_ms(&self, config: &Automatic) -> Option<u64> {
        (self.phase == Phase::Booting && config.degraded_at_deadline)
            .then(|| self.since_ms.saturating_add(config.boot_deadline_ms))
    }

    /// Goes there; returns the line for the log.
    pub(crate) fn go(&mut self, to: Phase, reason: &str, ts_ms: u64) -> String {
        let old = core::mem::replace(&mut self.phase, to);
        self.reason = reason.to_string();
        self.since_ms = ts_ms;
        format!("lifecycle transition old={} new={} reason={reason}", old.name(), to.name())
    }
}

fn busy(reason: &str, count: usize) -> Refused {
    Refused::new(Word::Busy, format!("reason={reason} count={count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_as_it_is_shown() {
        for phase in Phase::ALL {
            assert_eq!(Phase::named(phase.name()), Some(phase));
            assert_eq!(Phase::shown(&format!("state={}\n", phase.name())), Some(phase));
        }
        assert_eq!((Phase::named("online"), Phase::shown("ONLINE")), (None, None));
    }

    /// The table of spec 4.2: a row a state; `-` Invalid, `=` stays, `?` Busy, else the new state.
    fn holds(left: Outstanding, missing: &[&str], table: [[&str; 5]; 6]) {
        for (phase, row) in Phase::ALL.into_iter().zip(table) {
            for (order, want) in Order::ALL.into_iter().zip(row) {
                let missing = Some(missing.iter().map(|m| (*m).to_string()).collect());
                let it = Lifecycle { phase, reason: String::new(), since_ms: 0, missing };
                let got = match it.ordered(order, left) {
                    Ok(None) => "=",
                    Ok(Some(phase)) => phase.name(),
                    Err(Refused { word: Word::Busy, .. }) => "?",
                    Err(refused) => {
                        assert!(refused.detail.contains("reason=invalid-transition"), "{refused:?}");
                        "-"
                    }
                };
                assert_eq!(got, want, "{} {}", phase.name(), order.word());
            }
        }
    }

    #[test]
    fn every_cell_of_the_table_holds_when_nothing_runs_and_nothing_is_missing() {
        let table = [
            ["-", "-", "-", "-", "OFFLINE"],
            ["DRAINING", "-", "ONLINE", "-", "BOOTING"],
            ["DRAINING", "-", "-", "QUIESCED", "-"],
            ["-", "QUIESCED", "ONLINE", "QUIESCED", "-"],
            ["-", "-", "ONLINE", "-", "BOOTING"],
            ["-", "-", "-", "-", "BOOTING"],
        ];
        holds(Outstanding { leases: 0, workers: 0 }, &[], table);
    }

    #[test]
    fn every_cell_of_the_table_holds_when_work_runs_and_a_server_is_missing() {
        let table = [
            ["-", "-", "-", "-", "OFFLINE"],
            ["DRAINING", "-", "?", "-", "BOOTING"],
            ["DRAINING", "-", "-", "?", "-"],
            ["-", "=", "ONLINE", "?", "-"],
            ["-", "-", "ONLINE", "-", "BOOTING"],
            ["-", "-", "-", "-", "BOOTING"],
        ];
        for (leases, workers) in [(1, 0), (0, 1), (2, 3)] {
            holds(Outstanding { leases, workers }, &["gpu"], table);
        }
    }

    #[test]
    fn a_refused_quiesce_says_what_is_outstanding() {
        let it = Lifecycle { phase: Phase::Online, ..Lifecycle::default() };
        let detail =
            |leases, workers| it.ordered(Order::Quiesce, Outstanding { leases, workers }).unwrap_err().detail;
        assert_eq!(detail(2, 1), "reason=outstanding-leases count=2");
        assert_eq!(detail(0, 1), "reason=outstanding-workers count=1");
    }

    #[test]
    fn transitions_happen_by_themselves_only_where_the_manifest_says_so() {
        let config = Automatic::default();
        let off = Automatic {
            online_when_ready: false,
            degraded_at_deadline: false,
            degraded_when_lost: false,
            online_when_back: false,
            boot_deadline_ms: 10_000,
        };
        let gone: Option<Vec<String>> = Some(alloc::vec!["gpu".into(), "log".into()]);
        for (phase, missing, now_ms, want) in [
            (Phase::Booting, None, 9_999, None),
            (Phase::Booting, None, 10_000, Some((Phase::Degraded, "missing:unknown"))),
            (Phase::Booting, Some(Vec::new()), 1, Some((Phase::Online, "boot"))),
            (Phase::Booting, gone.clone(), 9_999, None),
            (Phase::Booting, gone.clone(), 10_000, Some((Phase::Degraded, "missing:gpu,log"))),
            (Phase::Online, gone.clone(), 1, Some((Phase::Degraded, "lost:gpu,log"))),
            (Phase::Online, Some(Vec::new()), 1, None),
            (Phase::Degraded, Some(Vec::new()), 1, Some((Phase::Online, "back"))),
            (Phase::Degraded, gone.clone(), 1, None),
            (Phase::Draining, gone.clone(), 1, None),
            (Phase::Quiesced, Some(Vec::new()), 1, None),
            (Phase::Offline, Some(Vec::new()), 1, None),
        ] {
            let it = Lifecycle { phase, reason: String::new(), since_ms: 0, missing };
            let got = it.automatic(&config, now_ms);
            assert_eq!(got.as_ref().map(|(to, why)| (*to, why.as_str())), want, "{it:?} {now_ms}");
            assert_eq!(it.automatic(&off, now_ms), None);
        }
    }
}
