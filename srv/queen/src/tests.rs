//! The queen with the journal, init and the other servers played by hand.

use crate::{Config, Minter, Owners, Queen};
use authority::{Command, LIFECYCLE, QUEEN};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Entry, Journal, Ledger, Now, Op, Request, Service, Staged, Token, Verdict, Who};
use std::collections::HashMap;

struct Hive {
    queen: Queen,
    now: Now,
    seq: u64,
    /// Records, as the journal would keep them.
    journal: Vec<String>,
    /// What servers were told, `door {"phase":"ONLINE"}`.
    told: Vec<String>,
    /// Servers that are away.
    away: Vec<&'static str>,
    /// Init's files.
    files: HashMap<&'static str, String>,
    /// What clients were answered in the end.
    answered: Vec<Verdict>,
}

fn config() -> Config {
    Config {
        authority: authority::Config::default(),
        journal: Journal { audit: Some("audit"), policy: None, pending: 16 },
        ctl_line_bytes: 2048,
        door: "unix!/run/door".into(),
        programs: HashMap::from([("heartbeat".into(), "worker-heart".into())]),
        frame_schema: manifest::FrameSchema::Text,
        has_telemetry: false,
        owners: Owners::of_parts(&["worker"]),
        required: vec!["log".into(), "door".into()],
    }
}

impl Hive {
    fn new() -> Hive {
        let queen = Queen::new(config(), Minter::known());
        let files = HashMap::from([
            ("hive", "hive name=hive pid=7 state=BOOTING since_ms=5".to_string()),
            ("workers", String::new()),
            ("status", "log pid=1 state=up\ndoor pid=2 state=starting\n".to_string()),
        ]);
        let now = Now { mono_ms: 1000, wall_ms: 1000 };
        let (journal, told, answered) = (Vec::new(), Vec::new(), Vec::new());
        Hive { queen, now, seq: 0, journal, told, away: Vec::new(), files, answered }
    }

    fn online() -> Hive {
        let mut hive = Hive::new();
        hive.begin();
        hive.files.insert("status", "log pid=1 state=up\ndoor pid=2 state=up\n".into());
        hive.event(r#"{"servers":{}}"#);
        hive
    }

    /// The queen's start, with what the journal has.
    fn begin(&mut self) {
        self.queen.restore("{\"seq\":0}").unwrap();
        for line in &self.journal {
            self.queen.replay(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        }
        self.queen.is_restored(self.now);
        self.turn();
    }

    /// A queen who knows nothing but the journal.
    fn restart(&mut self) {
        self.queen = Queen::new(config(), Minter::known());
        self.begin();
    }

    fn event(&mut self, line: &str) -> Verdict {
        let who = Who::from_uname("server:init", 0);
        let call = Call { key: 0, who: &who, now: self.now, token: Token::default() };
        let verdict = self.queen.event(&call, line);
        self.turn();
        verdict
    }

    /// A client's command, all the way; the refusal's word, or the acknowledgement.
    fn give(&mut self, path: &str, line: &str) -> Result<String, Word> {
        let command = self.queen.parse(path, line).map_err(|(_, refusal)| refusal.word)?;
        let verdict = self.record("ctl", path, command, Some(Token::default()))?;
        self.turn();
        for _ in 0..100 {
            if verdict == Verdict::Later && self.answered.is_empty() {
                self.now.mono_ms += 50;
                self.turn();
            }
        }
        match if verdict == Verdict::Later { self.answered.pop().unwrap() } else { verdict } {
            Verdict::Ack(ack) => Ok(ack),
            Verdict::Refuse { refusal, .. } => Err(refusal.word),
            Verdict::Later => panic!("later for ever"),
        }
    }

    fn record(
        &mut self,
        kind: &str,
        path: &str,
        command: Command,
        token: Option<Token>,
    ) -> Result<Verdict, Word> {
        let who = Who::from_uname(if token.is_some() { "queen" } else { "" }, 7);
        let entry = |seq| Entry { seq, ts_ms: self.now.wall_ms, who: &who, command: &command };
        let (cmd, ack) = match self.queen.stage(&entry(0)).map_err(|refusal| refusal.word)? {
            Staged::New { cmd, ack } => (cmd, ack),
            Staged::Again(ack) => return Ok(Verdict::Ack(ack)),
            Staged::Wait => panic!("nothing is on its way"),
        };
        self.seq += 1;
        let (seq, ts_ms, role) = (self.seq, self.now.wall_ms, &who.role);
        let verdict = self.queen.commit(&entry(seq), &format!("{ack} seq={seq}"), token);
        let ack = ack.replace('"', "\\\"");
        self.journal.push(format!(
            "{{\"seq\":{seq},\"ts_ms\":{ts_ms},\"kind\":\"{kind}\",\"role\":\"{role}\",\"subject\":\"\",\
             \"ticket\":\"\",\"session\":7,\"path\":\"{path}\",\"cmd\":{cmd},\"ack\":\"{ack}\",\"prev\":\"{:064}\"}}",
            0
        ));
        Ok(verdict)
    }

    /// Everything that goes on by itself.
    fn turn(&mut self) {
        for _ in 0..100 {
            if self.queen.deadline_ms().is_some_and(|at| at <= self.now.mono_ms) {
                self.queen.tick(self.now);
            }
            let mut commands = self.queen.reported();
            commands.extend(self.queen.due(self.now.wall_ms).0);
            let requests = self.queen.outbox();
            if commands.is_empty() && requests.is_empty() {
                self.answered.extend(self.queen.completions().into_iter().map(|(_, verdict)| verdict));
                return;
            }
            for command in commands {
                let _ = self.record("system", self.queen.system_path(), command, None);
            }
            requests.into_iter().for_each(|request| self.serve(request));
        }
        panic!("the queen does not come to rest");
    }

    /// What the other servers do.
    fn serve(&mut self, request: Request) {
        let Request { id, server, path, op, .. } = request;
        let answer = match op {
            _ if self.away.contains(&server) => Err(Refusal::new(Word::Busy, "away")),
            Op::Read => Ok(self.files.get(&*path).cloned().unwrap_or_default().into_bytes()),
            Op::Write(line) => {
                self.told.push(format!("{server} {}", String::from_utf8_lossy(&line).trim_end()));
                Ok(Vec::new())
            }
        };
        if id != 0 {
            self.queen.reply(id, answer, self.now);
        }
    }

    fn was_told(&self, what: &str) -> bool {
        self.told.iter().any(|line| line.contains(what))
    }
}

const SPAWN: &str = r#"{"spawn":"heartbeat","ticks":3}"#;

#[test]
fn the_hive_is_online_when_init_says_that_all_servers_answer() {
    let mut hive = Hive::new();
    assert_eq!(hive.give(QUEEN, SPAWN), Err(Word::Busy));
    hive.begin();
    assert_eq!(hive.queen.state.phase(), authority::Phase::Booting);
    assert_eq!(hive.give(QUEEN, SPAWN), Err(Word::Busy));
    hive.files.insert("status", "log pid=1 state=up\ndoor pid=2 state=up\n".into());
    hive.event(r#"{"servers":{}}"#);
    assert_eq!(hive.queen.state.phase(), authority::Phase::Online);
    assert!(hive.was_told(r#"door {"phase":"ONLINE"}"#) && hive.was_told(r#"worker {"phase":"ONLINE"}"#));
    hive.files.insert("status", "log pid=1 state=waiting\ndoor pid=2 state=up\n".into());
    hive.event(r#"{"servers":{}}"#);
    assert_eq!(hive.queen.state.phase_since().0, "lost:log");
}

#[test]
fn a_gate_that_does_not_take_questions_is_missing() {
    let mut hive = Hive::new();
    hive.queen.config.journal.policy = Some("policy");
    hive.queen.config.required.push("policy".into());
    hive.begin();
    hive.away = vec!["policy"];
    hive.files.insert("status", "log pid=1 state=up\ndoor pid=2 state=up\npolicy pid=3 state=up\n".into());
    hive.event(r#"{"servers":{}}"#);
    assert_eq!(hive.queen.state.phase(), authority::Phase::Booting);
    hive.away.clear();
    hive.now.mono_ms += 20;
    hive.turn();
    assert_eq!(hive.queen.state.phase(), authority::Phase::Online);
    hive.files
        .insert("status", "log pid=1 state=up\ndoor pid=2 state=up\npolicy pid=- state=waiting\n".into());
    hive.event(r#"{"servers":{}}"#);
    assert_eq!(hive.queen.state.phase_since().0, "lost:policy");
}

#[test]
fn a_spawned_worker_is_there_before_the_acknowledgement() {
    let mut hive = Hive::online();
    let ack = hive.give(QUEEN, SPAWN).unwrap();
    assert_eq!(ack, format!("OK SPAWN id=worker-1 seq={}", hive.seq));
    let at = |what: &str| hive.told.iter().position(|line| line.starts_with(what)).unwrap();
    assert!(at(r#"worker {"add":{"id":"worker-1""#) < at(r#"init {"start":{"worker":"worker-1""#));
    hive.give(QUEEN, r#"{"kill":"worker-1"}"#).unwrap();
    assert!(hive.was_told(r#"init {"stop":{"worker":"worker-1"}}"#));
    assert!(hive.was_told(r#"door {"ended":{"hive":"hive","runs":[[1,1]],"reason":"killed"}}"#));
    let ticket = "00112233445566778899aabbccddeeff";
    hive.give(QUEEN, &format!("{{\"revoke\":\"{ticket}\"}}")).unwrap();
    assert!(hive.was_told(&format!("door {{\"revoke\":{{\"id\":\"{ticket}\"")));
}

#[test]
fn each_worker_is_one_processs_of_several() {
    let mut hive = Hive::online();
    hive.queen.config.owners = Owners::of_parts(&["worker", "worker.1", "worker.2", "worker.3"]);
    let mut told = HashMap::new();
    for i in 1..=32 {
        let id = format!("worker-{i}");
        hive.give(QUEEN, SPAWN).unwrap();
        let label = ns::ShardLabel::parse(&ns::shard_label(&id, 8)).unwrap();
        let server = ["worker", "worker.1", "worker.2", "worker.3"][usize::from(label / 64)];
        assert!(hive.was_told(&format!("{server} {{\"add\":{{\"id\":\"{id}\"")), "{id} is {server}'s");
        told.entry(server).or_insert_with(Vec::new).push(id);
    }
    assert_eq!(told.len(), 4);
    for (server, ids) in &told {
        let (who, mut list) = (Who::from_uname(&format!("server:{server}"), 0), String::new());
        let call = Call { key: 0, who: &who, now: hive.now, token: Token::default() };
        crate::show::directories(&hive.queen, &call, &mut list).unwrap();
        assert_eq!(list.lines().count(), ids.len(), "{server} is told its own");
        assert!(ids.iter().all(|id| list.contains(&format!("\"{id}\""))));
    }
    let (server, ids) = told.iter().next().unwrap();
    hive.give(QUEEN, &format!("{{\"kill\":\"{}\"}}", ids[0])).unwrap();
    assert!(hive.was_told(&format!("{server} {{\"drop\":{{\"id\":\"{}\"}}}}", ids[0])));
    assert!(told.keys().all(|server| !hive.was_told(&format!("{server} {{\"phase\":\"DRAINING\""))));
    hive.give(LIFECYCLE, "cordon").unwrap();
    hive.give(LIFECYCLE, "drain").unwrap();
    assert!(told.keys().all(|server| hive.was_told(&format!("{server} {{\"phase\":\"DRAINING\""))));
}

#[test]
fn a_worker_that_cannot_be_started_has_come_and_ended_on_record() {
    let mut hive = Hive::online();
    hive.away = vec!["init"];
    assert!(hive.give(QUEEN, SPAWN).unwrap().starts_with("OK SPAWN id=worker-1 seq="));
    hive.turn();
    assert_eq!(hive.queen.state.workers().count(), 0);
    assert!(hive.journal.last().unwrap().contains(r#"{"end":{"worker":"worker-1","why":"failed"}}"#));
    hive.away.clear();
    assert!(hive.give(QUEEN, SPAWN).unwrap().contains("id=worker-2"));
}

#[test]
fn a_worker_starts_as_soon_as_the_server_that_was_away_is_back() {
    let mut hive = Hive::online();
    hive.away = vec!["worker"];
    let spawn = hive.queen.parse(QUEEN, SPAWN).unwrap();
    assert_eq!(hive.record("ctl", QUEEN, spawn, Some(Token::default())), Ok(Verdict::Later));
    hive.turn();
    assert!(hive.answered.is_empty() && !hive.was_told("start"));
    hive.away.clear();
    hive.now.mono_ms += 50;
    hive.turn();
    assert!(matches!(&hive.answered[..], [Verdict::Ack(ack)] if ack.starts_with("OK SPAWN id=worker-1")));
    assert!(hive.was_told(r#"init {"start":{"worker":"worker-1""#));
}

#[test]
fn a_worker_that_is_killed_before_it_has_started_is_not_started() {
    let mut hive = Hive::online();
    hive.away = vec!["worker"];
    let spawn = hive.queen.parse(QUEEN, SPAWN).unwrap();
    assert_eq!(hive.record("ctl", QUEEN, spawn, Some(Token::default())), Ok(Verdict::Later));
    hive.turn();
    let _ = hive.give(QUEEN, r#"{"kill":"worker-1"}"#);
    hive.away.clear();
    hive.now.mono_ms += 50;
    hive.turn();
    assert!(!hive.was_told("start"));
    assert!(hive.queen.flows.is_empty());
}

#[test]
fn a_queen_who_is_restarted_keeps_her_workers_and_ends_those_that_are_gone() {
    let mut hive = Hive::online();
    for _ in 0..3 {
        hive.give(QUEEN, SPAWN).unwrap();
    }
    // Two went unseen: one that she knows, one whose journaled end was never carried out.
    hive.give(QUEEN, r#"{"kill":"worker-3"}"#).unwrap();
    hive.files.insert("workers", "worker-1 pid=5\nworker-3 pid=9\n".into());
    let before = hive.queen.state.hash();
    hive.told.clear();
    hive.restart();
    let alive: Vec<_> = hive.queen.state.workers().map(|worker| worker.id.as_str()).collect();
    assert_eq!(alive, ["worker-1"]);
    assert_ne!(hive.queen.state.hash(), before);
    assert!(hive.was_told(r#"init {"stop":{"worker":"worker-3"}}"#));
    assert!(!hive.was_told(r#"init {"stop":{"worker":"worker-1"}}"#));
    // The door is told again what a crash may have swallowed.
    assert!(hive.was_told(r#"door {"ended":{"hive":"hive","runs":[[3,3]],"reason":"ended"}}"#));
    assert_eq!(hive.queen.state.phase(), authority::Phase::Online);
    assert!(hive.give(QUEEN, SPAWN).unwrap().contains("id=worker-4"));
}

#[test]
fn another_boot_ends_the_workers_of_the_last_and_keeps_what_operators_decided() {
    let mut hive = Hive::online();
    hive.give(QUEEN, SPAWN).unwrap();
    hive.give(LIFECYCLE, "cordon").unwrap();
    hive.files.insert("hive", "hive name=hive pid=8 state=BOOTING since_ms=9".into());
    hive.restart();
    assert_eq!(hive.queen.state.workers().count(), 0);
    assert_eq!(hive.queen.state.phase(), authority::Phase::Draining);
}

#[test]
fn the_same_envelope_is_answered_the_same_after_a_restart() {
    let mut hive = Hive::online();
    let line = format!(
        r#"{{"schema":"queen-ctl/v1","id":"e","idempotency_key":"k","issued_unix_ms":1,"cmd":{SPAWN}}}"#
    );
    let first = hive.give(QUEEN, &line).unwrap();
    hive.files.insert("workers", "worker-1 pid=5\n".into());
    hive.restart();
    assert_eq!(hive.give(QUEEN, &line).unwrap(), format!("{first} dup=1"));
    assert_eq!(hive.queen.state.workers().count(), 1);
    hive.turn();
    let seq = first.rsplit_once("seq=").unwrap().1;
    assert!(hive.was_told(&format!("queen duplicate SPAWN id=e key=k of seq={seq}, not done again")));
}

#[test]
fn what_is_taken_back_is_as_if_it_had_never_been() {
    let mut hive = Hive::online();
    let command = hive.queen.parse(QUEEN, SPAWN).unwrap();
    let who = Who::from_uname("queen", 7);
    let entry = Entry { seq: 0, ts_ms: 2000, who: &who, command: &command };
    assert!(matches!(hive.queen.stage(&entry), Ok(Staged::New { .. })));
    assert_ne!(hive.queen.ahead, hive.queen.state);
    hive.queen.roll_back();
    assert_eq!(hive.queen.ahead, hive.queen.state);
}

#[test]
fn what_servers_report_ends_workers_once() {
    let mut hive = Hive::online();
    for _ in 0..3 {
        hive.give(QUEEN, SPAWN).unwrap();
    }
    let ticket = hive.queen.state.worker("worker-2").unwrap().ticket.clone();
    let ops = format!(r#"{{"spent":{{"ticket":"{ticket}","what":"ops"}}}}"#);
    for line in [r#"{"exited":{"worker":"worker-1","status":"signal 9"}}"#, &ops] {
        assert_eq!(hive.event(line), Verdict::Ack("OK EVENT".into()));
        let n = hive.journal.len();
        assert_eq!(hive.event(line), Verdict::Ack("OK EVENT".into()));
        assert_eq!(hive.journal.len(), n, "{line}");
    }
    assert!(hive.was_told(r#"worker-1 reason=exited status="signal 9""#));
    assert!(hive.was_told("worker-2 reason=ops-spent"));
    for line in ["{}", "[]", r#"{"exited":["worker-3","x"]}"#, r#"{"spent":{"worker":null,"what":"ops"}}"#] {
        assert!(matches!(hive.event(line), Verdict::Refuse { .. }), "{line}");
    }
    assert_eq!(hive.queen.state.workers().count(), 1);
}

#[test]
fn what_cuts_her_off_is_recorded_once_and_the_door_is_told() {
    let mut hive = Hive::online();
    let cut = |reason: &str, holds: bool| format!(r#"{{"cut":{{"reason":"{reason}","holds":{holds}}}}}"#);
    for (reason, holds, said) in [
        ("policy_denied", true, "policy_denied"),
        ("session_revoked", true, "session_revoked"),
        ("policy_denied", false, "session_revoked"),
        ("session_revoked", false, "none"),
    ] {
        let n = hive.journal.len();
        for _ in 0..2 {
            assert_eq!(hive.event(&cut(reason, holds)), Verdict::Ack("OK EVENT".into()));
        }
        assert_eq!(hive.journal.len(), n + 1, "{reason} holds={holds}");
        let order = format!("door {{\"cut\":\"{said}\"}}");
        assert_eq!(hive.told.iter().rfind(|line| line.starts_with("door {\"cut\"")), Some(&order));
    }
    hive.event(&cut("policy_denied", true));
    hive.event(&cut("session_revoked", true));
    hive.restart();
    assert!(hive.was_told(r#"{"cut":"session_revoked"}"#), "a door is reminded");
    // Of another boot: sessions are others, rules are not.
    hive.files.insert("hive", "hive name=hive pid=8 state=BOOTING since_ms=6".into());
    hive.restart();
    assert_eq!(hive.queen.state.cut().map(authority::Cut::word), Some("policy_denied"));
    for line in [cut("lifecycle_offline", true), cut("boredom", true)] {
        assert!(matches!(hive.event(&line), Verdict::Refuse { .. }), "{line}");
    }
}

#[test]
fn a_record_that_says_something_else_than_what_comes_out_is_not_passed_over() {
    let mut hive = Hive::online();
    hive.give(QUEEN, SPAWN).unwrap();
    let mut queen = Queen::new(config(), Minter::known());
    let other = |line: &String| line.replace("OK SPAWN id=worker-1", "OK SPAWN id=worker-9");
    assert!(hive.journal.iter().map(other).any(|line| queen.replay(&line).is_err()));
}
