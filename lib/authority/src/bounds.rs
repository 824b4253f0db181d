//! What texts and numbers of commands may be; each refusal is Invalid and names the key.

use crate::refused::Refused;
use alloc::format;

/// The longest life that a budget or a lease may give: ten years.
pub const TTL_MAX_S: u64 = 10 * 366 * 24 * 3600;
/// The longest time between two ticks: one day.
pub const PERIOD_MAX_MS: u64 = 24 * 3600 * 1000;
/// JSON numbers are exact up to here everywhere.
pub const COUNT_MAX: u64 = 1 << 53;
/// Priorities go from 0 to here; the higher goes first.
pub const PRIORITY_MAX: u64 = 1000;
const NAME_MAX: usize = 64;
const REASON_MAX: usize = 256;
const KEY_MAX: usize = 128;

/// A number and its bounds.
pub fn within(name: &str, n: u64, least: u64, most: u64) -> Result<(), Refused> {
    match (least..=most).contains(&n) {
        true => Ok(()),
        false => Err(Refused::invalid(format!("{name}: {n} found; {least}..{most} allowed"))),
    }
}

/// An id, a subject, a resource: one word.
pub fn name(key: &str, text: &str) -> Result<(), Refused> {
    let is_sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    match (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_sound) {
        true => Ok(()),
        false => Err(Refused::invalid(format!("{key}: 1..{NAME_MAX} of a-z A-Z 0-9 - _ . : allowed"))),
    }
}

/// Words for people.
pub fn reason(key: &str, text: &str) -> Result<(), Refused> {
    match text.len() <= REASON_MAX && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Refused::invalid(format!("{key}: at most {REASON_MAX} bytes, one line"))),
    }
}

/// An envelope's id or key.
pub fn key(name: &str, text: &str) -> Result<(), Refused> {
    match (1..=KEY_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Refused::invalid(format!("{name}: 1..{KEY_MAX} bytes, one line"))),
    }
}

/// An absolute path of a name space.
pub fn path(key: &str, text: &str) -> Result<(), Refused> {
    let said = |why: &str| Refused::invalid(format!("{key}: {why}"));
    if text.chars().any(char::is_control) {
        return Err(said("control characters are no part of a path"));
    }
    ns::Path::parse(text).map(|_| ()).map_err(|why| said(&format!("{why}")))
}

/// A ticket's id.
pub fn ticket(text: &str) -> Result<(), Refused> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match text.len() == 32 && text.bytes().all(is_hex) {
        true => Ok(()),
        false => Err(Refused::invalid("a ticket's id is 32 hex digits; cohticket show prints it")),
    }
}
