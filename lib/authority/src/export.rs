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
    /// The end of one, and of its job.
    Close(String),
    /// What a window allows, made ready to be fetched.
    Job(ExportJob),
}

/// What a window allows, as files below `/queen/export/lora_jobs/<id>`, for as long as it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportJob {
    /// Its name, given by who asks for it.
    pub id: String,
    /// Which window; it has no other job, so that what leaves through it is bounded once.
    pub window: String,
    /// Which model the telemetry is about; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_model: String,
}

/// What can be exported: devices' segments.
const TELEMETRY: &str = "/queen/telemetry";

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
            ExportCtl::Job(_) => "JOB",
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
            ExportCtl::Job(ExportJob { id, window, base_model }) => {
                bounds::name("id", id)?;
                if id.starts_with('.') {
                    return Err(Refused::invalid("id: a directory's name does not begin with a dot"));
                }
                bounds::name("window", window)?;
                bounds::reason("base_model", base_model)
            }
        }
    }
}

/// All windows that are open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exports {
    windows: BTreeMap<String, Window>,
    /// Jobs by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    jobs: BTreeMap<String, ExportJob>,
}

impl Exports {
    /// Open windows in the order of their names.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.values()
    }

    /// Jobs and their windows, in the order of their names.
    pub fn jobs(&self) -> impl Iterator<Item = (&ExportJob, &Window)> {
        self.jobs.values().filter_map(|job| Some((job, self.windows.get(&job.window)?)))
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

    pub(crate) fn add(&mut self, job: &ExportJob) -> Result<(), Refused> {
        let window = self.get(&job.window)?;
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        if !window.path.strip_prefix(TELEMETRY).is_some_and(is_below) {
            let detail = format!("window={}: its path is not below {TELEMETRY}", job.window);
            return Err(Refused::invalid(detail));
        }
        if self.jobs.contains_key(&job.id) {
            return Err(Refused::invalid(format!("id={}: there is such a job", job.id)));
        }
        if let Some(other) = self.jobs.values().find(|other| other.window == job.window) {
            return Err(Refused::invalid(format!("window={}: it has its job {}", job.window, other.id)));
        }
        self.jobs.insert(job.id.clone(), job.clone());
        Ok(())
    }

    /// Closes a window; says whether it had a job, which goes with it.
    pub(crate) fn close(&mut self, id: &str) -> Result<bool, Refused> {
        self.windows.remove(id).ok_or_else(|| Refused::unknown("window", id))?;
        let before = self.jobs.len();
        self.jobs.retain(|_, job| job.window != id);
        Ok(self.jobs.len() < before)
    }
}
