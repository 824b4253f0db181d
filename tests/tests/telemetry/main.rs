//! Devices' telemetry on a real hive (spec 5.2 to 5.4): files go in and come back, jobs leave through
//! windows, what is bad is refused, and nothing that was synced is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad;
mod export;
mod files;
mod restart;

use ninep::dial::{Conn, DialError};
use ninep::refusal::Word;
use tests::Hive;

/// Is this the long run?
fn is_long() -> bool {
    std::env::var_os("COH_LONG").is_some_and(|value| value == "1")
}

/// The hive, when its devices take commands: their server has read the journal.
fn ready(hive: Hive) -> Hive {
    let seal = "{\"seal\":\"none\"}";
    tests::until("devices take commands", || refused(&hive, "/queen/telemetry/d/ctl", seal) != Word::Busy);
    hive
}

/// A new segment of a device; its path.
fn new_segment(hive: &Hive, device: &str) -> String {
    let ctl = format!("/queen/telemetry/{device}/ctl");
    let ack = hive.command(&ctl, "{\"new\":\"segment\",\"mime\":\"text/plain\"}\n").unwrap();
    let segment = ack.strip_prefix("OK NEW seg=").and_then(|rest| rest.split_once(" seq=")).unwrap().0;
    format!("/queen/telemetry/{device}/seg/{segment}")
}

/// One record, in an open of its own.
fn append(conn: &mut Conn, path: &str, record: &[u8]) -> Result<(), DialError> {
    let fid = conn.open_path(path, 1)?;
    let written = conn.write_at(fid, u64::MAX, record);
    let _ = conn.clunk(fid);
    written.map(drop)
}

/// The word that a command is refused with.
fn refused(hive: &Hive, path: &str, line: &str) -> Word {
    hive.command(path, &format!("{line}\n")).unwrap_err().word().unwrap()
}

/// A sum of a field of all the hive's processes, KiB.
fn memory(hive: &Hive, field: &str) -> u64 {
    let of = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    hive.pids().into_iter().map(of).sum()
}

fn count(hive: &Hive, name: &str) -> u64 {
    let text = hive.read(&format!("/proc/ingest/{name}")).unwrap();
    text.trim().split_once('=').unwrap().1.parse().unwrap()
}
