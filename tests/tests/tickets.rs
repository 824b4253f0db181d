//! cohticket and what it looks for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tests::Hive;

#[test]
fn a_time_to_live_is_in_the_ticket() {
    let hive = Hive::start(&[]);
    let mint = |ttl: &str| hive.program("cohticket", &["mint", "--role", "observer", "--ttl-s", ttl]);
    let ticket = String::from_utf8(mint("7").stdout).unwrap();
    let shown = hive.print("cohticket", &["show", "--json", ticket.trim()]);
    assert!(shown.contains("\"ttl_s\":7"), "{shown}");
    assert_eq!(mint("0").status.code(), Some(2));
    assert!(hive.dial_as("observer", ticket.trim()).is_ok());
}

#[test]
fn a_manifest_that_cannot_be_read_mints_nothing() {
    let hive = Hive::start(&[]);
    let mint = || hive.program("cohticket", &["mint", "--role", "observer"]);
    hive.print("coh", &["down"]);
    assert!(mint().status.success(), "without a hive there are the defaults");
    std::fs::create_dir(hive.path("run/manifest.cbor")).unwrap();
    let refused = mint();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("manifest.cbor: Is a directory"), "{said}");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    std::fs::remove_dir(hive.path("run/manifest.cbor")).unwrap();
}
