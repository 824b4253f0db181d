//! Records and answers as text.

use super::Mark;
use crate::srv::tree::Who;
use alloc::format;
use alloc::string::String;

/// A record as the journal keeps it, between the braces, without its sequence number and chain (spec 6.1).
/// `cmd` is a JSON object.
pub fn record(ts_ms: u64, kind: &str, who: &Who, path: &str, cmd: &str, ack: &str) -> String {
    let mut out = format!("\"ts_ms\":{ts_ms},\"kind\":\"{kind}\",");
    name(&mut out, who);
    out.push(',');
    text(&mut out, "path", path);
    out.push_str(",\"cmd\":");
    out.push_str(cmd);
    out.push(',');
    text(&mut out, "ack", ack);
    out
}

/// Who asks, as records name them.
pub(super) fn name(out: &mut String, who: &Who) {
    text(out, "role", &who.role);
    out.push(',');
    text(out, "subject", &who.subject);
    out.push(',');
    text(out, "ticket", &who.ticket);
    out.push_str(&format!(",\"session\":{}", who.session));
}

/// One member of a JSON object.
pub(super) fn text(out: &mut String, key: &str, value: &str) {
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
    json::quote(value, |piece| out.push_str(piece));
}

/// The value of `key=value` in an acknowledgement.
pub(super) fn value_of<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The place that a record or a snapshot begins with: `{"seq":118,"ts_ms":5,…`, or `{"seq":0}`.
pub fn mark_of(line: &str) -> Option<Mark> {
    let number = |text: &str| text.split([',', '}']).next()?.trim().parse::<u64>().ok();
    let rest = line.strip_prefix("{\"seq\":")?;
    let ts_ms = rest.split_once(",\"ts_ms\":").map_or(Some(0), |(_, ts)| number(ts))?;
    Some(Mark { seq: number(rest)?, ts_ms })
}

/// The sequence number of a record.
pub(super) fn number_of(line: &str) -> Option<u64> {
    line.strip_prefix("{\"seq\":")?.split(',').next()?.parse().ok()
}
