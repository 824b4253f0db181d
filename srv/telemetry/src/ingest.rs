//! What has come in, and how fast it could be read: exact counts for ever, times of the last ten seconds.

use alloc::collections::{BTreeMap, VecDeque};
use core::fmt::Write;
use ninep::srv::Now;
use ring::{Ring, Stream};
use rt::prelude::*;

/// Seconds that the percentiles look back on.
const WINDOW: usize = 10;
/// Bytes of lines that `watch` keeps.
const WATCH_BYTES: usize = 64 << 10;

/// What one server has counted since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records taken.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records refused for want of room or time.
    pub backpressure: u64,
    /// Records that were given up for newer ones before their time.
    pub dropped: u64,
    /// Records taken and not yet readable.
    pub queued: u64,
}

/// Counts of earlier lives of a server, and of this one.
#[derive(Debug, Default)]
struct Source {
    life: u64,
    before: Counts,
    now: Counts,
}

/// Statistics.
#[derive(Debug)]
pub struct Ingest {
    own: Counts,
    sources: BTreeMap<String, Source>,
    /// Times in milliseconds and how often, a second each, newest last.
    seconds: VecDeque<(u64, BTreeMap<u64, u64>)>,
    watch: Ring,
    watch_ms: u64,
    last_records: u64,
    last_ms: u64,
}

impl Ingest {
    /// Nothing yet.
    pub fn new(watch_ms: u64) -> Ingest {
        Ingest {
            own: Counts::default(),
            sources: BTreeMap::new(),
            seconds: VecDeque::new(),
            watch: Ring::new(WATCH_BYTES),
            watch_ms,
            last_records: 0,
            last_ms: 0,
        }
    }

    /// A record was taken; it is readable `after_ms` after it came.
    pub fn took(&mut self, bytes: usize, after_ms: u64, now: Now) {
        self.own.records += 1;
        self.own.bytes += bytes as u64;
        self.time(after_ms, 1, now);
    }

    /// A record was refused for want of room.
    pub fn refused(&mut self) {
        self.own.backpressure += 1;
    }

    /// Records went for newer ones.
    pub fn dropped(&mut self, records: u64) {
        self.own.dropped += records;
    }

    /// Another server's counts since it began (`life` tells its lives apart), and the times of its
    /// records since it last said so.
    pub fn heard(&mut self, from: &str, life: u64, counts: Counts, times: &[(u64, u64)], now: Now) {
        let source = self.sources.entry(from.to_owned()).or_default();
        if source.life != life {
            source.before = sum(source.before, source.now);
            source.before.queued = 0;
            source.life = life;
        }
        source.now = counts;
        times.iter().for_each(|(ms, n)| self.time(*ms, *n, now));
    }

    fn time(&mut self, ms: u64, n: u64, now: Now) {
        let second = now.mono_ms / 1000;
        if self.seconds.back().is_none_or(|(at, _)| *at != second) {
            self.seconds.push_back((second, BTreeMap::new()));
            while self.seconds.len() > WINDOW {
                self.seconds.pop_front();
            }
        }
        if let Some((_, times)) = self.seconds.back_mut() {
            *times.entry(ms).or_default() += n;
        }
    }

    /// All counts.
    pub fn counts(&self) -> Counts {
        self.sources.values().fold(self.own, |all, source| sum(all, sum(source.before, source.now)))
    }

    /// The time below which `percent` of the last ten seconds' records could be read.
    pub fn percentile(&self, percent: u64, now: Now) -> u64 {
        let oldest = (now.mono_ms / 1000).saturating_sub(WINDOW as u64 - 1);
        let mut all: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, times) in self.seconds.iter().filter(|(second, _)| *second >= oldest) {
            times.iter().for_each(|(ms, n)| *all.entry(*ms).or_default() += n);
        }
        let total: u64 = all.values().sum();
        let mut left = (total * percent).div_ceil(100);
        for (ms, n) in all {
            if n >= left {
                return ms;
            }
            left -= n;
        }
        0
    }

    /// The lines of `watch`.
    pub fn watch(&mut self) -> &mut Ring {
        &mut self.watch
    }

    /// When the next line is due.
    pub fn watch_at(&self) -> u64 {
        self.last_ms + self.watch_ms
    }

    /// Adds a line to `watch`.
    pub fn look(&mut self, now: Now) {
        let counts = self.counts();
        let elapsed = (now.mono_ms - self.last_ms).max(1);
        let rate = (counts.records - self.last_records) * 1000 / elapsed;
        let (p50, p95) = (self.percentile(50, now), self.percentile(95, now));
        let mut line = String::new();
        let _ = writeln!(
            line,
            "ts_ms={} p50_ms={p50} p95_ms={p95} rate={rate} queued={} dropped={} backpressure={}",
            now.wall_ms, counts.queued, counts.dropped, counts.backpressure
        );
        // A line is smaller than the ring.
        let _ = self.watch.append(line.as_bytes());
        (self.last_records, self.last_ms) = (counts.records, now.mono_ms);
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        records: a.records + b.records,
        bytes: a.bytes + b.bytes,
        backpressure: a.backpressure + b.backpressure,
        dropped: a.dropped + b.dropped,
        queued: a.queued + b.queued,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: mono_ms + 7 }
    }

    #[test]
    fn percentiles_are_of_the_last_ten_seconds() {
        let mut ingest = Ingest::new(1000);
        (0..95).for_each(|_| ingest.took(1, 2, at(100)));
        (0..5).for_each(|_| ingest.took(1, 40, at(200)));
        assert_eq!((ingest.percentile(50, at(300)), ingest.percentile(95, at(300))), (2, 2));
        ingest.took(1, 40, at(1500));
        assert_eq!(ingest.percentile(95, at(1500)), 40);
        assert_eq!(ingest.percentile(95, at(20_000)), 0);
    }

    #[test]
    fn counts_survive_a_server_that_begins_anew() {
        let mut ingest = Ingest::new(1000);
        let said = |records| Counts { records, ..Counts::default() };
        ingest.heard("worker", 1, said(5), &[(1, 5)], at(0));
        ingest.heard("worker", 1, said(9), &[(1, 4)], at(0));
        ingest.heard("worker", 2, said(3), &[], at(0));
        ingest.took(4, 0, at(0));
        assert_eq!(ingest.counts().records, 13);
    }

    #[test]
    fn a_line_tells_the_rate_since_the_last() {
        let mut ingest = Ingest::new(500);
        (0..50).for_each(|_| ingest.took(1, 0, at(400)));
        ingest.look(at(500));
        let mut out = vec![0; 200];
        let n = ingest.watch().read(0, &mut out).unwrap();
        let line = String::from_utf8_lossy(&out[..n]).into_owned();
        assert_eq!(line, "ts_ms=507 p50_ms=0 p95_ms=0 rate=100 queued=0 dropped=0 backpressure=0\n");
        assert_eq!(ingest.watch_at(), 1000);
    }
}
