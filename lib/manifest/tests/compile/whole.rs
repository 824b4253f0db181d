//! What no single value is to blame for.

use crate::house::{House, KEY, SMALL};

fn says(old: &str, new: &str) -> String {
    House::new().edit(old, new).says()
}

#[test]
#[rustfmt::skip]
fn memory_must_add_up() {
    for (old, new, what) in [
        ("name = \"hive\"", "name = \"hive\"\nmemory_kib = 65536", "hive.memory_kib: 65536 found; the servers' memory_kib and keep_kib add up to 1011712"),
        ("ring_bytes = 1_048_576", "ring_bytes = 16_777_216", "log.ring_bytes: 16384 KiB for all streams found; servers.log has 8192 KiB"),
        ("budget_bytes = 67_108_864", "budget_bytes = 268_435_456", "telemetry.budget_bytes: 262144 KiB found; servers.worker has 131072 KiB"),
        ("budget_bytes = 67_108_864", "budget_bytes = 131_072", "telemetry.ring_bytes: 262144 found; telemetry.budget_bytes is 131072"),
        ("sessions = 16384", "sessions = 65536", "ninep.sessions: 65536 found; at 32 KiB each that is 2097152 KiB, and servers.door has 655360 KiB"),
    ] {
        assert_eq!(says(old, new), format!("sys/hive.toml:N: {what}"));
    }
}

#[test]
fn records_must_fit_a_frame_and_their_ring() {
    assert_eq!(
        says("msize = 8192", "msize = 2048"),
        "sys/hive.toml:N: telemetry.record_bytes: 4096 found; a write holds 2025 bytes with ninep.msize = 2048\n\
         sys/hive.toml:N: queen.ctl_line_bytes: 2048 found; a write holds 2025 bytes with ninep.msize = 2048"
    );
    assert_eq!(
        says("ring_bytes = 262_144", "ring_bytes = 4096\nrecord_bytes = 8000"),
        "sys/hive.toml:N: telemetry.record_bytes: 8000 found; telemetry.ring_bytes is 4096"
    );
}

#[test]
fn shards_must_divide() {
    for (new, what) in [
        ("8\nworker_servers = 3", "3 found; a power of two up to 256 allowed with shard_bits = 8"),
        ("1\nworker_servers = 4", "4 found; a power of two up to 2 allowed with shard_bits = 1"),
    ] {
        let house = House::new().edit("name = \"hive\"", "name = \"hive\"\nmemory_kib = 2097152");
        let said = house.edit("shard_bits = 8", &format!("shard_bits = {new}")).says();
        assert_eq!(said, format!("sys/hive.toml:N: telemetry.worker_servers: {what}"));
    }
    let house = House::new().edit("shard_bits = 8", "shard_bits = 8\nworker_servers = 2");
    let house = house.edit("name = \"hive\"", "name = \"hive\"\nmemory_kib = 2097152");
    let manifest = house.compile().expect("it compiles").manifest;
    assert_eq!(manifest.server("worker").map(|server| server.count), Some(2));
    let said = house.edit("target = \"hosted\"", "target = \"qemu-virt\"").says();
    let wants = "telemetry.worker_servers: 2 found; an image has one process of each server: 1 allowed";
    assert!(said.ends_with(wants), "{said}");
}

#[test]
fn waits_grow() {
    assert_eq!(
        says("[queen]", "[restart]\nbackoff_ms = 20000\n[queen]"),
        "sys/hive.toml:N: restart.backoff_max_ms: 10000 found; the first wait is 20000 already"
    );
    assert_eq!(
        says("[queen]", "[client]\nretry_backoff_ms = 3000\n[queen]"),
        "sys/hive.toml:N: client.retry_backoff_max_ms: 2000 found; the first wait is 3000 already"
    );
}

#[test]
fn servers_are_this_builds_and_none_is_forgotten() {
    for (old, new, what) in [
        ("[servers.door]", "", "servers.door: not enabled; a hive cannot be without it"),
        (
            "[servers.log]",
            "[servers.log]\n[servers.gpu]",
            "servers.gpu: not part of this build; log, proc, queen, worker, door, telemetry, trace, policy, audit, console are",
        ),
        ("[servers.log]", "[servers.log]\ncount = 2", "servers.log.count: 2 found; 1 allowed"),
        (
            "[servers.worker]",
            "[servers.worker]\ncount = 2",
            "servers.worker.count: 2 found; telemetry.worker_servers says 1: leave this key out",
        ),
    ] {
        assert_eq!(says(old, new), format!("sys/hive.toml:N: {what}"));
    }
    let off = House::new().edit("[servers.log]", "[servers.log]\n[servers.gpu]\nenabled = false");
    assert!(off.compile().is_ok());
}

#[test]
fn the_log_has_the_hives_own_stream_once() {
    let old = "streams = [\"queen.log\"]";
    let other = "mount -r log /log/queen.log queen.log: queen.log found; log serves x.log";
    assert!(says(old, "streams = [\"x.log\"]").contains(other));
    assert!(
        says(old, "streams = []")
            .contains("log.streams: no queen.log found; the hive's own log is among them")
    );
    assert_eq!(
        says(old, "streams = [\"queen.log\", \"queen.log\"]"),
        "sys/hive.toml:N: log.streams: \"queen.log\" found twice"
    );
}

fn listener(kind: &str, addr: &str, more: &str) -> String {
    format!("\n[[listeners]]\nkind = \"{kind}\"\naddr = \"{addr}\"\n{more}")
}

#[test]
#[rustfmt::skip]
fn listeners_do_not_overlap_and_have_what_they_need() {
    let local = listener("tcp", "127.0.0.1!5640", "");
    for (text, what) in [
        (local.repeat(2), "listeners[2].addr: \"127.0.0.1!5640\" found; listeners[1] has \"127.0.0.1!5640\" already"),
        (local.clone() + &listener("tcp", "0.0.0.0!5640", ""), "listeners[2].addr: \"0.0.0.0!5640\" found; listeners[1] has \"127.0.0.1!5640\" already"),
        (local.clone() + &listener("tcp", "[::]!5640", ""), "listeners[2].addr: \"[::]!5640\" found; listeners[1] has \"127.0.0.1!5640\" already"),
        (local.clone() + "[console]\ntcp = \"127.0.0.1!5640\"\n", "console.tcp: \"127.0.0.1!5640\" found; listeners[1] has \"127.0.0.1!5640\" already"),
        (listener("unix", "door", ""), "listeners[1].addr: \"door\" found; listeners[0] has \"door\" already"),
        (listener("unix", "srv/log", ""), "listeners[1].addr: \"srv/log\" found; init keeps a file of its own there"),
        (listener("tcp", "5640", ""), "listeners[1].addr: \"5640\" found; HOST!PORT with a port of 1..65535 allowed"),
        (listener("tcp", "h!0", ""), "listeners[1].addr: \"h!0\" found; HOST!PORT with a port of 1..65535 allowed"),
        (listener("tcp", "h!1", "local_queen = true"), "listeners[1].local_queen: true found; only a unix listener knows its client's user"),
        (listener("tcp", "h!1", "cert = \"file:/c\""), "listeners[1].cert: found; a tcp listener has none"),
        (listener("tls", "h!1", "cert = \"file:/c\""), "listeners[1].key: missing; a tls listener needs cert and key"),
        (listener("tls", "h!1", "cert = \"/c\"\nkey = \"env:K\""), "listeners[1].cert: \"/c\" found; file:PATH allowed"),
    ] {
        let said = House::new().append("sys/hive.toml", &text).says();
        assert!(said.lines().any(|line| line == format!("sys/hive.toml:N: {what}")), "{text}:\n{said}");
    }
    let apart = local + &listener("tcp", "127.0.0.1!5641", "") + &listener("tcp", "127.0.0.2!5640", "");
    assert_eq!(House::new().append("sys/hive.toml", &apart).compile().map(|_| ()), Ok(()));
    let none = SMALL.split("[[").next().expect("a first part");
    assert_eq!(
        House::new().write("sys/hive.toml", none).says(),
        "sys/hive.toml: listeners: missing; declare [[listeners]] kind = \"unix\", addr = \"door\""
    );
}

#[test]
fn what_signs_must_be_believed() {
    let house = House::new().append("sys/hive.toml", "[tickets]\nissuer = \"env:COH_ISSUER\"\n");
    assert_eq!(
        house.says(),
        "sys/hive.toml:N: tickets.keys: missing; tickets.issuer signs, and no public key is accepted: \
         add [tickets.keys] ID = \"64 hex digits\""
    );
    let said = house.append("sys/hive.toml", "keys = { k1 = \"12\" }\n").says();
    assert!(said.contains("tickets.keys.k1: \"12\" found; 64 hex digits allowed"), "{said}");
}

fn release(tickets: &str) -> House {
    House::new()
        .edit("profile = \"dev\"", "profile = \"release\"")
        .edit("[audit]", "[audit]\nkey = \"env:COH_AUDIT\"")
        .append("sys/hive.toml", tickets)
}

fn signed(issuer: &str, id: &str) -> String {
    format!("[tickets]\nissuer = \"{issuer}\"\nkeys = {{ {id} = \"{KEY}\" }}\n")
}

#[test]
fn a_release_names_its_keys() {
    assert_eq!(
        release("").says(),
        "sys/hive.toml: tickets.issuer: missing; profile release makes no key: file:PATH or env:NAME allowed\n\
         sys/hive.toml: tickets.keys: missing; profile release makes no key: add [tickets.keys] ID = \"64 hex digits\""
    );
    assert!(release(&signed("file:/etc/coh/issuer.key", "k1")).compile().is_ok());
}

#[test]
fn a_release_takes_no_dev_key_no_fixture_and_no_silence() {
    assert_eq!(
        release(&signed("env:COH_ISSUER", "dev")).says(),
        "sys/hive.toml:N: tickets.keys.dev: a dev key found; profile release accepts none: \
         name the key otherwise, and keep its secret off this machine"
    );
    for path in ["/tmp/issuer.key", "/srv/tests/issuer.key", "fixtures/issuer.key"] {
        assert_eq!(
            release(&signed(&format!("file:{path}"), "k1")).says(),
            format!(
                "sys/hive.toml:N: tickets.issuer: {path:?} found; \
                 profile release takes no key from a test's or a temporary directory"
            )
        );
    }
    assert_eq!(
        release(&signed("env:COH_ISSUER", "k1"))
            .edit("[servers.audit]", "[servers.audit]\nenabled = false")
            .says(),
        "sys/hive.toml:N: servers.audit.enabled: false found; profile release keeps the audit on"
    );
}

#[test]
fn what_is_refused_for_what_it_says_is_not_missing_too() {
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    assert_eq!(
        release(&signed(secret, "k1")).says(),
        "sys/hive.toml:N: tickets.issuer: a literal (not shown) found; file:PATH or env:NAME allowed"
    );
    let tls = listener("tls", "h!1", &format!("cert = \"file:/c\"\nkey = \"{secret}\""));
    assert_eq!(
        House::new().append("sys/hive.toml", &tls).says(),
        "sys/hive.toml:N: listeners[1].key: a literal (not shown) found; file:PATH or env:NAME allowed"
    );
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    assert_eq!(
        House::new().append("sys/hive.toml", &format!("[tickets]\nissuer = \"{secret}\"\n")).says(),
        "sys/hive.toml:N: tickets.issuer: a literal (not shown) found; file:PATH or env:NAME allowed"
    );
}

#[test]
fn rules_and_resources_are_looked_at() {
    let resource = |id: &str| format!("[[lease.resources]]\nid = \"{id}\"\nmem_mb = 1\nstreams = 1\n");
    let rule = |id: &str, target: &str| {
        format!("[[policy.rules]]\nid = \"{id}\"\ntarget = \"{target}\"\ndecision = \"gate\"\n")
    };
    for (more, says) in [
        (resource("GPU-0") + &resource("GPU-0"), "lease.resources[1].id: \"GPU-0\" found twice"),
        (rule("a", "/queen/ctl") + &rule("a", "/host/*"), "policy.rules[1].id: \"a\" found twice"),
        (rule("a", "host"), "policy.rules[0].target: \"host\" found; a path begins with /"),
        (
            "[policy]\nmax_rules = 1\n".to_string() + &rule("a", "/a") + &rule("b", "/b"),
            "policy.rules: 2 rules found; policy.max_rules allows 1",
        ),
    ] {
        let said = House::new().append("sys/hive.toml", &more).says();
        assert!(said.ends_with(says), "{said}");
    }
}
