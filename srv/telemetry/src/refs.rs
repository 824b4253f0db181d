//! Reference manifests, `cohesix-refs/v1`: large artefacts whose bytes are elsewhere (spec 5.2). They are
//! checked when the artefact is sealed: the pieces tile it exactly.

use serde::Deserialize;

/// What the first 64 bytes of such a record have in them.
pub(crate) const SCHEMA: &str = "cohesix-refs/v1";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "schema")]
    _schema: String,
    #[serde(rename = "artefact")]
    _artefact: String,
    bytes: u64,
    sha256: String,
    refs: Vec<Ref>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ref {
    offset: u64,
    bytes: u64,
    sha256: String,
    uri: String,
}

/// What the records of one artefact come to.
#[derive(Debug)]
pub(crate) struct Artefact<'n> {
    name: &'n str,
    max_refs: usize,
    whole: Option<(u64, String)>,
    pieces: Vec<(u64, u64)>,
}

/// A name that a file may have too: letters, digits, `.`, `_`, `-`; no dot first.
pub(crate) fn is_artefact_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn has(record: &[u8], word: &[u8]) -> bool {
    record.windows(word.len()).any(|window| window == word)
}

/// Is it a record of a reference manifest, by its beginning?
pub(crate) fn is_refs(record: &[u8]) -> bool {
    has(&record[..record.len().min(64)], SCHEMA.as_bytes())
}

impl<'n> Artefact<'n> {
    pub(crate) fn new(name: &'n str, max_refs: usize) -> Artefact<'n> {
        Artefact { name, max_refs, whole: None, pieces: Vec::new() }
    }

    /// Takes a record if it is one of its own; most are not, and are not read.
    pub(crate) fn take(&mut self, record: &[u8]) -> Result<(), String> {
        if !is_refs(record) || !has(record, self.name.as_bytes()) {
            return Ok(());
        }
        let text = std::str::from_utf8(record).map_err(|_| "a reference record is not UTF-8")?;
        let Ok(value) = json::parse(text.trim_end()) else { return Ok(()) };
        let is_ours = |key, word| value.get(key).and_then(json::Value::text) == Some(word);
        if !is_ours("schema", SCHEMA) || !is_ours("artefact", self.name) {
            return Ok(());
        }
        let record: Record = value.into_type().map_err(|error| error.to_string())?;
        if !is_sha256(&record.sha256) || record.refs.iter().any(|piece| !is_sha256(&piece.sha256)) {
            return Err("a sha256 is 64 lower-case hex digits".into());
        }
        if record.refs.iter().any(|piece| piece.uri.is_empty() || piece.bytes == 0) {
            return Err("a piece has bytes and a uri".into());
        }
        let whole = (record.bytes, record.sha256);
        if self.whole.get_or_insert_with(|| whole.clone()) != &whole {
            return Err("its records disagree on bytes or sha256".into());
        }
        if self.pieces.len() + record.refs.len() > self.max_refs {
            return Err(format!("more than {} pieces; see telemetry.max_refs", self.max_refs));
        }
        self.pieces.extend(record.refs.iter().map(|piece| (piece.offset, piece.bytes)));
        Ok(())
    }

    /// Bytes, sha256 and pieces, where the pieces tile it.
    /// None: no record tells of it.
    pub(crate) fn seal(mut self) -> Result<Option<(u64, String, usize)>, String> {
        let Some((bytes, sha256)) = self.whole else { return Ok(None) };
        self.pieces.sort_unstable();
        let mut at = 0_u64;
        for (offset, length) in &self.pieces {
            if *offset != at {
                let what = if *offset > at { "gap" } else { "overlap" };
                return Err(format!("{what} at={at} next={offset}"));
            }
            at = at.checked_add(*length).ok_or("offsets beyond 2^64")?;
        }
        if at != bytes {
            return Err(format!("the pieces end at={at} bytes={bytes}"));
        }
        Ok(Some((bytes, sha256, self.pieces.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn record(pieces: &[(u64, u64)]) -> String {
        let refs: Vec<String> = pieces
            .iter()
            .map(|(o, n)| {
                format!("{{\"offset\":{o},\"bytes\":{n},\"sha256\":\"{SUM}\",\"uri\":\"file:///c\"}}")
            })
            .collect();
        let refs = refs.join(",");
        format!(
            "{{\"schema\":\"{SCHEMA}\",\"artefact\":\"a\",\"bytes\":10,\"sha256\":\"{SUM}\",\"refs\":[{refs}]}}\n"
        )
    }

    fn sealed(records: &[&str]) -> Result<Option<(u64, String, usize)>, String> {
        let mut artefact = Artefact::new("a", 4);
        for record in records {
            artefact.take(record.as_bytes())?;
        }
        artefact.seal()
    }

    #[test]
    fn pieces_that_tile_are_sealed_in_any_order() {
        let (late, early) = (record(&[(4, 6)]), record(&[(0, 3), (3, 1)]));
        assert_eq!(sealed(&["text\n", &late, &early]), Ok(Some((10, SUM.into(), 3))));
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
    }
}
