//! Files that went in envelopes: the payloads of a segment, in the order of their numbers, each once.

use crate::{failed, finish};
use artefact::{Sum, envelope};
use cohcmd::Trouble;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// More than a record has.
const LINE_MAX: u64 = 1 << 16;

/// Writes the file that a segment has in it to `dir`; what there is to say of it. None: it has none.
pub(crate) fn unpack(segment: &Path, dir: &Path, name: &str) -> Result<Option<String>, Trouble> {
    let part = dir.join(format!(".{name}.part"));
    let done = write(segment, &part);
    let unpacked = match done {
        Ok(Some(unpacked)) => unpacked,
        other => {
            // Nothing, or not the whole of it.
            let _ = fs::remove_file(&part);
            return other.map(|_| None);
        }
    };
    let Unpacked { records, bytes, mime, sum } = unpacked;
    let path = dir.join(format!("{name}{}", envelope::extension_of(&mime)));
    finish(&part, &path).map_err(failed(&path))?;
    Ok(Some(format!("{} records={records} bytes={bytes} sha256={sum}", path.display())))
}

struct Unpacked {
    records: u64,
    bytes: u64,
    mime: String,
    sum: String,
}

fn write(segment: &Path, part: &Path) -> Result<Option<Unpacked>, Trouble> {
    let wrong = |what: String| Trouble::failed(format!("{}: {what}", segment.display()));
    let mut lines = BufReader::new(File::open(segment).map_err(failed(segment))?);
    let mut out = BufWriter::new(File::create(part).map_err(failed(part))?);
    let (mut next, mut bytes, mut sum, mut mime) = (1, 0, Sum::default(), String::new());
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = (&mut lines).take_until(&mut line).map_err(failed(segment))?;
        if n == 0 {
            break;
        }
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let Some(opened) = envelope::open(text).map_err(|why| wrong(format!("an envelope: {why}")))? else {
            continue;
        };
        // One that was sent twice says the same.
        if opened.seq < next {
            continue;
        }
        if opened.seq > next {
            return Err(wrong(format!("seq={next} is missing before seq={}", opened.seq)));
        }
        next += 1;
        bytes += opened.payload.len() as u64;
        sum.add(&opened.payload);
        mime = opened.mime;
        out.write_all(&opened.payload).map_err(failed(part))?;
    }
    out.flush().map_err(failed(part))?;
    Ok((next > 1).then(|| Unpacked { records: next - 1, bytes, mime, sum: sum.hex() }))
}

/// A line, however long: of one that is too long only the end is seen.
trait TakeUntil {
    fn take_until(&mut self, line: &mut Vec<u8>) -> std::io::Result<usize>;
}

impl<R: BufRead> TakeUntil for &mut R {
    fn take_until(&mut self, line: &mut Vec<u8>) -> std::io::Result<usize> {
        std::io::Read::take(&mut **self, LINE_MAX).read_until(b'\n', line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(lines: &[String]) -> (Result<Option<String>, Trouble>, Option<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let segment = dir.path().join("raw");
        fs::write(&segment, lines.concat()).unwrap();
        let said = unpack(&segment, dir.path(), "seg-000001");
        let is_clean = fs::read_dir(dir.path())
            .unwrap()
            .all(|e| !e.unwrap().file_name().to_string_lossy().ends_with(".part"));
        assert!(is_clean);
        (said, fs::read(dir.path().join("seg-000001.txt")).ok())
    }

    #[test]
    fn what_came_twice_is_there_once() {
        let data = "a line\n".repeat(200);
        let mut lines = envelope::lines(data.as_bytes(), "text/plain", 256);
        lines.insert(3, lines[1].clone());
        lines.push("something else\n".into());
        let (said, file) = unpacked(&lines);
        assert!(said.unwrap().unwrap().contains(&format!("sha256={}", Sum::of(data.as_bytes()))));
        assert_eq!(file.unwrap(), data.as_bytes());
    }

    #[test]
    fn what_is_missing_is_said_and_nothing_is_made() {
        let mut lines = envelope::lines("a line\n".repeat(200).as_bytes(), "text/plain", 256);
        lines.remove(2);
        let (said, file) = unpacked(&lines);
        assert!(said.unwrap_err().to_string().contains("seq=3 is missing before seq=4"));
        assert_eq!(file, None);
        assert_eq!(unpacked(&["no envelope\n".into()]), (Ok(None), None));
    }
}
