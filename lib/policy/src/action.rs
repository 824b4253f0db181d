//! Approvals: lines of `/actions/queue`, and what becomes of them.

use alloc::string::String;
use authority::{Refused, bounds};
use serde::{Deserialize, Serialize};

/// What an operator says of writes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// One may pass.
    Approve,
    /// None may: approvals that are queued for it are withdrawn.
    Deny,
}

/// A line of `/actions/queue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Its name, given by who writes it.
    pub id: String,
    /// The file.
    pub target: String,
    /// What is said.
    pub decision: Choice,
    /// For how long it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

impl Wish {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self.decision {
            Choice::Approve => "APPROVE",
            Choice::Deny => "DENY",
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        bounds::name("id", &self.id)?;
        if matches!(self.id.as_str(), "queue" | "." | "..") {
            // `/actions/<id>` is a directory beside `/actions/queue`.
            return Err(Refused::invalid("id: that name is taken"));
        }
        bounds::path("target", &self.target)?;
        if self.target.split('/').any(|name| name == "*") {
            return Err(Refused::invalid("target: an approval is for one file"));
        }
        self.ttl_s.map_or(Ok(()), |n| bounds::within("ttl_s", n, 1, bounds::TTL_MAX_S))
    }
}

/// What has become of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It waits for its write.
    Queued,
    /// Its write has passed.
    Consumed,
    /// It was a denial, or one withdrew it.
    Denied,
    /// Its time is over.
    Expired,
}

impl Progress {
    /// The word in `/actions/<id>/status`.
    pub fn word(self) -> &'static str {
        match self {
            Progress::Queued => "queued",
            Progress::Consumed => "consumed",
            Progress::Denied => "denied",
            Progress::Expired => "expired",
        }
    }
}

/// An approval, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its place among all.
    pub number: u64,
    /// The file.
    pub target: String,
    /// What has become of it.
    pub progress: Progress,
    /// When its time is over, milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

impl Action {
    /// May a write of `path` pass on it?
    pub(crate) fn is_for(&self, path: &str, ts_ms: u64) -> bool {
        self.progress == Progress::Queued && self.expires_ms > ts_ms && self.target == path
    }
}
