//! What holds for any commands in any order: refusals change nothing, the fold is the same every time,
//! snapshots lose nothing, ids come once, bounds hold.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hive;

use authority::{Config, EXPORT, Kind, LEASE, LIFECYCLE, QUEEN, SCHEDULE, SYSTEM, State};
use hive::{Hive, with_gpu};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn config() -> Config {
    let mut config = with_gpu();
    config.kinds = vec![Kind::Heartbeat, Kind::Gpu];
    (config.max_workers, config.max_revoked, config.dedupe_entries) = (3, 12, 4);
    (config.lease.max_active, config.lease.max_quotas, config.max_jobs, config.max_windows) = (4, 2, 3, 2);
    config
}

/// A line that is often a good command for some state: small numbers, few names.
fn line() -> impl Strategy<Value = (&'static str, String)> {
    let n = 1u64..6;
    prop_oneof![
        4 => Just((QUEEN, r#"{"spawn":"heartbeat","budget":{"ttl_s":3}}"#.to_string())),
        2 => (1u64..4000).prop_map(|mem| (QUEEN, format!(
            r#"{{"spawn":"gpu","lease":{{"gpu_id":"GPU-0","mem_mb":{mem},"streams":1,"ttl_s":2,"priority":1}}}}"#
        ))),
        3 => n.clone().prop_map(|n| (QUEEN, format!(r#"{{"kill":"worker-{n}"}}"#))),
        1 => n.clone().prop_map(|n| (QUEEN, format!(r#"{{"budget":{{"worker":"worker-{n}","ttl_s":{n}}}}}"#))),
        1 => n.clone().prop_map(|n| (QUEEN, format!(r#"{{"revoke":"{n:032x}"}}"#))),
        3 => (n.clone(), 1u64..3, n.clone()).prop_map(|(id, key, kill)| (QUEEN, format!(
            r#"{{"schema":"queen-ctl/v1","id":"e{id}","idempotency_key":"{key}","issued_unix_ms":1,"cmd":{{"kill":"worker-{kill}"}}}}"#
        ))),
        2 => prop::sample::select(vec!["cordon", "drain", "resume", "quiesce", "reset"])
            .prop_map(|word| (LIFECYCLE, word.to_string())),
        3 => (n.clone(), 1u64..5000, n.clone()).prop_map(|(who, mem, ttl)| (LEASE, format!(
            r#"{{"grant":{{"resource":"GPU-0","subject":"s{who}","mem_mb":{mem},"streams":1,"ttl_s":{ttl}}}}}"#
        ))),
        1 => n.clone().prop_map(|n| (LEASE, format!(r#"{{"release":"lease-{n}"}}"#))),
        1 => n.clone().prop_map(|n| (LEASE, format!(r#"{{"renew":{{"lease":"lease-{n}","ttl_s":2}}}}"#))),
        1 => n.clone().prop_map(|n| (LEASE, format!(r#"{{"preempt":{{"lease":"lease-{n}","by":"x","reason":"y"}}}}"#))),
        1 => n.clone().prop_map(|n| (LEASE, format!(r#"{{"quota":{{"subject":"s{n}","max_leases":1,"max_mem_mb":{n}000}}}}"#))),
        3 => (n.clone(), 0u64..9, 0u64..3000).prop_map(|(id, priority, mem)| (SCHEDULE, format!(
            r#"{{"enqueue":{{"id":"j{id}","kind":"gpu","resource":"GPU-0","priority":{priority},"spec":{{"mem_mb":{mem},"ttl_s":2}}}}}}"#
        ))),
        1 => n.clone().prop_map(|n| (SCHEDULE, format!(r#"{{"cancel":"j{n}"}}"#))),
        1 => n.clone().prop_map(|n| (EXPORT, format!(r#"{{"open":{{"id":"w{n}","path":"/a","until_ms":{n}000,"max_bytes":1}}}}"#))),
        1 => n.clone().prop_map(|n| (EXPORT, format!(r#"{{"close":"w{n}"}}"#))),
        1 => prop::sample::select(vec![r#"{"servers":{"missing":[]}}"#, r#"{"servers":{"missing":["log"]}}"#, r#"{"boot":{"id":"2"}}"#])
            .prop_map(|line| (SYSTEM, line.to_string())),
        2 => n.prop_map(|n| (SYSTEM, format!(r#"{{"end":{{"worker":"worker-{n}","why":"ticks"}}}}"#))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_commands_keep_the_promises(lines in prop::collection::vec((line(), 0u64..1500), 1..60)) {
        let mut hive = Hive::online_with(config());
        let mut ids = BTreeSet::new();
        let mut recorded = Vec::new();
        for ((path, line), wait_ms) in &lines {
            hive.pass_recording(hive.now_ms + wait_ms, &mut recorded);
            // `Hive::apply` asserts that a refusal leaves the state as it was.
            let outcome = hive.run(path, line);
            if let Ok(outcome) = &outcome && outcome.first.is_none() {
                recorded.push((hive.now_ms, outcome.ack.clone()));
                if let Some(id) = outcome.ack.strip_prefix("OK SPAWN id=") {
                    prop_assert!(ids.insert(id.split(' ').next().unwrap().to_string()), "{id} twice");
                }
                if let Some(id) = outcome.ack.strip_prefix("OK GRANT lease=") {
                    prop_assert!(ids.insert(id.split(' ').next().unwrap().to_string()), "{id} twice");
                }
            }
            let state = &hive.state;
            prop_assert!(state.workers().count() <= 3 && state.leases().active().count() <= 4);
            prop_assert!(state.leases().mem_mb() <= 8192);
            let (queued, running) = state.schedule().counts();
            prop_assert!(queued + running <= 3 && state.exports().windows().count() <= 2);
            prop_assert!(state.dedupe().entries().count() <= 4);
            let leased = state.leases().active().filter(|lease| lease.job.is_some()).count();
            prop_assert_eq!(leased, running);
        }
        // The journal alone gives the same acknowledgements and the same state.
        let mut again = State::new(config());
        prop_assert_eq!(recorded.len(), hive.journal.len() - 3);
        let times = std::iter::repeat_n(1000, 3).chain(recorded.iter().map(|(ts_ms, _)| *ts_ms));
        for (i, (command, ts_ms)) in hive.journal.iter().zip(times).enumerate() {
            let reread = authority::parse(command.path(), &command.to_json()).unwrap();
            let entry = hive::entry(i as u64 + 1, ts_ms, "queen", &reread);
            let ack = again.fold(&entry).unwrap().ack;
            if i >= 3 {
                prop_assert_eq!(&ack, &recorded[i - 3].1);
            }
        }
        prop_assert_eq!(again.hash(), hive.state.hash());
        prop_assert_eq!(&again, &hive.state);
        // A snapshot loses nothing.
        let copy = State::from_json(config(), &hive.state.to_json()).unwrap();
        prop_assert_eq!(copy.hash(), hive.state.hash());
        prop_assert_eq!(copy, hive.state);
    }
}
