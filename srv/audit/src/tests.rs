//! The server's state as the loop drives it, on a real directory.

use crate::{Audit, Config, show};
use authority::State;
use journal::{AuditKey, Options, PublicKeys, Record};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Now, Op, Request, Service, Token, Verdict, Who};
use std::path::Path;

const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

fn config(dir: &Path) -> Config {
    let key = AuditKey::from_hex(SECRET).unwrap();
    let mut keys = PublicKeys::default();
    keys.add(&key.public_hex()).unwrap();
    Config {
        files: rt::Files::new(dir).below("journal"),
        store: Options { segment_bytes: 4000, journal_bytes: 16_000 },
        key,
        keys,
        decisions_bytes: 4096,
        folds: crate::fold::Folds::default(),
        fingerprint: "ab".into(),
        secrets: crate::secrets::Secrets::new(&["/host/*/pin".into()]),
    }
}

/// An audit, and a queen of sorts: her state, whose commands are recorded.
struct House {
    audit: Audit,
    queen: State,
    seq: u64,
    now: Now,
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let mut audit = Audit::open(config(dir.path())).unwrap();
        let now = Now { mono_ms: 10, wall_ms: 1_795_000_000_000 };
        audit.start(now);
        let mut house = House { audit, queen: State::new(authority::Config::default()), seq: 0, now, dir };
        // A hive is ONLINE before it takes work.
        for line in [r#"{"boot":{"id":"1"}}"#, r#"{"servers":{"missing":[]}}"#] {
            house.command("/queen/system", "system", line);
        }
        for command in house.queen.due(now.wall_ms) {
            house.command("/queen/system", "system", &command.to_json());
        }
        house
    }

    fn again(mut self) -> House {
        drop(self.audit);
        self.audit = Audit::open(config(self.dir.path())).unwrap();
        self.audit.start(self.now);
        self
    }

    fn call<'w>(&self, who: &'w Who) -> Call<'w> {
        Call { key: 0, who, now: self.now, token: Token::default() }
    }

    /// What a writer of `append` is told.
    fn append(&mut self, line: &str) -> Verdict {
        self.now.mono_ms += 1;
        self.now.wall_ms += 1;
        let who = Who::from_uname("server:queen", 0);
        let call = self.call(&who);
        match self.audit.append(&call, line) {
            Verdict::Later => self.audit.completions().pop().unwrap().1,
            verdict => verdict,
        }
    }

    fn record(&mut self, kind: &str, path: &str, cmd: &str, ack: &str) -> Verdict {
        let ts_ms = self.now.wall_ms;
        let entry = format!(
            r#"{{"ts_ms":{ts_ms},"kind":"{kind}","role":"queen","subject":"","ticket":"","session":7,"path":"{path}","cmd":{cmd},"ack":"{ack}"}}"#
        );
        self.append(&format!("[{entry}]"))
    }

    /// A command of the queen: folded by her, and recorded.
    fn command(&mut self, path: &str, kind: &str, line: &str) {
        let command = authority::parse(path, line).unwrap();
        let ts_ms = self.now.wall_ms;
        let entry = |seq| authority::Entry {
            seq,
            ts_ms,
            role: "queen",
            subject: "",
            ticket: "",
            session: 7,
            command: &command,
        };
        // Ahead of the journal, and behind it.
        let ack = self.queen.clone().fold(&entry(0)).unwrap().ack;
        self.record(kind, path, &command.to_json(), &ack);
        self.seq = self.audit.chain.store.head().next - 1;
        self.queen.fold(&entry(self.seq)).unwrap();
    }

    fn hash(&self) -> String {
        let hex: String = self.queen.hash().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("seq={} sha256={hex}\n", self.seq)
    }

    /// Runs the loop until it has nothing to do, the queen answering with `hash`.
    fn run(&mut self, hash: Option<&str>) -> Vec<Request> {
        let mut said = Vec::new();
        for _ in 0..10_000 {
            for request in self.audit.outbox() {
                if request.id == 0 {
                    said.push(request);
                    continue;
                }
                let answer =
                    hash.map(|hash| hash.as_bytes().to_vec()).ok_or(Refusal::new(Word::Busy, "away"));
                self.audit.reply(request.id, answer, self.now);
            }
            if self.audit.deadline_ms().is_none_or(|at| at > self.now.mono_ms) {
                return said;
            }
            self.audit.tick(self.now);
        }
        panic!("it never rests");
    }

    fn replay(&mut self, line: &str, hash: Option<&str>) -> String {
        let who = Who::default();
        let call = self.call(&who);
        match self.audit.replay(&call, line) {
            Verdict::Ack(_) => {}
            other => return other.line().unwrap(),
        }
        self.run(hash);
        self.audit.replay_status()
    }

    fn shown(&self, show: impl Fn(&Audit, &mut String) -> Result<(), Refusal>) -> String {
        let mut out = String::new();
        match show(&self.audit, &mut out) {
            Ok(()) => out,
            Err(refusal) => refusal.to_string(),
        }
    }

    fn records(&self) -> Vec<String> {
        self.shown(|audit, out| show::from(audit, audit.chain.store.first(), out))
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Many commands of the queen.
    fn live(&mut self, spawns: usize) {
        for i in 0..spawns {
            self.command("/queen/ctl", "ctl", r#"{"spawn":"heartbeat","ticks":5}"#);
            if i % 2 == 1 {
                let id = self.queen.workers().next().unwrap().id.clone();
                self.command("/queen/ctl", "ctl", &format!(r#"{{"kill":"{id}"}}"#));
            }
            if i % 5 == 0 {
                self.record("deny", "/queen/ctl", r#"{"op":"write"}"#, "ERR WRITE reason=permission");
            }
        }
    }
}

#[test]
fn what_is_appended_is_read_again_after_a_restart() {
    let mut house = House::new();
    house.live(5);
    let export = house.shown(show::export);
    let records = house.records();
    assert!(
        export.starts_with("journal_base=1 journal_next=13 decisions_base=6 decisions_next=7 head="),
        "{export}"
    );
    assert!(export.ends_with(" replay=on\n"));
    assert!(records[0].contains(r#""kind":"boot""#) && records[0].contains("OK BOOT"));
    let head = house.shown(show::head);
    assert_eq!(house.shown(show::verify), format!("ok records=12 head={}\n", &head.trim()[15..]));
    let house = house.again();
    assert_eq!(house.records()[..12], records);
    assert_eq!(house.records().len(), 13, "the second boot is recorded as well");
}

#[test]
fn a_batch_is_taken_whole_or_not() {
    let mut house = House::new();
    let next = house.audit.chain.store.head().next;
    let good = r#"{"ts_ms":1,"kind":"deny","role":"r","subject":"","ticket":"","session":0,"path":"/p","cmd":{},"ack":"ERR"}"#;
    for bad in [
        "[]".to_owned(),
        good.to_owned(),
        format!("[{good},{}]", good.replace("\"cmd\":{}", "\"cmd\":7")),
        format!("[{good},{}]", good.replace("deny", "checkpoint")),
        format!("[{good},{}]", good.replace("\"ts_ms\":1,", "")),
        format!("[{good}]]"),
    ] {
        let Verdict::Refuse { refusal, .. } = house.append(&bad) else { panic!("{bad}") };
        assert_eq!(refusal.word, Word::Invalid, "{bad}");
    }
    assert_eq!(house.audit.chain.store.head().next, next);
    assert_eq!(house.append(&format!("[{good},{good}]")), Verdict::Ack(format!("OK APPEND seq={next} n=2")));
}

#[test]
fn batches_of_one_turn_share_a_commit_and_come_in_order() {
    let mut house = House::new();
    let next = house.audit.chain.store.head().next;
    let line = r#"[{"ts_ms":1,"kind":"deny","role":"r","subject":"","ticket":"","session":0,"path":"/p","cmd":{},"ack":"ERR"}]"#;
    let who = Who::from_uname("server:door", 0);
    for _ in 0..3 {
        let call = house.call(&who);
        assert_eq!(house.audit.append(&call, line), Verdict::Later);
    }
    assert_eq!(house.audit.chain.store.head().next, next, "nothing is durable yet");
    let told: Vec<_> = house.audit.completions().into_iter().map(|(_, verdict)| verdict).collect();
    let want = (next..next + 3).map(|seq| Verdict::Ack(format!("OK APPEND seq={seq} n=1")));
    assert_eq!(told, want.collect::<Vec<_>>());
}

#[test]
fn records_of_sessions_wait_a_little_to_share_a_commit_unless_a_command_comes() {
    let mut house = House::new();
    let line = |kind: &str| {
        format!(
            r#"[{{"ts_ms":1,"kind":"{kind}","role":"r","subject":"","ticket":"","session":9,"path":"","cmd":{{}},"ack":"OK"}}]"#
        )
    };
    let who = Who::from_uname("server:door", 0);
    for (last, waits) in [("detach", true), ("ctl", false)] {
        for kind in ["attach", last] {
            let call = house.call(&who);
            assert_eq!(house.audit.append(&call, &line(kind)), Verdict::Later);
        }
        assert_eq!(house.audit.completions().is_empty(), waits);
        house.now.mono_ms = house.audit.deadline_ms().unwrap_or(house.now.mono_ms);
        house.audit.tick(house.now);
        assert_eq!(house.audit.completions().len(), if waits { 2 } else { 0 });
        assert_eq!(house.audit.deadline_ms(), None);
    }
}

#[test]
fn a_secret_is_kept_as_its_digest() {
    let mut house = House::new();
    house.record("ctl", "/host/vault/pin", r#"{ "pin": "1234" }"#, "OK PIN");
    let text = house.records().concat();
    assert!(!text.contains("1234"));
    let digest = journal::Hash::of(br#"{"pin":"1234"}"#);
    assert!(text.contains(&format!(r#""cmd":{{"sha256":"{digest}"}}"#)));
}

#[test]
fn replay_gives_the_same_acknowledgements_and_state() {
    let mut house = House::new();
    house.live(20);
    let hash = house.hash();
    let last = house.audit.chain.store.head().next - 1;
    let whole = house.replay(&format!(r#"{{"from":0,"to":{last}}}"#), Some(&hash));
    assert!(whole.starts_with(&format!("ok records={last} acks_sha256=")), "{whole}");
    assert!(!whole.contains("unknown"), "{whole}");
    // The live state is compared also where less is asked for.
    let part = house.replay(r#"{"from":5,"to":9}"#, Some(&hash));
    assert!(part.starts_with("ok records=5 ") && part != whole, "{part}");
    let wrong = hash.replace("sha256=", "sha256=0");
    let diverged = house.replay(r#"{"from":5,"to":9}"#, Some(&wrong));
    assert!(diverged.starts_with(&format!("diverged seq={} want=0", house.seq)), "{diverged}");
    let away = house.replay(&format!(r#"{{"from":1,"to":{last}}}"#), None);
    assert_eq!(away, whole.clone() + " unknown=queen");
    assert_eq!(house.replay(&format!(r#"{{"from":1,"to":{last}}}"#), Some(&hash)), whole);
}

#[test]
fn a_recorded_acknowledgement_that_does_not_come_out_is_named() {
    let mut house = House::new();
    house.live(3);
    let lie = house.audit.chain.store.head().next;
    house.record("ctl", "/queen/ctl", r#"{"spawn":"heartbeat"}"#, "OK SPAWN id=worker-77");
    let status = house.replay(&format!(r#"{{"from":0,"to":{lie}}}"#), None);
    let want = format!("diverged seq={lie} want=\"OK SPAWN id=worker-77\" got=\"OK SPAWN id=worker-4\"");
    assert_eq!(status, want);
    let before = house.replay(&format!(r#"{{"from":0,"to":{}}}"#, lie - 1), None);
    assert!(before.starts_with("ok "), "{before}");
}

#[test]
fn a_range_that_is_not_there_is_invalid() {
    let mut house = House::new();
    house.live(2);
    let last = house.audit.chain.store.head().next - 1;
    for line in [
        format!(r#"{{"from":0,"to":{}}}"#, last + 1),
        r#"{"from":3,"to":2}"#.into(),
        r#"{"from":0}"#.into(),
        r#"{"from":0,"to":1,"more":2}"#.into(),
        r#"[0,1]"#.into(),
        "0 1".into(),
    ] {
        let said = house.replay(&line, None);
        assert!(said.starts_with("ERR REPLAY reason=invalid"), "{line}: {said}");
    }
    assert_eq!(house.audit.replay_status(), "idle");
}

#[test]
fn snapshots_let_the_oldest_go_and_states_begin_from_them() {
    let mut house = House::new();
    house.live(60);
    house.run(None);
    let first = house.audit.chain.store.first();
    assert!(first > 1, "segments were dropped");
    assert!(house.audit.chain.store.bytes() <= 16_000 + 4000);
    assert!(house.shown(show::verify).starts_with("ok "));
    let snapshot = house.shown(show::snapshot);
    assert!(snapshot.starts_with("{\"seq\":") && !snapshot.starts_with("{\"seq\":0"), "{snapshot}");
    let last = house.audit.chain.store.head().next - 1;
    let said = house.replay(&format!(r#"{{"from":0,"to":{last}}}"#), None);
    assert!(said.starts_with("ERR REPLAY reason=invalid"), "{said}");
    let hash = house.hash();
    let said = house.replay(&format!(r#"{{"from":{first},"to":{last}}}"#), Some(&hash));
    assert!(said.starts_with("ok ") && !said.contains("unknown"), "{said}");
    let mut house = house.again();
    let said = house.replay(&format!(r#"{{"from":{first},"to":{last}}}"#), Some(&hash));
    assert!(said.starts_with("ok ") && !said.contains("unknown"), "{said}");
}

#[test]
fn damage_is_said_served_around_and_never_repaired() {
    let mut house = House::new();
    house.live(4);
    let path = house.dir.path().join("journal/00000000000000000001.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == b"worker-2").unwrap();
    bytes[at] = b'W';
    std::fs::write(&path, &bytes).unwrap();
    let shown = house.shown(show::verify);
    assert!(shown.starts_with("bad seq=") && shown.contains(" fault="), "{shown}");
    assert!(house.shown(|audit, out| show::from(audit, 1, out)).contains("damaged"));
    assert_eq!(house.run(None).iter().filter(|it| line_of(it).contains("damaged")).count(), 1);
    let mut house = house.again();
    assert!(house.run(None).iter().any(|it| line_of(it).contains("audit journal is damaged: bad seq=")));
    assert_eq!(house.shown(show::verify), shown);
    let records = house.records();
    assert!(!records.is_empty() && records.iter().all(|line| Record::parse(line.as_bytes()).is_ok()));
    let Verdict::Refuse { refusal, .. } = house.record("ctl", "/p", "{}", "OK") else { panic!() };
    assert_eq!(refusal.word, Word::Busy);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

fn line_of(request: &Request) -> String {
    match &request.op {
        Op::Write(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Op::Read => String::new(),
    }
}
