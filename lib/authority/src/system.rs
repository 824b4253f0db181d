//! What happens without a client's command, as commands of the queen's own: journaled like any other,
//! so that a replay needs neither a clock nor the world.

use crate::bounds;
use crate::lifecycle::Phase;
use crate::refused::Refused;
use crate::root::Cut;
use crate::settings::Settings;
use crate::workers::End;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A command of `/queen/system`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum System {
    /// A hive begins: workers of an earlier one are gone.
    Boot(Boot),
    /// Which required servers do not answer.
    Servers(Servers),
    /// The lifecycle goes on by itself.
    Transition(Transition),
    /// A worker has come to its end.
    End(Ended),
    /// A lease's time is over.
    Expire(String),
    /// A job's time has come: it gets its lease.
    Start(String),
    /// A job's deadline came first.
    Lapse(String),
    /// An export window's time is over.
    Shut(String),
    /// A reason to be cut off from the queen begins or ends.
    Cut(CutOff),
}

/// A hive begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// What tells this boot from others.
    pub id: String,
    /// What commands come to from now on; None: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// Which required servers do not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    /// Their names, sorted; none: all are there.
    pub missing: Vec<String>,
}

/// The lifecycle goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Where.
    pub to: Phase,
    /// Why.
    pub reason: String,
}

/// A worker has come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Who.
    pub worker: String,
    /// Why.
    pub why: End,
}

/// A reason to be cut off from the queen begins or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutOff {
    /// Which.
    pub reason: Cut,
    /// Does it hold from now on?
    pub holds: bool,
}

impl System {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            System::Boot(_) => "BOOT",
            System::Servers(_) => "SERVERS",
            System::Transition(_) => "TRANSITION",
            System::End(_) => "END",
            System::Expire(_) => "EXPIRE",
            System::Start(_) => "START",
            System::Lapse(_) => "LAPSE",
            System::Shut(_) => "SHUT",
            System::Cut(_) => "CUT",
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        match self {
            System::Boot(Boot { id, settings }) => {
                bounds::name("id", id)?;
                settings.as_ref().map_or(Ok(()), Settings::check)
            }
            System::Servers(Servers { missing }) => {
                missing.iter().try_for_each(|name| bounds::name("missing", name))
            }
            System::Transition(Transition { reason, .. }) => bounds::reason("reason", reason),
            System::End(Ended { worker, why }) => {
                bounds::name("worker", worker)?;
                match why {
                    End::Exited(status) => bounds::reason("why", status),
                    _ => Ok(()),
                }
            }
            System::Expire(id) | System::Start(id) | System::Lapse(id) | System::Shut(id) => {
                bounds::name("id", id)
            }
            System::Cut(_) => Ok(()),
        }
    }
}
