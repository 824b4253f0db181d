//! Export windows (spec 4.3): what may leave the hive, until when and how much of it.

use crate::bounds::{self, COUNT_MAX, within};
use crate::refused::{Refused, Word};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A command of `/queen/export/ctl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ExportCtl {
    /// A new window.
    Open(Window),
    /// The end of one.
    Close(String),
}

/// A window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its name, given by who opens it.
    pub id: String,
    /// What may leave.
    pub path: String,
    /// Until when, milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// How much.
    pub max_bytes: u64,
}

impl ExportCtl {
    /// The verb of its acknowledgement.
    pub fn verb(&self) -> &'static str {
        match self {
            ExportCtl::Open(_) => "OPEN",
            ExportCtl::Close(_) => "CLOSE",
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        match self {
            ExportCtl::Open(Window { id, path, until_ms, max_bytes }) => {
                bounds::name("id", id)?;
                bounds::path("path", path)?;
                within("until_ms", *until_ms, 1, COUNT_MAX)?;
                within("max_bytes", *max_bytes, 1, COUNT_MAX)
            }
            ExportCtl::Close(id) => bounds::name("close", id),
        }
    }
}

/// All windows that are open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exports {
    windows: BTreeMap<String, Window>,
}

impl Exports {
    /// Open windows in the order of their names.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.values()
    }

    pub(crate) fn get(&self, id: &str) -> Result<&Window, Refused> {
        self.windows.get(id).ok_or_else(|| Refused::unknown("window", id))
    }

    pub(crate) fn open(&mut self, window: &Window, most: usize, ts_ms: u64) -> Result<(), Refused> {
        if self.windows.contains_key(&window.id) {
            return Err(Refused::invalid(format!("id={}: there is such a window", window.id)));
        }
        if window.until_ms <= ts_ms {
            return Err(Refused::invalid("until_ms: it is over"));
        }
        if self.windows.len() >= most {
            let detail = format!("{most} windows are open, as many as export.max_windows allows");
            return Err(Refused::new(Word::Busy, detail));
        }
        self.windows.insert(window.id.clone(), window.clone());
        Ok(())
    }

    pub(crate) fn close(&mut self, id: &str) -> Result<(), Refused> {
        self.windows.remove(id).map(|_| ()).ok_or_else(|| Refused::unknown("window", id))
    }
}
