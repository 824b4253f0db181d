//! Reference manifests, `cohesix-refs/v1`: large artefacts whose bytes are elsewhere (spec 5.2). They are
//! checked when the artefact is sealed: the pieces tile it exactly.

use serde::Deserialize;

/// How such a record begins, however it goes on.
pub(crate) const SCHEMA: &str = "cohesix-refs/v1";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: String,
    artefact: String,
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
#[derive(Debug, Default)]
pub(crate) struct Artefact {
    whole: Option<(u64, String)>,
    pieces: Vec<(u64, u64)>,
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The artefact and the pieces of one record; None where the record is of another kind.
pub(crate) fn is_refs(record: &[u8]) -> bool {
    let head = &record[..record.len().min(64)];
    head.windows(SCHEMA.len()).any(|window| window == SCHEMA.as_bytes())
}

impl Artefact {
    /// Takes a record if it is one of `name`'s.
    pub(crate) fn take(&mut self, name: &str, record: &[u8], max_refs: usize) -> Result<(), String> {
        if !is_refs(record) {
            return Ok(());
        }
        let text = std::str::from_utf8(record).map_err(|_| "a reference record is not UTF-8")?;
        let record: Record = json::from_str(text.trim_end()).map_err(|error| error.to_string())?;
        if record.schema != SCHEMA || record.artefact != name {
            return Ok(());
        }
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
        if self.pieces.len() + record.refs.len() > max_refs {
            return Err(format!("more than {max_refs} pieces; see telemetry.max_refs"));
        }
        self.pieces.extend(record.refs.iter().map(|piece| (piece.offset, piece.bytes)));
        Ok(())
    }

    /// Bytes, sha256 and pieces, where the pieces tile it.
    pub(crate) fn seal(mut self) -> Result<(u64, String, usize), String> {
        let Some((bytes, sha256)) = self.whole else { return Err("no record tells of it".into()) };
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
        Ok((bytes, sha256, self.pieces.len()))
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

    fn sealed(records: &[&str]) -> Result<(u64, String, usize), String> {
        let mut artefact = Artefact::default();
        for record in records {
            artefact.take("a", record.as_bytes(), 4)?;
        }
        artefact.seal()
    }

    #[test]
    fn pieces_that_tile_are_sealed_in_any_order() {
        let (late, early) = (record(&[(4, 6)]), record(&[(0, 3), (3, 1)]));
        assert_eq!(sealed(&["text\n", &late, &early]), Ok((10, SUM.into(), 3)));
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
        assert_eq!(sealed(&[]).unwrap_err(), "no record tells of it");
    }

    #[test]
    fn records_that_are_no_manifest_are_refused_by_name() {
        let other = record(&[(0, 10)]).replace("\"bytes\":10,\"sha256\"", "\"bytes\":11,\"sha256\"");
        assert!(sealed(&[&record(&[(0, 10)]), &other]).unwrap_err().contains("disagree"));
        assert!(sealed(&[&record(&[(0, 10)]).replace(SUM, "xyz")]).unwrap_err().contains("sha256"));
    }
}
