//! Artefacts that went by reference: their chunks are fetched, each is checked, then the whole.

use crate::{failed, finish};
use artefact::chunks::{self, Chunks};
use artefact::refs::{self, Piece};
use artefact::{Sum, is_name};
use cohcmd::{Out, Progress, Trouble};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// More than a record has.
const LINE_MAX: u64 = 1 << 16;
/// Pieces of one artefact: what spec 5.2 allows.
const PIECES_MAX: usize = 65_536;

/// Bytes of one piece, which is held in memory: what cohpush cuts at the most.
const PIECE_MAX: u64 = 1 << 30;

/// What the records of one artefact say.
struct Told {
    bytes: u64,
    sha256: String,
    pieces: Vec<Piece>,
    wrong: Option<String>,
}

/// Fetches every artefact that the segments in `from` tell of and that is not in `to` yet.
pub(crate) fn pull(from: &Path, to: &Path, store: Option<&Chunks>, out: &mut Out) -> Result<(), Trouble> {
    for (name, told) in told(from)? {
        match fetch(&name, told, to, store) {
            Ok(line) => out.line(line)?,
            Err(trouble) => out.complain(trouble)?,
        }
    }
    Ok(())
}

fn told(from: &Path) -> Result<BTreeMap<String, Told>, Trouble> {
    let mut all: BTreeMap<String, Told> = BTreeMap::new();
    let entries = fs::read_dir(from).map_err(failed(from))?;
    let mut segments: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    segments.sort();
    for segment in segments {
        let mut lines = BufReader::new(File::open(&segment).map_err(failed(&segment))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(failed(&segment))?;
            if n == 0 {
                break;
            }
            // A record that is none the hive refuses to seal.
            let Ok(Some(record)) = refs::read(&line, None) else { continue };
            let told = all.entry(record.artefact).or_insert_with(|| Told {
                bytes: record.bytes,
                sha256: record.sha256.clone(),
                pieces: Vec::new(),
                wrong: None,
            });
            if (told.bytes, &told.sha256) != (record.bytes, &record.sha256) {
                told.wrong = Some("its records disagree on bytes or sha256".into());
            } else if told.pieces.len() + record.refs.len() > PIECES_MAX {
                told.wrong = Some(format!("more than {PIECES_MAX} pieces"));
            } else {
                told.pieces.extend(record.refs);
            }
        }
    }
    Ok(all)
}

fn fetch(name: &str, told: Told, to: &Path, store: Option<&Chunks>) -> Result<String, Trouble> {
    let Told { bytes, sha256, mut pieces, wrong } = told;
    let incomplete = |why: String| Trouble::failed(format!("artefact {name:?}: {why}"));
    if !is_name(name) {
        return Err(incomplete("it has no name for a file; it stays where it is".into()));
    }
    if let Some(wrong) = wrong {
        return Err(incomplete(wrong));
    }
    if let Some(piece) = pieces.iter().find(|piece| piece.bytes > PIECE_MAX) {
        return Err(incomplete(format!("a piece of {} bytes; {PIECE_MAX} are taken", piece.bytes)));
    }
    pieces.sort();
    let mut spans: Vec<(u64, u64)> = pieces.iter().map(|piece| (piece.offset, piece.bytes)).collect();
    refs::tile(bytes, &mut spans)
        .map_err(|why| incomplete(format!("{why}: it is not all told yet, or not to be sealed")))?;
    let path = to.join(name);
    let said = |state| format!("{} state={state} bytes={bytes} sha256={sha256}", path.display());
    if fs::metadata(&path).is_ok_and(|there| there.is_file() && there.len() == bytes) {
        return match sum(&path, name, bytes)? == sha256 {
            true => Ok(said("there")),
            false => Err(Trouble::failed(format!("{}: is another file; move it away", path.display()))),
        };
    }
    if path.exists() {
        return Err(Trouble::failed(format!("{}: is another file; move it away", path.display())));
    }
    let part = to.join(format!(".{name}.part"));
    let found = assemble(&part, name, bytes, &pieces, store)?;
    if found != sha256 {
        let _ = fs::remove_file(&part);
        return Err(incomplete(format!("its sha256 is {found}; {sha256} is wanted")));
    }
    finish(&part, &path).map_err(failed(&path))?;
    Ok(said("fetched"))
}

/// Puts the pieces that `part` does not have behind those that it has; the sum of them all.
fn assemble(
    part: &Path,
    name: &str,
    bytes: u64,
    pieces: &[Piece],
    store: Option<&Chunks>,
) -> Result<String, Trouble> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part);
    let mut file = options.map_err(failed(part))?;
    let mut progress = Progress::new(name, bytes);
    let (mut whole, mut buf, mut is_ahead) = (Sum::default(), Vec::new(), true);
    for piece in pieces {
        let Piece { offset, bytes, sha256, .. } = piece;
        // An attempt that was broken off has left whole pieces, and then perhaps one in part.
        if is_ahead {
            buf.clear();
            (&mut file).take(*bytes).read_to_end(&mut buf).map_err(failed(part))?;
            is_ahead = buf.len() as u64 == *bytes && Sum::of(&buf) == *sha256;
            if !is_ahead {
                file.set_len(*offset).map_err(failed(part))?;
                std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(*offset)).map_err(failed(part))?;
            }
        }
        if !is_ahead {
            get(piece, store, &mut buf)
                .map_err(|why| Trouble::failed(format!("artefact {name:?}: {why}")))?;
            file.write_all(&buf).map_err(failed(part))?;
        }
        whole.add(&buf);
        progress.add(*bytes);
    }
    file.set_len(bytes).map_err(failed(part))?;
    Ok(whole.hex())
}

/// A piece from the store where it has it, else from where the manifest says.
fn get(piece: &Piece, store: Option<&Chunks>, buf: &mut Vec<u8>) -> Result<(), String> {
    let Piece { offset, bytes, sha256, uri } = piece;
    let here = store.map(|store| store.path(sha256)).filter(|path| path.exists());
    let path = here.or_else(|| chunks::path_of(uri)).ok_or_else(|| {
        format!("the piece at {offset} is at {uri}, which is no file here; say where it is with --store DIR")
    })?;
    chunks::fetch(&path, *bytes, sha256, buf).map_err(|why| format!("the piece at {offset}: {why}"))
}

/// The sum of a file.
fn sum(path: &Path, name: &str, bytes: u64) -> Result<String, Trouble> {
    let mut file = File::open(path).map_err(failed(path))?;
    let mut progress = Progress::new(name, bytes);
    let (mut sum, mut buf) = (Sum::default(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buf).map_err(failed(path))?;
        if n == 0 {
            return Ok(sum.hex());
        }
        sum.add(&buf[..n]);
        progress.add(n as u64);
    }
}
