//! A hive full of workers: real ones, spawned by the queen, each with its own ticket and session, which
//! append at a rate; and a few probes among them, which say how long a record takes to be readable.

use crate::measure::{self, Count};
use crate::processes::Hive;
use crate::session::Target;
use cohcmd::Trouble;
use ninep::dial::{Addr, Conn, Credentials, DialError};
use ninep::refusal::Word;
use ninep::wire::Tmsg;
use serde::Serialize;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CTL: &str = "/queen/ctl";
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;
/// Append wherever the end is.
const END: u64 = u64::MAX;
/// Workers that the probes' records go to.
const PROBES: usize = 16;
/// Between two probes' records.
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// A probe's worker beats once, and then not while anybody looks.
const PROBE_PERIOD_MS: u64 = 3_600_000;
/// The flooding worker's records, and how many of them are on their way at once: what a listener allows.
const FLOOD_BYTES: usize = 64;
const FLOOD_IN_FLIGHT: u16 = 32;
/// Spawns on their way at once.
const BATCH: usize = 16;
/// Spawns a second that are counted on.
const SPAWNS_PER_S: usize = 100;
/// What does not move for so long does not move.
const PATIENCE: Duration = Duration::from_secs(20);

/// What there is to be done.
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) hz: f64,
    pub(crate) time: Duration,
    /// One more appends as fast as it can meanwhile.
    pub(crate) flood: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    workers: usize,
    /// Records that the workers and the probes had acknowledged.
    appended: u64,
    /// Of these, how many `/proc/ingest` has not counted, or a probe has not read back.
    dropped: u64,
    /// Records that were refused, and came again.
    refused: u64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    /// Records that `/proc/ingest` has counted beyond its own: others appended too, or a server began anew.
    others: u64,
    /// Records a second while the probes were at work.
    per_s: f64,
    /// Of these, the flooding worker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    flood_per_s: Option<f64>,
    /// Processor time of the hive for a million records of that time.
    cpu_s_per_million: Option<f64>,
    /// By how much the hive's processes grew for each worker.
    kib_each: Option<f64>,
}

impl Done {
    /// `workers count=100 appended=6116 …`.
    pub(crate) fn text(&self) -> String {
        let flood = self.flood_per_s.map_or(String::new(), |n| format!(" flood_per_s={n:.0}"));
        let tenths = |n: Option<f64>| n.map_or("unknown".into(), |n| format!("{n:.1}"));
        format!(
            "workers count={} appended={} dropped={} refused={} p50_ms={:.2} p95_ms={:.2} p99_ms={:.2} \
             others={} per_s={:.0}{flood} cpu_s_per_million={} kib_each={}",
            self.workers,
            self.appended,
            self.dropped,
            self.refused,
            self.p50_ms,
            self.p95_ms,
            self.p99_ms,
            self.others,
            self.per_s,
            tenths(self.cpu_s_per_million),
            tenths(self.kib_each),
        )
    }
}

fn said(what: &str, error: &DialError) -> Trouble {
    match error {
        DialError::Refused(refusal) => Trouble::refused(what, refusal.word, refusal.detail.to_string()),
        error => Trouble::failed(format!("{what}: {error}")),
    }
}

/// A queen's session.
struct Queen {
    conn: Conn,
}

impl Queen {
    fn dial(target: &Target) -> Result<Queen, Trouble> {
        let addr: Addr = target.addr.parse().map_err(|error| said(&target.addr, &error))?;
        let (role, subject) = target.uname.split_once(':').unwrap_or((&target.uname, ""));
        let ticket = target.aname.clone();
        let who =
            Credentials { role: role.into(), subject: subject.into(), ticket, ..Credentials::default() };
        let conn = Conn::dial(&addr, &who).map_err(|error| said(&target.addr, &error))?;
        Ok(Queen { conn })
    }

    /// Carries out commands, so many at once, those that meet a busy hive again; gives the acknowledgements.
    fn order(&mut self, mut left: Vec<String>) -> Result<Vec<String>, Trouble> {
        let mut acks = Vec::with_capacity(left.len());
        let mut moved = Instant::now();
        while !left.is_empty() {
            let now: Vec<String> = left.drain(left.len().saturating_sub(BATCH)..).collect();
            let fid = self.conn.open_path(CTL, O_RDWR).map_err(|error| said(CTL, &error))?;
            let writes: Vec<Tmsg> =
                now.iter().map(|line| Tmsg::Write { fid, offset: END, data: line.as_bytes() }).collect();
            let answers = self.conn.batch(&writes).map_err(|error| said(CTL, &error))?;
            let text = self.conn.read_fid(fid).map_err(|error| said(CTL, &error))?;
            self.conn.clunk(fid).map_err(|error| said(CTL, &error))?;
            let text = String::from_utf8_lossy(&text);
            acks.extend(text.lines().filter(|line| line.starts_with("OK ")).map(String::from));
            for (line, answer) in now.into_iter().zip(answers) {
                match answer {
                    Ok(_) => moved = Instant::now(),
                    Err(refusal) if refusal.word == Word::Busy && moved.elapsed() < PATIENCE => {
                        left.push(line);
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    Err(refusal) => {
                        let hint = "; do queen.max_workers and telemetry.budget_bytes allow so many?";
                        return Err(Trouble::refused(CTL, refusal.word, format!("{}{hint}", refusal.detail)));
                    }
                }
            }
        }
        Ok(acks)
    }

    /// Workers' ids.
    fn spawn(&mut self, count: usize, fields: &str) -> Result<Vec<String>, Trouble> {
        let acks = self.order(vec![format!("{{\"spawn\":\"heartbeat\",{fields}}}\n"); count])?;
        let ids = acks.iter().filter_map(|ack| ack.split(' ').find_map(|field| field.strip_prefix("id=")));
        let ids: Vec<String> = ids.map(String::from).collect();
        if ids.len() != count {
            return Err(Trouble::failed(format!("{} of {count} spawns were acknowledged", ids.len())));
        }
        Ok(ids)
    }

    fn text(&mut self, path: &str) -> Result<String, Trouble> {
        let text = self.conn.read_all(path).map_err(|error| said(path, &error))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn ingest(&mut self, name: &str) -> Result<u64, Trouble> {
        let path = format!("/proc/ingest/{name}");
        let text = self.text(&path)?;
        let value = text.trim().split_once('=').and_then(|(_, value)| value.parse().ok());
        value.ok_or_else(|| Trouble::failed(format!("{path}: {text:?} is no count")))
    }

    /// Waits until every worker has appended once.
    fn until_all_beat(&mut self, ids: &[String]) -> Result<(), Trouble> {
        let mut left: Vec<&String> = ids.iter().collect();
        let mut moved = Instant::now();
        while !left.is_empty() {
            let before = left.len();
            let mut silent = Vec::new();
            for id in left {
                let status = self.text(&format!("/worker/{id}/status"))?;
                if status.split(' ').any(|field| field == "records=0") {
                    silent.push(id);
                }
            }
            left = silent;
            if left.len() < before {
                moved = Instant::now();
            }
            if moved.elapsed() > PATIENCE {
                return Err(Trouble::failed(format!("{} workers do not append", left.len())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Spawns the workers, has the probes measure while they are all at work, and counts when they are done.
pub(crate) fn workers(target: &Target, load: &Load) -> Result<Done, Trouble> {
    let mut queen = Queen::dial(target)?;
    let hive = Hive::of(&target.addr);
    let memory = hive.memory_kib();
    let (records, refused) = (queen.ingest("records")?, queen.ingest("backpressure")?);
    let starting = load.count / SPAWNS_PER_S + 5;
    let ticks = ((load.time.as_secs_f64() + starting as f64) * load.hz).ceil() as u64;
    let period_ms = (1000.0 / load.hz).round() as u64;
    let probes = queen.spawn(PROBES, &format!("\"period_ms\":{PROBE_PERIOD_MS}"))?;
    let ids = queen.spawn(load.count, &format!("\"ticks\":{ticks},\"period_ms\":{period_ms}"))?;
    let flooding = queen.spawn(usize::from(load.flood), &format!("\"period_ms\":{PROBE_PERIOD_MS}"))?;
    for ids in [&probes, &flooding, &ids] {
        queen.until_all_beat(ids)?;
    }

    let (cpu, counted, start) = (hive.cpu_s(), queen.ingest("records")?, Instant::now());
    let (mut measuring, flood) = (Probes::open(target, &probes)?, Flood::start(target, &flooding, load.time));
    let probed = measuring.measure(load.time)?;
    let flooded = flood.map(Flood::end).transpose()?;
    let seconds = start.elapsed().as_secs_f64();
    let (cpu, counted) = (hive.cpu_s().zip(cpu), queen.ingest("records")?.saturating_sub(counted));
    let grown = hive.memory_kib().zip(memory).map(|(after, before)| after.saturating_sub(before));
    if queen.text(&format!("/worker/{}/status", ids[0]))?.starts_with("state=spent") {
        return Err(Trouble::failed("workers were done before the time was over: spawns were slow"));
    }

    let still = (probes.len() + flooding.len()) as u64;
    let flooded_all = flooded.map_or(0, |count| count.all);
    let appended = load.count as u64 * ticks + still + probed.appended + flooded_all;
    let (mut arrived, mut moved) = (0, Instant::now());
    while arrived < appended && moved.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(300));
        let now = queen.ingest("records")?.saturating_sub(records);
        if now > arrived {
            (arrived, moved) = (now, Instant::now());
        }
    }
    let refused = queen.ingest("backpressure")?.saturating_sub(refused);
    queen.order(probes.iter().chain(&flooding).map(|id| format!("{{\"kill\":\"{id}\"}}\n")).collect())?;
    let [p50_ms, p95_ms, p99_ms] = percentiles(probed.ms)?;
    Ok(Done {
        workers: load.count,
        appended,
        dropped: appended.saturating_sub(arrived) + probed.lost,
        refused,
        p50_ms,
        p95_ms,
        p99_ms,
        others: arrived.saturating_sub(appended),
        per_s: counted as f64 / seconds,
        flood_per_s: flooded.map(|count| count.count as f64 / count.seconds),
        cpu_s_per_million: cpu.map(|(after, before)| (after - before) / counted.max(1) as f64 * 1e6),
        kib_each: grown.map(|kib| kib as f64 / load.count as f64),
    })
}

/// A session that appends as fast as its records are taken.
struct Flood(JoinHandle<Result<Count, Trouble>>);

impl Flood {
    fn start(target: &Target, ids: &[String], time: Duration) -> Option<Flood> {
        let (target, path) = (target.clone(), format!("/worker/{}/telemetry", ids.first()?));
        let flood = move || measure::append(&target, &path, FLOOD_BYTES, FLOOD_IN_FLIGHT, time);
        Some(Flood(std::thread::spawn(flood)))
    }

    fn end(self) -> Result<Count, Trouble> {
        self.0.join().unwrap_or_else(|_| Err(Trouble::failed("the flood ended in a panic")))
    }
}

/// Two sessions: one appends to probes' workers, the other reads.
struct Probes {
    writer: Conn,
    reader: Conn,
    /// The fid that is written, the one that is read, and how far.
    files: Vec<(u32, u32, u64)>,
}

struct Probed {
    appended: u64,
    lost: u64,
    ms: Vec<f64>,
}

impl Probes {
    fn open(target: &Target, ids: &[String]) -> Result<Probes, Trouble> {
        let (mut writer, mut reader) = (Queen::dial(target)?.conn, Queen::dial(target)?.conn);
        let mut files = Vec::with_capacity(ids.len());
        for id in ids {
            let path = format!("/worker/{id}/telemetry");
            let mut opened = || {
                let (to, from) = (writer.open_path(&path, O_WRONLY)?, reader.open_path(&path, O_RDONLY)?);
                Ok((to, from, reader.read_fid(from)?.len() as u64))
            };
            files.push(opened().map_err(|error| said(&path, &error))?);
        }
        Ok(Probes { writer, reader, files })
    }

    /// A record's time runs from when it was due, not from when the one before it let it be sent.
    fn measure(&mut self, time: Duration) -> Result<Probed, Trouble> {
        let mut probed = Probed { appended: 0, lost: 0, ms: Vec::new() };
        let start = Instant::now();
        let mut due = start;
        while due < start + time {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let record = format!("probe {}\n", probed.appended);
            let i = probed.appended as usize % self.files.len();
            let (to, from, at) = &mut self.files[i];
            let mut exchange = || {
                self.writer.write_at(*to, END, record.as_bytes())?;
                self.reader.read_at(*from, *at, 4096)
            };
            let read = exchange().map_err(|error| said("a probe", &error))?;
            probed.ms.push(due.elapsed().as_secs_f64() * 1e3);
            *at += read.len() as u64;
            probed.appended += 1;
            probed.lost += u64::from(read != record.as_bytes());
            due += PROBE_EVERY;
        }
        Ok(probed)
    }
}

fn percentiles(mut ms: Vec<f64>) -> Result<[f64; 3], Trouble> {
    if ms.is_empty() {
        return Err(Trouble::failed("not one probe in the time given"));
    }
    ms.sort_unstable_by(f64::total_cmp);
    Ok([0.5, 0.95, 0.99].map(|q| ms[((ms.len() - 1) as f64 * q).round() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_probes() {
        let ms = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentiles(ms).unwrap(), [50.0, 95.0, 99.0]);
        assert!(percentiles(Vec::new()).is_err());
    }
}
