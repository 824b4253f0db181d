//! What lines mean, and which mean nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use authority::{Command, EXPORT, LEASE, LIFECYCLE, QUEEN, SCHEDULE, SYSTEM, Word, parse};

/// Every form of the pages: path, line, verb.
const FORMS: &[(&str, &str, &str)] = &[
    (
        QUEEN,
        r#"{"spawn":"heartbeat","ticks":100,"period_ms":1000,"budget":{"ttl_s":120,"ops":500}}"#,
        "SPAWN",
    ),
    (QUEEN, r#"{"spawn":"heartbeat"}"#, "SPAWN"),
    (QUEEN, r#"{"budget":{"ttl_s":5},"spawn":"heartbeat"}"#, "SPAWN"),
    (
        QUEEN,
        r#"{"spawn":"gpu","lease":{"gpu_id":"GPU-0","mem_mb":4096,"streams":2,"ttl_s":120,"priority":5}}"#,
        "SPAWN",
    ),
    (QUEEN, r#"{"spawn":"bus","adapter":"rs485"}"#, "SPAWN"),
    (QUEEN, r#"{"kill":"worker-7"}"#, "KILL"),
    (QUEEN, r#"{"budget":{"worker":"worker-7","ttl_s":120,"ops":1000}}"#, "BUDGET"),
    (QUEEN, r#"{"budget":{"ops":1000}}"#, "BUDGET"),
    (QUEEN, r#"{"bind":{"from":"/a","to":"/b c"}}"#, "BIND"),
    (QUEEN, r#"{"mount":{"service":"gpu","at":"/gpu2"}}"#, "MOUNT"),
    (QUEEN, r#"{"revoke":"00112233445566778899aabbccddeeff"}"#, "REVOKE"),
    (
        QUEEN,
        r#"{"schema":"queen-ctl/v1","id":"a \"b\"","idempotency_key":"k","issued_unix_ms":7,"cmd":{"kill":"worker-7"}}"#,
        "KILL",
    ),
    (LIFECYCLE, "cordon", "CORDON"),
    (LIFECYCLE, " drain ", "DRAIN"),
    (LIFECYCLE, r#"{"lifecycle":"resume"}"#, "RESUME"),
    (
        LEASE,
        r#"{"grant":{"resource":"GPU-0","subject":"worker-3","mem_mb":4096,"streams":2,"ttl_s":60,"priority":5}}"#,
        "GRANT",
    ),
    (LEASE, r#"{"renew":{"lease":"lease-4","ttl_s":60}}"#, "RENEW"),
    (LEASE, r#"{"release":"lease-4"}"#, "RELEASE"),
    (LEASE, r#"{"preempt":{"lease":"lease-4","by":"worker-9","reason":"more urgent"}}"#, "PREEMPT"),
    (LEASE, r#"{"quota":{"subject":"worker-3","max_leases":2,"max_mem_mb":8192}}"#, "QUOTA"),
    (
        SCHEDULE,
        r#"{"enqueue":{"id":"job-1","kind":"gpu","resource":"GPU-0","priority":5,"not_before_ms":0,"deadline_ms":9,"spec":{"mem_mb":1,"args":["a",-1]}}}"#,
        "ENQUEUE",
    ),
    (SCHEDULE, r#"{"enqueue":{"id":"job-1","kind":"gpu","resource":"GPU-0"}}"#, "ENQUEUE"),
    (SCHEDULE, r#"{"cancel":"job-1"}"#, "CANCEL"),
    (SCHEDULE, r#"{"reprioritise":{"id":"job-1","priority":9}}"#, "REPRIORITISE"),
    (EXPORT, r#"{"open":{"id":"win-1","path":"/queen/telemetry/dev-1","until_ms":9,"max_bytes":1}}"#, "OPEN"),
    (EXPORT, r#"{"close":"win-1"}"#, "CLOSE"),
    (SYSTEM, r#"{"boot":{"id":"1-2"}}"#, "BOOT"),
    (SYSTEM, r#"{"servers":{"missing":["gpu"]}}"#, "SERVERS"),
    (SYSTEM, r#"{"transition":{"to":"ONLINE","reason":"boot"}}"#, "TRANSITION"),
    (SYSTEM, r#"{"end":{"worker":"worker-1","why":"ttl"}}"#, "END"),
    (SYSTEM, r#"{"end":{"worker":"worker-1","why":{"exited":"exit 0"}}}"#, "END"),
    (SYSTEM, r#"{"expire":"lease-1"}"#, "EXPIRE"),
    (SYSTEM, r#"{"cut":{"reason":"network_unreachable","holds":true}}"#, "CUT"),
];

#[test]
fn the_forms_of_the_pages_parse_and_are_written_as_they_are_read() {
    for (path, line, verb) in FORMS {
        let command = parse(path, line).expect(line);
        assert_eq!(command.verb(), *verb, "{line}");
        assert_eq!(command.path(), *path, "{line}");
        let written = command.to_json();
        assert_eq!(parse(path, &written).as_ref(), Ok(&command), "{line} -> {written}");
        assert_eq!(serde_json::to_string(&command).unwrap(), written);
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&written).expect(&written);
    }
}

#[test]
fn what_is_not_on_the_pages_is_invalid_and_says_which_verb() {
    for (path, line, verb) in [
        (QUEEN, "", "CTL"),
        (QUEEN, "{}", "CTL"),
        (QUEEN, "[]", "CTL"),
        (QUEEN, "null", "CTL"),
        (QUEEN, "heartbeat", "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat"} x"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat"}{"kill":"a"}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","kill":"worker-1"}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","spawn":"heartbeat"}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","tick":5}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":-1}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":0}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":1.5}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":"5"}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":null}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":99999999999999999999999}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","ticks":18446744073709551615}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","budget":{"worker":"worker-1"}}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","budget":[null,5,5]}"#, "CTL"),
        (QUEEN, r#"{"spawn":"heartbeat","budget":[5]}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"heartbeat","budget":{"ttl_s":0}}"#, "SPAWN"),
        (
            QUEEN,
            r#"{"spawn":"heartbeat","lease":{"gpu_id":"G","mem_mb":1,"streams":1,"ttl_s":1,"priority":1}}"#,
            "SPAWN",
        ),
        (QUEEN, r#"{"spawn":"gpu"}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"bus"}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":"cpu"}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":["heartbeat"]}"#, "SPAWN"),
        (QUEEN, r#"{"spawn":{"heartbeat":1}}"#, "SPAWN"),
        (QUEEN, r#"{"kill":7}"#, "KILL"),
        (QUEEN, r#"{"kill":""}"#, "KILL"),
        (QUEEN, r#"{"kill":"worker-1","ticks":5}"#, "KILL"),
        (QUEEN, r#"{"budget":{}}"#, "BUDGET"),
        (QUEEN, r#"{"budget":{"worker":"worker-1"}}"#, "BUDGET"),
        (QUEEN, r#"{"bind":{"from":"/a"}}"#, "BIND"),
        (QUEEN, r#"{"bind":["/a","/b"]}"#, "BIND"),
        (QUEEN, r#"{"bind":{"from":"/a","to":"/b","x":1}}"#, "BIND"),
        (QUEEN, r#"{"bind":{"from":"a","to":"/b"}}"#, "BIND"),
        (QUEEN, r#"{"bind":{"from":"/a/../b","to":"/b"}}"#, "BIND"),
        (QUEEN, r#"{"bind":{"from":"/1/2/3/4/5/6/7/8/9","to":"/b"}}"#, "BIND"),
        (QUEEN, r#"{"bind":{"from":"/a","to":"/b\u0000"}}"#, "BIND"),
        (QUEEN, r#"{"mount":{"service":"","at":"/b"}}"#, "MOUNT"),
        (QUEEN, r#"{"mount":{"service":"log","at":"b"}}"#, "MOUNT"),
        (QUEEN, r#"{"revoke":"abc"}"#, "REVOKE"),
        (QUEEN, r#"{"revoke":"00112233445566778899AABBCCDDEEFF"}"#, "REVOKE"),
        (QUEEN, r#"{"schema":"queen-ctl/v1","id":"a","idempotency_key":"k","issued_unix_ms":7}"#, "CTL"),
        (
            QUEEN,
            r#"{"schema":"queen-ctl/v2","id":"a","idempotency_key":"k","issued_unix_ms":7,"cmd":{"kill":"w"}}"#,
            "KILL",
        ),
        (
            QUEEN,
            r#"{"schema":"queen-ctl/v1","id":"","idempotency_key":"k","issued_unix_ms":7,"cmd":{"kill":"w"}}"#,
            "KILL",
        ),
        (
            QUEEN,
            r#"{"schema":"queen-ctl/v1","id":"a","idempotency_key":"k","issued_unix_ms":7,"cmd":["w"]}"#,
            "CTL",
        ),
        (
            QUEEN,
            r#"{"schema":"queen-ctl/v1","id":"a","idempotency_key":"k","issued_unix_ms":7,"cmd":{"kill":"w"},"x":1}"#,
            "KILL",
        ),
        (LIFECYCLE, "", "CTL"),
        (LIFECYCLE, "CORDON", "CTL"),
        (LIFECYCLE, "cordon drain", "CTL"),
        (LIFECYCLE, r#"{"lifecycle":"stop"}"#, "CTL"),
        (LIFECYCLE, r#"{"cordon":1}"#, "CTL"),
        (LEASE, r#"{"grant":{"resource":"GPU-0"}}"#, "GRANT"),
        (LEASE, r#"{"grant":["GPU-0","a",1,1,1,1]}"#, "GRANT"),
        (LEASE, r#"{"grant":{"resource":"G","subject":"a","mem_mb":1,"streams":1,"ttl_s":0}}"#, "GRANT"),
        (LEASE, r#"{"grant":{"resource":"G","subject":"a b","mem_mb":1,"streams":1,"ttl_s":1}}"#, "GRANT"),
        (LEASE, r#"{"release":"lease-1","x":1}"#, "RELEASE"),
        (LEASE, r#"{"release":null}"#, "CTL"),
        (LEASE, r#"{"preempt":{"lease":"lease-1","by":"a","reason":"two\nlines"}}"#, "PREEMPT"),
        (LEASE, r#""release""#, "CTL"),
        (LEASE, r#"{"kill":"worker-1"}"#, "CTL"),
        (SCHEDULE, r#"{"enqueue":{"id":"j","kind":"gpu","resource":"G","spec":[]}}"#, "ENQUEUE"),
        (SCHEDULE, r#"{"enqueue":{"id":"j","kind":"gpu","resource":"G","spec":{"mem_mb":"1"}}}"#, "ENQUEUE"),
        (
            SCHEDULE,
            r#"{"enqueue":{"id":"j","kind":"gpu","resource":"G","not_before_ms":9,"deadline_ms":9}}"#,
            "ENQUEUE",
        ),
        (SCHEDULE, r#"{"reprioritise":{"id":"j","priority":1001}}"#, "REPRIORITISE"),
        (EXPORT, r#"{"open":{"id":"w","path":"x","until_ms":9,"max_bytes":1}}"#, "OPEN"),
        (EXPORT, r#"{"open":{"id":"w","path":"/x","until_ms":9,"max_bytes":0}}"#, "OPEN"),
        ("/queen/none", r#"{"kill":"worker-1"}"#, "CTL"),
    ] {
        let (said, refused) = parse(path, line).expect_err(line);
        assert_eq!((said, refused.word), (verb, Word::Invalid), "{path} {line}: {}", refused.detail);
        assert!(!refused.detail.is_empty());
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_a_command_or_a_refusal(line in ".{0,200}", path in 0usize..6) {
        let path = [QUEEN, LIFECYCLE, LEASE, SCHEDULE, EXPORT, SYSTEM][path];
        if let Ok(command) = parse(path, &line) {
            proptest::prop_assert_eq!(parse(path, &command.to_json()), Ok(command));
        }
    }

    /// Lines that are nearly right: a form with a piece cut out or doubled.
    #[test]
    fn any_damaged_form_is_a_command_or_a_refusal(form in 0usize..FORMS.len(), from in 0usize..200, n in 1usize..20, twice: bool) {
        let (path, line, _) = FORMS[form];
        let (from, to) = (from.min(line.len()), (from + n).min(line.len()));
        let damaged = match twice {
            true => format!("{}{}", &line[..to], &line[from..]),
            false => format!("{}{}", &line[..from], &line[to..]),
        };
        if let Ok(command) = parse(path, &damaged) {
            let again: Result<Command, _> = parse(path, &command.to_json());
            proptest::prop_assert_eq!(again, Ok(command));
        }
    }
}
