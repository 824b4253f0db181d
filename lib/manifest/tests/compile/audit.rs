//! `[audit]`: its bounds, its key, and what may not be secret.

use crate::house::House;

#[test]
fn the_journal_is_looked_at() {
    for (more, says) in [
        (
            "segment_bytes = 33554432",
            "audit.segment_bytes: 33554432 found; a quarter of audit.journal_bytes, 16777216, allowed",
        ),
        (
            "secrets = [\"/queen/ctl\"]",
            "audit.secrets: \"/queen/ctl\" found; what is written below /queen, /policy and /actions is kept",
        ),
        (
            "secrets = [\"/*/ctl\"]",
            "audit.secrets: \"/*/ctl\" found; what is written below /queen, /policy and /actions is kept",
        ),
        (
            "secrets = [\"host\"]",
            "audit.secrets: [\"host\"] found; a list of absolute paths, * for one component allowed",
        ),
        ("key = \"abc\"", "audit.key: a literal (not shown) found; file:PATH or env:NAME allowed"),
    ] {
        let said = House::new().append("sys/hive.toml", &format!("[audit]\n{more}\n")).says();
        assert!(said.ends_with(says), "{said}");
    }
    assert!(House::new().append("sys/hive.toml", "[audit]\nsecrets = [\"/host/*/pin\"]\n").compile().is_ok());
}

#[test]
fn a_release_names_the_key_of_its_audit() {
    let house = House::new().edit("\"dev\"", "\"release\"").append("sys/hive.toml", "[servers.audit]\n");
    let said = house.says();
    assert!(said.contains("audit.key: missing; profile release makes no key"), "{said}");
}
