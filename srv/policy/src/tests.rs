//! The gate with its journal played by hand: what is asked, recorded, taken back.

use crate::{Config, Policy};
use ninep::refusal::Word;
use ninep::srv::{Call, Entry, Journal, Ledger, Now, Op, Service, Staged, Token, Verdict, Who};
use policy::{ACTIONS, Command, Decision, POLICY, Rule};

struct Desk {
    policy: Policy,
    now: Now,
    seq: u64,
    /// Records, as the journal would keep them.
    journal: Vec<String>,
}

const TARGET: &str = "/host/x/restart";

fn config() -> Config {
    let rule = |id: &str, target: &str, decision| Rule { id: id.into(), target: target.into(), decision };
    let rules = vec![rule("r", "/host/*/restart", Decision::Gate), rule("d", "/host/*/wipe", Decision::Deny)];
    Config {
        policy: policy::Config { rules, ..policy::Config::default() },
        journal: Journal { audit: Some("audit"), policy: None, pending: 16 },
        has_queen: true,
        ctl_line_bytes: 7168,
    }
}

impl Desk {
    fn new() -> Desk {
        let now = Now { mono_ms: 1000, wall_ms: 1000 };
        let mut policy = Policy::new(config());
        policy.restore("{\"seq\":0}").unwrap();
        policy.is_restored(now);
        Desk { policy, now, seq: 0, journal: Vec::new() }
    }

    fn ask(&mut self, questions: &[(&str, bool)]) -> Verdict {
        let elements: Vec<String> = questions
            .iter()
            .map(|(path, take)| {
                format!(
                    r#"{{"path":"{path}","role":"queen","subject":"","ticket":"","session":7,"take":{take}}}"#
                )
            })
            .collect();
        let who = Who::from_uname("server:queen", 0);
        let call = Call { key: 0, who: &who, now: self.now, token: Token::default() };
        self.policy.gate(&call, &format!("[{}]", elements.join(",")))
    }

    /// A client's command, all the way.
    fn give(&mut self, path: &str, line: &str) -> Result<(), Word> {
        let command = self.policy.parse(path, line).map_err(|(_, refusal)| refusal.word)?;
        self.record("ctl", path, command)
    }

    fn record(&mut self, kind: &str, path: &str, command: Command) -> Result<(), Word> {
        let who = Who::from_uname("queen", 7);
        let entry = |seq| Entry { seq, ts_ms: self.now.wall_ms, who: &who, command: &command };
        let Staged::New { cmd, ack } = self.policy.stage(&entry(0)).map_err(|refusal| refusal.word)? else {
            return Ok(());
        };
        self.seq += 1;
        let (seq, ts_ms) = (self.seq, self.now.wall_ms);
        assert_eq!(self.policy.commit(&entry(seq), &ack, None), Verdict::Ack(ack.clone()));
        let ack = ack.replace('"', "\\\"");
        self.journal.push(format!(
            "{{\"seq\":{seq},\"ts_ms\":{ts_ms},\"kind\":\"{kind}\",\"role\":\"queen\",\"subject\":\"\",\
             \"ticket\":\"\",\"session\":7,\"path\":\"{path}\",\"cmd\":{cmd},\"ack\":\"{ack}\",\"prev\":\"{:064}\"}}",
            0
        ));
        Ok(())
    }

    /// What policy itself has to record; how much that was.
    fn turn(&mut self) -> usize {
        let commands = self.policy.reported();
        let n = commands.len();
        for command in commands {
            let kind = Policy::kind(&command);
            let _ = self.record(kind, command.path(), command.clone());
        }
        n
    }

    fn answer(&mut self) -> Option<Verdict> {
        self.policy.completions().pop().map(|(_, verdict)| verdict)
    }
}

fn ack(line: &str) -> Verdict {
    Verdict::Ack(line.into())
}

fn approve(id: &str) -> String {
    format!(r#"{{"id":"{id}","target":"{TARGET}","decision":"approve","ttl_s":60}}"#)
}

#[test]
fn each_question_has_its_word() {
    let mut desk = Desk::new();
    let questions = [("/queen/ctl", false), (TARGET, false), (TARGET, true), ("/host/x/wipe", false)];
    assert_eq!(desk.ask(&questions), ack("OK GATE 0=pass 1=gated 2=policy 3=permission gen=0 lease_ms=200"));
    // Both refusals are put on record.
    assert_eq!(desk.turn(), 2);
    assert!(desk.journal.iter().all(|line| line.contains(r#""kind":"gate""#)), "{:?}", desk.journal);
    assert!(matches!(desk.ask(&[]), Verdict::Refuse { .. }));
}

#[test]
fn an_approval_is_consumed_before_it_is_told_and_never_twice() {
    let mut desk = Desk::new();
    desk.give(ACTIONS, &approve("a-1")).unwrap();
    // Two questions at once, one approval.
    assert_eq!(desk.ask(&[(TARGET, true), (TARGET, true)]), Verdict::Later);
    assert_eq!(desk.ask(&[(TARGET, true)]), ack("OK GATE 0=policy gen=0 lease_ms=200"));
    assert_eq!(desk.answer(), None);
    desk.turn();
    assert_eq!(desk.answer(), Some(ack("OK GATE 0=approved:a-1 1=policy gen=0 lease_ms=200")));
    assert_eq!(desk.policy.state.action("a-1").unwrap().progress.word(), "consumed");
    assert_eq!(desk.ask(&[(TARGET, true)]), ack("OK GATE 0=policy gen=0 lease_ms=200"));
    assert_eq!(desk.give(ACTIONS, &approve("a-1")), Err(Word::Permission));
    // The misuse is on record.
    desk.turn();
    assert!(desk.journal.last().unwrap().contains(r#""on":"a-1","reason":"permission""#));
}

#[test]
fn what_the_journal_does_not_take_lets_nothing_pass_and_uses_nothing_up() {
    let mut desk = Desk::new();
    desk.give(ACTIONS, &approve("a-1")).unwrap();
    assert_eq!(desk.ask(&[(TARGET, true)]), Verdict::Later);
    desk.policy.roll_back();
    assert!(matches!(desk.answer(), Some(Verdict::Refuse { refusal, .. }) if refusal.word == Word::Busy));
    assert_eq!(desk.turn(), 0);
    // Who asks meanwhile waits until the journal is back.
    assert_eq!(desk.ask(&[(TARGET, false)]), Verdict::Later);
    assert_eq!(desk.answer(), None);
    desk.policy.is_restored(desk.now);
    assert_eq!(desk.answer(), Some(ack("OK GATE 0=gated gen=0 lease_ms=200")));
    assert_eq!(desk.policy.state.action("a-1").unwrap().progress.word(), "queued");
}

#[test]
fn a_question_does_not_wait_for_ever() {
    let mut desk = Desk::new();
    desk.give(ACTIONS, &approve("a-1")).unwrap();
    assert_eq!(desk.ask(&[(TARGET, true)]), Verdict::Later);
    let at = desk.policy.deadline_ms().unwrap();
    desk.policy.tick(Now { mono_ms: at, wall_ms: at });
    assert!(matches!(desk.answer(), Some(Verdict::Refuse { refusal, .. }) if refusal.word == Word::Busy));
    // The approval is not used up behind its back.
    assert_eq!(desk.turn(), 0);
    assert_eq!(desk.policy.state.action("a-1").unwrap().progress.word(), "queued");
    assert_eq!(desk.policy.deadline_ms(), None);
}

#[test]
fn a_question_ahead_of_any_write_takes_nothing_and_is_no_news() {
    let mut desk = Desk::new();
    desk.give(ACTIONS, &approve("a-1")).unwrap();
    let ahead = |path: &str| {
        format!(
            r#"{{"path":"{path}","role":"","subject":"","ticket":"","session":0,"take":true,"ahead":true}}"#
        )
    };
    let line = ["/queen/ctl", TARGET, "/host/x/wipe"].map(ahead).join(",");
    let who = Who::from_uname("server:queen", 0);
    let call = Call { key: 0, who: &who, now: desk.now, token: Token::default() };
    let said = desk.policy.gate(&call, &format!("[{line}]"));
    assert_eq!(said, ack("OK GATE 0=pass 1=gated 2=permission gen=0 lease_ms=200"));
    assert_eq!(desk.turn(), 0, "nothing is put on record");
    assert_eq!(desk.ask(&[(TARGET, true)]), Verdict::Later, "the approval is there");
}

#[test]
fn the_queen_is_told_whether_the_rules_let_anybody_reach_her() {
    let mut desk = Desk::new();
    let apply = |id: &str, target: &str| {
        format!(r#"{{"apply":{{"id":"{id}","rules":[{{"id":"r","target":"{target}","decision":"deny"}}]}}}}"#)
    };
    let rollback = r#"{"rollback":{"to":"manifest"}}"#;
    for (line, holds) in [
        (apply("s", "/queen/ctl"), true),
        (apply("t", "/queen/lease/ctl"), false),
        (apply("u", "/*/ctl"), true),
        (rollback.into(), false),
    ] {
        desk.give(POLICY, &line).unwrap();
        let event = format!("{{\"cut\":{{\"reason\":\"policy_denied\",\"holds\":{holds}}}}}\n");
        let told = desk.policy.outbox();
        assert!(
            told.iter().any(|it| it.server == "queen" && it.op == Op::Write(event.clone().into())),
            "{told:?}"
        );
        assert_eq!(desk.policy.denies_queen(), holds);
    }
}

#[test]
fn the_journal_alone_brings_everything_back() {
    let mut desk = Desk::new();
    desk.give(ACTIONS, &approve("a-1")).unwrap();
    desk.give(ACTIONS, &approve("a-2")).unwrap();
    desk.ask(&[(TARGET, true), ("/host/x/wipe", true)]);
    desk.turn();
    let set = r#"{"apply":{"id":"s","rules":[{"id":"r","target":"/queen/ctl","decision":"gate"}]}}"#;
    desk.give(POLICY, set).unwrap();
    let mut again = Policy::new(config());
    for line in &desk.journal {
        again.replay(line).unwrap_or_else(|why| panic!("{why}: {line}"));
    }
    assert_eq!(again.state.hash(), desk.policy.state.hash());
    // And so does a snapshot.
    let mut from = Policy::new(config());
    let snapshot =
        format!("{{\"seq\":{},\"authority\":{{}},\"policy\":{}}}", desk.seq, desk.policy.state.to_json());
    assert_eq!(from.restore(&snapshot).unwrap().seq, desk.seq);
    assert_eq!(from.state, desk.policy.state);
    // A record that says something else than what comes out is not passed over.
    let other = desk.journal[0].replace("OK APPROVE id=a-1", "OK APPROVE id=a-9");
    assert!(Policy::new(config()).replay(&other).is_err());
}

#[test]
fn a_change_of_the_rules_is_acknowledged_when_nobody_remembers_the_old_ones() {
    let mut desk = Desk::new();
    assert_eq!(desk.ask(&[("/queen/ctl", false)]), ack("OK GATE 0=pass gen=0 lease_ms=200"));
    let set = r#"{"apply":{"id":"s","rules":[{"id":"r","target":"/queen/ctl","decision":"gate"}]}}"#;
    let command = desk.policy.parse(POLICY, set).unwrap();
    let who = Who::from_uname("queen", 7);
    let entry = |seq| Entry { seq, ts_ms: 1000, who: &who, command: &command };
    desk.policy.stage(&entry(0)).unwrap();
    // What holds is not known until the journal has it.
    assert_eq!(desk.ask(&[("/queen/ctl", false)]), Verdict::Later);
    assert_eq!(desk.policy.commit(&entry(1), "OK APPLY seq=1", Some(Token::default())), Verdict::Later);
    assert_eq!(desk.answer(), Some(ack("OK GATE 0=gated gen=1 lease_ms=200")));
    assert_eq!(desk.answer(), None);
    let at = desk.policy.deadline_ms().unwrap();
    assert_eq!(at, desk.now.mono_ms + 200);
    desk.policy.tick(Now { mono_ms: at, wall_ms: at });
    assert_eq!(desk.answer(), Some(ack("OK APPLY seq=1")));
    assert_eq!(desk.policy.deadline_ms(), None);
}
