//! A device of the hive: its limits, its `ctl`, its segments.

use cohcmd::serde_json::json;
use cohcmd::{Access, Hive, Record, Trouble};

const LIMITS: &str = "/proc/ingest/limits";
/// One read of a segment is handed on in pieces of this, at the most.
const TAIL_MAX: usize = 1 << 16;

/// What the hive's manifest allows.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) record_bytes: usize,
    pub(crate) inline_bytes: u64,
    pub(crate) artefact_bytes: u64,
    pub(crate) max_refs: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) mimes: Vec<String>,
}

impl Limits {
    fn parse(text: &str) -> Option<Limits> {
        let record = Record::parse(text.trim());
        let number = |key| record.get(key)?.parse::<u64>().ok();
        Some(Limits {
            record_bytes: usize::try_from(number("record_bytes")?).ok()?,
            inline_bytes: number("inline_bytes")?,
            artefact_bytes: number("artefact_bytes")?,
            max_refs: number("max_refs")?,
            segment_bytes: number("segment_bytes")?,
            mimes: record.get("mimes")?.split(',').map(str::to_owned).collect(),
        })
    }
}

pub(crate) struct Device {
    pub(crate) hive: Hive,
    pub(crate) id: String,
    dir: String,
    pub(crate) limits: Limits,
}

impl Device {
    pub(crate) fn find(mut hive: Hive, id: &str) -> Result<Device, Trouble> {
        let text = hive.text(LIMITS)?;
        let limits = Limits::parse(&text)
            .ok_or_else(|| Trouble::failed(format!("{LIMITS}: {text:?} is not what this cohpush knows")))?;
        Ok(Device { hive, id: id.into(), dir: format!("/queen/telemetry/{id}"), limits })
    }

    /// What the hive would refuse is refused here, before anything is made.
    pub(crate) fn allows(&self, mime: &str) -> Result<(), String> {
        let fits = |allowed: &String| match allowed.strip_suffix('*') {
            Some(kind) => mime.starts_with(kind),
            None => mime == allowed,
        };
        if self.limits.mimes.iter().any(fits) {
            return Ok(());
        }
        let all = self.limits.mimes.join(" ");
        Err(format!("{mime}: this hive takes {all}; say another with --mime, or add it to telemetry.mimes"))
    }

    /// One command to its `ctl`; the acknowledgement.
    pub(crate) fn command(&mut self, line: String) -> Result<Record, Trouble> {
        let path = format!("{}/ctl", self.dir);
        let mut said = String::new();
        self.hive.write_lines(&path, std::iter::once(Ok(line)), |ack| {
            said = ack.to_owned();
            Ok(())
        })?;
        Ok(Record::parse(&said))
    }

    /// A new segment's name.
    pub(crate) fn new_segment(&mut self, mime: &str) -> Result<String, Trouble> {
        let ack = self.command(json!({"new": "segment", "mime": mime}).to_string())?;
        match ack.get("seg") {
            Some(segment) => Ok(segment.to_owned()),
            // Who may write alone is not told: it is the latest, unless another has asked meanwhile.
            None => Ok(self.hive.text(&format!("{}/latest", self.dir))?.trim().to_owned()),
        }
    }

    /// Appends lines to a segment, one record each, and waits until they are durable. `each` is told
    /// how many bytes every record had.
    pub(crate) fn append(
        &mut self,
        segment: &str,
        lines: &[String],
        mut each: impl FnMut(u64),
    ) -> Result<(), Trouble> {
        let path = format!("{}/seg/{segment}", self.dir);
        let mut file = self.hive.open(&path, Access::Write)?;
        let end = self.hive.size(&mut file)?;
        file.seek(end);
        let done = lines.iter().try_for_each(|line| {
            self.hive.write(&mut file, line.as_bytes())?;
            each(line.len() as u64);
            Ok(())
        });
        let done = done.and_then(|()| self.hive.sync(&mut file));
        self.hive.close(file);
        done
    }

    /// Hands over the whole lines of a segment.
    pub(crate) fn lines(&mut self, segment: &str, mut each: impl FnMut(&str)) -> Result<(), Trouble> {
        let path = format!("{}/seg/{segment}", self.dir);
        let mut rest: Vec<u8> = Vec::new();
        self.hive.copy(&path, |piece| {
            rest.extend_from_slice(piece);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if let Ok(line) = std::str::from_utf8(&line) {
                    each(line);
                }
            }
            // What has no end is no line of ours.
            if rest.len() > TAIL_MAX {
                rest.clear();
            }
            Ok(())
        })
    }

    /// The names of its segments.
    pub(crate) fn segments(&mut self) -> Result<Vec<String>, Trouble> {
        let entries = self.hive.list(&format!("{}/seg", self.dir))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_whole_or_not_at_all() {
        let text = "limits record_bytes=4096 inline_bytes=10 artefact_bytes=20 max_refs=5 segment_bytes=9 mimes=text/*,a/b\n";
        let limits = Limits::parse(text).unwrap();
        assert_eq!((limits.record_bytes, limits.inline_bytes, limits.mimes.len()), (4096, 10, 2));
        assert!(Limits::parse("limits record_bytes=4096").is_none());
    }
}
