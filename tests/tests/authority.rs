//! What the single authority promises its clients, asked of a real hive: gates, duplicates, races and
//! times, also across the death of the servers that remember (spec 4; G8 of the fault plan).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::refusal::Word;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::ctl::{envelope, give, resource};
use tests::journal::{Record, field, records};
use tests::{Hive, until};

const GATED: &str =
    "[[policy.rules]]\nid = \"exports\"\ntarget = \"/queen/export/ctl\"\ndecision = \"gate\"\n";
const EXPORT: &str = "/queen/export/ctl";

fn open(id: &str) -> String {
    format!(
        r#"{{"open":{{"id":"{id}","path":"/queen/telemetry/d","until_ms":99999999999999,"max_bytes":1}}}}"#
    )
}

fn approve(hive: &Hive, id: &str) {
    let line = format!(r#"{{"id":"{id}","target":"{EXPORT}","decision":"approve","ttl_s":300}}"#);
    give(hive, "/actions/queue", &line).unwrap();
}

fn status(hive: &Hive, id: &str) -> String {
    hive.read(&format!("/actions/{id}/status")).unwrap().trim_end().to_owned()
}

/// Records of one file's commands.
fn of(hive: &Hive, path: &str) -> Vec<Record> {
    let all = records(&hive.path("data/journal"));
    all.into_iter().filter(|record| record.kind == "ctl" && record.path == path).collect()
}

#[test]
fn an_approval_lets_one_valid_write_through_also_after_policys_death() {
    let hive = Hive::with_sections(GATED, |_| {});
    assert_eq!(give(&hive, EXPORT, &open("w-1")), Err(Word::Policy));
    approve(&hive, "a-1");
    // What is invalid, or could not be done, consumes nothing.
    for (line, word) in [
        (r#"{"open":5}"#, Word::Invalid),
        (r#"{"open":{"id":"w"}}"#, Word::Invalid),
        ("no JSON", Word::Invalid),
        (r#"{"close":"none"}"#, Word::NotFound),
    ] {
        assert_eq!(give(&hive, EXPORT, line), Err(word), "{line}");
        assert_eq!(status(&hive, "a-1"), "queued", "{line}");
    }
    hive.kill("policy");
    until("it remembers", || hive.read("/actions/a-1/status").is_ok_and(|said| said == "queued\n"));
    assert!(give(&hive, EXPORT, &open("w-1")).unwrap().starts_with("OK OPEN id=w-1 seq="));
    assert_eq!(status(&hive, "a-1"), "consumed");
    assert_eq!(give(&hive, EXPORT, &open("w-2")), Err(Word::Policy));
    hive.kill("policy");
    until("it is asked", || give(&hive, EXPORT, &open("w-2")) == Err(Word::Policy));
    assert_eq!(status(&hive, "a-1"), "consumed");
    assert_eq!(of(&hive, EXPORT).len(), 1, "one write has passed");
}

#[test]
fn rules_and_approvals_given_at_run_time_outlive_the_gate() {
    let hive = Hive::start(&[]);
    let rules = r#"{"apply":{"id":"s","rules":[{"id":"r","target":"/queen/export/ctl","decision":"gate"}]}}"#;
    give(&hive, "/policy/ctl", rules).unwrap();
    let settled = |line: &str| {
        let mut said = Err(Word::Busy);
        until("an answer", || {
            said = give(&hive, EXPORT, line);
            said != Err(Word::Busy)
        });
        said
    };
    hive.kill("policy");
    assert_eq!(settled(&open("w")), Err(Word::Policy));
    approve(&hive, "a");
    hive.kill("policy");
    assert!(settled(&open("w")).unwrap().starts_with("OK OPEN id=w seq="));
    hive.kill("policy");
    assert_eq!(settled(r#"{"close":"w"}"#), Err(Word::Policy));
    assert_eq!(status(&hive, "a"), "consumed");
}

#[test]
fn without_policy_what_no_rule_gates_passes_though_nobody_has_written_it_before() {
    let hive = Hive::with_sections(GATED, |_| {});
    let set = r#"{"set":{"level":"error","cats":["boot"]}}"#;
    hive.print("coh", &["kill", "policy", "--signal", "STOP"]);
    // Asked ahead of the first word, and confirmed by the journal.
    assert_eq!(
        give(&hive, "/queen/lifecycle/ctl", "cordon").map(|ack| ack.contains("state=DRAINING")),
        Ok(true)
    );
    assert!(give(&hive, "/trace/ctl", set).unwrap().starts_with("OK SET "));
    assert_eq!(give(&hive, EXPORT, &open("w-1")), Err(Word::Busy));
    hive.print("coh", &["kill", "policy", "--signal", "CONT"]);
    until("it answers again", || give(&hive, EXPORT, &open("w-1")) == Err(Word::Policy));
}

#[test]
fn without_policy_gated_writes_are_busy_and_use_nothing_up() {
    let hive = Hive::with_sections(GATED, |_| {});
    // The queen learns what is gated by asking.
    assert_eq!(give(&hive, EXPORT, &open("w-1")), Err(Word::Policy));
    approve(&hive, "a-1");
    let budget = r#"{"budget":{"ttl_s":1000}}"#;
    give(&hive, "/queen/ctl", budget).unwrap();
    hive.print("coh", &["kill", "policy", "--signal", "STOP"]);
    assert_eq!(give(&hive, EXPORT, &open("w-1")), Err(Word::Busy));
    assert!(hive.read("/proc/lifecycle/state").is_ok(), "reads go on");
    hive.print("coh", &["kill", "policy", "--signal", "CONT"]);
    until("it answers again", || hive.read("/policy/rules").is_ok());
    assert!(of(&hive, EXPORT).is_empty(), "refused, and recorded");
}

#[test]
fn an_envelope_has_one_effect_through_the_deaths_of_queen_and_audit() {
    let hive = Hive::start(&[]);
    let spawn = envelope("e-1", "k", r#"{"spawn":"heartbeat"}"#);
    let first = give(&hive, "/queen/ctl", &spawn).unwrap();
    for victims in [&["queen"][..], &["audit"], &["queen", "audit"], &["door"]] {
        for victim in victims {
            hive.kill(victim);
        }
        let mut again = Err(Word::Busy);
        until("it is told again", || {
            again = give(&hive, "/queen/ctl", &spawn);
            !matches!(again, Err(Word::Busy | Word::Closed))
        });
        assert_eq!(again, Ok(format!("{first} dup=1")), "after the death of {victims:?}");
    }
    for other in
        [envelope("e-1", "other", r#"{"spawn":"heartbeat"}"#), envelope("e-1", "k", r#"{"kill":"worker-1"}"#)]
    {
        assert_eq!(give(&hive, "/queen/ctl", &other), Err(Word::Invalid), "{other}");
    }
    assert!(hive.coh(&["down"]).status.success());
    assert!(hive.up(&[]).status.success());
    until("a hive that was down tells it again", || {
        give(&hive, "/queen/ctl", &spawn) == Ok(format!("{first} dup=1"))
    });
    let recorded = of(&hive, "/queen/ctl");
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    let dedupe = hive.read("/proc/queen/dedupe").unwrap();
    assert!(dedupe.starts_with("dedupe entries=1 limit=4096\ne-1 key=k seq="), "{dedupe}");
}

#[test]
fn of_sessions_that_race_for_one_lease_one_wins_and_the_journal_says_which() {
    let hive = Hive::with_sections(&resource(100, 4), |_| {});
    for round in 0..5 {
        let racers: Vec<Result<String, Word>> = std::thread::scope(|scope| {
            let racer = |n: usize| {
                let hive = &hive;
                scope.spawn(move || {
                    let line = format!(
                        r#"{{"grant":{{"resource":"GPU-0","subject":"s-{n}","mem_mb":100,"streams":4,"ttl_s":600}}}}"#
                    );
                    give(hive, "/queen/lease/ctl", &line)
                })
            };
            let racers: Vec<_> = (0..8).map(racer).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winners: Vec<&String> = racers.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{racers:?}");
        assert!(racers.iter().all(|told| matches!(told, Ok(_) | Err(Word::Busy))), "{racers:?}");
        let granted: Vec<Record> =
            of(&hive, "/queen/lease/ctl").into_iter().filter(|it| it.ack.starts_with("OK GRANT ")).collect();
        let last = granted.last().unwrap();
        assert_eq!(
            (granted.len(), *winners[0] == format!("{} seq={}", last.ack, last.seq)),
            (round + 1, true)
        );
        let lease = field(winners[0], "lease").unwrap();
        give(&hive, "/queen/lease/ctl", &format!("{{\"release\":\"{lease}\"}}")).unwrap();
    }
}

#[test]
fn a_lease_ends_on_time_through_the_death_of_the_queen_and_of_the_hive() {
    let hive = Hive::with_sections(&resource(100, 4), |_| {});
    let grant = |ttl_s: u64| {
        let line = format!(
            r#"{{"grant":{{"resource":"GPU-0","subject":"s","mem_mb":1,"streams":0,"ttl_s":{ttl_s}}}}}"#
        );
        let ack = give(&hive, "/queen/lease/ctl", &line).unwrap();
        (field(&ack, "lease").unwrap().to_owned(), field(&ack, "expires_ms").unwrap().parse::<u64>().unwrap())
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let (first, first_ms) = grant(2);
    hive.kill("queen");
    until("it is over", || {
        hive.read("/proc/lease/summary").is_ok_and(|said| said.contains("active=0 expired=1 "))
    });
    let (second, second_ms) = grant(1);
    assert!(hive.coh(&["down"]).status.success());
    // It comes to its end while nobody looks.
    std::thread::sleep(Duration::from_millis(second_ms.saturating_sub(now()) + 100));
    assert!(hive.up(&[]).status.success());
    until("it is over", || {
        hive.read("/proc/lease/summary").is_ok_and(|said| said.contains("active=0 expired=2 "))
    });
    let journal = records(&hive.path("data/journal"));
    let expiry = |lease: &str| {
        let ack = format!("OK EXPIRE lease={lease}");
        let found: Vec<&Record> = journal.iter().filter(|record| record.ack == ack).collect();
        assert_eq!(found.len(), 1, "{lease}: {found:?}");
        (found[0].kind.clone(), found[0].ts_ms)
    };
    let (kind, ts_ms) = expiry(&first);
    assert_eq!(kind, "system");
    // On time is the next tick; the bound is for busy machines.
    assert!((first_ms..first_ms + 2000).contains(&ts_ms), "due {first_ms}, ended {ts_ms}");
    assert!(expiry(&second).1 >= second_ms);
}
