//! Leases, the queue of jobs, export windows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hive;

use authority::{Config, EXPORT, Kind, LEASE, LIFECYCLE, QUEEN, SCHEDULE, Word};
use hive::{Hive, with_gpu};

fn grant(subject: &str, mem_mb: u64, streams: u64, ttl_s: u64) -> String {
    format!(
        r#"{{"grant":{{"resource":"GPU-0","subject":"{subject}","mem_mb":{mem_mb},"streams":{streams},"ttl_s":{ttl_s},"priority":5}}}}"#
    )
}

fn job(id: &str, priority: u64, more: &str) -> String {
    format!(
        r#"{{"enqueue":{{"id":"{id}","kind":"gpu","resource":"GPU-0","priority":{priority},"spec":{{"mem_mb":4096,"streams":2,"ttl_s":10}}{more}}}}}"#
    )
}

#[test]
fn a_lease_is_refused_where_there_is_no_room() {
    let mut hive = Hive::online_with(with_gpu());
    assert_eq!(
        hive.ok(LEASE, &grant("worker-3", 4096, 2, 60)),
        "OK GRANT lease=lease-1 resource=GPU-0 subject=worker-3 expires_ms=61000"
    );
    for (mem_mb, streams) in [(4097, 1), (1, 3), (9000, 9)] {
        let refused = hive.refused(LEASE, &grant("worker-4", mem_mb, streams, 60));
        assert_eq!(refused.word, Word::Busy);
        assert_eq!(refused.detail, "resource=GPU-0 mem_mb_left=4096 streams_left=2");
    }
    hive.ok(LEASE, &grant("worker-4", 4096, 2, 60));
    assert_eq!(hive.refused(LEASE, &grant("worker-5", 0, 1, 60)).word, Word::Busy);
    assert_eq!(hive.ok(LEASE, r#"{"release":"lease-1"}"#), "OK RELEASE lease=lease-1");
    assert_eq!(hive.refused(LEASE, r#"{"release":"lease-1"}"#).word, Word::NotFound);
    assert!(hive.ok(LEASE, &grant("worker-5", 1, 1, 60)).contains("lease=lease-3"));
    let unknown = grant("worker-5", 1, 1, 60).replace("GPU-0", "GPU-9");
    assert_eq!(hive.refused(LEASE, &unknown).word, Word::NotFound);
}

#[test]
fn a_quota_holds_for_its_subject_alone() {
    let mut hive = Hive::online_with(with_gpu());
    hive.ok(LEASE, r#"{"quota":{"subject":"worker-3","max_leases":2,"max_mem_mb":1000}}"#);
    assert_eq!(hive.refused(LEASE, &grant("worker-3", 1001, 1, 60)).word, Word::Quota);
    hive.ok(LEASE, &grant("worker-3", 900, 1, 60));
    assert_eq!(hive.refused(LEASE, &grant("worker-3", 101, 1, 60)).word, Word::Quota);
    hive.ok(LEASE, &grant("worker-3", 100, 1, 60));
    assert_eq!(hive.refused(LEASE, &grant("worker-3", 0, 0, 60)).word, Word::Quota);
    hive.ok(LEASE, &grant("worker-4", 1001, 1, 60));
}

#[test]
fn tables_are_bounded() {
    let mut config = with_gpu();
    (config.lease.max_active, config.lease.max_quotas, config.lease.preemptions) = (2, 1, 1);
    (config.max_jobs, config.max_windows) = (1, 1);
    let mut hive = Hive::online_with(config);
    hive.ok(LEASE, &grant("a", 0, 0, 60));
    hive.ok(LEASE, &grant("b", 0, 0, 60));
    assert_eq!(hive.refused(LEASE, &grant("c", 0, 0, 60)).word, Word::Busy);
    hive.ok(LEASE, r#"{"quota":{"subject":"a","max_leases":2,"max_mem_mb":1000}}"#);
    hive.ok(LEASE, r#"{"quota":{"subject":"a","max_leases":3,"max_mem_mb":1000}}"#);
    let quota = r#"{"quota":{"subject":"b","max_leases":3,"max_mem_mb":1000}}"#;
    assert_eq!(hive.refused(LEASE, quota).word, Word::Busy);
    hive.ok(SCHEDULE, &job("job-1", 5, r#","not_before_ms":99000"#));
    assert_eq!(hive.refused(SCHEDULE, &job("job-2", 5, "")).word, Word::Busy);
    hive.ok(EXPORT, r#"{"open":{"id":"w","path":"/queen/telemetry/dev-1","until_ms":9000,"max_bytes":1}}"#);
    let open = r#"{"open":{"id":"v","path":"/queen/telemetry/dev-1","until_ms":9000,"max_bytes":1}}"#;
    assert_eq!(hive.refused(EXPORT, open).word, Word::Busy);
    for lease in ["lease-1", "lease-2"] {
        hive.ok(LEASE, &format!(r#"{{"preempt":{{"lease":"{lease}","by":"z","reason":"more urgent"}}}}"#));
    }
    let last: Vec<_> = hive.state.leases().preemptions().map(|p| p.lease.as_str()).collect();
    assert_eq!((last, hive.state.leases().preempted), (vec!["lease-2"], 2));
}

#[test]
fn a_lease_ends_at_its_time_unless_it_is_renewed() {
    let mut hive = Hive::online_with(with_gpu());
    hive.ok(LEASE, &grant("a", 1, 1, 10));
    hive.ok(LEASE, &grant("b", 1, 1, 10));
    hive.now_ms = 5000;
    assert_eq!(
        hive.ok(LEASE, r#"{"renew":{"lease":"lease-2","ttl_s":10}}"#),
        "OK RENEW lease=lease-2 expires_ms=15000"
    );
    assert!(hive.pass(10_999).is_empty());
    hive.pass(11_000);
    let left: Vec<_> = hive.state.leases().active().map(|lease| lease.id.as_str()).collect();
    assert_eq!((left, hive.state.leases().expired), (vec!["lease-2"], 1));
    assert_eq!(hive.refused(authority::SYSTEM, r#"{"expire":"lease-2"}"#).word, Word::Invalid);
    hive.pass(15_000);
    assert_eq!(hive.state.leases().active().count(), 0);
    assert_eq!(hive.refused(LEASE, r#"{"renew":{"lease":"lease-2","ttl_s":10}}"#).word, Word::NotFound);
}

#[test]
fn a_worker_takes_its_leases_with_it() {
    let config = Config { kinds: vec![Kind::Heartbeat, Kind::Gpu], ..with_gpu() };
    let mut hive = Hive::online_with(config);
    let spawn =
        r#"{"spawn":"gpu","lease":{"gpu_id":"GPU-0","mem_mb":8192,"streams":1,"ttl_s":60,"priority":5}}"#;
    assert_eq!(hive.ok(QUEEN, spawn), "OK SPAWN id=worker-1 lease=lease-1");
    assert_eq!(hive.refused(QUEEN, spawn).word, Word::Busy);
    hive.ok(LIFECYCLE, "cordon");
    assert!(hive.refused(LIFECYCLE, "quiesce").detail.contains("outstanding-leases"));
    hive.ok(QUEEN, r#"{"kill":"worker-1"}"#);
    assert_eq!(hive.state.leases().active().count(), 0);
    hive.ok(LIFECYCLE, "quiesce");
}

#[test]
fn jobs_start_by_priority_then_arrival_when_there_is_room() {
    let mut hive = Hive::online_with(with_gpu());
    for (id, priority) in [("a", 1), ("b", 5), ("c", 5), ("d", 9)] {
        hive.ok(SCHEDULE, &job(id, priority, ""));
    }
    let order =
        |hive: &Hive| hive.state.schedule().jobs().iter().map(|j| j.wish.id.clone()).collect::<Vec<_>>();
    assert_eq!(order(&hive), ["d", "b", "c", "a"]);
    hive.pass(1000);
    let running = |hive: &Hive| {
        let jobs = hive.state.schedule().jobs();
        jobs.iter().filter(|j| j.lease.is_some()).map(|j| j.wish.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(running(&hive), ["d", "b"]);
    hive.ok(SCHEDULE, r#"{"reprioritise":{"id":"a","priority":7}}"#);
    // One is done by release, the other by time.
    hive.ok(LEASE, r#"{"release":"lease-1"}"#);
    hive.pass(1000);
    assert_eq!(running(&hive), ["a", "b"]);
    hive.pass(11_000);
    assert_eq!(running(&hive), ["c"]);
    assert_eq!((hive.state.schedule().done, hive.state.schedule().counts()), (3, (0, 1)));
    hive.ok(SCHEDULE, r#"{"cancel":"c"}"#);
    assert_eq!((hive.state.schedule().cancelled, hive.state.leases().active().count()), (1, 0));
}

#[test]
fn a_large_job_is_not_passed_by_small_ones() {
    let mut hive = Hive::online_with(with_gpu());
    hive.ok(LEASE, &grant("a", 1000, 1, 60));
    let large = job("large", 5, "").replace("4096", "8192");
    hive.ok(SCHEDULE, &large);
    hive.ok(SCHEDULE, &job("small", 5, ""));
    hive.pass(1000);
    assert_eq!(hive.state.schedule().counts(), (2, 0));
    hive.ok(LEASE, r#"{"release":"lease-1"}"#);
    hive.pass(1000);
    assert!(hive.state.schedule().jobs()[0].lease.is_some());
    assert_eq!(hive.refused(SCHEDULE, &job("huge", 5, "").replace("4096", "8193")).word, Word::Invalid);
}

#[test]
fn a_preempted_job_waits_in_its_old_place() {
    let mut hive = Hive::online_with(with_gpu());
    hive.ok(SCHEDULE, &job("a", 5, ""));
    hive.pass(1000);
    hive.ok(LEASE, r#"{"preempt":{"lease":"lease-1","by":"queen","reason":"x y"}}"#);
    assert_eq!(hive.state.schedule().counts(), (1, 0));
    hive.pass(1000);
    assert_eq!(hive.state.schedule().jobs()[0].lease.as_deref(), Some("lease-2"));
}

#[test]
fn a_jobs_times_are_kept() {
    let mut hive = Hive::online_with(with_gpu());
    hive.ok(SCHEDULE, &job("a", 5, r#","not_before_ms":5000,"deadline_ms":7500"#));
    assert_eq!(hive.refused(SCHEDULE, &job("a", 5, "")).word, Word::Invalid);
    assert_eq!(hive.refused(SCHEDULE, &job("b", 5, r#","deadline_ms":1000"#)).word, Word::Invalid);
    assert_eq!(hive.state.next_due_ms(), Some(5000));
    assert!(hive.pass(4999).is_empty());
    hive.pass(5000);
    // Its lease ends with its deadline, rounded up to a second.
    assert_eq!(hive.state.leases().active().next().map(|lease| lease.expires_ms), Some(8000));
    hive.ok(LEASE, &grant("x", 4096, 2, 60));
    hive.ok(SCHEDULE, &job("late", 5, r#","deadline_ms":6000"#));
    hive.pass(6000);
    assert_eq!((hive.state.schedule().cancelled, hive.state.schedule().counts()), (1, (0, 1)));
}

#[test]
fn jobs_do_not_start_while_the_hive_drains() {
    let mut hive = Hive::online_with(with_gpu());
    hive.ok(SCHEDULE, &job("a", 5, r#","not_before_ms":2000"#));
    hive.ok(LIFECYCLE, "cordon");
    assert!(hive.pass(3000).is_empty());
    hive.ok(LIFECYCLE, "resume");
    hive.pass(3000);
    assert_eq!(hive.state.schedule().counts(), (0, 1));
}

#[test]
fn a_window_is_open_until_its_time_or_its_close() {
    let mut hive = Hive::online();
    let open = |id: &str, until_ms: u64| {
        format!(
            r#"{{"open":{{"id":"{id}","path":"/queen/telemetry/dev-1","until_ms":{until_ms},"max_bytes":5}}}}"#
        )
    };
    hive.ok(EXPORT, &open("win-1", 5000));
    hive.ok(EXPORT, &open("win-2", 9000));
    assert_eq!(hive.refused(EXPORT, &open("win-1", 9000)).word, Word::Invalid);
    assert_eq!(hive.refused(EXPORT, &open("win-3", 1000)).word, Word::Invalid);
    hive.ok(EXPORT, r#"{"close":"win-2"}"#);
    assert_eq!(hive.refused(EXPORT, r#"{"close":"win-2"}"#).word, Word::NotFound);
    hive.pass(5000);
    assert_eq!(hive.state.exports().windows().count(), 0);
}
