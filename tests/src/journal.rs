//! The journal as a stranger reads it: lines of JSON in files, by journal(5) alone and without the
//! hive's own code.

use crate::Hive;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One record, as far as the tests look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// When, milliseconds since the Unix epoch.
    pub ts_ms: u64,
    /// `ctl`, `system`, …
    pub kind: String,
    /// The file.
    pub path: String,
    /// A JSON object.
    pub cmd: String,
    /// Without its number.
    pub ack: String,
}

impl Record {
    fn parse(line: &str) -> Option<Record> {
        let (head, rest) = line.split_once(",\"cmd\":")?;
        let (cmd, rest) = rest.rsplit_once(",\"ack\":\"")?;
        let (ack, _) = rest.split_once("\",\"prev\":\"")?;
        let text = |key| string(head, key).map(String::from);
        Some(Record {
            seq: number(head, "seq")?,
            ts_ms: number(head, "ts_ms")?,
            kind: text("kind")?,
            path: text("path")?,
            cmd: cmd.into(),
            ack: ack.replace("\\\"", "\""),
        })
    }
}

/// The text of the first `"key":"…"` of a JSON object, which must be plain.
pub fn string<'t>(json: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = json.split_once(&format!("\"{key}\":\""))?;
    rest.split('"').next()
}

/// The number of the first `"key":…`.
pub fn number(json: &str, key: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!("\"{key}\":"))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The value of `key=…` in an acknowledgement.
pub fn field<'t>(ack: &'t str, key: &str) -> Option<&'t str> {
    ack.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The segments of a journal, oldest first.
pub fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "jsonl"));
    paths.sort();
    paths
}

/// All records that are retained. Every line must be whole, and every seq one more than the one before.
pub fn records(dir: &Path) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for path in segments(dir) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{}: a torn line stayed", path.display());
        for line in text.lines() {
            let record = Record::parse(line).unwrap_or_else(|| panic!("not a record: {line}"));
            assert!(records.last().is_none_or(|last| last.seq + 1 == record.seq), "a gap before {line}");
            records.push(record);
        }
    }
    records
}

/// What records come to: a second opinion on the queen's books, for the few commands that tests give.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Workers that are alive.
    pub workers: Vec<String>,
    /// Resource, subject and end of active leases.
    pub leases: BTreeMap<String, (String, String, u64)>,
    /// Windows that are open.
    pub windows: BTreeSet<String>,
    /// Leases whose time was over.
    pub expired: u64,
}

impl Books {
    /// Folds records from the first on.
    pub fn of(records: &[Record]) -> Books {
        let mut books = Books::default();
        let is_ours = |it: &&Record| {
            matches!(&*it.kind, "ctl" | "system")
                && it.path.starts_with("/queen/")
                && !it.path.starts_with("/queen/telemetry/")
        };
        records.iter().filter(is_ours).for_each(|record| books.take(record));
        books
    }

    fn take(&mut self, record: &Record) {
        let Record { ts_ms, cmd, ack, .. } = record;
        let at = |key| field(ack, key).unwrap_or_else(|| panic!("no {key}: {record:?}")).to_owned();
        let ends = || ts_ms + number(cmd, "ttl_s").unwrap() * 1000;
        match ack.split(' ').nth(1).unwrap() {
            "SPAWN" => self.workers.push(at("id")),
            "KILL" | "END" => {
                let id = at("id");
                assert!(self.workers.contains(&id), "it was not alive: {record:?}");
                self.workers.retain(|alive| *alive != id);
                self.leases.retain(|_, (_, subject, _)| *subject != id);
            }
            "BOOT" => self.workers.clear(),
            "GRANT" => {
                let lease = (at("resource"), at("subject"), ends());
                assert!(self.leases.insert(at("lease"), lease).is_none(), "twice: {record:?}");
            }
            "RENEW" => self.leases.get_mut(&at("lease")).unwrap().2 = ends(),
            verb @ ("RELEASE" | "PREEMPT" | "EXPIRE") => {
                let (_, _, until_ms) = self.leases.remove(&at("lease")).unwrap();
                assert!(verb != "EXPIRE" || until_ms <= *ts_ms, "too early: {record:?}");
                self.expired += u64::from(verb == "EXPIRE");
            }
            "OPEN" => assert!(self.windows.insert(at("id")), "twice: {record:?}"),
            "CLOSE" | "SHUT" => assert!(self.windows.remove(&at("id")), "it was not open: {record:?}"),
            _ => {}
        }
    }
}

/// The same, as the hive's files tell it.
pub fn shown(hive: &Hive) -> Books {
    let read = |path| hive.read(path).unwrap();
    let first = |line: &str| line.split(' ').next().unwrap().to_owned();
    let lease = |line: &str| {
        let at = |key| field(line, key).unwrap().to_owned();
        (at("resource"), at("subject"), at("expires_ms").parse().unwrap())
    };
    let leases = read("/proc/lease/active");
    let leases = leases.lines().map(|line| (first(line), lease(line)));
    Books {
        workers: read("/proc/queen/workers").lines().map(first).collect(),
        leases: leases.collect(),
        windows: read("/queen/export/windows").lines().map(first).collect(),
        expired: field(&read("/proc/lease/summary"), "expired").unwrap().parse().unwrap(),
    }
}

/// Waits for the hive's files to show what its journal comes to. A long journal takes its time to be read,
/// in which leases come to their end: they agree at the latest when the short ones all have.
pub fn agree(hive: &Hive) {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let (shown, books) = (shown(hive), Books::of(&records(&hive.path("data/journal"))));
        if shown == books {
            return;
        }
        assert!(Instant::now() < until, "shown: {shown:#?}\nin the journal: {books:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Stops the hive, and lets our own verifier and one of another language read its journal.
pub fn verify(hive: &Hive) {
    // Alive, it would go on writing between the two.
    assert!(hive.coh(&["down"]).status.success());
    let (dir, key) = (hive.path("data/journal"), hive.path("data/audit.pub"));
    let (dir, key) = (dir.to_str().unwrap(), key.to_str().unwrap());
    let said = hive.print("cohverify", &["--key", key, dir]);
    assert!(said.starts_with("ok records=") && !said.contains("unchecked"), "{said}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/verify_journal.py");
    let output = Command::new("python3").args([script, dir]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let head = |text: &str| text.trim().rsplit("head=").next().unwrap().to_owned();
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert_eq!(head(&said), head(&theirs));
}
