//! What the processes of a hive on this machine take: all children of the door's parent, and that itself.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// A hive's processes; none where it is not on this machine.
pub(crate) struct Hive {
    init: Option<u32>,
}

/// Ticks of utime and stime in a second: the kernel's USER_HZ (proc(5)).
const TICKS_PER_S: f64 = 100.0;

impl Hive {
    /// By the process that listens at a Unix socket.
    pub(crate) fn of(addr: &str) -> Hive {
        let door = addr.strip_prefix("unix!").and_then(|path| {
            let stream = UnixStream::connect(path).ok()?;
            let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
            u32::try_from(peer.pid.as_raw_pid()).ok()
        });
        Hive { init: door.and_then(|pid| stat(pid)?.get(1)?.parse().ok()).filter(|pid| *pid > 1) }
    }

    fn pids(&self) -> Option<Vec<u32>> {
        let init = self.init?;
        let entries = std::fs::read_dir("/proc").ok()?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let parent = |pid: u32| stat(pid)?.get(1)?.parse().ok();
        Some(pids.filter(|pid| *pid == init || parent(*pid) == Some(init)).collect())
    }

    /// Memory of them all, what they share counted once.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        let kib = |pid: &u32| {
            let own = |name, key: &str| {
                let text = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/{name}"))).ok()?;
                let line = text.lines().find_map(|line| line.strip_prefix(key))?;
                line.trim().strip_suffix("kB")?.trim().parse().ok()
            };
            // A server that holds keys shows its resident size only.
            own("smaps_rollup", "Pss:").or_else(|| own("status", "VmRSS:")).unwrap_or(0)
        };
        Some(self.pids()?.iter().map(kib).sum::<u64>())
    }

    /// Processor time of them all so far.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        let ticks = |pid: &u32| {
            let fields = stat(*pid)?;
            let of = |i: usize| fields.get(i)?.parse::<u64>().ok();
            Some(of(11)? + of(12)?)
        };
        Some(self.pids()?.iter().filter_map(ticks).sum::<u64>() as f64 / TICKS_PER_S)
    }
}

/// The fields of `/proc/PID/stat` after the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_parent_and_takes_memory() {
        let hive = Hive { init: stat(std::process::id()).and_then(|stat| stat[1].parse().ok()) };
        assert!(hive.pids().unwrap().contains(&std::process::id()));
        assert!(hive.memory_kib().unwrap() > 100 && hive.cpu_s().is_some());
        assert!(Hive::of("tcp!nowhere!1").memory_kib().is_none());
    }
}
