//! A large file: its chunks are put into a store, the hive gets the manifest that lists them, and seals
//! it. What is there already, of chunks and of the manifest, is not sent again.

use crate::device::Device;
use artefact::Sum;
use artefact::chunks::Chunks;
use artefact::refs::{self, Piece};
use cohcmd::serde_json::json;
use cohcmd::{Progress, Trouble, Word};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The media type of a segment of reference manifests.
const MIME: &str = "application/json";
/// A chunk, where nothing else is said.
const CHUNK: u64 = 1 << 20;

pub(crate) struct Source<'p> {
    pub(crate) path: &'p Path,
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) name: String,
}

struct Whole {
    bytes: u64,
    sha256: String,
    pieces: Vec<Piece>,
}

pub(crate) fn push(
    device: &mut Device,
    source: Source,
    chunks: &Chunks,
    chunk: Option<u64>,
) -> Result<String, Trouble> {
    let Source { path, name, .. } = &source;
    let (path, name) = (path.display().to_string(), name.clone());
    let said = |device: &Device, whole: &Whole, state: &str| {
        let Whole { bytes, sha256, pieces } = whole;
        let refs = pieces.len();
        format!("{}/{name} {state} bytes={bytes} sha256={sha256} refs={refs}", device.id)
    };
    let max_refs = device.limits.max_refs.max(1);
    let chunk = chunk.unwrap_or_else(|| CHUNK.max(source.bytes.div_ceil(max_refs)));
    if source.bytes.div_ceil(chunk) > max_refs {
        return Err(Trouble::failed(format!(
            "{path}: chunks of {chunk} bytes are more than {max_refs}; raise --chunk"
        )));
    }
    let whole = cut(source, chunks, chunk)?;
    let missing = match seal(device, &name) {
        Ok(sealed) if sealed == whole.sha256 => return Ok(said(device, &whole, "state=there")),
        Ok(_) => return Err(taken(device, &name)),
        Err(trouble) => match trouble.word() {
            Some(Word::NotFound) => whole.pieces.clone(),
            Some(Word::Invalid) => missing(device, &name, &whole)?,
            _ => return Err(trouble),
        },
    };
    let of = (whole.bytes, whole.sha256.as_str());
    let lines = refs::lines(&name, of, &missing, device.limits.record_bytes)
        .map_err(|why| Trouble::failed(format!("{path}: {why}")))?;
    // A segment is as long as the hive lets it be.
    let mut rest = &lines[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |line: &&String| {
            bytes += line.len() as u64;
            bytes <= device.limits.segment_bytes
        };
        let n = rest.iter().take_while(fits).count().max(1);
        let segment = device.new_segment(MIME)?;
        device.append(&segment, &rest[..n], |_| {})?;
        rest = &rest[n..];
    }
    seal(device, &name)?;
    Ok(said(device, &whole, "state=sealed"))
}

/// Asks the hive to check an artefact's manifest; its sum.
fn seal(device: &mut Device, name: &str) -> Result<String, Trouble> {
    let ack = device.command(json!({ "seal": name }).to_string())?;
    Ok(ack.get("sha256").unwrap_or_default().to_owned())
}

fn taken(device: &Device, name: &str) -> Trouble {
    let id = &device.id;
    Trouble::failed(format!(
        "{id}/{name}: there is another artefact of that name; say another with --artefact"
    ))
}

/// Puts the file's chunks into the store.
fn cut(source: Source, chunks: &Chunks, chunk: u64) -> Result<Whole, Trouble> {
    let Source { path, mut file, bytes, name } = source;
    let shown = path.display();
    let failed = |error: std::io::Error| Trouble::failed(format!("{shown}: {error}"));
    let mut progress = Progress::new(name, bytes);
    let (mut sum, mut pieces, mut offset) = (Sum::default(), Vec::new(), 0);
    let mut buf = Vec::new();
    while offset < bytes {
        buf.clear();
        let want = chunk.min(bytes - offset);
        let n = (&mut file).take(want).read_to_end(&mut buf).map_err(failed)? as u64;
        if n < want {
            return Err(Trouble::failed(format!("{shown}: it became shorter while it was read")));
        }
        sum.add(&buf);
        let put = chunks.put(&buf).map_err(|e| Trouble::failed(format!("{shown}: its chunks: {e}")))?;
        let (sha256, uri) = put;
        pieces.push(Piece { offset, bytes: n, sha256, uri });
        offset += n;
        progress.add(n);
    }
    chunks
        .sync(pieces.iter().map(|piece| piece.sha256.clone()))
        .map_err(|e| Trouble::failed(format!("{shown}: its chunks: {e}")))?;
    Ok(Whole { bytes, sha256: sum.hex(), pieces })
}

/// The pieces that no record of an attempt that was broken off tells of.
fn missing(device: &mut Device, name: &str, whole: &Whole) -> Result<Vec<Piece>, Trouble> {
    let (mut there, mut is_other) = (BTreeSet::new(), false);
    for segment in device.segments()? {
        device.lines(&segment, |line| {
            let Ok(Some(record)) = refs::read(line.as_bytes(), Some(name)) else { return };
            is_other |= (record.bytes, &record.sha256) != (whole.bytes, &whole.sha256);
            there.extend(record.refs.into_iter().map(|piece| (piece.offset, piece.bytes, piece.sha256)));
        })?;
    }
    let is_there = |piece: &Piece| there.contains(&(piece.offset, piece.bytes, piece.sha256.clone()));
    let missing: Vec<Piece> = whole.pieces.iter().filter(|piece| !is_there(piece)).cloned().collect();
    // Pieces of another size would never tile with these.
    if is_other || whole.pieces.len() - missing.len() != there.len() {
        return Err(taken(device, name));
    }
    Ok(missing)
}
