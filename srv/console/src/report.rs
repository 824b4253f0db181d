//! What the consoles tell `queen.log`, and the journal: who was denied.

use ninep::refusal::Refusal;
use ninep::srv::{Dir, Now, Records, Request, Service, Tree, Who};
use rt::prelude::*;
use shell::Event;

/// Lines that wait for the log.
const LINES_MAX: usize = 256;
/// The id of an append to the journal.
const APPEND: u64 = 1;

/// The lines and records that have not gone out yet. There are no files.
pub(crate) struct Report {
    lines: Vec<String>,
    records: Records,
    now: Now,
}

impl Service for Report {
    fn deadline_ms(&self) -> Option<u64> {
        self.records.deadline_ms()
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
    }

    fn outbox(&mut self) -> Vec<Request> {
        let append = self.records.append(APPEND, self.now);
        self.lines.drain(..).map(Request::log).chain(append).collect()
    }

    fn reply(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        self.now = now;
        if id == APPEND
            && let Some(lost) = self.records.appended(answer.map(drop).map_err(|why| why.word), now)
        {
            self.line(format!("console audit records lost count={lost} reason=audit-away"));
        }
    }
}

impl Report {
    /// `is_audited` where the hive has a journal.
    pub(crate) fn tree(is_audited: bool) -> Tree<Report> {
        let records = Records::new(is_audited);
        Tree::new(Report { lines: Vec::new(), records, now: Now::default() }, Dir::new())
    }

    pub(crate) fn event(&mut self, peer: &str, event: &Event, now: Now) {
        self.now = now;
        let line = match event {
            Event::Denied { verb, lock_ms } => {
                let lock_s = lock_ms.map(|ms| ms / 1000);
                self.denied(verb, peer, lock_s);
                let locked = lock_s.map_or(String::new(), |s| format!(" locked_s={s}"));
                format!("console denied verb={verb} peer={peer}{locked}")
            }
            Event::Attached { uname } => format!("console attached peer={peer} as={uname}"),
            Event::Detached => format!("console detached peer={peer}"),
        };
        self.line(line);
    }

    /// Who it was is not known; from where is.
    fn denied(&mut self, verb: &str, peer: &str, lock_s: Option<u64>) {
        let locked = lock_s.map_or(String::new(), |s| format!(",\"locked_s\":{s}"));
        // A peer is an address or a user's number: there is nothing in it to escape.
        let cmd = format!("{{\"op\":\"{}\",\"peer\":\"{peer}\"{locked}}}", verb.to_lowercase());
        let who = Who { role: "server".into(), subject: "console".into(), ..Who::default() };
        self.records.denied(&who, "", &cmd, &format!("ERR {verb} reason=permission"), self.now);
    }

    pub(crate) fn line(&mut self, line: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ninep::srv::Op;

    #[test]
    fn a_denial_goes_to_the_log_and_to_the_journal_with_its_peer_and_lock() {
        let mut report = Report::tree(true).state;
        let lock = Event::Denied { verb: "AUTH", lock_ms: Some(90_000) };
        report.event("10.0.0.7:4021", &lock, Now { mono_ms: 1, wall_ms: 7 });
        let [log, append] = &report.outbox()[..] else { panic!("a line and a record") };
        let text = |request: &Request| match &request.op {
            Op::Write(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            _ => String::new(),
        };
        assert!(text(log).contains("console denied verb=AUTH peer=10.0.0.7:4021 locked_s=90"));
        assert_eq!((append.server, append.path.as_str()), ("audit", "append"));
        let cmd =
            r#""cmd":{"op":"auth","peer":"10.0.0.7:4021","locked_s":90},"ack":"ERR AUTH reason=permission""#;
        assert!(text(append).contains(cmd), "{}", text(append));
        // No journal, no records.
        let mut report = Report::tree(false).state;
        report.event("10.0.0.7:4021", &lock, Now::default());
        assert_eq!(report.outbox().len(), 1);
    }
}
