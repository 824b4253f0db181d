//! Where to begin: at a record, or at a time.

use journal::Record;
use std::str::FromStr;

/// What a time looks like at the beginning of a line; its end may be left out, down to the day.
const FORM: &str = "0000-00-00T00:00:00.000Z";
/// A day.
const LEAST: usize = 10;

/// The first record that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Since {
    /// The one of this seq.
    Seq(u64),
    /// The first from then on, milliseconds since the Unix epoch.
    Ms(u64),
    /// The first from then on, as lines begin, or what such a line begins with.
    Stamp(String),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        if let Ok(seq) = text.parse() {
            return Ok(Since::Seq(seq));
        }
        let is_like = |(b, form): (u8, u8)| if form == b'0' { b.is_ascii_digit() } else { b == form };
        if (LEAST..=FORM.len()).contains(&text.len()) && text.bytes().zip(FORM.bytes()).all(is_like) {
            return Ok(Since::Stamp(text.into()));
        }
        let ago = cohcmd::duration_ms(text).map_err(|_| {
            format!("{text}: a seq, a time such as 2026-11-21T01:26 (UTC), or how long ago, such as 90s, 5m, 1h or 7d, is wanted")
        })?;
        Ok(Since::Ms(cohcmd::now_ms().saturating_sub(ago)))
    }
}

impl Since {
    /// Is the record one of those?
    pub(crate) fn has(&self, record: &Record<'_>) -> bool {
        match self {
            Since::Seq(seq) => record.seq >= *seq,
            Since::Ms(ms) => record.entry.ts_ms >= *ms,
            // Both are as long as each other where they differ: they sort as the times do.
            Since::Stamp(text) => stamp::utc(record.entry.ts_ms).as_str() >= text.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_seq_a_time_or_an_age() {
        assert_eq!("118".parse(), Ok(Since::Seq(118)));
        for text in ["2026-11-21", "2026-11-21T01:26", "2026-11-21T01:26:00.123Z"] {
            assert_eq!(text.parse(), Ok(Since::Stamp(text.into())));
        }
        assert!(matches!("1h".parse(), Ok(Since::Ms(ms)) if ms > 1_700_000_000_000));
        assert_eq!("99999d".parse(), Ok(Since::Ms(0)), "before there was time");
        for wrong in ["", "x", "-1", "2026-11-2", "2026-11-21 01:26", "2026-11-21T01:26:00.123Zz", "1y"] {
            let said = wrong.parse::<Since>().unwrap_err();
            assert!(said.contains("is wanted"), "{said}");
        }
    }
}
