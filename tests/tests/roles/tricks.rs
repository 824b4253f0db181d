//! Names that should lead nowhere.

use crate::{OTHER, Path9, SUBJECT, split};

/// Names that are near others, or that would lead out of where they stand.
pub(crate) fn all(shard: &str) -> Vec<Path9> {
    let mut tricks: Vec<Path9> = [
        &[".."][..],
        &["."],
        &["..", "proc", "boot"],
        &["proc", ".", "boot"],
        &["proc", "..", "queen", "ctl"],
        &["log", "..", "..", "queen", "ctl"],
        &["worker", SUBJECT, "..", OTHER, "telemetry"],
        &["worker", "self", "..", OTHER, "telemetry"],
        &["proc", "9p", "self", "..", "session"],
        // Below files.
        &["proc", "boot", "x"],
        &["proc", "boot", ".."],
        &["proc", "boot", "."],
        &["queen", "ctl", "ctl"],
        &["log", "queen.log", "x"],
        &["log", "queen.log", "..", "..", "queen", "ctl"],
        &["worker", SUBJECT, "telemetry", "x"],
        &["worker", SUBJECT, "status", "..", "telemetry"],
        // Case.
        &["PROC", "boot"],
        &["Proc", "boot"],
        &["proc", "BOOT"],
        &["QUEEN", "ctl"],
        &["queen", "CTL"],
        &["log", "Queen.log"],
        &["worker", "Worker-1", "telemetry"],
        &["worker", "SELF", "telemetry"],
        // Look-alikes: a Cyrillic e, full width, a zero-width space, a combining accent, slashes.
        &["qu\u{435}en", "ctl"],
        &["\u{ff50}\u{ff52}\u{ff4f}\u{ff43}", "boot"],
        &["queen\u{200b}", "ctl"],
        &["queen", "ctl\u{301}"],
        &["queen\u{2215}ctl"],
        &["queen\u{ff0f}ctl"],
        &["\u{2024}\u{2024}", "queen"],
        &["\u{202e}neeuq", "ctl"],
        // What other systems make something of.
        &["proc/boot"],
        &["/queen/ctl"],
        &["queen/ctl"],
        &[""],
        &["proc", "", "boot"],
        &["proc\0", "boot"],
        &["proc\\boot"],
        &["proc ", "boot"],
        &["proc", "boot "],
        &["proc", "boot."],
        &["queen%2fctl"],
        &["%2e%2e", "queen"],
        &["~", "queen"],
        &["*", "ctl"],
        &["queen", "*"],
        &["worker", "$subject", "telemetry"],
        &["worker", "worker-01", "telemetry"],
        &["worker", "worker-1:", "telemetry"],
        &["worker", "worker-3", "telemetry"],
        // Inner roots, by the names that servers have for them.
        &["srv", "queen"],
        &["init", "ctl"],
        &["door", "ctl"],
        &["log", "sink"],
        &["log", "sink", "queen.log"],
        &["queen", "in", "revoked"],
        &["queen", "lifecycle", "state"],
        &["worker", "ctl"],
        &["proc", "9p", "ctl"],
    ]
    .iter()
    .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
    .collect();
    tricks.push(vec!["x".repeat(255)]);
    tricks.push(vec!["x".repeat(256)]);
    tricks.push(vec!["proc".into(); 9]);
    // The other's files under the subject's shard.
    tricks.push(split(&format!("/shard/{shard}/worker/{OTHER}/telemetry")));
    tricks
}
