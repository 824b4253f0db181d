//! The pipeline around a counter: `add N` adds, `sub N` must not go below zero.

use super::*;
use crate::refusal::{Refusal, Word};
use crate::srv::{Dir, Engine, JOURNALED, Limits, Op, Request, Service, Tree};
use crate::wire::{MSIZE_MAX, NOFID, NOTAG, Names, Rmsg, Tmsg, VERSION, decode_r};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

mod away;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum(i64);

#[derive(Default)]
struct Counter {
    ahead: Sum,
    settled: Sum,
    seen: BTreeMap<String, u64>,
    is_ready: bool,
    until_ms: Option<u64>,
}

impl Sum {
    fn apply(&mut self, n: i64) -> Result<String, Refusal> {
        let sum = self.0 + n;
        if sum < 0 {
            return Err(Refusal::new(Word::Quota, "below zero"));
        }
        self.0 = sum;
        Ok(format!("OK ADD sum={sum}"))
    }
}

impl Service for Counter {}

impl Ledger for Counter {
    /// How much; and the name of a command that may come twice.
    type Command = (i64, Option<String>);

    fn parse(&self, _: &str, line: &str) -> Result<Self::Command, (String, Refusal)> {
        let (number, id) = line.split_once(' ').map_or((line, None), |(n, id)| (n, Some(id.to_string())));
        let n = number.parse().map_err(|_| ("ADD".to_string(), Refusal::from(Word::Invalid)))?;
        Ok((n, id))
    }
    fn verb(_: &Self::Command) -> &str {
        "ADD"
    }
    fn ask_first(&self, _: &Who, command: &Self::Command) -> Option<Request> {
        let op = Op::Write(b"77\n".to_vec());
        (command.0 == 77).then(|| Request { id: 0, server: "bank", root: "", path: "ctl".into(), op })
    }
    fn check(&self, entry: &Entry<Self::Command>) -> Result<(), Refusal> {
        self.ahead.clone().apply(entry.command.0).map(drop)
    }
    fn is_repeated(&self, command: &Self::Command) -> bool {
        command.1.as_ref().is_some_and(|id| self.seen.contains_key(id))
    }
    fn stage(&mut self, entry: &Entry<Self::Command>) -> Result<Staged, Refusal> {
        if let Some(id) = &entry.command.1
            && let Some(seq) = self.seen.get(id)
        {
            return Ok(if *seq == 0 {
                Staged::Wait
            } else {
                Staged::Again(format!("OK ADD seq={seq} dup=1"))
            });
        }
        let ack = self.ahead.apply(entry.command.0)?;
        if let Some(id) = &entry.command.1 {
            self.seen.insert(id.clone(), 0);
        }
        Ok(Staged::New { cmd: entry.command.0.to_string(), ack })
    }
    fn commit(&mut self, entry: &Entry<Self::Command>, ack: &str, _: Option<Token>) -> Verdict {
        let _ = self.settled.apply(entry.command.0);
        if let Some(id) = &entry.command.1 {
            self.seen.insert(id.clone(), entry.seq);
        }
        Verdict::Ack(ack.to_string())
    }
    fn roll_back(&mut self) {
        self.ahead = self.settled;
        self.seen.retain(|_, seq| *seq > 0);
    }
    fn restore(&mut self, snapshot: &str) -> Result<Mark, String> {
        self.settled = Sum(snapshot.trim().parse().map_err(|_| "bad snapshot".to_string())?);
        Ok(Mark::default())
    }
    fn replay(&mut self, line: &str) -> Result<Mark, String> {
        let number =
            |key: &str| line.split_once(key).and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        if let Some(n) = number("\"cmd\":") {
            let _ = self.settled.apply(n);
        }
        let seq = number("\"seq\":").ok_or("no seq")?;
        Ok(Mark { seq: seq as u64, ts_ms: number("\"ts_ms\":").unwrap_or(0) as u64 })
    }
    fn is_restored(&mut self, _: Now) {
        self.is_ready = true;
    }
    fn due(&mut self, ts_ms: u64) -> (Vec<Self::Command>, Option<u64>) {
        match self.until_ms {
            Some(at) if at <= ts_ms => {
                self.until_ms = None;
                (vec![(100, None)], None)
            }
            at => (Vec::new(), at),
        }
    }
    fn system_path(&self) -> &'static str {
        "/sum/system"
    }
}

/// The question about its ctl before anybody has written to it.
const AHEAD: &str =
    r#"[{"path":"/sum/ctl","role":"","subject":"","ticket":"","session":0,"take":false,"ahead":true}]"#;

/// A server with one ctl, one client, and whoever answers for the others.
struct Desk {
    engine: Engine<Counter>,
    has_gate: bool,
    conn: u32,
    now: Now,
    tag: u16,
}

impl Desk {
    fn new(audit: Option<&'static str>, policy: Option<&'static str>) -> Desk {
        let now = Now { mono_ms: 1000, wall_ms: 5000 };
        let journal = Journal { audit, policy, pending: 8 };
        let tree =
            Tree::new(Counter::default(), Dir::new().ctl("ctl", 0o600, 100, "/sum/ctl")).journaled(journal);
        let mut engine = Engine::new(tree, Limits { tells_detail: true, ..Limits::default() }, now);
        engine.start(now);
        let conn = engine.connect();
        let mut desk = Desk { engine, has_gate: policy.is_some(), conn, now, tag: 0 };
        let aname = Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen::00ff", aname: "", n_uname: 7 };
        desk.say(NOTAG, &Tmsg::Version { msize: MSIZE_MAX, version: VERSION });
        desk.say(1, &aname);
        for fid in 1..20 {
            desk.say(1, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&["ctl"][..]) });
            desk.say(1, &Tmsg::Lopen { fid, flags: 2 });
        }
        desk.replies();
        desk
    }

    fn say(&mut self, tag: u16, msg: &Tmsg) {
        let mut frame = Vec::new();
        msg.encode(tag, &mut frame);
        assert_eq!(self.engine.feed(self.conn, &frame, self.now), Some(frame.len()));
    }

    /// Writes a command on a fid of its own; its tag.
    fn write(&mut self, line: &str) -> u16 {
        self.tag += 1;
        let (tag, data) = (self.tag, format!("{line}\n"));
        self.say(tag, &Tmsg::Write { fid: u32::from(tag), offset: 0, data: data.as_bytes() });
        tag
    }

    fn requests(&mut self) -> Vec<Request> {
        self.engine.settle(self.now);
        self.engine.outbox()
    }

    fn answer(&mut self, request: &Request, said: Result<&str, Word>) {
        let answer = said.map(|said| said.as_bytes().to_vec()).map_err(Refusal::from);
        self.engine.reply(request.id, answer, self.now);
    }

    /// What has come, by tag: None for done, or the word of the refusal.
    fn replies(&mut self) -> Vec<(u16, Option<Word>)> {
        self.refusals().into_iter().map(|(tag, refusal)| (tag, refusal.map(|it| it.word))).collect()
    }

    /// The same with what is said of it.
    fn refusals(&mut self) -> Vec<(u16, Option<Refusal>)> {
        self.engine.settle(self.now);
        let out = self.engine.output(self.conn).to_vec();
        self.engine.consume(self.conn, out.len());
        let mut rest = &out[..];
        let mut all = Vec::new();
        while rest.len() >= 4 {
            let (frame, tail) =
                rest.split_at(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize);
            rest = tail;
            all.push(match decode_r(frame).unwrap() {
                (tag, Rmsg::Lerror { ecode, detail }) => {
                    (tag, Some(Refusal::new(Word::from_errno(ecode).unwrap(), detail.0.to_string())))
                }
                (tag, _) => (tag, None),
            });
        }
        all
    }

    /// Answers the first reading of the journal, and where there is a gate the first question to it.
    fn open(&mut self, snapshot: &str) {
        self.open_with(snapshot, Ok("OK GATE 0=gated gen=0\n"));
    }

    fn open_with(&mut self, snapshot: &str, gate: Result<&str, Word>) {
        let asked = self.requests();
        assert_eq!((asked[0].server, &*asked[0].path), ("audit", "snapshot"));
        self.answer(&asked[0], Ok(snapshot));
        let asked = self.requests();
        assert_eq!(asked[0].path, "from/1");
        self.answer(&asked[0], Ok(""));
        if self.has_gate {
            let asked = self.requests();
            assert_eq!(line(&asked[0]), AHEAD);
            self.answer(&asked[0], gate);
        }
    }

    /// What a server of the hive reads in `[journaled]/open`.
    fn is_open(&mut self) -> bool {
        let conn = self.engine.connect();
        let attach = Tmsg::Attach { fid: 0, afid: NOFID, uname: "server:init", aname: JOURNALED, n_uname: 0 };
        let ours = core::mem::replace(&mut self.conn, conn);
        self.say(NOTAG, &Tmsg::Version { msize: MSIZE_MAX, version: VERSION });
        self.say(1, &attach);
        self.say(2, &Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&["open"][..]) });
        self.say(3, &Tmsg::Lopen { fid: 1, flags: 0 });
        let said = self.replies();
        self.conn = ours;
        assert!(said[..3].iter().all(|(_, word)| word.is_none()), "{said:?}");
        match said[3].1 {
            None => true,
            word => {
                assert_eq!(word, Some(Word::Busy));
                false
            }
        }
    }
}

fn line(request: &Request) -> &str {
    match &request.op {
        Op::Write(data) => core::str::from_utf8(data).unwrap().trim_end(),
        Op::Read => "",
    }
}

#[test]
fn without_a_journal_commands_are_numbered_here() {
    let mut desk = Desk::new(None, None);
    let (one, two) = (desk.write("5"), desk.write("-9"));
    assert_eq!(desk.replies(), [(two, Some(Word::Quota)), (one, None)]);
    assert_eq!(desk.engine.tree.state.settled, Sum(5));
}

#[test]
fn a_command_is_acknowledged_when_it_is_durable_and_not_before() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let one = desk.write("5");
    let asked = desk.requests();
    assert_eq!(
        line(&asked[0]),
        r#"[{"ts_ms":5000,"kind":"ctl","role":"queen","subject":"","ticket":"00ff","session":7,"path":"/sum/ctl","cmd":5,"ack":"OK ADD sum=5"}]"#
    );
    assert_eq!(desk.replies(), []);
    assert_eq!(desk.engine.tree.state.settled, Sum(0));
    let (two, three) = (desk.write("6"), desk.write("7"));
    assert_eq!(desk.requests(), [], "one append is out at a time");
    desk.answer(&asked[0], Ok("OK APPEND seq=12 n=1\n"));
    assert_eq!(desk.replies(), [(one, None)]);
    let asked = desk.requests();
    assert_eq!(line(&asked[0]).matches("\"cmd\"").count(), 2, "those that came meanwhile go together");
    desk.answer(&asked[0], Ok("OK APPEND seq=14 n=2\n"));
    assert_eq!(desk.replies(), [(two, None), (three, None)]);
    assert_eq!(desk.engine.tree.state.settled, Sum(18));
}

#[test]
fn nothing_is_taken_before_the_journal_is_known() {
    let mut desk = Desk::new(Some("audit"), None);
    let one = desk.write("5");
    assert_eq!(desk.replies(), [(one, Some(Word::Busy))]);
    desk.open("40");
    let state = &desk.engine.tree.state;
    assert!(state.is_ready);
    assert_eq!((state.settled, state.ahead), (Sum(40), Sum(40)));
}

#[test]
fn a_server_says_when_it_takes_commands() {
    let mut desk = Desk::new(Some("audit"), None);
    assert!(!desk.is_open());
    desk.open("40");
    assert!(desk.is_open());
    assert!(Desk::new(None, None).is_open(), "there is no journal to be read");
}

#[test]
fn a_file_that_nobody_has_written_to_is_open_while_the_gate_is_away() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    // The gate starts later.
    desk.open_with("0", Err(Word::Busy));
    assert_eq!(desk.requests(), [], "not at once again");
    assert_eq!(desk.engine.deadline_ms(), Some(1500));
    desk.now.mono_ms = 1500;
    let ask = desk.requests();
    assert_eq!(line(&ask[0]), AHEAD);
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1\n"));
    assert_eq!(desk.requests(), []);
    let one = desk.write("1");
    let ask = desk.requests();
    assert_eq!(ask[0].path, "gate");
    desk.answer(&ask[0], Err(Word::Busy));
    let look = desk.requests();
    assert_eq!(look[0].path, "from/1", "is there a new rule?");
    desk.answer(&look[0], Ok(""));
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(one, None)]);
}

#[test]
fn a_lost_append_is_looked_up_in_the_journal() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let one = desk.write("5");
    let append = desk.requests();
    let (two, three) = (desk.write("6"), desk.write("7"));
    desk.answer(&append[0], Err(Word::Busy));
    assert_eq!(desk.replies(), [(two, Some(Word::Busy)), (three, Some(Word::Busy))], "not sent: certain");
    let four = desk.write("8");
    assert_eq!(desk.replies(), [(four, Some(Word::Busy))]);
    let asked = desk.requests();
    assert_eq!(asked[0].path, "from/1");
    desk.answer(&asked[0], Err(Word::Busy));
    assert_eq!(desk.requests(), [], "not at once again");
    desk.now.mono_ms += 50;
    let asked = desk.requests();
    let body = line(&append[0]).trim_start_matches("[{").trim_end_matches("}]");
    let records = format!(
        "{{\"seq\":1,\"ts_ms\":1,\"kind\":\"ctl\",\"cmd\":30,\"ack\":\"\",\"prev\":\"\"}}\n{{\"seq\":2,{body},\"prev\":\"\"}}\n"
    );
    desk.answer(&asked[0], Ok(&records));
    assert_eq!(desk.replies(), [(one, None)]);
    let asked = desk.requests();
    assert_eq!(asked[0].path, "from/3");
    desk.answer(&asked[0], Ok(""));
    let state = &desk.engine.tree.state;
    assert_eq!((state.settled, state.ahead), (Sum(35), Sum(35)));
}

#[test]
fn what_the_journal_does_not_have_has_not_happened() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let one = desk.write("5");
    let append = desk.requests();
    desk.answer(&append[0], Err(Word::Busy));
    let asked = desk.requests();
    desk.answer(&asked[0], Ok(""));
    assert_eq!(desk.replies(), [(one, Some(Word::Busy))]);
    assert_eq!(desk.engine.tree.state.ahead, Sum(0));
    let two = desk.write("6");
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(two, None)]);
}

#[test]
fn a_command_in_doubt_does_not_wait_for_ever() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let one = desk.write("5");
    let append = desk.requests();
    desk.answer(&append[0], Err(Word::Busy));
    desk.requests();
    desk.now.mono_ms += 4000;
    assert!(desk.engine.deadline_ms().is_some_and(|at| at <= desk.now.mono_ms));
    assert_eq!(desk.replies(), [(one, Some(Word::Busy))]);
}

#[test]
fn a_duplicate_waits_for_its_first_and_has_the_same_answer() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let (one, two) = (desk.write("5 a"), desk.write("5 a"));
    let append = desk.requests();
    assert_eq!(line(&append[0]).matches("\"cmd\"").count(), 1);
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(one, None), (two, None)]);
    assert_eq!(desk.engine.tree.state.settled, Sum(5));
}

#[test]
fn a_gated_command_is_checked_before_an_approval_is_taken() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let (bad, good, other) = (desk.write("-1"), desk.write("5"), desk.write("6"));
    let ask = desk.requests();
    assert_eq!(ask[0].path, "gate");
    assert_eq!(line(&ask[0]).matches("\"take\":false").count(), 3);
    desk.answer(&ask[0], Ok("OK GATE 0=gated 1=gated 2=pass gen=1\n"));
    assert_eq!(desk.replies(), [(bad, Some(Word::Quota))], "invalid: no approval is taken for it");
    let ask = desk.requests();
    assert_eq!(line(&ask[0]).matches("\"take\":false").count(), 1);
    desk.answer(&ask[0], Ok("OK GATE 0=gated gen=1\n"));
    let ask = desk.requests();
    assert!(line(&ask[0]).contains("\"take\":true"));
    desk.answer(&ask[0], Ok("OK GATE 0=approved:a-1 gen=1\n"));
    let append = desk.requests();
    assert_eq!(line(&append[0]).matches("\"cmd\"").count(), 2);
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=2\n"));
    assert_eq!(desk.replies(), [(good, None), (other, None)]);
}

#[test]
fn a_duplicate_takes_no_approval() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let first = desk.write("5 a");
    for answer in ["OK GATE 0=gated gen=1\n", "OK GATE 0=approved:a-1 gen=1\n"] {
        let ask = desk.requests();
        desk.answer(&ask[0], Ok(answer));
    }
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(first, None)]);
    let again = desk.write("5 a");
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=gated gen=1\n"));
    assert_eq!(desk.replies(), [(again, None)]);
    assert!(desk.requests().is_empty(), "nothing is taken, nothing is journaled");
    assert_eq!(desk.engine.tree.state.settled, Sum(5));
}

#[test]
fn what_another_server_must_agree_to_is_asked_of_it_before_the_journal() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let (one, two) = (desk.write("77"), desk.write("77"));
    let asked = desk.requests();
    assert_eq!(asked.iter().map(|ask| ask.server).collect::<Vec<_>>(), ["bank", "bank"]);
    desk.answer(&asked[0], Err(Word::NotFound));
    assert_eq!((desk.replies(), desk.requests()), (Vec::from([(one, Some(Word::NotFound))]), Vec::new()));
    desk.answer(&asked[1], Ok("OK TRY\n"));
    let append = desk.requests();
    assert_eq!(line(&append[0]).matches("\"cmd\"").count(), 1);
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(two, None)]);
}

#[test]
fn a_refused_gate_journals_nothing() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let (one, two) = (desk.write("1"), desk.write("2"));
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=gated 1=permission gen=1\n"));
    assert_eq!(desk.replies(), [(two, Some(Word::Permission))]);
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=policy gen=1\n"));
    assert_eq!(desk.replies(), [(one, Some(Word::Policy))]);
    assert_eq!(desk.requests(), []);
}

#[test]
fn a_gate_that_is_away_holds_back_what_it_has_not_passed_before() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let one = desk.write("1");
    let ask = desk.requests();
    desk.answer(&ask[0], Err(Word::Busy));
    assert_eq!(desk.replies(), [], "its server may be back soon");
    desk.now.mono_ms += 1000;
    let ask = desk.requests();
    desk.answer(&ask[0], Err(Word::Busy));
    assert_eq!(desk.replies(), [(one, Some(Word::Busy))]);
    let two = desk.write("2");
    let ask = desk.requests();
    desk.answer(&ask[0], Err(Word::Busy));
    assert_eq!(desk.requests(), [], "not at once again");
    desk.now.mono_ms += 50;
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1\n"));
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(two, None)]);
    let three = desk.write("3");
    let ask = desk.requests();
    desk.answer(&ask[0], Err(Word::Busy));
    let look = desk.requests();
    assert_eq!((look[0].server, &*look[0].path), ("audit", "from/1"), "is there a new rule?");
    desk.answer(&look[0], Ok(&record(2, "/queen/ctl")));
    let look = desk.requests();
    assert_eq!(look[0].path, "from/3");
    desk.answer(&look[0], Ok(""));
    let append = desk.requests();
    assert_eq!(append[0].path, "append", "there is none");
    desk.answer(&append[0], Ok("OK APPEND seq=3 n=1\n"));
    assert_eq!(desk.replies(), [(three, None)]);
}

fn record(seq: u64, path: &str) -> String {
    format!("{{\"seq\":{seq},\"ts_ms\":5000,\"kind\":\"ctl\",\"path\":\"{path}\"}}\n")
}

#[test]
fn a_rule_that_came_just_before_the_gate_went_away_holds() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let one = desk.write("1");
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1\n"));
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    let two = desk.write("2");
    let ask = desk.requests();
    desk.answer(&ask[0], Err(Word::Busy));
    let look = desk.requests();
    desk.answer(&look[0], Ok(&record(2, "/policy/ctl")));
    desk.now.mono_ms += 1000;
    let ask = desk.requests();
    assert_eq!(ask[0].path, "gate");
    desk.answer(&ask[0], Err(Word::Busy));
    assert_eq!(desk.replies(), [(one, None), (two, Some(Word::Busy))]);
    let ask = desk.requests();
    assert_eq!(line(&ask[0]), AHEAD, "what is open is not known any more");
    desk.answer(&ask[0], Err(Word::Busy));
    // Without the journal nobody knows.
    desk.now.mono_ms += 50;
    let three = desk.write("3");
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=2\n"));
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=3 n=1\n"));
    let four = desk.write("4");
    let ask = desk.requests();
    desk.answer(&ask[0], Err(Word::Busy));
    let look = desk.requests();
    desk.answer(&look[0], Err(Word::Busy));
    assert_eq!(desk.replies(), [(three, None), (four, Some(Word::Busy))]);
}

#[test]
fn what_time_calls_for_is_journaled_like_a_command() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.engine.tree.state.until_ms = Some(5040);
    desk.open("0");
    assert_eq!(desk.requests(), []);
    assert_eq!(desk.engine.deadline_ms(), Some(1040));
    desk.now = Now { mono_ms: 1040, wall_ms: 1 };
    let append = desk.requests();
    assert!(
        line(&append[0]).starts_with(r#"[{"ts_ms":5040,"kind":"system","role":"","#),
        "a clock that was set back"
    );
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    desk.requests();
    assert_eq!(desk.engine.tree.state.settled, Sum(100));
}

#[test]
fn no_jump_of_the_clock_moves_the_time_of_records_or_what_it_calls_for() {
    const YEARS: u64 = 10 * 366 * 24 * 3600 * 1000;
    for wall_ms in [0, 1, 4999, 5000, 5039, 5041, 5100, 60_000, 3_600_000, YEARS, 7 * YEARS, u64::MAX] {
        let mut desk = Desk::new(Some("audit"), None);
        desk.engine.tree.state.until_ms = Some(5040);
        desk.open("0");
        // The wall clock jumps, the other goes on: too early for what is due.
        desk.now = Now { mono_ms: 1039, wall_ms };
        assert_eq!(desk.requests(), [], "early, with {wall_ms}");
        desk.now.mono_ms = 1040;
        let append = desk.requests();
        assert!(line(&append[0]).starts_with("[{\"ts_ms\":5040,"), "{wall_ms}: {}", line(&append[0]));
    }
}

#[test]
fn commands_on_their_way_are_bounded() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let tags: Vec<u16> = (0..10).map(|_| desk.write("1")).collect();
    assert_eq!(desk.replies(), [(tags[8], Some(Word::Busy)), (tags[9], Some(Word::Busy))]);
}

#[test]
fn a_file_without_a_rule_is_not_asked_about_again_while_that_is_promised() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let one = desk.write("1");
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1 lease_ms=200\n"));
    let append = desk.requests();
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    desk.now.mono_ms += 199;
    let two = desk.write("2");
    let append = desk.requests();
    assert_eq!(append[0].path, "append");
    desk.answer(&append[0], Ok("OK APPEND seq=2 n=1\n"));
    desk.now.mono_ms += 1;
    desk.write("3");
    assert_eq!(desk.requests()[0].path, "gate");
    assert_eq!(desk.replies(), [(one, None), (two, None)]);
}

#[test]
fn a_gate_that_does_not_answer_is_away() {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let one = desk.write("1");
    let ask = desk.requests();
    desk.now.mono_ms += 2000;
    assert_eq!(desk.replies(), [(one, Some(Word::Busy))]);
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1\n"));
    assert!(desk.requests().iter().all(|request| line(request) == AHEAD), "it is too late");
}

#[test]
fn a_table_of_ctls_is_journaled_under_the_path_of_each_entry() {
    let mut desk = Desk::new(Some("audit"), None);
    let journal = Journal { audit: Some("audit"), policy: None, pending: 8 };
    let path = |_: &Counter, key| (key < 2).then(|| alloc::format!("/sum/{key}/ctl"));
    let dir = Dir::new().each(
        |_, _, _| {},
        |_, _, name| name.parse().ok(),
        Dir::new().with("ctl", crate::srv::File::ctl_of(0o600, 100, path)),
    );
    let tree = Tree::new(Counter::default(), dir).journaled(journal);
    desk.engine = Engine::new(tree, Limits::default(), desk.now);
    desk.engine.start(desk.now);
    desk.conn = desk.engine.connect();
    let attach = Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: 7 };
    desk.say(NOTAG, &Tmsg::Version { msize: MSIZE_MAX, version: VERSION });
    desk.say(1, &attach);
    for (fid, name) in [(1, "1"), (2, "2")] {
        desk.say(1, &Tmsg::Walk { fid: 0, newfid: fid, names: Names::from(&[name, "ctl"][..]) });
        desk.say(1, &Tmsg::Lopen { fid, flags: 2 });
    }
    desk.replies();
    desk.open("0");
    let (one, two) = (desk.write("5"), desk.write("6"));
    let append = desk.requests();
    assert!(line(&append[0]).contains("\"path\":\"/sum/1/ctl\",\"cmd\":5"), "{}", line(&append[0]));
    assert_eq!(desk.replies(), [(two, Some(Word::Busy))], "its entry is gone");
    desk.answer(&append[0], Ok("OK APPEND seq=1 n=1\n"));
    assert_eq!(desk.replies(), [(one, None)]);
}
