//! `[audit]`: its bounds, its key, and what may not be secret.

use crate::house::House;

#[test]
fn the_journal_is_looked_at() {
    let large = House::new().edit("segment_bytes = 4_194_304", "segment_bytes = 33_554_432").says();
    assert!(
        large.ends_with("33554432 found; a quarter of audit.journal_bytes, 16777216, allowed"),
        "{large}"
    );
    for (more, says) in [
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
        let said = House::new().edit("[audit]", &format!("[audit]\n{more}")).says();
        assert!(said.ends_with(says), "{said}");
    }
    assert!(House::new().edit("[audit]", "[audit]\nsecrets = [\"/host/*/pin\"]").compile().is_ok());
}

#[test]
fn a_release_names_the_key_of_its_audit() {
    let said = House::new().edit("profile = \"dev\"", "profile = \"release\"").says();
    assert!(said.contains("audit.key: missing; profile release makes no key"), "{said}");
    let said =
        House::new().edit("profile = \"dev\"", "profile = \"release\"").edit("[servers.audit]\n", "").says();
    assert!(said.contains("servers.audit: missing; profile release keeps the audit on"), "{said}");
}
