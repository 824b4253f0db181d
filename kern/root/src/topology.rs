//! The topology that coh-rtc(8) wrote: which processes there are, and who may talk to whom. A line each:
//!
//! ```text
//! restart BACKOFF_MS BACKOFF_MAX_MS DEATHS WINDOW_S
//! part|server|worker NAME PROGRAM MEMORY_KIB CORE SECRET|-
//! channel NAME NAME ask|route|enter|lines|many
//! device NAME virtio-net|virtio-blk|rtl8139
//! keep NAME KIB
//! ```

use task::config::{Device, Role};

/// The file's name in the bundle.
pub const FILE: &str = "topology";

/// The root task's own name, as an end of channels.
pub const ROOT: &str = "root";
/// The process that serves init's tree.
pub const INIT: &str = "init";
/// The process that answers the hive's verbs.
pub const CONSOLE: &str = "console";
/// The process that has the network.
pub const NET: &str = "net";

/// The text, read where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Topology<'a>(&'a str);

/// What is expected of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part of init: started first, and again when it ends.
    Part,
    /// A server of the hive: started in order, and again when it ends.
    Server,
    /// Started when the queen asks for it.
    Worker,
}

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What is expected of it.
    pub kind: Kind,
    /// Its name, alone of its kind.
    pub name: &'a str,
    /// Its program, a file of the bundle.
    pub program: &'a str,
    /// All its memory.
    pub memory_kib: u64,
    /// The core it runs on; beyond the last one, it goes round.
    pub core: u64,
    /// The file of the bundle that it alone is given.
    pub secret: Option<&'a str>,
}

/// One channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Both ends.
    pub ends: [&'a str; 2],
    /// What each makes of it.
    pub roles: [Role; 2],
}

/// How what has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// First wait; doubled at each end.
    pub backoff_ms: u64,
    /// Longest wait.
    pub backoff_max_ms: u64,
    /// More than this many …
    pub deaths: u64,
    /// … within this time, and it stays down.
    pub window_ms: u64,
}

impl<'a> Topology<'a> {
    /// The file's bytes; what is no text is none.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(core::str::from_utf8(bytes).unwrap_or(""))
    }

    fn lines(self, word: &'a str) -> impl Iterator<Item = core::str::Split<'a, char>> {
        self.0.lines().filter_map(move |line| {
            let mut words = line.split(' ');
            (words.next() == Some(word)).then_some(words)
        })
    }

    /// The processes of one kind, in the order of their start. A malformed line is none.
    pub fn processes(self, kind: Kind) -> impl Iterator<Item = Entry<'a>> {
        let word = match kind {
            Kind::Part => "part",
            Kind::Server => "server",
            Kind::Worker => "worker",
        };
        self.lines(word).filter_map(move |mut words| {
            Some(Entry {
                kind,
                name: words.next()?,
                program: words.next()?,
                memory_kib: words.next()?.parse().ok()?,
                core: words.next()?.parse().ok()?,
                secret: words.next().filter(|name| *name != "-"),
            })
        })
    }

    /// The channels, in order.
    pub fn links(self) -> impl Iterator<Item = Link<'a>> {
        self.lines("channel").filter_map(|mut words| {
            Some(Link { ends: [words.next()?, words.next()?], roles: Role::of(words.next()?)? })
        })
    }

    /// The devices and who has them.
    pub fn devices(self) -> impl Iterator<Item = (&'a str, Device)> {
        self.lines("device").filter_map(|mut words| Some((words.next()?, Device::of(words.next()?)?)))
    }

    /// Who has memory that outlives him, and how many KiB.
    pub fn kept(self) -> impl Iterator<Item = (&'a str, u64)> {
        self.lines("keep").filter_map(|mut words| Some((words.next()?, words.next()?.parse().ok()?)))
    }

    /// The bounds of restarts.
    #[must_use]
    pub fn restart(self) -> Restart {
        let mut numbers = self.lines("restart").next();
        let mut number =
            |default: u64| numbers.as_mut().and_then(|words| words.next()?.parse().ok()).unwrap_or(default);
        Restart {
            backoff_ms: number(100),
            backoff_max_ms: number(10_000),
            deaths: number(3),
            window_ms: number(60).saturating_mul(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    const TEXT: &[u8] = b"restart 50 1000 5 30\npart init init 4096 0 -\nserver log logfs 8192 1 -\n\
        server queen queenfs 16384 2 issuer.key\nworker worker-1 worker-heart 6144 3 -\nserver half logfs\n\
        channel queen log ask\nchannel root init lines\nchannel log queen gossip\ndevice net rtl8139\ndevice log toaster\nkeep queen 2048\nkeep log\n";

    #[test]
    fn processes_come_in_order_by_kind() {
        let topology = Topology::new(TEXT);
        let servers: Vec<Entry> = topology.processes(Kind::Server).collect();
        assert_eq!(servers.len(), 2);
        assert_eq!((servers[0].name, servers[0].program, servers[0].secret), ("log", "logfs", None));
        assert_eq!((servers[1].memory_kib, servers[1].secret), (16384, Some("issuer.key")));
        assert_eq!(topology.processes(Kind::Worker).next().map(|entry| entry.core), Some(3));
        assert_eq!(topology.processes(Kind::Part).count(), 1);
    }

    #[test]
    fn a_channel_has_two_ends_and_a_known_use() {
        let links: Vec<Link> = Topology::new(TEXT).links().collect();
        assert_eq!(links.len(), 2);
        assert_eq!((links[0].ends, links[0].roles), (["queen", "log"], [Role::Ask, Role::Serve]));
    }

    #[test]
    fn a_device_is_one_that_is_known() {
        let devices: Vec<_> = Topology::new(TEXT).devices().collect();
        assert_eq!(devices, [(NET, Device::Rtl8139)]);
    }

    #[test]
    fn memory_is_kept_for_who_is_named() {
        let kept: Vec<_> = Topology::new(TEXT).kept().collect();
        assert_eq!(kept, [("queen", 2048)]);
    }

    #[test]
    fn restarts_have_bounds_even_where_none_are_said() {
        let restart = Topology::new(TEXT).restart();
        assert_eq!((restart.backoff_ms, restart.deaths, restart.window_ms), (50, 5, 30_000));
        assert_eq!(Topology::new(b"\xff").restart().deaths, 3);
    }
}
