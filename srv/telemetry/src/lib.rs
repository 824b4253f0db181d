//! telemetryfs: device segments under `/queen/telemetry`, and how telemetry fares under `/proc/ingest`.
//! Guarantees: a record acknowledged is in its segment's file, whole or not at all, and durable after a
//! Tfsync or `sync_ms`; every bound refuses or evicts as the manifest says, and is counted.
#![forbid(unsafe_code)]

mod devices;
mod handles;
mod ingest;
mod refs;
mod segment;

pub use devices::{Config, Devices, Evicted};
pub use ingest::{Counts, Ingest};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, File, Now, Request, Service, Tree, Verdict};
use ring::Stream;
pub use segment::Segment;
use serde::Deserialize;

const CTL_LINE: usize = 512;

/// The tree:
///
/// ```text
/// [telemetry]/<device>/  ctl       new segment, seal; a device begins with its first segment
///                        latest    the newest segment's name
///                        seg/<name>  append-only
/// [ingest]/              p50_ms p95_ms backpressure dropped queued records bytes; watch: a line at times
/// [in]/counts            what other servers have taken
/// ```
pub fn tree(devices: Devices) -> Tree<Telemetry> {
    let ingest = Ingest::new(devices.config.watch_ms);
    let sync_at = None;
    let state = Telemetry { devices, ingest, sync_at, outbox: Vec::new() };
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
        .orders("ctl", 0o622, CTL_LINE, command)
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
    let counts = Dir::new().orders("counts", 0o600, 4096, counts);
    Tree::new(state, Dir::new())
        .root("telemetry", devices)
        .root("ingest", ingest_dir())
        .internal("in", counts)
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
        .append("watch", 0o444, |state: &mut Telemetry, _| Ok(state.ingest.watch()))
}

/// Segments and statistics.
pub struct Telemetry {
    devices: Devices,
    ingest: Ingest,
    /// When what was written is synced.
    sync_at: Option<u64>,
    outbox: Vec<Request>,
}

impl Service for Telemetry {
    fn start(&mut self, now: Now) {
        self.outbox.extend(self.devices.cuts.drain(..).map(Request::log));
        self.ingest.look(now);
    }

    fn deadline_ms(&self) -> Option<u64> {
        Some(self.sync_at.unwrap_or(u64::MAX).min(self.ingest.watch_at()))
    }

    fn tick(&mut self, now: Now) {
        if self.ingest.watch_at() <= now.mono_ms {
            self.ingest.look(now);
        }
        if self.sync_at.take_if(|at| *at <= now.mono_ms).is_some() {
            self.outbox.extend(self.devices.sync().into_iter().map(Request::log));
            if self.devices.is_dirty() {
                self.sync_at = Some(now.mono_ms + self.devices.config.sync_ms);
            }
        }
    }

    fn outbox(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    fn sync(&mut self, call: &Call) -> Result<(), Refusal> {
        self.devices.sync_one(call.key)
    }
}

impl Telemetry {
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
    match state.devices.append(call.key, record) {
        Ok(()) => state.ingest.took(record.len(), 0, call.now),
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
struct New {
    new: What,
    #[serde(default = "plain")]
    mime: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Segment,
}

fn plain() -> String {
    "text/plain".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    seal: String,
}

/// One line of a device's `ctl`.
fn command(state: &mut Telemetry, call: &Call, line: &str) -> Verdict {
    let refuse = |verb: &str, refusal| Verdict::Refuse { verb: verb.into(), refusal };
    let value = match json::parse(line) {
        Ok(value) => value,
        Err(error) => return refuse("CTL", Refusal::new(Word::Invalid, error.to_string())),
    };
    let invalid = |error: json::Error| Refusal::new(Word::Invalid, error.to_string());
    if value.get("seal").is_some() {
        let sealed = json::from_str(line)
            .map_err(invalid)
            .and_then(|Seal { seal }| state.devices.seal(call.key, &seal));
        return match sealed {
            Ok(fields) => Verdict::Ack(format!("OK SEAL {fields}")),
            Err(refusal) => refuse("SEAL", refusal),
        };
    }
    let made = json::from_str(line)
        .map_err(invalid)
        .and_then(|New { new: What::Segment, mime }| state.devices.new_segment(call.key, &mime));
    state.wrote(call.now);
    match made {
        Ok(name) => Verdict::Ack(format!("OK NEW seg={name}")),
        Err(refusal) => refuse("NEW", refusal),
    }
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
