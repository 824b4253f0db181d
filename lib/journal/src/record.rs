//! One record, and its only spelling: keys in the order of spec 6.1, no spaces, strings with JSON's
//! short escapes, numbers in decimal, the command as the server wrote it without insignificant blanks.

use crate::hash::{Hash, push_hex};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest line, without its newline.
pub const RECORD_MAX: usize = 16 << 10;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An accepted command.
    Ctl,
    /// What the hive has done by itself: an expiry, an automatic transition.
    System,
    /// An approval was asked for, consumed or refused.
    Gate,
    /// A write or an attach was refused.
    Deny,
    /// A session has begun.
    Attach,
    /// A session has ended.
    Detach,
    /// The journal was opened.
    Boot,
    /// The audit key vouches for the record before.
    Checkpoint,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::Ctl,
        Kind::System,
        Kind::Gate,
        Kind::Deny,
        Kind::Attach,
        Kind::Detach,
        Kind::Boot,
        Kind::Checkpoint,
    ];

    /// Its word in a record.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Ctl => "ctl",
            Kind::System => "system",
            Kind::Gate => "gate",
            Kind::Deny => "deny",
            Kind::Attach => "attach",
            Kind::Detach => "detach",
            Kind::Boot => "boot",
            Kind::Checkpoint => "checkpoint",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotARecord(pub Cow<'static, str>);

impl fmt::Display for NotARecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for NotARecord {}

/// A record as a server asks for it: all but its place in the chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry<'a> {
    /// When it was decided, milliseconds since the Unix epoch.
    pub ts_ms: u64,
    /// What it is about.
    pub kind: Kind,
    /// Who asked.
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    /// As whom.
    #[serde(borrow)]
    pub subject: Cow<'a, str>,
    /// With which ticket; empty without one.
    #[serde(borrow)]
    pub ticket: Cow<'a, str>,
    /// In which session of the door.
    pub session: u32,
    /// Which file was written.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// What was written, a JSON object.
    #[serde(borrow)]
    pub cmd: &'a RawValue,
    /// What was answered, without the seq.
    #[serde(borrow)]
    pub ack: Cow<'a, str>,
}

/// A record in its place.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Its number; the first record of a hive is 1.
    pub seq: u64,
    /// What it says.
    pub entry: Entry<'a>,
    /// The sha256 of the line before.
    pub prev: Hash,
}

/// A line's shape; [`Entry`] and [`Record`] are what callers see.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    seq: u64,
    ts_ms: u64,
    kind: Kind,
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    ticket: Cow<'a, str>,
    session: u32,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    cmd: &'a RawValue,
    #[serde(borrow)]
    ack: Cow<'a, str>,
    #[serde(borrow)]
    prev: Cow<'a, str>,
}

impl<'a> Record<'a> {
    /// Reads a line without its newline. Only the one spelling is a record.
    pub fn parse(line: &'a [u8]) -> Result<Record<'a>, NotARecord> {
        let not = |what: &'static str| NotARecord(Cow::Borrowed(what));
        if line.len() > RECORD_MAX {
            return Err(not("longer than a record may be"));
        }
        let text = core::str::from_utf8(line).map_err(|_| not("not UTF-8"))?;
        let line: Line<'a> =
            serde_json::from_str(text).map_err(|error| NotARecord(format!("{error}").into()))?;
        let Line { seq, ts_ms, kind, role, subject, ticket, session, path, cmd, ack, prev } = line;
        let prev = Hash::from_hex(&prev).ok_or(not("prev is not a sha256"))?;
        let entry = Entry { ts_ms, kind, role, subject, ticket, session, path, cmd, ack };
        let record = Record { seq, entry, prev };
        // Another order of keys, a blank, a long escape: the same meaning, but not what was hashed.
        let mut spelled = Vec::with_capacity(text.len());
        record.encode(&mut spelled)?;
        if spelled != text.as_bytes() {
            return Err(not("not in canonical form"));
        }
        Ok(record)
    }

    /// Appends the line without its newline.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), NotARecord> {
        self.entry.encode(self.seq, &self.prev, out)
    }
}

impl Entry<'_> {
    /// Appends the line, without its newline, of this entry at its place in the chain. On an error
    /// nothing is appended.
    pub fn encode(&self, seq: u64, prev: &Hash, out: &mut Vec<u8>) -> Result<(), NotARecord> {
        let start = out.len();
        push_number(out, "{\"seq\":", seq);
        push_number(out, ",\"ts_ms\":", self.ts_ms);
        push_string(out, ",\"kind\":", self.kind.word());
        push_string(out, ",\"role\":", &self.role);
        push_string(out, ",\"subject\":", &self.subject);
        push_string(out, ",\"ticket\":", &self.ticket);
        push_number(out, ",\"session\":", self.session.into());
        push_string(out, ",\"path\":", &self.path);
        out.extend_from_slice(b",\"cmd\":");
        let command = out.len();
        push_compact(out, self.cmd.get());
        let is_object = out.get(command) == Some(&b'{');
        push_string(out, ",\"ack\":", &self.ack);
        push_prev(out, prev);
        let refused = match out.len() - start {
            _ if !is_object => "cmd is not an object",
            n if n > RECORD_MAX => "longer than a record may be",
            _ => return Ok(()),
        };
        out.truncate(start);
        Err(NotARecord(Cow::Borrowed(refused)))
    }
}

/// The kind of a line without its newline that begins and ends as the record `seq` after a line with that
/// sha256 does. What is between is not looked at.
pub(crate) fn place(line: &[u8], seq: u64, prev: &Hash) -> Option<Kind> {
    let mut begin = Vec::with_capacity(40);
    push_number(&mut begin, "{\"seq\":", seq);
    begin.extend_from_slice(b",\"ts_ms\":");
    let rest = line.strip_prefix(&*begin)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest.get(digits..)?.strip_prefix(b",\"kind\":\"")?;
    let word = rest.split(|byte| *byte == b'"').next()?;
    let mut end = Vec::with_capacity(80);
    push_prev(&mut end, prev);
    line.ends_with(&end).then(|| Kind::from_word(core::str::from_utf8(word).ok()?))?
}

/// Reads what a server appends: a JSON array of entries.
pub fn entries(batch: &str) -> Result<Vec<Entry<'_>>, NotARecord> {
    let entries: Vec<Entry<'_>> =
        serde_json::from_str(batch).map_err(|error| NotARecord(format!("{error}").into()))?;
    if entries.is_empty() {
        return Err(NotARecord(Cow::Borrowed("an empty batch")));
    }
    Ok(entries)
}

/// What stands for a secret command: its sha256.
pub fn concealed(cmd: &RawValue) -> String {
    let mut compact = Vec::new();
    push_compact(&mut compact, cmd.get());
    format!("{{\"sha256\":\"{}\"}}", Hash::of(&compact))
}

fn push_number(out: &mut Vec<u8>, key: &str, mut number: u64) {
    out.extend_from_slice(key.as_bytes());
    // The digits of the largest u64.
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The end of a line.
fn push_prev(out: &mut Vec<u8>, prev: &Hash) {
    out.extend_from_slice(b",\"prev\":\"");
    push_hex(out, &prev.0);
    out.extend_from_slice(b"\"}");
}

fn push_string(out: &mut Vec<u8>, key: &str, text: &str) {
    out.extend_from_slice(key.as_bytes());
    json::quote(text, |piece| out.extend_from_slice(piece.as_bytes()));
}

/// JSON without the blanks between its tokens.
fn push_compact(out: &mut Vec<u8>, json: &str) {
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        if in_string || !is_blank {
            out.push(byte);
        }
        match byte {
            b'"' if !is_escaped => in_string = !in_string,
            b'\\' if in_string && !is_escaped => {
                is_escaped = true;
                continue;
            }
            _ => {}
        }
        is_escaped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = concat!(
        r#"{"seq":118,"ts_ms":5,"kind":"ctl","role":"queen","subject":"","ticket":"ab","session":7,"#,
        r#""path":"/queen/ctl","cmd":{"spawn":"heartbeat","a b":[1, 2]},"ack":"OK SPAWN id=worker-3","#,
        r#""prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#
    );

    #[test]
    fn a_line_has_one_spelling() {
        let compact = LINE.replace("[1, 2]", "[1,2]");
        let record = Record::parse(compact.as_bytes()).unwrap();
        assert_eq!((record.seq, record.entry.session, record.prev), (118, 7, Hash::ZERO));
        let mut out = Vec::new();
        record.encode(&mut out).unwrap();
        assert_eq!(out, compact.as_bytes());
        let other_spellings = [
            LINE.to_owned(),
            format!("{compact} "),
            compact.replace(":118", ":0118"),
            compact.replace(":118", ":118.0"),
            compact.replace("\"queen\"", "\"\\u0071ueen\""),
            compact.replace("\"seq\":118,\"ts_ms\":5", "\"ts_ms\":5,\"seq\":118"),
            compact.replace("\"session\":7,", ""),
            compact.replace("\"session\":7,", "\"session\":7,\"session\":7,"),
            compact.replace("\"session\":7,", "\"session\":7,\"more\":7,"),
            compact.replace("\"ctl\"", "\"CTL\""),
            compact.replace("{\"spawn\":\"heartbeat\",\"a b\":[1,2]}", "[1,2]"),
            compact.replace("000\"}", "00A\"}"),
        ];
        for text in other_spellings {
            assert!(Record::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_array_is_not_a_record() {
        let line = format!("[1,5,\"ctl\",\"\",\"\",\"\",7,\"/\",{{}},\"\",\"{}\"]", Hash::ZERO);
        assert!(Record::parse(line.as_bytes()).is_err());
    }

    #[test]
    fn a_record_too_long_is_refused_and_leaves_nothing() {
        let cmd = serde_json::value::to_raw_value(&serde_json::json!({"a": "x".repeat(RECORD_MAX)})).unwrap();
        let line = LINE.replace("[1, 2]", "[1,2]");
        let mut entry = Record::parse(line.as_bytes()).unwrap().entry;
        entry.cmd = &cmd;
        let mut out = b"before".to_vec();
        assert!(entry.encode(1, &Hash::ZERO, &mut out).is_err());
        assert_eq!(out, b"before");
    }

    #[test]
    fn a_secret_is_named_by_its_digest_whatever_its_blanks() {
        let of = |text: &str| concealed(&RawValue::from_string(text.to_owned()).unwrap());
        let digest = Hash::of(br#"{"pin":"1 2"}"#);
        assert_eq!(of(r#"{"pin":"1 2"}"#), format!("{{\"sha256\":\"{digest}\"}}"));
        assert_eq!(of("{ \"pin\" : \"1 2\" }"), of(r#"{"pin":"1 2"}"#));
    }

    #[test]
    fn a_batch_is_an_array_of_whole_entries() {
        let entry = r#"{"ts_ms":1,"kind":"deny","role":"r","subject":"s","ticket":"","session":0,"path":"/p","cmd":{},"ack":"ERR"}"#;
        assert_eq!(entries(&format!("[{entry},{entry}]")).unwrap().len(), 2);
        for bad in ["[]", "{}", entry, &format!("[{entry}"), &format!("[{},1]", entry)] {
            assert!(entries(bad).is_err(), "{bad}");
        }
        assert!(entries(&format!("[{}]", entry.replace("\"ts_ms\":1,", ""))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_survives_a_round(role in any::<String>(), ack in any::<String>(), key in any::<String>(),
                                     seq in any::<u64>(), ts_ms in any::<u64>()) {
            let cmd = serde_json::value::to_raw_value(&serde_json::json!({ key: ack.clone() })).unwrap();
            let entry = Entry { ts_ms, kind: Kind::Gate, role: role.into(), subject: "".into(),
                ticket: "".into(), session: 1, path: "/p".into(), cmd: &cmd, ack: ack.clone().into() };
            let mut line = Vec::new();
            entry.encode(seq, &Hash::ZERO, &mut line).unwrap();
            prop_assert!(!line.contains(&b'\n'));
            let back = Record::parse(&line).unwrap();
            prop_assert_eq!((back.seq, &*back.entry.ack), (seq, &*ack));
            // What another implementation reads.
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(value["ack"].as_str(), Some(&*ack));
        }
    }
}
