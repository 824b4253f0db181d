//! What commands come to: workers, budgets, envelopes, the lifecycle's gates, snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hive;

use authority::{Config, Effect, End, LEASE, LIFECYCLE, Phase, QUEEN, SYSTEM, Word};
use hive::{Hive, TICKET};

#[test]
fn ids_come_in_order_and_are_never_used_again() {
    let mut hive = Hive::online();
    assert_eq!(hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#), "OK SPAWN id=worker-1");
    assert_eq!(hive.ok(QUEEN, r#"{"kill":"worker-1"}"#), "OK KILL id=worker-1");
    assert_eq!(hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#), "OK SPAWN id=worker-2");
    assert_eq!(hive.ok(QUEEN, r#"{"budget":{"ops":5}}"#), "OK BUDGET");
    let state = authority::State::from_json(Config::default(), &hive.state.to_json()).unwrap();
    hive.state = state;
    assert_eq!(hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#), "OK SPAWN id=worker-3");
    assert_eq!(hive.ok(SYSTEM, r#"{"boot":{"id":"another"}}"#), "OK BOOT state=BOOTING workers_ended=2");
    hive.ok(SYSTEM, r#"{"transition":{"to":"ONLINE","reason":"boot"}}"#);
    assert_eq!(hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#), "OK SPAWN id=worker-4");
}

#[test]
fn a_refused_command_changes_nothing() {
    let mut hive = Hive::online_with(Config { max_workers: 2, ..Config::default() });
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    for (line, word) in [
        (r#"{"spawn":"heartbeat"}"#, Word::Quota),
        (r#"{"spawn":"bus","adapter":"rs485"}"#, Word::NotFound),
        (r#"{"kill":"worker-9"}"#, Word::NotFound),
        (r#"{"kill":"worker-01"}"#, Word::NotFound),
        (r#"{"budget":{"worker":"worker-9","ops":5}}"#, Word::NotFound),
        (r#"{"budget":{"worker":"worker-1","ttl_s":31536000,"ops":5}}"#, Word::Invalid),
    ] {
        assert_eq!(hive.refused(QUEEN, line).word, word, "{line}");
    }
}

#[test]
fn a_worker_ends_at_its_time_and_not_before() {
    let mut hive = Hive::online();
    hive.now_ms = 5000;
    hive.ok(QUEEN, r#"{"spawn":"heartbeat","budget":{"ttl_s":10}}"#);
    assert_eq!(hive.state.next_due_ms(), Some(15_000));
    assert!(hive.state.due(14_999).is_empty());
    let effects = hive.pass(15_000);
    assert!(
        effects.contains(&Effect::Log("seq=5 queen revoked worker-1 reason=ttl-spent".into())),
        "{effects:?}"
    );
    assert!(effects.iter().any(|e| matches!(e, Effect::Stop { end: End::Ttl, .. })));
    assert_eq!(hive.state.workers().count(), 0);
    assert_eq!(hive.state.ended(), [(1, 1)]);
    assert_eq!(hive.state.revoked().count(), 0, "only what was revoked by command is listed");
    assert_eq!(hive.state.next_due_ms(), None);
}

#[test]
fn a_worker_ends_once() {
    let mut hive = Hive::online();
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    assert_eq!(
        hive.ok(SYSTEM, r#"{"end":{"worker":"worker-1","why":"ticks"}}"#),
        "OK END id=worker-1 why=ticks-spent"
    );
    let again = r#"{"end":{"worker":"worker-1","why":{"exited":"exit 0"}}}"#;
    assert_eq!(hive.refused(SYSTEM, again).word, Word::NotFound);
}

#[test]
fn the_default_budget_is_for_later_spawns() {
    let mut hive = Hive::online_with(Config { ttl_s: 60, ..Config::default() });
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    hive.ok(QUEEN, r#"{"budget":{"ttl_s":5,"ops":7}}"#);
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    let budgets: Vec<_> = hive.state.workers().map(|w| (w.until_ms - hive.now_ms, w.ops)).collect();
    assert_eq!(budgets, [(60_000, 0), (5000, 7)]);
}

#[test]
fn a_revoked_ticket_ends_its_worker_and_others_are_remembered_up_to_the_bound() {
    let mut hive = Hive::online_with(Config { max_revoked: 2, ..Config::default() });
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    let ticket = hive.state.workers().next().unwrap().ticket.clone();
    hive.ok(QUEEN, &format!(r#"{{"revoke":"{ticket}"}}"#));
    assert_eq!((hive.state.workers().count(), hive.state.ended()), (0, vec![(1, 1)]));
    hive.ok(QUEEN, &format!(r#"{{"revoke":"{TICKET}"}}"#));
    hive.ok(QUEEN, r#"{"revoke":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"}"#);
    let third = r#"{"revoke":"ffffffffffffffffffffffffffffffff"}"#;
    assert_eq!(hive.refused(QUEEN, third).word, Word::Quota);
    // A year later they may still be valid, for all that is known.
    hive.now_ms += 365 * 24 * 3_600_000;
    assert_eq!(hive.refused(QUEEN, third).word, Word::Quota);
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
}

#[test]
fn workers_come_and_go_without_end() {
    let mut hive = Hive::online_with(Config { max_revoked: 2, max_workers: 4, ..Config::default() });
    let (mut alive, mut bytes) = (Vec::new(), 0);
    for n in 1..=2000 {
        hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
        alive.push(n);
        if alive.len() == 4 {
            let goes = alive.remove(n % 3);
            hive.ok(QUEEN, &format!(r#"{{"kill":"worker-{goes}"}}"#));
        }
        if n == 1000 {
            bytes = hive.state.to_json().len();
        }
    }
    let ended = hive.state.ended();
    let has_ended = |n: &usize| ended.iter().any(|(first, last)| (*first..=*last).contains(&(*n as u64)));
    assert!(ended.len() <= 4, "as many as there are gaps: {ended:?}");
    assert!((1..=2000).filter(has_ended).eq((1..=2000).filter(|n| !alive.contains(n))));
    assert!(hive.state.to_json().len() < bytes + 64, "what is remembered has not grown");
}

/// Up to a version of this crate each ended worker's ticket was remembered as revoked. What was folded so
/// comes to the same for ever; the first boot of a later program ends it.
#[test]
fn a_journal_of_earlier_programs_folds_as_it_did() {
    const SETTINGS: &str = r#""hive":"hive","ticks":0,"period_ms":1000,"ttl_s":86400,"ops":0,"lease_ttl_s":300,"dedupe_entries":4096,"revocations":3,"preemptions":64"#;
    let mut hive = Hive::new(Config { max_revoked: 3, ..Config::default() });
    hive.ok(SYSTEM, &format!(r#"{{"boot":{{"id":"1","settings":{{{SETTINGS}}}}}}}"#));
    hive.ok(SYSTEM, r#"{"servers":{"missing":[]}}"#);
    hive.pass(hive.now_ms);
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    hive.ok(QUEEN, r#"{"kill":"worker-1"}"#);
    hive.ok(QUEEN, &format!(r#"{{"revoke":"{TICKET}"}}"#));
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    assert_eq!(hive.refused(QUEEN, r#"{"spawn":"heartbeat"}"#).word, Word::Quota);
    let hash: String = hive.state.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "3668041f9a68b421be51032a60e6650463be3d3cb0df0c510280efa93f044639");
    let read = authority::State::from_json(Config::default(), &hive.state.to_json()).unwrap();
    assert_eq!((read.hash(), read.revoked().count()), (hive.state.hash(), 2));
    hive.ok(SYSTEM, &format!(r#"{{"boot":{{"id":"2","settings":{{{SETTINGS},"numbers_ended":true}}}}}}"#));
    assert_eq!(hive.state.revoked().collect::<Vec<_>>(), [(TICKET, "by command")]);
    assert_eq!(hive.state.ended(), [(1, 2)]);
}

fn envelope(id: &str, key: &str, cmd: &str) -> String {
    format!(
        r#"{{"schema":"queen-ctl/v1","id":"{id}","idempotency_key":"{key}","issued_unix_ms":1,"cmd":{cmd}}}"#
    )
}

#[test]
fn the_same_envelope_again_has_no_second_effect() {
    let mut hive = Hive::online_with(Config { dedupe_entries: 2, ..Config::default() });
    let spawn = r#"{"spawn":"heartbeat"}"#;
    let first = hive.run(QUEEN, &envelope("a", "k", spawn)).unwrap();
    assert_eq!(first.line(hive.seq), "OK SPAWN id=worker-1 seq=4");
    for again in [envelope("a", "k", spawn), envelope("a", "k", r#"{ "spawn" : "heartbeat" }"#)] {
        let before = hive.state.clone();
        let dup = hive.run(QUEEN, &again).unwrap();
        assert_eq!(dup.line(99), "OK SPAWN id=worker-1 seq=4 dup=1");
        assert!(dup.effects.is_empty() && dup.first == Some(4));
        assert_eq!(hive.state, before);
    }
    assert_eq!(hive.refused(QUEEN, &envelope("a", "other", spawn)).word, Word::Invalid);
    assert_eq!(hive.refused(QUEEN, &envelope("a", "k", r#"{"kill":"worker-1"}"#)).word, Word::Invalid);
    // A refused one may be sent again: it has had no effect.
    assert_eq!(hive.refused(QUEEN, &envelope("b", "k", r#"{"kill":"worker-2"}"#)).word, Word::NotFound);
    hive.ok(QUEEN, spawn);
    assert_eq!(hive.ok(QUEEN, &envelope("b", "k", r#"{"kill":"worker-2"}"#)), "OK KILL id=worker-2");
    // The oldest goes first.
    hive.ok(QUEEN, &envelope("c", "k", spawn));
    let known: Vec<_> = hive.state.dedupe().entries().map(|(id, first)| (id, first.ack.as_str())).collect();
    assert_eq!(known, [("b", "OK KILL id=worker-2"), ("c", "OK SPAWN id=worker-3")]);
    assert_eq!(hive.ok(QUEEN, &envelope("a", "k", spawn)), "OK SPAWN id=worker-4");
}

#[test]
fn a_hive_that_wants_envelopes_takes_nothing_else() {
    let mut hive = Hive::online_with(Config { needs_envelope: true, ..Config::default() });
    let spawn = r#"{"spawn":"heartbeat"}"#;
    assert_eq!(hive.refused(QUEEN, spawn).word, Word::Invalid);
    hive.ok(QUEEN, &envelope("a", "k", spawn));
    hive.ok(LIFECYCLE, "cordon");
}

#[test]
fn new_work_needs_a_state_that_allows_it() {
    for (words, phase) in [
        (&["cordon"][..], Phase::Draining),
        (&["quiesce"], Phase::Quiesced),
        (&["quiesce", "reset"], Phase::Booting),
        (&["quiesce", "reset", "reset"], Phase::Offline),
    ] {
        let mut hive = Hive::online();
        words.iter().for_each(|word| {
            hive.ok(LIFECYCLE, word);
        });
        assert_eq!(hive.state.phase(), phase);
        let refused = hive.refused(QUEEN, r#"{"spawn":"heartbeat"}"#);
        assert_eq!((refused.word, refused.detail), (Word::Busy, format!("state={}", phase.name())));
        let grant = r#"{"grant":{"resource":"GPU-0","subject":"a","mem_mb":1,"streams":1,"ttl_s":1}}"#;
        assert_eq!(hive.refused(LEASE, grant).word, Word::Busy);
        hive.ok(QUEEN, r#"{"budget":{"ops":5}}"#);
    }
}

#[test]
fn the_lifecycle_follows_the_servers() {
    let mut hive = Hive::new(Config::default());
    assert_eq!((hive.state.phase(), hive.state.next_due_ms()), (Phase::Booting, None));
    hive.ok(SYSTEM, r#"{"boot":{"id":"1"}}"#);
    assert_eq!(hive.state.next_due_ms(), Some(hive.now_ms + 10_000));
    hive.ok(SYSTEM, r#"{"servers":{"missing":["door"]}}"#);
    assert!(hive.pass(hive.now_ms + 1).is_empty());
    hive.pass(hive.now_ms + 10_000);
    assert_eq!((hive.state.phase(), hive.state.phase_since().0), (Phase::Degraded, "missing:door"));
    hive.ok(SYSTEM, r#"{"servers":{"missing":[]}}"#);
    let effects = hive.pass(hive.now_ms);
    assert!(effects.contains(&Effect::Phase(Phase::Online)));
    assert!(effects.contains(&Effect::Log(format!(
        "seq={} lifecycle transition old=DEGRADED new=ONLINE reason=back",
        hive.seq
    ))));
    hive.ok(SYSTEM, r#"{"servers":{"missing":["log"]}}"#);
    hive.pass(hive.now_ms);
    assert_eq!(hive.state.phase_since().0, "lost:log");
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    // What the operator has decided outlives a boot.
    hive.ok(LIFECYCLE, "cordon");
    hive.ok(SYSTEM, r#"{"boot":{"id":"2"}}"#);
    assert_eq!((hive.state.phase(), hive.state.workers().count()), (Phase::Draining, 0));
    hive.ok(SYSTEM, r#"{"servers":{"missing":[]}}"#);
    assert!(hive.pass(hive.now_ms + 60_000).is_empty());
    assert_eq!(hive.ok(LIFECYCLE, "drain"), "OK DRAIN state=QUIESCED");
    assert_eq!(hive.ok(LIFECYCLE, "resume"), "OK RESUME state=ONLINE");
}

#[test]
fn a_drain_says_what_is_left() {
    let mut hive = Hive::online();
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    hive.ok(LIFECYCLE, "cordon");
    assert_eq!(hive.ok(LIFECYCLE, "drain"), "OK DRAIN state=DRAINING leases=0 workers=1");
    let refused = hive.refused(LIFECYCLE, "quiesce");
    assert_eq!((refused.word, refused.detail.as_str()), (Word::Busy, "reason=outstanding-workers count=1"));
    let refused = hive.refused(LIFECYCLE, "reset");
    assert_eq!(refused.detail, "reason=invalid-transition state=DRAINING");
}

#[test]
fn a_node_that_is_cut_off_takes_nothing_from_workers() {
    let mut hive = Hive::online();
    assert_eq!((hive.state.cut(), hive.state.last_seen_ms(77)), (None, 77));
    hive.ok(SYSTEM, r#"{"cut":{"reason":"network_unreachable","holds":true}}"#);
    let at = hive.now_ms;
    hive.now_ms += 500;
    assert_eq!(hive.state.last_seen_ms(hive.now_ms), at);
    hive.role = "worker-gpu";
    let refused = hive.refused(LEASE, r#"{"release":"lease-1"}"#);
    assert_eq!((refused.word, refused.detail.as_str()), (Word::Cut, "cut_reason=network_unreachable"));
    hive.role = "queen";
    hive.ok(SYSTEM, r#"{"cut":{"reason":"network_unreachable","holds":false}}"#);
    assert_eq!((hive.state.cut(), hive.state.last_seen_ms(77)), (None, 77));
}

#[test]
fn what_was_recorded_under_wider_bounds_is_folded_under_narrow_ones() {
    let mut hive = Hive::online();
    let spawn = authority::parse(QUEEN, r#"{"spawn":"heartbeat"}"#).unwrap();
    let mut state = authority::State::new(Config { max_workers: 1, ..Config::default() });
    for (seq, command) in hive.journal.iter().enumerate() {
        state.fold(&hive::entry(seq as u64 + 1, 1000, "", command)).unwrap();
    }
    for seq in 10..12 {
        state.fold(&hive::entry(seq, 1000, "queen", &spawn)).unwrap();
    }
    assert_eq!(state.workers().count(), 2);
    assert_eq!(state.apply(&hive::entry(13, 1000, "queen", &spawn)).unwrap_err().word, Word::Quota);
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
}

#[test]
fn a_replay_stands_on_the_settings_of_the_boot_and_not_on_those_of_today() {
    let then = Config { ttl_s: 60, ticks: 7, period_ms: 250, hive: "old".into(), ..Config::default() };
    let settings = authority::Settings::from(&then);
    let mut hive = Hive::new(then);
    let boot = authority::Boot { id: "1".into(), settings: Some(settings) };
    hive.apply(authority::Command::system(authority::System::Boot(boot))).unwrap();
    hive.ok(SYSTEM, r#"{"transition":{"to":"ONLINE","reason":"boot"}}"#);
    hive.ok(QUEEN, r#"{"spawn":"heartbeat"}"#);
    let mut state = authority::State::new(Config::default());
    for (seq, command) in hive.journal.iter().enumerate() {
        let written = authority::parse(command.path(), &command.to_json()).unwrap();
        state.fold(&hive::entry(seq as u64 + 1, 1000, "queen", &written)).unwrap();
    }
    assert_eq!(state.workers().next().map(|w| (w.ticks, w.period_ms, w.until_ms)), Some((7, 250, 61_000)));
    assert_eq!(state.hash(), hive.state.hash());
}
