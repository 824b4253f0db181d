//! telemetryfs: device segments under `/queen/telemetry`, and how telemetry fares under `/proc/ingest`.
//! Guarantees: a record acknowledged is in its segment's file, whole or not at all, and durable after a
//! Tfsync or `sync_ms`; every bound refuses or evicts as the manifest says, and is counted; a segment
//! that was acknowledged is in the journal. Does not read what records say, but for reference manifests.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod devices;
mod exports;
mod ingest;
mod ledger;
mod segment;
mod store;

pub use devices::{Config, Devices, Evicted};
use exports::Shown;
pub use ingest::{Counts, Ingest};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, File, Journal, Now, Op, Request, Service, Tree, Verdict};
use ring::Stream;
use rt::prelude::*;
pub use segment::Segment;
use serde::Deserialize;
use store::{Exported, Shelf};

rt::main!("telemetry", |boot| {
    let files = boot.files()?;
    let config = Config::from_manifest(&boot.manifest.telemetry);
    let devices = Devices::open(files.below("telemetry"), config).map_err(rt::BootError)?;
    let has = |name: &'static str| boot.manifest.server(name).map(|_| name);
    let pending = boot.manifest.telemetry.pending as usize;
    let journal = Journal { audit: has("audit"), policy: has("policy"), pending };
    let job_bytes = boot.manifest.export.job_bytes;
    let exports = Exports::open(files.below("exports"), job_bytes).map_err(rt::BootError)?;
    Ok(tree(devices, exports, journal))
});

const CTL_LINE: usize = 512;
/// The request for the list of export jobs.
const LOOK: u64 = 1;
/// When it is repeated: where the queen is away, and where a job could not be made.
const AWAY_MS: u64 = 200;
const FAILED_MS: u64 = 10_000;

/// Export jobs that are complete, and where they are kept.
#[derive(Debug)]
pub struct Exports(exports::Exports);

impl Exports {
    /// Those of `files`; a job takes at most `job_bytes` of payload.
    pub fn open(files: rt::Files, job_bytes: u64) -> Result<Exports, String> {
        exports::Exports::open(Shelf::open(files)?, job_bytes).map(Exports)
    }
}

/// The tree:
///
/// ```text
/// [telemetry]/<device>/  ctl       new segment, seal; a device begins with its first segment
///                        latest    the newest segment's name
///                        seg/<name>  append-only
/// [ingest]/              p50_ms p95_ms backpressure dropped queued records bytes limits; watch: a line at times
/// [lora_jobs]/<job>/     telemetry.cbor base_model.ref policy.toml
/// [in]/{counts,look}     what other servers have taken; the queen has other export jobs
/// ```
pub fn tree(devices: Devices, exports: Exports, journal: Journal) -> Tree<Telemetry> {
    let ingest = Ingest::new(devices.config.watch_ms);
    let outbox = Vec::new();
    let (now, look_at) = (Now::default(), Some(0));
    let state =
        Telemetry { devices, exports: exports.0, ingest, sync_at: None, is_open: true, look_at, now, outbox };
    let segments = Dir::new().each(
        |state: &Telemetry, key, f| state.devices.each_segment(key, f),
        |state: &Telemetry, key, name| state.devices.find_segment(key, name),
        File::append_with(
            0o622,
            |state: &mut Telemetry, call| {
                state.devices.segment(call.key).map(|segment| segment as &mut dyn Stream)
            },
            append,
        ),
    );
    let device = Dir::new()
        .with(
            "ctl",
            File::ctl_of(0o622, CTL_LINE, |state: &Telemetry, key| ledger::path_of(&state.devices, key)),
        )
        .text("latest", |state: &Telemetry, call, out| {
            out.push_str(&state.devices.latest(call.key).ok_or(Word::NotFound)?);
            out.push('\n');
            Ok(())
        })
        .dir("seg", segments);
    let devices = Dir::new().each(
        |state: &Telemetry, _, f| state.devices.each(f),
        |state: &Telemetry, _, name| state.devices.find(name),
        device,
    );
    let job = Exported::ALL.into_iter().fold(Dir::new(), |dir, file| {
        dir.with(file.name(), File::blob(0o444, Shown { file, of: |state: &Telemetry| &state.exports }))
    });
    let jobs = Dir::new().each(
        |state: &Telemetry, _, f| state.exports.each(f),
        |state: &Telemetry, _, name| state.exports.find(name),
        job,
    );
    let inward = Dir::new().orders("counts", 0o600, 4096, counts).orders("look", 0o600, 16, look);
    Tree::new(state, Dir::new())
        .root("telemetry", devices)
        .root("ingest", ingest_dir())
        .root("lora_jobs", jobs)
        .internal("in", inward)
        .journaled(journal)
}

fn ingest_dir() -> Dir<Telemetry> {
    let percentile = |percent, name: &'static str| {
        File::text(move |state: &Telemetry, call: &Call, out: &mut String| {
            out.push_str(&format!("{name}={}\n", state.ingest.percentile(percent, call.now)));
            Ok(())
        })
    };
    let count = |name: &'static str, of: fn(&Counts) -> u64| {
        File::text(move |state: &Telemetry, _: &Call, out: &mut String| {
            out.push_str(&format!("{name}={}\n", of(&state.ingest.counts())));
            Ok(())
        })
    };
    Dir::new()
        .with("p50_ms", percentile(50, "p50_ms"))
        .with("p95_ms", percentile(95, "p95_ms"))
        .with("backpressure", count("backpressure", |counts| counts.backpressure))
        .with("dropped", count("dropped", |counts| counts.dropped))
        .with("queued", count("queued", |counts| counts.queued))
        .with("records", count("records", |counts| counts.records))
        .with("bytes", count("bytes", |counts| counts.bytes))
        .text("limits", |state: &Telemetry, _, out| {
            let Config { record_bytes, inline_bytes, artefact_bytes, max_refs, segment_bytes, mimes, .. } =
                &state.devices.config;
            out.push_str(&format!(
                "limits record_bytes={record_bytes} inline_bytes={inline_bytes} \
                 artefact_bytes={artefact_bytes} max_refs={max_refs} segment_bytes={segment_bytes} \
                 mimes={}\n",
                mimes.join(",")
            ));
            Ok(())
        })
        .append("watch", 0o444, |state: &mut Telemetry, _| Ok(state.ingest.watch()))
}

/// Segments and statistics.
pub struct Telemetry {
    devices: Devices,
    exports: exports::Exports,
    ingest: Ingest,
    /// When what was written is synced.
    sync_at: Option<u64>,
    /// The hive's state lets telemetry in.
    is_open: bool,
    /// When the queen is asked for it, and which export jobs there must be.
    look_at: Option<u64>,
    now: Now,
    outbox: Vec<Request>,
}

impl Service for Telemetry {
    fn start(&mut self, now: Now) {
        self.now = now;
        self.outbox.extend(self.devices.cuts.drain(..).map(Request::log));
        self.ingest.look(now);
    }

    fn deadline_ms(&self) -> Option<u64> {
        let step = self.exports.is_busy().then_some(0);
        [self.sync_at, self.look_at, step, Some(self.ingest.watch_at())].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        if self.ingest.watch_at() <= now.mono_ms {
            self.ingest.look(now);
        }
        if self.look_at.take_if(|at| *at <= now.mono_ms).is_some() {
            let path = "exports".into();
            self.outbox.push(Request { id: LOOK, server: "queen", root: "in", path, op: Op::Read });
        }
        if self.exports.is_busy() {
            match self.exports.step(&mut self.devices) {
                Ok(line) => self.outbox.extend(line.map(Request::log)),
                Err(line) => {
                    self.outbox.push(Request::log(line));
                    self.look_at = Some(now.mono_ms + FAILED_MS);
                }
            }
        }
        if self.sync_at.take_if(|at| *at <= now.mono_ms).is_some() {
            self.outbox.extend(self.devices.sync().into_iter().map(Request::log));
            if self.devices.is_dirty() {
                self.sync_at = Some(now.mono_ms + self.devices.config.sync_ms);
            }
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.outbox)
    }

    fn reply(&mut self, _: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        let said = answer.map_err(|refusal| refusal.detail.into_owned());
        let taken = said.and_then(|list| {
            let list = String::from_utf8_lossy(&list);
            let mut lines = list.lines();
            self.is_open = takes_telemetry(lines.next().unwrap_or_default());
            self.exports.want(lines)
        });
        if taken.is_err() {
            // The queen is away, or starting.
            self.look_at = Some(now.mono_ms + AWAY_MS);
        }
    }

    fn sync(&mut self, call: &Call) -> Result<(), Refusal> {
        self.devices.sync_one(call.key)
    }
}

impl Telemetry {
    /// Is this a time for telemetry?
    pub(crate) fn lets_in(&self) -> Result<(), Refusal> {
        if self.is_open {
            return Ok(());
        }
        Err(Refusal::new(
            Word::Busy,
            "the hive is neither online, degraded nor draining; see /proc/lifecycle/state",
        ))
    }

    /// Something was written: it is synced in time, and what it has pushed out is said.
    fn wrote(&mut self, now: Now) {
        let at = now.mono_ms + self.devices.config.sync_ms;
        self.sync_at.get_or_insert(at);
        for Evicted { device, segment, records } in self.devices.evicted.drain(..) {
            self.ingest.dropped(records);
            let line =
                format!("telemetry evicted device={device} seg={segment} records={records} reason=room");
            self.outbox.push(Request::log(line));
        }
    }
}

fn append(state: &mut Telemetry, call: &Call, record: &[u8]) -> Result<(), Refusal> {
    state.now = call.now;
    if record.is_empty() {
        // Nothing is not a record.
        return Ok(());
    }
    let taken = state.lets_in().and_then(|()| state.devices.append(call.key, record));
    match taken {
        // The call's time is when its bytes came; the disk, and requests before it, may have taken a while.
        Ok(()) => {
            let after_ms = rt::now().mono_ms.saturating_sub(call.now.mono_ms);
            state.ingest.took(record.len(), after_ms, call.now);
        }
        Err(refusal) => {
            if matches!(refusal.word, Word::Quota | Word::Busy) {
                state.ingest.refused();
            }
            return Err(refusal);
        }
    }
    state.wrote(call.now);
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    from: String,
    life: u64,
    records: u64,
    bytes: u64,
    backpressure: u64,
    dropped: u64,
    times: Vec<(u64, u64)>,
}

/// What another server has taken.
fn counts(state: &mut Telemetry, call: &Call, line: &str) -> Verdict {
    match json::from_str(line) {
        Ok(Said { from, life, records, bytes, backpressure, dropped, times }) => {
            let counts = Counts { records, bytes, backpressure, dropped, queued: 0 };
            state.ingest.heard(&from, life, counts, &times, call.now);
            Verdict::Ack("OK COUNTS".into())
        }
        Err(error) => {
            Verdict::Refuse { verb: "COUNTS".into(), refusal: Refusal::new(Word::Invalid, error.to_string()) }
        }
    }
}

/// Telemetry comes in while the hive works, and while it drains (spec 4.2).
fn takes_telemetry(line: &str) -> bool {
    matches!(line.trim(), "state=ONLINE" | "state=DEGRADED" | "state=DRAINING")
}

/// The hive's state, and there may be other export jobs than before.
fn look(state: &mut Telemetry, call: &Call, line: &str) -> Verdict {
    state.is_open = takes_telemetry(line);
    state.look_at = Some(call.now.mono_ms);
    Verdict::Ack("OK LOOK".into())
}
