//! A small file: envelopes in a segment of its own.

use crate::device::Device;
use artefact::{Sum, envelope};
use cohcmd::{Progress, Trouble};

pub(crate) fn push(
    device: &mut Device,
    data: &[u8],
    mime: &str,
    resume: Option<&str>,
) -> Result<String, Trouble> {
    let lines = envelope::lines(data, mime, device.limits.record_bytes);
    let bytes: u64 = lines.iter().map(|line| line.len() as u64).sum();
    if bytes > device.limits.segment_bytes {
        let most = device.limits.segment_bytes;
        return Err(Trouble::failed(format!(
            "{bytes} bytes in envelopes; a segment has {most}, see telemetry.max_bytes_per_segment"
        )));
    }
    let (segment, there) = match resume {
        Some(segment) => (segment.to_owned(), there(device, segment, &lines)?),
        None => (device.new_segment(mime)?, 0),
    };
    let mut progress = Progress::new(format!("{}/{segment}", device.id), bytes);
    device.append(&segment, &lines[there..], |bytes| progress.add(bytes))?;
    drop(progress);
    let (id, sha256) = (&device.id, Sum::of(data));
    Ok(format!("{id}/{segment} records={} bytes={} sha256={sha256}", lines.len(), data.len()))
}

/// How many of the lines a segment has, from the first on. It must have nothing else.
fn there(device: &mut Device, segment: &str, lines: &[String]) -> Result<usize, Trouble> {
    let (mut there, mut other) = (0, false);
    device.lines(segment, |line| match lines.get(there) {
        Some(next) if next == line => there += 1,
        // One that was sent twice.
        _ if lines[..there].iter().any(|before| before == line) => {}
        _ => other = true,
    })?;
    if other {
        let id = &device.id;
        let what = format!("{id}/{segment}: has another file in it; push this one without --resume");
        return Err(Trouble::failed(what));
    }
    Ok(there)
}
