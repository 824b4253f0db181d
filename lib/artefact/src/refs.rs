//! Reference manifests, records of `{"schema":"cohesix-refs/v1","artefact":"NAME","bytes":N,"sha256":"…",
//! "refs":[{"offset":0,"bytes":N,"sha256":"…","uri":"…"}]}`: each says the whole's size and sum, and
//! some of its pieces. All together must tile it exactly.

use crate::is_sha256;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use memchr::memmem;
use serde::{Deserialize, Serialize};

/// What such a record says that it is.
pub const SCHEMA: &str = "cohesix-refs/v1";

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    schema: String,
    /// Of what.
    pub artefact: String,
    /// Its size.
    pub bytes: u64,
    /// Its sum, 64 hex digits.
    pub sha256: String,
    /// Some of its pieces.
    pub refs: Vec<Piece>,
}

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// Its sum.
    pub sha256: String,
    /// Where it is.
    pub uri: String,
}

fn has(record: &[u8], word: &[u8]) -> bool {
    memmem::find(record, word).is_some()
}

/// May it be a record of a reference manifest? Keys come in any order: one that sorts them has the schema
/// behind the pieces.
pub fn is_refs(record: &[u8]) -> bool {
    has(record, SCHEMA.as_bytes())
}

/// Reads a record; None where it is of something else, or of another artefact than `name`.
pub fn read(record: &[u8], name: Option<&str>) -> Result<Option<Record>, String> {
    // Most are not, and are not parsed.
    if !is_refs(record) || name.is_some_and(|name| !has(record, name.as_bytes())) {
        return Ok(None);
    }
    let text = core::str::from_utf8(record).map_err(|_| "a reference record is not UTF-8")?;
    let Ok(value) = json::parse(text.trim_end()) else { return Ok(None) };
    let said = |key| value.get(key).and_then(json::Value::text);
    if said("schema") != Some(SCHEMA) || name.is_some_and(|name| said("artefact") != Some(name)) {
        return Ok(None);
    }
    let record: Record = value.into_type().map_err(|error: json::Error| error.to_string())?;
    if !is_sha256(&record.sha256) || record.refs.iter().any(|piece| !is_sha256(&piece.sha256)) {
        return Err("a sha256 is 64 lower-case hex digits".into());
    }
    if record.refs.iter().any(|piece| piece.uri.is_empty() || piece.bytes == 0) {
        return Err("a piece has bytes and a uri".into());
    }
    Ok(Some(record))
}

/// Do pieces of (offset, bytes) tile a whole? They come back in order.
pub fn tile(bytes: u64, pieces: &mut [(u64, u64)]) -> Result<(), String> {
    pieces.sort_unstable();
    let mut at = 0_u64;
    for (offset, length) in pieces {
        if *offset != at {
            let what = if *offset > at { "gap" } else { "overlap" };
            return Err(format!("{what} at={at} next={offset}"));
        }
        at = at.checked_add(*length).ok_or("offsets beyond 2^64")?;
    }
    if at != bytes {
        return Err(format!("the pieces end at={at} bytes={bytes}"));
    }
    Ok(())
}

/// What the records of one artefact come to.
#[derive(Debug, Clone)]
pub struct Whole {
    max_refs: usize,
    /// Size and sum, once a record has said them.
    pub is: Option<(u64, String)>,
    pieces: Vec<(u64, u64)>,
}

impl Whole {
    /// Of at most so many pieces.
    pub fn new(max_refs: usize) -> Whole {
        Whole { max_refs, is: None, pieces: Vec::new() }
    }

    /// Takes a record of it.
    pub fn take(&mut self, record: &Record) -> Result<(), String> {
        let whole = (record.bytes, record.sha256.clone());
        if self.is.get_or_insert_with(|| whole.clone()) != &whole {
            return Err("its records disagree on bytes or sha256".into());
        }
        if self.pieces.len() + record.refs.len() > self.max_refs {
            return Err(format!("more than {} pieces; see telemetry.max_refs", self.max_refs));
        }
        self.pieces.extend(record.refs.iter().map(|piece| (piece.offset, piece.bytes)));
        Ok(())
    }

    /// Bytes, sha256 and pieces, where the pieces tile it. None: no record has told of it.
    pub fn seal(mut self) -> Result<Option<(u64, String, usize)>, String> {
        let Some((bytes, sha256)) = self.is else { return Ok(None) };
        tile(bytes, &mut self.pieces)?;
        Ok(Some((bytes, sha256, self.pieces.len())))
    }
}

/// The records that tell of an artefact's pieces, a line each, at most `record_bytes`.
pub fn lines(
    name: &str,
    (bytes, sha256): (u64, &str),
    pieces: &[Piece],
    record_bytes: usize,
) -> Result<Vec<String>, String> {
    let empty = Record {
        schema: SCHEMA.into(),
        artefact: name.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
        refs: Vec::new(),
    };
    let frame = json::to_string(&empty).len() + 1;
    let (mut lines, mut record, mut used) = (Vec::new(), empty.clone(), frame);
    let mut take = |record: Record| lines.push(json::to_string(&record) + "\n");
    for piece in pieces {
        let width = json::to_string(piece).len() + 1;
        if frame + width > record_bytes {
            return Err(format!(
                "a piece takes {width} bytes of a record of {record_bytes}; use a shorter store"
            ));
        }
        if used + width > record_bytes {
            take(core::mem::replace(&mut record, empty.clone()));
            used = frame;
        }
        record.refs.push(piece.clone());
        used += width;
    }
    // An empty artefact has no pieces, and a record that says so.
    if !record.refs.is_empty() || pieces.is_empty() {
        take(record);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn piece(offset: u64, bytes: u64) -> Piece {
        Piece { offset, bytes, sha256: SUM.into(), uri: "file:///c".into() }
    }

    fn record(pieces: &[(u64, u64)]) -> String {
        let pieces: Vec<Piece> = pieces.iter().map(|(o, n)| piece(*o, *n)).collect();
        lines("a", (10, SUM), &pieces, 4096).unwrap().concat()
    }

    fn sealed(records: &[&str]) -> Result<Option<(u64, String, usize)>, String> {
        let mut whole = Whole::new(4);
        for record in records {
            if let Some(record) = read(record.as_bytes(), Some("a"))? {
                whole.take(&record)?;
            }
        }
        whole.seal()
    }

    #[test]
    fn pieces_that_tile_are_sealed_in_any_order() {
        let (late, early) = (record(&[(4, 6)]), record(&[(0, 3), (3, 1)]));
        assert_eq!(sealed(&["text\n", &late, &early]), Ok(Some((10, SUM.into(), 3))));
    }

    #[test]
    fn the_keys_of_a_record_come_in_any_order() {
        let sorted = format!(
            "{{\"artefact\":\"a\",\"bytes\":10,\"refs\":[{{\"bytes\":10,\"offset\":0,\"sha256\":\"{SUM}\",\
             \"uri\":\"file:///c\"}}],\"schema\":\"cohesix-refs/v1\",\"sha256\":\"{SUM}\"}}"
        );
        assert!(is_refs(sorted.as_bytes()));
        assert_eq!(sealed(&[&sorted]), Ok(Some((10, SUM.into(), 1))));
        let about = "{\"schema\":\"cohesix-telemetry/v1\",\"payload\":\"cohesix-refs/v1 a\"}";
        assert_eq!(sealed(&[about, &sorted]), Ok(Some((10, SUM.into(), 1))), "to speak of it is to be none");
    }

    #[test]
    fn pieces_that_do_not_tile_are_refused() {
        for (pieces, why) in [
            (&[(0, 4), (5, 5)][..], "gap at=4 next=5"),
            (&[(0, 4), (3, 7)], "overlap at=4 next=3"),
            (&[(0, 4), (4, 5)], "the pieces end at=9 bytes=10"),
            (&[(0, 4), (0, 4)], "overlap at=4 next=0"),
            (&[(0, u64::from(u32::MAX)), (u64::from(u32::MAX), 1 << 53)], "the pieces end"),
            (&[(0, 2), (2, 2), (4, 2), (6, 2), (8, 2)], "more than 4 pieces"),
        ] {
            let found = sealed(&[&record(pieces)]).unwrap_err();
            assert!(found.starts_with(why), "{found}");
        }
        assert_eq!(sealed(&[]), Ok(None));
    }

    #[test]
    fn records_that_are_no_manifest_are_refused_by_name() {
        let other = record(&[(0, 10)]).replace("\"bytes\":10,\"sha256\"", "\"bytes\":11,\"sha256\"");
        assert!(sealed(&[&record(&[(0, 10)]), &other]).unwrap_err().contains("disagree"));
        assert!(sealed(&[&record(&[(0, 10)]).replace(SUM, "xyz")]).unwrap_err().contains("sha256"));
        assert_eq!(sealed(&[&record(&[(0, 10)]).replace("\"a\"", "\"b\"")]), Ok(None));
    }

    #[test]
    fn many_pieces_are_many_records_that_fit() {
        let pieces: Vec<Piece> = (0..100).map(|i| piece(i * 5, 5)).collect();
        let records = lines("name", (500, SUM), &pieces, 1000).unwrap();
        assert!(records.len() > 10 && records.iter().all(|line| line.len() <= 1000));
        let read = |line: &String| super::read(line.as_bytes(), None).unwrap().unwrap().refs;
        assert_eq!(records.iter().flat_map(read).collect::<Vec<_>>(), pieces);
        assert!(lines("name", (500, SUM), &pieces, 200).is_err());
        assert_eq!(
            lines("name", (0, SUM), &[], 1000).unwrap(),
            vec![format!(
                "{{\"schema\":\"{SCHEMA}\",\"artefact\":\"name\",\"bytes\":0,\"sha256\":\"{SUM}\",\"refs\":[]}}\n"
            )]
        );
    }
}
