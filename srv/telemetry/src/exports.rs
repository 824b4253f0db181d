//! Export jobs (spec 5.4): which there must be is the queen's to say, here they are made from segments,
//! a little at a time, aside, and shown when they are complete.

use crate::devices::Devices;
use crate::ledger::ROOT;
use crate::segment::Cursor;
use crate::store::{Exported, Fault, Shelf, segment_number};
use alloc::collections::{BTreeMap, VecDeque};
use core::fmt::Write;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Blob, Call, Key};
use rt::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What one step copies at most: others are not to wait for more.
const STEP_BYTES: usize = 256 << 10;
/// Jobs that may be there: as many as the manifest may have windows.
const JOBS_MAX: usize = 4096;

/// A job as the queen says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Wanted {
    id: String,
    window: String,
    base_model: String,
    path: String,
    until_ms: u64,
    max_bytes: u64,
}

/// One segment that a job takes from, as long as it was when the job began.
#[derive(Debug)]
struct Source {
    key: Key,
    device: String,
    segment: String,
    mime: String,
    records: u64,
}

/// The job that is being made.
#[derive(Debug)]
struct Build {
    wanted: Wanted,
    sources: VecDeque<Source>,
    cursor: Cursor,
    sha256: Sha256,
    segments: u64,
    records: u64,
    bytes: u64,
    is_truncated: bool,
    evicted: u64,
}

/// All jobs.
#[derive(Debug)]
pub(crate) struct Exports {
    shelf: Shelf,
    job_bytes: u64,
    complete: BTreeMap<String, Key>,
    next: Key,
    waiting: VecDeque<Wanted>,
    build: Option<Build>,
}

/// CBOR (RFC 8949): a head of a major type with its argument.
fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    match n {
        0..24 => out.push(major | n as u8),
        24..0x100 => out.extend([major | 24, n as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend((n as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend((n as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(n.to_be_bytes());
        }
    }
}

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;
/// An array whose end is marked.
const OPEN_ARRAY: u8 = 0x9f;
const BREAK: u8 = 0xff;

fn text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend(text.as_bytes());
}

impl Build {
    /// What is there now of what the window names.
    fn new(wanted: Wanted, devices: &Devices) -> Build {
        let below = format!("{}/", wanted.path);
        let mut names = Vec::new();
        devices.each(&mut |name, key| names.push((name.to_owned(), key)));
        names.sort();
        let (mut sources, mut segments) = (VecDeque::new(), Vec::new());
        for (device, key) in names {
            segments.clear();
            devices.each_segment(key, &mut |name, key| segments.push((name.to_owned(), key)));
            segments.sort_by_key(|(name, _)| segment_number(name));
            for (segment, key) in segments.drain(..) {
                let path = format!("{ROOT}{device}/seg/{segment}");
                if path != wanted.path && !path.starts_with(&below) {
                    continue;
                }
                let Some((mime, records)) = devices.about(key) else { continue };
                sources.push_back(Source { key, device: device.clone(), segment, mime, records });
            }
        }
        let cursor = Cursor::default();
        let (sha256, is_truncated) = (Sha256::new(), false);
        Build { wanted, sources, cursor, sha256, segments: 0, records: 0, bytes: 0, is_truncated, evicted: 0 }
    }

    fn write(&mut self, shelf: &Shelf, out: &[u8]) -> Result<(), Fault> {
        self.sha256.update(out);
        shelf.write(&self.wanted.id, Exported::Telemetry, out)
    }

    fn begin(&mut self, shelf: &Shelf) -> Result<(), Fault> {
        shelf.begin(&self.wanted.id)?;
        let mut out = Vec::new();
        head(&mut out, MAP, 5);
        let Wanted { id, window, path, .. } = &self.wanted;
        for (key, value) in [("schema", "cohesix-export/v1"), ("job", id), ("window", window), ("path", path)]
        {
            text(&mut out, key);
            text(&mut out, value);
        }
        text(&mut out, "segments");
        out.push(OPEN_ARRAY);
        self.write(shelf, &out)
    }

    /// Copies a little; true when there is no more.
    fn step(&mut self, shelf: &Shelf, devices: &mut Devices, most: u64) -> Result<bool, Fault> {
        let (mut out, mut record) = (Vec::new(), Vec::new());
        while let Some(source) = self.sources.front() {
            let Ok(segment) = devices.segment(source.key) else {
                // It has made room for newer ones meanwhile.
                if self.cursor.record > 0 {
                    out.extend([BREAK, BREAK]);
                }
                self.evicted += 1;
                self.sources.pop_front();
                self.cursor = Cursor::default();
                continue;
            };
            if self.cursor.record == 0 {
                // A segment is a map whose end is marked, as its records' is.
                out.push(0xbf);
                for (key, value) in
                    [("device", &source.device), ("segment", &source.segment), ("mime", &source.mime)]
                {
                    text(&mut out, key);
                    text(&mut out, value);
                }
                text(&mut out, "records");
                out.push(OPEN_ARRAY);
                self.segments += 1;
            }
            let mut is_over = false;
            while out.len() < STEP_BYTES {
                is_over =
                    self.cursor.record >= source.records || !segment.next(&mut self.cursor, &mut record)?;
                if is_over {
                    break;
                }
                if self.bytes + record.len() as u64 > most {
                    self.is_truncated = true;
                    out.extend([BREAK, BREAK]);
                    self.write(shelf, &out)?;
                    return Ok(true);
                }
                head(&mut out, BYTES, record.len() as u64);
                out.extend(&record);
                self.bytes += record.len() as u64;
                self.records += 1;
            }
            if !is_over {
                self.write(shelf, &out)?;
                return Ok(false);
            }
            out.extend([BREAK, BREAK]);
            self.sources.pop_front();
            self.cursor = Cursor::default();
        }
        self.write(shelf, &out)?;
        Ok(true)
    }

    fn finish(&mut self, shelf: &Shelf) -> Result<(), Fault> {
        self.write(shelf, &[BREAK])?;
        let Wanted { id, window, base_model, path, until_ms, max_bytes } = &self.wanted;
        let sha256 = self.sha256.clone().finalize().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let line = if base_model.is_empty() { String::new() } else { format!("{base_model}\n") };
        shelf.write(id, Exported::BaseModel, line.as_bytes())?;
        let quoted = json::to_string(path);
        let policy = format!(
            "schema = \"cohesix-export-policy/v1\"\njob = \"{id}\"\nwindow = \"{window}\"\npath = {quoted}\n\
             until_ms = {until_ms}\nmax_bytes = {max_bytes}\nsegments = {}\nrecords = {}\nbytes = {}\n\
             truncated = {}\nevicted_segments = {}\ntelemetry_sha256 = \"{sha256}\"\n",
            self.segments, self.records, self.bytes, self.is_truncated, self.evicted
        );
        shelf.write(id, Exported::Policy, policy.as_bytes())?;
        shelf.finish(id)
    }
}

impl Exports {
    /// What earlier lives have completed.
    pub(crate) fn open(shelf: Shelf, job_bytes: u64) -> Result<Exports, Fault> {
        let mut exports = Exports {
            complete: BTreeMap::new(),
            next: 1,
            waiting: VecDeque::new(),
            build: None,
            job_bytes,
            shelf,
        };
        for job in exports.shelf.jobs()? {
            exports.show(job);
        }
        Ok(exports)
    }

    fn show(&mut self, job: String) {
        self.complete.insert(job, self.next);
        self.next += 1;
    }

    /// The queen has said which there must be, a line each: others go, and what is missing is made.
    pub(crate) fn want<'l>(&mut self, list: impl Iterator<Item = &'l str>) -> Result<(), String> {
        let wanted: Result<Vec<Wanted>, _> = list.take(JOBS_MAX).map(serde_json::from_str).collect();
        let wanted = wanted.map_err(|error| error.to_string())?;
        let is_wanted = |id: &str| wanted.iter().any(|wanted| wanted.id == id);
        let gone: Vec<String> = self.complete.keys().filter(|id| !is_wanted(id)).cloned().collect();
        for id in gone {
            self.complete.remove(&id);
            self.shelf.remove(&id);
        }
        if let Some(build) = self.build.take_if(|build| !wanted.contains(&build.wanted)) {
            self.shelf.remove(&build.wanted.id);
        }
        let is_there = |job: &Wanted| {
            self.complete.contains_key(&job.id) || self.build.as_ref().is_some_and(|b| b.wanted.id == job.id)
        };
        self.waiting = wanted.into_iter().filter(|job| !is_there(job)).collect();
        Ok(())
    }

    /// Is there something to be made?
    pub(crate) fn is_busy(&self) -> bool {
        self.build.is_some() || !self.waiting.is_empty()
    }

    /// Goes on a little; what is to be logged.
    pub(crate) fn step(&mut self, devices: &mut Devices) -> Result<Option<String>, String> {
        let done = self.try_step(devices);
        done.map_err(|fault| {
            let id = self.build.take().map(|build| build.wanted.id).unwrap_or_default();
            self.shelf.remove(&id);
            format!("telemetry export job={id} cannot be made: {fault}")
        })
    }

    fn try_step(&mut self, devices: &mut Devices) -> Result<Option<String>, Fault> {
        let Some(build) = &mut self.build else {
            if let Some(wanted) = self.waiting.pop_front() {
                self.build.insert(Build::new(wanted, devices)).begin(&self.shelf)?;
            }
            return Ok(None);
        };
        let most = build.wanted.max_bytes.min(self.job_bytes);
        if !build.step(&self.shelf, devices, most)? {
            return Ok(None);
        }
        build.finish(&self.shelf)?;
        let Some(Build { wanted, segments, records, bytes, is_truncated, .. }) = self.build.take() else {
            return Ok(None);
        };
        let line = format!(
            "telemetry export job={} window={} segments={segments} records={records} bytes={bytes} truncated={is_truncated}",
            wanted.id, wanted.window
        );
        self.show(wanted.id);
        Ok(Some(line))
    }

    /// Jobs that are complete.
    pub(crate) fn each(&self, f: &mut dyn FnMut(&str, Key)) {
        self.complete.iter().for_each(|(id, key)| f(id, *key));
    }

    /// One of them.
    pub(crate) fn find(&self, id: &str) -> Option<Key> {
        self.complete.get(id).copied()
    }

    fn id(&self, key: Key) -> Result<&str, Refusal> {
        let gone = || Refusal::new(Word::Revoked, "its export window is closed");
        self.complete.iter().find(|(_, known)| **known == key).map(|(id, _)| id.as_str()).ok_or_else(gone)
    }
}

/// A file of a job, as the protocol reads it.
pub(crate) struct Shown<S> {
    pub(crate) file: Exported,
    pub(crate) of: fn(&S) -> &Exports,
}

impl<S> Blob<S> for Shown<S> {
    fn len(&self, state: &S, call: &Call) -> Result<u64, Refusal> {
        let exports = (self.of)(state);
        let id = exports.id(call.key)?;
        exports.shelf.len(id, self.file).map_err(|fault| Refusal::new(Word::Busy, fault))
    }

    fn write(&self, _: &mut S, _: &Call, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::new(Word::Permission, "the file is read-only"))
    }

    fn read(&self, state: &mut S, call: &Call, offset: u64, out: &mut [u8]) -> Result<usize, Refusal> {
        let exports = (self.of)(state);
        let id = exports.id(call.key)?;
        exports.shelf.read(id, self.file, offset, out).map_err(|fault| Refusal::new(Word::Busy, fault))
    }
}
