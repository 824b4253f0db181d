//! What has been taken, for `/proc/ingest`: exact counts since the process began, and the times of what
//! has come since the last report.

use alloc::collections::BTreeMap;
use ninep::srv::{Now, Op, Request};
use rt::prelude::*;
use serde::Serialize;

/// Between a record and the report that counts it.
const REPORT_MS: u64 = 250;
/// Longer times count as this.
const LONGEST_MS: u64 = 10_000;

/// Counts and times.
#[derive(Debug)]
pub(crate) struct Counts {
    /// The process's name.
    from: &'static str,
    life: u64,
    records: u64,
    bytes: u64,
    backpressure: u64,
    times: BTreeMap<u64, u64>,
    /// Times that are on their way.
    sent: Option<BTreeMap<u64, u64>>,
    report_at: Option<u64>,
}

#[derive(Serialize)]
struct Said<'a> {
    from: &'a str,
    life: u64,
    records: u64,
    bytes: u64,
    backpressure: u64,
    dropped: u64,
    times: Vec<(u64, u64)>,
}

impl Counts {
    /// Nothing yet, of the process of that name.
    pub(crate) fn new(from: &'static str) -> Counts {
        Counts {
            from,
            life: 0,
            records: 0,
            bytes: 0,
            backpressure: 0,
            times: BTreeMap::new(),
            sent: None,
            report_at: None,
        }
    }

    /// The process has begun; `now` tells its life from earlier ones.
    pub(crate) fn begin(&mut self, now: Now) {
        self.life = now.wall_ms;
    }

    /// A record was taken, and was readable `after_ms` after it came.
    pub(crate) fn took(&mut self, bytes: usize, after_ms: u64, now: Now) {
        self.records += 1;
        self.bytes += bytes as u64;
        *self.times.entry(rounded(after_ms)).or_default() += 1;
        self.changed(now);
    }

    /// A record was refused for want of room or time.
    pub(crate) fn refused(&mut self, now: Now) {
        self.backpressure += 1;
        self.changed(now);
    }

    fn changed(&mut self, now: Now) {
        self.report_at.get_or_insert(now.mono_ms + REPORT_MS);
    }

    /// When [`Counts::report`] has something to say; never while an earlier report is on its way.
    pub(crate) fn report_at(&self) -> Option<u64> {
        self.report_at.filter(|_| self.sent.is_none())
    }

    /// The report, when it is time for it.
    pub(crate) fn report(&mut self, id: u64, now: Now) -> Option<Request> {
        self.report_at().filter(|at| *at <= now.mono_ms)?;
        self.report_at = None;
        let times = core::mem::take(&mut self.times);
        let said = Said {
            from: self.from,
            life: self.life,
            records: self.records,
            bytes: self.bytes,
            backpressure: self.backpressure,
            // A record that a ring laps has had its time.
            dropped: 0,
            times: times.iter().map(|(ms, n)| (*ms, *n)).collect(),
        };
        self.sent = Some(times);
        let mut line = json::to_string(&said);
        line.push('\n');
        let (server, root, path) = ("telemetry", "in", "counts".into());
        Some(Request { id, server, root, path, op: Op::Write(line.into_bytes()) })
    }

    /// What became of the report. One that was lost is made again, with the same times.
    pub(crate) fn reported(&mut self, arrived: bool, now: Now) {
        let Some(sent) = self.sent.take() else { return };
        if !arrived {
            sent.into_iter().for_each(|(ms, n)| *self.times.entry(ms).or_default() += n);
            self.changed(now);
        }
    }
}

/// Long times in coarser steps: a report has at most 200 of them, and fits a line.
fn rounded(ms: u64) -> u64 {
    match ms.min(LONGEST_MS) {
        ms @ 0..100 => ms,
        ms @ 100..1000 => ms - ms % 10,
        ms => ms - ms % 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 77 }
    }

    fn line(request: Request) -> String {
        let Op::Write(bytes) = request.op else { panic!("a read") };
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn counts_are_reported_when_they_change_and_not_more_often() {
        let mut counts = Counts::new("worker");
        counts.begin(at(0));
        assert_eq!(counts.report_at(), None);
        counts.took(12, 0, at(1000));
        counts.took(12, 3, at(1100));
        counts.refused(at(1200));
        assert_eq!((counts.report_at(), counts.report(2, at(1249))), (Some(1250), None));
        assert_eq!(
            line(counts.report(2, at(1250)).unwrap()),
            "{\"from\":\"worker\",\"life\":77,\"records\":2,\"bytes\":24,\"backpressure\":1,\"dropped\":0,\
             \"times\":[[0,1],[3,1]]}\n"
        );
        counts.took(1, 0, at(1300));
        assert_eq!(counts.report_at(), None, "one is on its way");
        counts.reported(true, at(1400));
        assert_eq!(counts.report_at(), Some(1550));
    }

    #[test]
    fn a_report_that_was_lost_is_made_again() {
        let mut counts = Counts::new("worker");
        counts.took(1, 5, at(0));
        counts.report(2, at(250)).unwrap();
        counts.took(1, 5, at(260));
        counts.reported(false, at(300));
        let again = line(counts.report(2, at(510)).unwrap());
        assert!(again.contains("\"records\":2") && again.ends_with("\"times\":[[5,2]]}\n"), "{again}");
    }

    #[test]
    fn a_report_fits_its_line() {
        let mut counts = Counts { life: u64::MAX >> 11, ..Counts::new("worker") };
        (0..LONGEST_MS * 2).for_each(|ms| (0..20).for_each(|_| counts.took(4096, ms, at(0))));
        assert!(line(counts.report(2, at(250)).unwrap()).len() < 4096);
    }
}
