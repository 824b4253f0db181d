//! What lines mean, what commands come to, what the gate says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use policy::{
    ACTIONS, Command, Config, Consume, Decision, Entry, Gate, POLICY, Progress, Refused, Rule, SYSTEM, State,
    System, Word, digest, parse,
};
use proptest::prelude::*;

fn rule(id: &str, target: &str, decision: Decision) -> Rule {
    Rule { id: id.into(), target: target.into(), decision }
}

fn config() -> Config {
    let rules = vec![
        rule("restarts", "/host/*/restart", Decision::Gate),
        rule("never", "/host/*/wipe", Decision::Deny),
    ];
    Config { rules, max_actions: 3, max_sets: 3, ..Config::default() }
}

struct Desk {
    state: State,
    now_ms: u64,
    journal: Vec<(u64, Command, String)>,
}

impl Desk {
    fn new() -> Desk {
        Desk { state: State::new(config()), now_ms: 1000, journal: Vec::new() }
    }

    fn run(&mut self, path: &str, line: &str) -> Result<String, Refused> {
        let command = parse(path, line).map_err(|(_, refused)| refused)?;
        let before = self.state.clone();
        let ack = self.state.apply(&Entry { seq: 0, ts_ms: self.now_ms, command: &command });
        match &ack {
            Ok(ack) => self.journal.push((self.now_ms, command, ack.clone())),
            Err(_) => assert_eq!(self.state, before),
        }
        ack
    }

    fn ok(&mut self, path: &str, line: &str) -> String {
        self.run(path, line).unwrap_or_else(|refused| panic!("{line}: {refused:?}"))
    }

    fn refused(&mut self, path: &str, line: &str) -> Word {
        self.run(path, line).expect_err(line).word
    }

    fn gate(&self, path: &str) -> Gate {
        self.state.gate(path, self.now_ms, &|_| false)
    }
}

fn approve(id: &str, target: &str, ttl_s: u64) -> String {
    format!(r#"{{"id":"{id}","target":"{target}","decision":"approve","ttl_s":{ttl_s}}}"#)
}

fn consume(id: &str, target: &str) -> String {
    format!(r#"{{"consume":{{"id":"{id}","target":"{target}","by":"queen"}}}}"#)
}

#[test]
fn an_approval_lets_one_write_through() {
    let mut desk = Desk::new();
    let target = "/host/x.service/restart";
    assert_eq!(desk.gate("/host/x.service/status"), Gate::Pass);
    assert_eq!(desk.gate("/host/x.service/wipe"), Gate::Denied("never".into()));
    assert_eq!(desk.gate(target), Gate::NeedsApproval("restarts".into()));
    assert_eq!(
        desk.ok(ACTIONS, &approve("a-1", target, 300)),
        "OK APPROVE id=a-1 target=/host/x.service/restart expires_ms=301000"
    );
    assert_eq!(desk.gate("/host/y.service/restart"), Gate::NeedsApproval("restarts".into()));
    assert_eq!(desk.gate(target), Gate::Consume("a-1".into()));
    assert_eq!(desk.state.gate(target, 1000, &|id| id == "a-1"), Gate::NeedsApproval("restarts".into()));
    assert_eq!(desk.refused(SYSTEM, &consume("a-1", "/host/y.service/restart")), Word::Permission);
    desk.ok(SYSTEM, &consume("a-1", target));
    assert_eq!(desk.state.action("a-1").unwrap().progress, Progress::Consumed);
    assert_eq!(desk.gate(target), Gate::NeedsApproval("restarts".into()));
    assert_eq!(desk.refused(SYSTEM, &consume("a-1", target)), Word::Permission);
    assert_eq!(desk.refused(ACTIONS, &approve("a-1", target, 300)), Word::Permission);
}

#[test]
fn the_oldest_approval_goes_first_and_an_id_comes_once() {
    let mut desk = Desk::new();
    desk.ok(ACTIONS, &approve("b", "/host/x/restart", 300));
    desk.ok(ACTIONS, &approve("a", "/host/x/restart", 300));
    assert_eq!(desk.gate("/host/x/restart"), Gate::Consume("b".into()));
    assert_eq!(desk.refused(ACTIONS, &approve("a", "/host/y/restart", 300)), Word::Invalid);
    desk.ok(ACTIONS, &approve("c", "/host/x/restart", 300));
    assert_eq!(desk.refused(ACTIONS, &approve("d", "/host/x/restart", 300)), Word::Busy);
    desk.ok(SYSTEM, &consume("b", "/host/x/restart"));
    desk.ok(ACTIONS, &approve("d", "/host/x/restart", 300));
    assert!(desk.state.action("b").is_none());
}

#[test]
fn a_denial_withdraws_what_is_queued() {
    let mut desk = Desk::new();
    desk.ok(ACTIONS, &approve("a", "/host/x/restart", 300));
    desk.ok(ACTIONS, &approve("b", "/host/y/restart", 300));
    desk.ok(ACTIONS, r#"{"id":"n","target":"/host/x/restart","decision":"deny"}"#);
    assert_eq!(desk.gate("/host/x/restart"), Gate::NeedsApproval("restarts".into()));
    assert_eq!(desk.gate("/host/y/restart"), Gate::Consume("b".into()));
    let words: Vec<_> = desk.state.actions().map(|(id, action)| (id, action.progress.word())).collect();
    assert_eq!(words, [("a", "denied"), ("b", "queued"), ("n", "denied")]);
    assert_eq!(desk.refused(ACTIONS, &approve("n", "/host/x/restart", 300)), Word::Invalid);
}

#[test]
fn an_approval_is_good_until_its_time_is_over() {
    let mut desk = Desk::new();
    desk.ok(ACTIONS, &approve("a", "/host/x/restart", 2));
    desk.ok(ACTIONS, r#"{"id":"b","target":"/host/y/restart","decision":"approve"}"#);
    assert_eq!(desk.state.next_due_ms(), Some(3000));
    assert_eq!(desk.state.action("b").unwrap().expires_ms, 301_000);
    desk.now_ms = 2999;
    assert_eq!(desk.refused(SYSTEM, r#"{"expire":"a"}"#), Word::Invalid);
    assert_eq!(desk.gate("/host/x/restart"), Gate::Consume("a".into()));
    desk.now_ms = 3000;
    assert_eq!(desk.gate("/host/x/restart"), Gate::NeedsApproval("restarts".into()));
    assert_eq!(desk.refused(SYSTEM, &consume("a", "/host/x/restart")), Word::Permission);
    assert_eq!(desk.state.due(3000), [Command::System(System::Expire("a".into()))]);
    assert_eq!(desk.ok(SYSTEM, r#"{"expire":"a"}"#), "OK EXPIRE id=a");
    assert!(desk.state.due(3000).is_empty());
    assert_eq!(desk.state.action("a").unwrap().progress.word(), "expired");
}

fn apply(id: &str, target: &str) -> String {
    format!(r#"{{"apply":{{"id":"{id}","rules":[{{"id":"r","target":"{target}","decision":"gate"}}]}}}}"#)
}

#[test]
fn rules_are_replaced_and_gone_back_to() {
    let mut desk = Desk::new();
    let sum = digest(&[rule("r", "/queen/ctl", Decision::Gate)]);
    assert_eq!(desk.ok(POLICY, &apply("one", "/queen/ctl")), format!("OK APPLY id=one rules=1 sha256={sum}"));
    assert_eq!((desk.state.active(), desk.state.generation()), ("one", 1));
    assert_eq!(desk.gate("/host/x/wipe"), Gate::Pass);
    assert_eq!(desk.gate("/queen/ctl"), Gate::NeedsApproval("r".into()));
    assert_eq!(desk.refused(POLICY, &apply("one", "/a")), Word::Invalid);
    assert_eq!(desk.refused(POLICY, &apply("manifest", "/a")), Word::Invalid);
    for id in ["two", "three", "four"] {
        desk.ok(POLICY, &apply(id, &format!("/{id}")));
    }
    let kept: Vec<_> = desk.state.sets().map(|set| set.id.as_str()).collect();
    assert_eq!(kept, ["two", "three", "four"]);
    assert_eq!(desk.refused(POLICY, r#"{"rollback":{"to":"one"}}"#), Word::NotFound);
    assert_eq!(desk.ok(POLICY, r#"{"rollback":{"to":"two"}}"#), "OK ROLLBACK to=two");
    // The set in force is not the one that goes.
    desk.ok(POLICY, r#"{"rollback":{"to":"two"}}"#);
    desk.ok(POLICY, &apply("five", "/five"));
    let kept: Vec<_> = desk.state.sets().map(|set| set.id.as_str()).collect();
    assert_eq!(kept, ["two", "four", "five"]);
    desk.ok(POLICY, r#"{"rollback":{"to":"manifest"}}"#);
    assert_eq!(desk.gate("/host/x/wipe"), Gate::Denied("never".into()));
    let Ok(Command::Policy(ctl)) = parse(POLICY, &apply("x", "/five")) else { panic!("it parses") };
    assert_eq!(
        desk.state.diff(&ctl).unwrap(),
        ["- gate /host/*/restart id=restarts", "- deny /host/*/wipe id=never", "+ gate /five id=r"]
    );
}

#[test]
fn a_digest_that_is_given_must_fit() {
    let sum = digest(&[rule("r", "/a", Decision::Gate)]);
    let with = |sum: &str| apply("one", "/a").replace("]}}", &format!(r#"],"sha256":"{sum}"}}}}"#));
    assert!(parse(POLICY, &with(&sum)).is_ok());
    assert_eq!(parse(POLICY, &with("00")).unwrap_err().1.word, Word::Invalid);
}

#[test]
fn what_is_not_on_the_page_is_invalid() {
    let good = [
        (POLICY, apply("one", "/a")),
        (POLICY, r#"{"apply":{"id":"none","rules":[]}}"#.to_string()),
        (POLICY, r#"{"rollback":{"to":"manifest"}}"#.to_string()),
        (ACTIONS, approve("a", "/a/b", 1)),
        (ACTIONS, r#"{"id":"b","target":"/a","decision":"deny"}"#.to_string()),
        (SYSTEM, consume("a", "/a")),
        (SYSTEM, r#"{"refuse":{"target":"/a","by":"queen","on":"r","reason":"policy"}}"#.to_string()),
        (SYSTEM, r#"{"expire":"a"}"#.to_string()),
    ];
    for (path, line) in &good {
        let command = parse(path, line).unwrap_or_else(|refused| panic!("{line}: {refused:?}"));
        assert_eq!(command.path(), *path);
        assert_eq!(parse(path, &command.to_json()), Ok(command));
    }
    for (path, line, verb) in [
        (POLICY, "", "CTL"),
        (POLICY, "[]", "CTL"),
        (POLICY, "{}", "CTL"),
        (POLICY, r#"{"apply":["one",[]]}"#, "APPLY"),
        (POLICY, r#"{"apply":{"id":"one"}}"#, "APPLY"),
        (POLICY, r#"{"apply":{"id":"one","rules":[["r","/a","gate"]]}}"#, "APPLY"),
        (POLICY, r#"{"apply":{"id":"one","rules":[{"id":"r","target":"/a","decision":"ask"}]}}"#, "APPLY"),
        (POLICY, r#"{"apply":{"id":"one","rules":[{"id":"r","target":"a","decision":"gate"}]}}"#, "APPLY"),
        (
            POLICY,
            r#"{"apply":{"id":"one","rules":[{"id":"r","target":"/actions/*","decision":"gate"}]}}"#,
            "APPLY",
        ),
        (POLICY, r#"{"apply":{"id":"one","rules":[],"sha256":null}}"#, "CTL"),
        (POLICY, r#"{"rollback":{"to":"a b"}}"#, "ROLLBACK"),
        (POLICY, r#"{"rollback":{"to":"a"},"apply":{"id":"b","rules":[]}}"#, "ROLLBACK"),
        (ACTIONS, r#"{"id":"a","target":"/a","decision":"approve","ttl_s":0}"#, "APPROVE"),
        (ACTIONS, r#"{"id":"a","target":"/a/*","decision":"approve"}"#, "APPROVE"),
        (ACTIONS, r#"{"id":"queue","target":"/a","decision":"approve"}"#, "APPROVE"),
        (ACTIONS, r#"{"id":"../x","target":"/a","decision":"deny"}"#, "DENY"),
        (ACTIONS, r#"{"id":"a","target":"/a","decision":"maybe"}"#, "CTL"),
        (ACTIONS, r#"{"id":"a","target":"/a","decision":"approve","x":1}"#, "APPROVE"),
        (ACTIONS, r#"["a","/a","approve",1]"#, "CTL"),
        ("/policy/none", r#"{"rollback":{"to":"a"}}"#, "CTL"),
    ] {
        let (said, refused) = parse(path, line).expect_err(line);
        assert_eq!((said, refused.word), (verb, Word::Invalid), "{line}: {}", refused.detail);
    }
}

fn line() -> impl Strategy<Value = (&'static str, String)> {
    let id = 0u8..5;
    prop_oneof![
        3 => (id.clone(), 0u8..3, 1u64..4).prop_map(|(id, to, ttl)| (ACTIONS, approve(&format!("a{id}"), &format!("/host/{to}/restart"), ttl))),
        1 => (id.clone(), 0u8..3).prop_map(|(id, to)| (ACTIONS, format!(r#"{{"id":"a{id}","target":"/host/{to}/restart","decision":"deny"}}"#))),
        3 => (id.clone(), 0u8..3).prop_map(|(id, to)| (SYSTEM, consume(&format!("a{id}"), &format!("/host/{to}/restart")))),
        1 => id.clone().prop_map(|id| (SYSTEM, format!(r#"{{"expire":"a{id}"}}"#))),
        1 => id.clone().prop_map(|id| (POLICY, apply(&format!("s{id}"), "/host/*/restart"))),
        1 => id.prop_map(|id| (POLICY, format!(r#"{{"rollback":{{"to":"s{id}"}}}}"#))),
    ]
}

proptest! {
    #[test]
    fn any_commands_keep_the_promises(lines in prop::collection::vec((line(), 0u64..1500), 1..60)) {
        let mut desk = Desk::new();
        for ((path, line), wait_ms) in lines {
            desk.now_ms += wait_ms;
            for command in desk.state.due(desk.now_ms) {
                desk.ok(SYSTEM, &command.to_json());
            }
            let target = line.split('"').find(|part| part.ends_with("/restart")).unwrap_or("/none").to_string();
            let gate = desk.gate(&target);
            let done = desk.run(path, &line);
            // What the gate offers can be consumed, and nothing else.
            if let (Ok(Command::System(System::Consume(Consume { id, .. }))), Gate::Consume(offered)) = (parse(path, &line), gate)
                && id == offered
            {
                prop_assert!(done.is_ok());
            }
            prop_assert!(desk.state.actions().count() <= 3 && desk.state.sets().count() <= 3);
        }
        let mut again = State::new(config());
        for (ts_ms, command, ack) in &desk.journal {
            let reread = parse(command.path(), &command.to_json()).unwrap();
            prop_assert_eq!(&again.fold(&Entry { seq: 0, ts_ms: *ts_ms, command: &reread }).unwrap(), ack);
        }
        prop_assert_eq!(again.hash(), desk.state.hash());
        let copy = State::from_json(config(), &desk.state.to_json()).unwrap();
        prop_assert_eq!(copy, desk.state);
    }
}
