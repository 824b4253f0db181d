//! The verb of a command that no server could read (spec 4.5): its first word, or its object's first key.

use super::tree::Verdict;
use alloc::string::String;

/// Longer words are no verbs.
const VERB_MAX: usize = 32;

/// First keys that say nothing of what is wanted: an envelope's, and those of an approval.
const NO_VERBS: [&str; 4] = ["SCHEMA", "ID", "TARGET", "DECISION"];

/// The verdict, naming the line's verb where the server could not tell it.
pub(super) fn named(verdict: Verdict, line: &[u8]) -> Verdict {
    match verdict {
        Verdict::Refuse { verb, refusal } if verb == "CTL" => {
            Verdict::Refuse { verb: of(line).unwrap_or(verb), refusal }
        }
        verdict => verdict,
    }
}

fn of(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii_start();
    let word = match line.strip_prefix(b"{") {
        Some(object) => object.trim_ascii_start().strip_prefix(b"\"")?.split(|b| *b == b'"').next(),
        None => line.split(u8::is_ascii_whitespace).next(),
    }?;
    let is_verb = word.len() <= VERB_MAX
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let verb = core::str::from_utf8(word).ok().filter(|_| is_verb)?.to_ascii_uppercase();
    (!NO_VERBS.contains(&verb.as_str())).then_some(verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_has_its_first_word_as_verb() {
        for (line, verb) in [
            (&br#"{"spawn":"heartbeat","ticks":1,"ticks":2}"#[..], Some("SPAWN")),
            (br#" { "kill" : "#, Some("KILL")),
            (b"{\"kill\":\"\xff\"}", Some("KILL")),
            (br#"{"frob":{}}"#, Some("FROB")),
            (b" sleep now", Some("SLEEP")),
            (b"CORDON", Some("CORDON")),
            (br#"{"schema":"queen-ctl/v1","cmd":[]}"#, None),
            (br#"{"id":"a-1","target":"/x"}"#, None),
            (b"{}", None),
            (br#"{"a b":1}"#, None),
            (br#"["spawn"]"#, None),
            (b"5", None),
            (b"\xff\xfe", None),
            (b"", None),
            (&[b'a'; 33], None),
        ] {
            assert_eq!(of(line).as_deref(), verb, "{}", String::from_utf8_lossy(line));
        }
    }
}
