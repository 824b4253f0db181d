//! Envelopes: `{"schema":"cohesix-telemetry/v1","seq":1,"mime":"text/plain","payload":"…"}`, a line each.
//! A payload that is no text is in base64, and its mime says so as a data URL does:
//! `application/octet-stream;base64`. `seq` counts from 1 in a segment; one that comes again says the same.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

/// How an envelope says what it is.
pub const SCHEMA: &str = "cohesix-telemetry/v1";
/// What follows the mime of a payload that is in base64.
const BASE64: &str = ";base64";
/// More than an envelope without its payload and mime takes.
const FRAME: usize = 96;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    schema: String,
    seq: u64,
    mime: String,
    payload: String,
}

/// One envelope, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its number in the segment.
    pub seq: u64,
    /// Of the file.
    pub mime: String,
    /// The bytes themselves.
    pub payload: Vec<u8>,
}

/// The media type for a file's extension.
pub fn mime_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("txt" | "log" | "conf" | "toml") => "text/plain",
        Some("csv") => "text/csv",
        Some("md") => "text/markdown",
        Some("json") => "application/json",
        Some("jsonl" | "ndjson") => "application/x-ndjson",
        Some("cbor") => "application/cbor",
        _ => "application/octet-stream",
    }
}

/// The extension for a media type, with its dot; empty where there is no usual one.
pub fn extension_of(mime: &str) -> &'static str {
    match mime {
        "text/csv" => ".csv",
        "text/markdown" => ".md",
        "application/json" => ".json",
        "application/x-ndjson" => ".ndjson",
        "application/cbor" => ".cbor",
        _ if mime.starts_with("text/") => ".txt",
        _ => "",
    }
}

/// Bytes that a character takes in a JSON string.
fn width(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

/// A file as lines of at most `record_bytes`, which is no less than 256. An empty file is one line.
pub fn lines(data: &[u8], mime: &str, record_bytes: usize) -> Vec<String> {
    let is_text = mime.starts_with("text/") || mime.contains("json");
    let text = core::str::from_utf8(data).ok().filter(|_| is_text);
    let room = record_bytes.saturating_sub(FRAME + mime.len() + BASE64.len()).max(8);
    let mut payloads: Vec<String> = Vec::new();
    match text {
        Some(text) => {
            let (mut from, mut used) = (0, 0);
            for (at, c) in text.char_indices() {
                if used + width(c) > room {
                    payloads.push(text[from..at].to_owned());
                    (from, used) = (at, 0);
                }
                used += width(c);
            }
            payloads.push(text[from..].to_owned());
        }
        None => payloads.extend(data.chunks(room / 4 * 3).map(Base64::encode_string)),
    }
    if payloads.is_empty() {
        payloads.push(String::new());
    }
    let mime = if text.is_some() { mime.to_owned() } else { mime.to_owned() + BASE64 };
    let line = |(seq, payload)| {
        let line = Line { schema: SCHEMA.into(), seq, mime: mime.clone(), payload };
        json::to_string(&line) + "\n"
    };
    (1..).zip(payloads).map(line).collect()
}

/// Opens a line; None where it is something else, an error where it is none that could be opened.
pub fn open(line: &str) -> Result<Option<Envelope>, String> {
    let line = line.trim_end();
    if !line.get(..line.len().min(64)).unwrap_or(line).contains(SCHEMA) {
        return Ok(None);
    }
    let Line { schema, seq, mime, payload } = json::from_str(line).map_err(|error| error.to_string())?;
    if schema != SCHEMA {
        return Ok(None);
    }
    Ok(Some(match mime.strip_suffix(BASE64) {
        Some(mime) => {
            let payload = Base64::decode_vec(&payload).map_err(|error| error.to_string())?;
            Envelope { seq, mime: mime.to_owned(), payload }
        }
        None => Envelope { seq, mime, payload: payload.into_bytes() },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(lines: &[String]) -> Vec<u8> {
        let open = |line: &String| open(line).unwrap().unwrap();
        let all: Vec<Envelope> = lines.iter().map(open).collect();
        assert!(all.iter().zip(1..).all(|(envelope, seq)| envelope.seq == seq));
        all.into_iter().flat_map(|envelope| envelope.payload).collect()
    }

    #[test]
    fn a_line_is_what_the_format_says() {
        assert_eq!(
            lines(b"21.5\n", "text/plain", 4096),
            [
                "{\"schema\":\"cohesix-telemetry/v1\",\"seq\":1,\"mime\":\"text/plain\",\"payload\":\"21.5\\n\"}\n"
            ]
        );
        let line = &lines(b"\xff", "text/plain", 4096)[0];
        assert!(line.contains("\"mime\":\"text/plain;base64\",\"payload\":\"/w==\""), "{line}");
        assert_eq!(back(&lines(b"", "text/plain", 4096)), b"");
        assert_eq!(open("hello\n"), Ok(None));
        assert!(open("{\"schema\":\"cohesix-telemetry/v1\",\"seq\":1}").is_err());
    }

    proptest! {
        #[test]
        fn any_file_comes_back_from_records_that_fit(
            data in prop::collection::vec(any::<u8>(), 0..5000),
            text in "\\PC{0,500}[\\x00-\\x20\"\\\\]{0,100}",
            record_bytes in 256_usize..4097,
        ) {
            for (data, mime) in [(&data[..], "application/octet-stream"), (text.as_bytes(), "text/plain")] {
                let lines = lines(data, mime, record_bytes);
                prop_assert!(lines.iter().all(|line| line.len() <= record_bytes));
                prop_assert_eq!(back(&lines), data);
            }
        }
    }
}
