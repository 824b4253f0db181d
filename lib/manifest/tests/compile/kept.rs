//! What an image keeps in memory, where a hosted hive has a disk.
#![allow(clippy::expect_used)] // A test fails by panicking.

use crate::house::{House, SMALL};

const IMAGE: &str = "target = \"qemu-virt\"\n";
const SMALL_JOURNAL: &str = "[audit]\nsegment_bytes = 65536\njournal_bytes = 524288\n";

fn house(target: &str, servers: &str) -> House {
    let text = SMALL.replace("schema = 1\n", &format!("schema = 1\n{target}"));
    House::new().write("sys/hive.toml", &format!("{text}{servers}"))
}

#[test]
fn the_image_sets_memory_aside_for_who_keeps_files() {
    let servers =
        format!("[servers.audit]\nkeep_kib = 2048\n[servers.telemetry]\nkeep_kib = 4096\n{SMALL_JOURNAL}");
    let compiled = house(IMAGE, &servers).compile().expect("it compiles");
    let text = String::from_utf8(compiled.files["topology"].clone()).expect("text");
    let kept: Vec<&str> = text.lines().filter(|line| line.starts_with("keep ")).collect();
    assert_eq!(kept, ["keep audit 2048", "keep telemetry 4096"]);
}

#[test]
#[rustfmt::skip]
fn memory_is_kept_where_it_is_needed_and_nowhere_else() {
    for (target, servers, what) in [
        (IMAGE, "[servers.telemetry]\n", "servers.telemetry.keep_kib: missing; an image has no disk, and the server's files need memory"),
        (IMAGE, "[servers.trace]\nkeep_kib = 1\n", "servers.trace.keep_kib: 1 found; only audit and telemetry in an image keep files in memory: 0 allowed"),
        ("", "[servers.audit]\nkeep_kib = 4096\n", "servers.audit.keep_kib: 4096 found; only audit and telemetry in an image keep files in memory: 0 allowed"),
        (IMAGE, "[servers.audit]\nkeep_kib = 1024\n[audit]\nsegment_bytes = 65536\njournal_bytes = 524288\n", "servers.audit.keep_kib: 1024 found; 1600 needed for twice audit.journal_bytes, a segment and snapshots"),
    ] {
        assert_eq!(house(target, servers).says(), format!("sys/hive.toml:N: {what}"));
    }
}
