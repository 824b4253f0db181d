//! Single keys: what they may be, and where the message points.

use manifest::compile;
use manifest::compile::keys::{Absent, KEYS, find};
use serde_json::Value;

use crate::house::{House, SMALL};

#[test]
fn the_manifest_that_ships_compiles() {
    let manifest = House::new().compile().expect("it compiles").manifest;
    let started: Vec<&str> = manifest.servers.iter().map(|server| server.program.as_str()).collect();
    assert_eq!(
        started,
        [
            "logfs",
            "tracefs",
            "procfs",
            "auditfs",
            "policyfs",
            "queenfs",
            "workerfs",
            "telemetryfs",
            "ninedoor",
            "consoled"
        ]
    );
    assert_eq!(manifest.namespaces.len(), 6);
    assert!(manifest.listeners[0].local_queen);
}

#[test]
fn absent_keys_have_the_tables_defaults() {
    let manifest = House::new().write("sys/hive.toml", SMALL).compile().expect("it compiles").manifest;
    assert_eq!((manifest.ninep.msize, manifest.ninep.sessions), (8192, 16384));
    assert_eq!(manifest.log.streams, ["queen.log"]);
    assert_eq!(manifest.listeners[0].dial_string("/run"), "unix!/run/door");
    assert_eq!(manifest.client.tail_poll_ms, 1000);
    assert!(!manifest.listeners[0].local_queen, "a queen without a ticket is asked for");
}

#[test]
fn every_key_and_every_field_correspond() {
    fn leaves(path: &str, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    leaves(&format!("{path}.{name}"), member, out);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items.iter().for_each(|item| leaves(path, item, out));
            }
            _ => out.push(path.trim_start_matches('.').to_string()),
        }
    }
    let arrays = "[[lease.resources]]\nid = \"GPU-0\"\nmem_mb = 1\nstreams = 1\n\
                  [[policy.rules]]\nid = \"a\"\ntarget = \"/queen/ctl\"\ndecision = \"gate\"\n";
    let compiled = House::new().append("sys/hive.toml", arrays).compile().expect("it compiles");
    let mut fields = Vec::new();
    leaves("", &serde_json::to_value(&compiled.manifest).expect("plain data"), &mut fields);
    for field in &fields {
        // Made, not said: a server's name is its section's, its program its own.
        let made = field.starts_with("namespaces.") || field == "servers.name" || field == "servers.program";
        let path = field.replace("servers.", "servers.door.");
        assert!(made || find(&path).is_some(), "{field} has no key");
    }
    for key in KEYS.iter().filter(|key| key.absent != Absent::None) {
        let field = key.path.replace("servers.NAME.", "servers.").replace("[]", "");
        let input = field == "namespaces.dir" || field == "servers.enabled";
        assert!(input || fields.contains(&field), "{} has no field", key.path);
    }
}

#[test]
fn a_limit_beyond_its_red_line_is_refused_with_its_place() {
    let house = House::new().write("sys/hive.toml", &format!("{SMALL}\n[ninep]\nmsize = 16384\n"));
    assert_eq!(
        house.compile().map(|_| ()).expect_err("refused"),
        "sys/hive.toml:12: ninep.msize: 16384 found; 256..8192 allowed"
    );
}

#[test]
#[rustfmt::skip]
fn a_value_that_is_not_allowed_is_shown_with_what_is() {
    for (old, new, says) in [
        ("msize = 8192", "msize = \"big\"", "ninep.msize: \"big\" found; 256..8192 allowed"),
        ("msize = 8192", "msize = 255", "ninep.msize: 255 found; 256..8192 allowed"),
        ("msize = 8192", "msize = 0x4000", "ninep.msize: 0x4000 found; 256..8192 allowed"),
        ("msize = 8192", "msize = 99999999999999999999", "ninep.msize: 99999999999999999999 found; 256..8192 allowed"),
        ("msize = 8192", "msize = 8192.5", "ninep.msize: 8192.5 found; 256..8192 allowed"),
        ("msize = 8192", "msize = 2026-11-21", "ninep.msize: 2026-11-21 found; 256..8192 allowed"),
        ("tags_per_session = 32", "tags_per_session = 0", "ninep.tags_per_session: 0 found; 1..1024 allowed"),
        ("profile = \"dev\"", "profile = \"prod\"", "profile: \"prod\" found; dev, release allowed"),
        ("target = \"hosted\"", "target = \"x86\"", "target: \"x86\" found; hosted, qemu-virt, pi4-uboot, aws-arm64 allowed"),
        ("name = \"hive\"", "name = \"Hive 1\"", "hive.name: \"Hive 1\" found; 1..64 of a-z 0-9 - allowed"),
        ("schema = 1", "schema = 2", "schema: 2 found; 1 allowed"),
        ("local_queen = true", "local_queen = 1", "listeners[0].local_queen: 1 found; true or false allowed"),
        ("shard_bits = 8", "shard_bits = 9", "telemetry.shard_bits: 9 found; 0..8 allowed"),
        ("ring_bytes = 262_144", "ring_bytes = 262_143", "telemetry.ring_bytes: 262143 found; a power of two in 4096..16777216 allowed"),
        ("streams = [\"queen.log\"]", "streams = [\"queen.log\", \"../x\"]", "log.streams: [\"queen.log\", \"../x\"] found; a list of files' names allowed"),
        ("queen = \"queen\"", "queen = \"../queen\"", "roles.queen: \"../queen\" found; a file's name allowed"),
        ("[servers.log]", "[servers.log]\naffinity = [0, 256]", "servers.log.affinity: [0, 256] found; a list of cores, each 0..255 allowed"),
        ("heartbeat = \"worker-heart\"", "heartbeat = \"/bin/sh\"", "workers.programs.heartbeat: \"/bin/sh\" found; a file's name allowed"),
    ] {
        assert_eq!(House::new().edit(old, new).says(), format!("sys/hive.toml:N: {says}"));
    }
}

#[test]
fn a_section_is_written_as_one() {
    let said = House::new().edit("[hive]\nname = \"hive\"", "hive = 1").says();
    assert_eq!(said, "sys/hive.toml:N: hive: 1 found; a section [hive] allowed");
    let said = House::new().edit("[[listeners]]", "[listeners]").says();
    assert!(said.contains("N: listeners: a section found; a section [[listeners]] allowed"), "{said}");
}

#[test]
fn a_key_that_must_be_there_is_missed() {
    assert_eq!(House::new().edit("schema = 1", "").says(), "sys/hive.toml: schema: missing; 1 allowed");
    assert_eq!(
        House::new().edit("addr = \"door\"", "").says(),
        "sys/hive.toml:N: listeners[0].addr: missing; HOST!PORT or a socket's path allowed"
    );
}

#[test]
#[rustfmt::skip]
fn unknown_keys_are_refused_and_a_near_one_named() {
    for (old, new, says) in [
        ("msize", "msiz", "ninep.msiz: unknown key; did you mean msize?"),
        ("[ninep]", "[p9]", "p9: unknown key; schema, profile, target, hive, namespaces, roles, servers, listeners, ninep, tickets, log, telemetry, trace, audit, queen, lifecycle, lease, schedule, export, policy, workers, restart, console, network, client allowed"),
        ("[[listeners]]", "[[listener]]", "listener: unknown key; did you mean listeners?"),
        ("[servers.log]", "[servers.log]\nx = 1", "servers.log.x: unknown key; enabled, required, memory_kib, keep_kib, affinity, count allowed"),
        ("observer =", "operator =", "roles.operator: operator found; queen, worker-heartbeat, worker-gpu, worker-bus, worker-lora, observer allowed"),
        ("heartbeat = \"worker-heart\"", "heart = \"worker-heart\"", "workers.programs.heart: heart found; heartbeat, gpu, bus, lora allowed"),
        ("[servers.log]", "[servers.log]\n[servers.frob]", "servers.frob: frob found; log, proc, queen, worker, door, telemetry, trace, policy, audit, console, updates, gpu, host, bus, lora, spool, attest allowed"),
    ] {
        let said = House::new().edit(old, new).says();
        assert!(said.lines().any(|line| line == format!("sys/hive.toml:N: {says}")), "{new}:\n{said}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let house = House::new().edit("msize = 8192", "msize = 1").edit("shard_bits = 8", "shard_bits = 9");
    let said = house.append("bind/observer", "mount -r frob /frob\n").says();
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let said = House::new().edit("[ninep]", "[ninep").compile().map(|_| ()).expect_err("refused");
    assert!(said.starts_with("sys/hive.toml:") && said.contains(": not TOML: "), "{said}");
    let said = House::new().edit("msize = 8192", "msize = 8192\nmsize = 256").says();
    assert!(said.contains("not TOML: duplicate key"), "{said}");
    let problems = compile("/no/such/hive.toml".as_ref()).expect_err("refused");
    assert_eq!(problems[0].to_string(), "/no/such/hive.toml: No such file or directory (os error 2)");
}

#[test]
fn spoilt_text_is_refused_and_nothing_else_happens() {
    let house = House::new();
    let text = house.read("sys/hive.toml");
    let mut seed = 1u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    for _ in 0..300 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = b"[]{}=\"'.,\n#0-aZ\xff"[random(16)];
        }
        bytes.truncate(if random(3) == 0 { random(text.len()) } else { text.len() });
        std::fs::write(house.path("sys/hive.toml"), &bytes).expect("hive.toml");
        let _ = house.compile();
    }
}
