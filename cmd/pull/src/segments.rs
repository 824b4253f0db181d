//! Segments: copies that grow as the hive's do.

use crate::failed;
use cohcmd::{Access, Entry, Hive, Out, Progress, Trouble, Word};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes at the end of a copy that must be the hive's before it is gone on with.
const OVERLAP: u64 = 8000;

/// Where devices are.
const DEVICES: &str = "/queen/telemetry";

fn remote(device: &str) -> String {
    format!("{DEVICES}/{device}/seg")
}

/// The names of a device's segments, oldest first.
pub(crate) fn names(hive: &mut Hive, device: &str) -> Result<Vec<String>, Trouble> {
    let mut names: Vec<String> = hive.list(&remote(device))?.into_iter().map(|entry| entry.name).collect();
    // A name of the hive becomes one here: it must be what segments are called.
    names.retain(|name| name.strip_prefix("seg-").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())));
    // One may walk to a device before it is one. Who may not list them is not told.
    let is_none = |devices: Vec<Entry>| devices.iter().all(|entry| entry.name != device);
    if names.is_empty() && hive.list(DEVICES).is_ok_and(is_none) {
        let what = format!("no such device; see: cohls {DEVICES}");
        return Err(Trouble::refused(format!("{DEVICES}/{device}"), Word::NotFound, what));
    }
    Ok(names)
}

/// Copies what is new of them; the names of those that are here.
pub(crate) fn pull(
    hive: &mut Hive,
    device: &str,
    names: Vec<String>,
    dir: &Path,
    out: &mut Out,
) -> Result<Vec<String>, Trouble> {
    let remote = remote(device);
    let mut copied = Vec::new();
    for name in names {
        match copy(hive, &format!("{remote}/{name}"), &dir.join(&name)) {
            Ok((bytes, new)) => {
                out.line(format!("{device}/{name} bytes={bytes} new={new}"))?;
                copied.push(name);
            }
            Err(trouble) => out.complain(trouble)?,
        }
    }
    Ok(copied)
}

/// Bytes of the copy, and how many of them are new.
fn copy(hive: &mut Hive, remote: &str, local: &Path) -> Result<(u64, u64), Trouble> {
    let failed = failed(local);
    let options = OpenOptions::new().read(true).append(true).create(true).open(local);
    let mut copy = options.map_err(&failed)?;
    let have = copy.metadata().map_err(&failed)?.len();
    let mut file = hive.open(remote, Access::Read)?;
    let done = go_on(hive, &mut file, &mut copy, have, local);
    hive.close(file);
    let bytes = done?;
    if bytes > have {
        copy.sync_all().map_err(&failed)?;
    }
    Ok((bytes, bytes - have))
}

fn go_on(
    hive: &mut Hive,
    file: &mut cohcmd::File,
    copy: &mut File,
    have: u64,
    local: &Path,
) -> Result<u64, Trouble> {
    let size = hive.size(file)?;
    let overlap = have.min(OVERLAP);
    let other = format!("{}: is no copy of {}; move it away", local.display(), file.path());
    if size < have {
        return Err(Trouble::failed(other));
    }
    let mut last = vec![0; usize::try_from(overlap).unwrap_or_default()];
    copy.read_exact_at(&mut last, have - overlap).map_err(failed(local))?;
    let mut progress = Progress::new(file.path(), size - have);
    let (mut at, mut buf) = (have - overlap, Vec::new());
    file.seek(at);
    loop {
        hive.read(file, &mut buf)?;
        if buf.is_empty() {
            return Ok(at.max(have));
        }
        // What is here already is compared, the rest is new.
        let known = usize::try_from(have.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
        let from = usize::try_from(at.saturating_sub(have - overlap)).unwrap_or_default();
        if known > 0 && last.get(from..from + known) != Some(&buf[..known]) {
            return Err(Trouble::failed(other));
        }
        copy.write_all(&buf[known..]).map_err(failed(local))?;
        at += buf.len() as u64;
        progress.add((buf.len() - known) as u64);
    }
}
