//! Times of command lines, and now.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// `90s`, `5m`, `1h`, `7d`, as milliseconds.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text}: not a time; 90s, 5m, 1h or 7d is wanted");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let n: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    n.checked_mul(seconds * 1000).filter(|ms| *ms > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration_ms("90s"), Ok(90_000));
        assert_eq!(duration_ms("7d"), Ok(7 * 86_400_000));
        for wrong in ["", "90", "s", "1y", "-1s", "0s", "99999999999999999d", "1é"] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }
}
