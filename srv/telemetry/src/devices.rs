//! Devices and their segments: names, bounds, eviction. Has never heard of 9P, but for the words of its
//! refusals and the keys of its tables.

use crate::handles::Handles;
use crate::refs::Artefact;
use crate::segment::Segment;
use ninep::refusal::{Refusal, Word};
use ninep::srv::Key;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bounds, from the manifest's `[telemetry]`.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Devices at once.
    pub max_devices: usize,
    /// Segments of one device.
    pub max_segments: usize,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Bytes of all segments of one device.
    pub device_bytes: u64,
    /// Whether the oldest segment makes room; else a write that finds none is refused.
    pub evicts: bool,
    /// Bytes of one record.
    pub record_bytes: usize,
    /// Pieces of one artefact.
    pub max_refs: usize,
    /// Time between two syncs of what was written.
    pub sync_ms: u64,
    /// Time between two lines of `/proc/ingest/watch`.
    pub watch_ms: u64,
}

impl Config {
    /// The manifest's.
    pub fn from_manifest(telemetry: &manifest::Telemetry) -> Config {
        Config {
            max_devices: telemetry.max_devices as usize,
            max_segments: telemetry.max_segments_per_device as usize,
            segment_bytes: telemetry.max_bytes_per_segment,
            device_bytes: telemetry.max_total_bytes_per_device,
            evicts: telemetry.eviction == manifest::Eviction::EvictOldest,
            record_bytes: telemetry.record_bytes as usize,
            max_refs: telemetry.max_refs as usize,
            sync_ms: telemetry.sync_ms,
            watch_ms: telemetry.watch_interval_ms,
        }
    }
}

/// A device's key has its number in the upper bits, a segment's its number below: both fit a qid.
const SEGMENT_BITS: u32 = 22;
const SEGMENTS: u64 = 1 << SEGMENT_BITS;
/// Keys of devices that nobody has written to yet begin here.
const UNBORN: Key = 1 << 39;
/// Names of unborn devices that are remembered.
const UNBORN_MAX: usize = 1024;
/// Files that are kept open.
const HANDLES: usize = 256;

/// One device.
#[derive(Debug)]
struct Device {
    name: String,
    segments: BTreeMap<u64, Segment>,
    /// Bytes of all of them.
    bytes: u64,
    next: u64,
}

/// Something that was written has been given up for what is newer.
#[derive(Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Whose.
    pub device: String,
    /// `seg-000001`.
    pub segment: String,
    /// Records in it.
    pub records: u64,
}

/// All devices.
#[derive(Debug)]
pub struct Devices {
    pub(crate) config: Config,
    dir: PathBuf,
    devices: BTreeMap<u64, Device>,
    numbers: HashMap<String, u64>,
    next: u64,
    unborn: RefCell<VecDeque<(Key, String)>>,
    unborn_next: RefCell<Key>,
    handles: Rc<RefCell<Handles>>,
    /// Segments that were written since the last sync.
    dirty: Vec<Key>,
    /// Tails that were cut off when segments were opened, to be logged.
    pub(crate) cuts: Vec<String>,
    pub(crate) evicted: Vec<Evicted>,
}

fn segment_name(number: u64) -> String {
    format!("seg-{number:06}")
}

fn is_device_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn gone() -> Refusal {
    Refusal::new(Word::Revoked, "the segment has made room for newer ones")
}

fn failed(what: &str, error: &io::Error) -> Refusal {
    Refusal::new(Word::Busy, format!("{what}: {error}"))
}

impl Devices {
    /// What is below `dir`, which is made if it is not there.
    pub fn open(dir: &Path, config: Config) -> io::Result<Devices> {
        fs::create_dir_all(dir)?;
        let mut devices = Devices {
            config,
            dir: dir.into(),
            devices: BTreeMap::new(),
            numbers: HashMap::new(),
            next: 1,
            unborn: RefCell::default(),
            unborn_next: RefCell::new(UNBORN),
            handles: Rc::new(RefCell::new(Handles::new(HANDLES))),
            dirty: Vec::new(),
            cuts: Vec::new(),
            evicted: Vec::new(),
        };
        let mut names: Vec<String> = fs::read_dir(dir)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_device_name(name))
            .collect();
        names.sort();
        for name in names {
            devices.adopt(name)?;
        }
        Ok(devices)
    }

    /// A device of an earlier life.
    fn adopt(&mut self, name: String) -> io::Result<()> {
        let dir = self.dir.join(&name);
        let mut numbers: Vec<u64> = fs::read_dir(&dir)?
            .filter_map(|entry| {
                let file = entry.ok()?.file_name().into_string().ok()?;
                file.strip_prefix("seg-")?.strip_suffix(".data")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let number = self.number_for(&name);
        let mut segments = BTreeMap::new();
        for segment in &numbers {
            let path = dir.join(segment_name(*segment));
            let (opened, cut) = Segment::open(path, number * SEGMENTS + segment, Rc::clone(&self.handles))?;
            if cut > 0 {
                let segment = segment_name(*segment);
                self.cuts.push(format!("telemetry device={name} seg={segment} cut={cut} reason=torn-tail"));
            }
            segments.insert(*segment, opened);
        }
        let next = numbers.last().map_or(1, |last| last + 1);
        let bytes = segments.values().map(Segment::len).sum();
        self.devices.insert(number, Device { name, segments, bytes, next });
        Ok(())
    }

    fn number_for(&mut self, name: &str) -> u64 {
        let number = self.next;
        self.next += 1;
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Devices that exist.
    pub fn each(&self, f: &mut dyn FnMut(&str, Key)) {
        self.devices.iter().for_each(|(number, device)| f(&device.name, number * SEGMENTS));
    }

    /// The key of a device; one that does not exist has one too, so that its `ctl` can be written.
    pub fn find(&self, name: &str) -> Option<Key> {
        if let Some(number) = self.numbers.get(name) {
            return Some(number * SEGMENTS);
        }
        if !is_device_name(name) {
            return None;
        }
        let mut unborn = self.unborn.borrow_mut();
        if let Some((key, _)) = unborn.iter().find(|(_, known)| known == name) {
            return Some(*key);
        }
        if unborn.len() >= UNBORN_MAX {
            unborn.pop_front();
        }
        let mut next = self.unborn_next.borrow_mut();
        let key = *next;
        *next = if key + 1 == UNBORN << 1 { UNBORN } else { key + 1 };
        unborn.push_back((key, name.to_owned()));
        Some(key)
    }

    fn device(&self, key: Key) -> Option<&Device> {
        if key >= UNBORN {
            let unborn = self.unborn.borrow();
            let (_, name) = unborn.iter().find(|(known, _)| *known == key)?;
            return self.devices.get(self.numbers.get(name)?);
        }
        self.devices.get(&(key / SEGMENTS))
    }

    /// The newest segment's name.
    pub fn latest(&self, key: Key) -> Option<String> {
        self.device(key)?.segments.keys().next_back().map(|number| segment_name(*number))
    }

    /// The segments of a device.
    pub fn each_segment(&self, key: Key, f: &mut dyn FnMut(&str, Key)) {
        let Some(device) = self.device(key) else { return };
        device.segments.iter().for_each(|(number, segment)| f(&segment_name(*number), segment.key()));
    }

    /// One of them.
    pub fn find_segment(&self, key: Key, name: &str) -> Option<Key> {
        let number: u64 = name.strip_prefix("seg-")?.parse().ok()?;
        let segment = self.device(key)?.segments.get(&number)?;
        (segment_name(number) == name).then(|| segment.key())
    }

    /// A segment, by its own key.
    pub fn segment(&mut self, key: Key) -> Result<&mut Segment, Refusal> {
        let device = self.devices.get_mut(&(key / SEGMENTS)).ok_or_else(gone)?;
        device.segments.get_mut(&(key % SEGMENTS)).ok_or_else(gone)
    }

    /// Makes a segment, and its device if it is the first; returns its name.
    pub fn new_segment(&mut self, key: Key, mime: &str) -> Result<String, Refusal> {
        if mime.len() > 128 || !mime.contains('/') || !mime.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refusal::new(Word::Invalid, format!("mime={mime:?}: TYPE/SUBTYPE is wanted")));
        }
        let number = self.born(key)?;
        let config = self.config;
        let device = self.devices.get_mut(&number).ok_or_else(gone)?;
        if device.next >= SEGMENTS {
            return Err(Refusal::new(Word::Quota, "the device has had all its segment numbers"));
        }
        while device.segments.len() >= config.max_segments {
            let most = config.max_segments;
            let evicted = evict(&config, device, u64::MAX).ok_or_else(|| {
                Refusal::new(Word::Quota, format!("{most} segments are the bound; see telemetry.eviction"))
            })?;
            self.evicted.push(evicted);
        }
        let name = segment_name(device.next);
        let path = self.dir.join(&device.name).join(&name);
        let segment = Segment::create(path, number * SEGMENTS + device.next, mime, Rc::clone(&self.handles))
            .map_err(|error| failed("no segment can be made", &error))?;
        self.dirty.push(segment.key());
        device.segments.insert(device.next, segment);
        device.next += 1;
        Ok(name)
    }

    /// The number of a device that exists from now on.
    fn born(&mut self, key: Key) -> Result<u64, Refusal> {
        if key < UNBORN {
            return Ok(key / SEGMENTS);
        }
        let unborn =
            self.unborn.borrow().iter().find(|(known, _)| *known == key).map(|(_, name)| name.clone());
        let name =
            unborn.ok_or_else(|| Refusal::new(Word::Busy, "too many new devices at once; walk again"))?;
        if let Some(number) = self.numbers.get(&name) {
            return Ok(*number);
        }
        let most = self.config.max_devices;
        if self.devices.len() >= most {
            return Err(Refusal::new(
                Word::Quota,
                format!("{most} devices are the bound; see telemetry.max_devices"),
            ));
        }
        fs::create_dir_all(self.dir.join(&name)).map_err(|error| failed("no device can be made", &error))?;
        let number = self.number_for(&name);
        self.devices.insert(number, Device { name, segments: BTreeMap::new(), bytes: 0, next: 1 });
        Ok(number)
    }

    /// Appends a record to a segment.
    pub fn append(&mut self, key: Key, record: &[u8]) -> Result<(), Refusal> {
        let config = self.config;
        if record.len() > config.record_bytes {
            let detail = format!("{} bytes; records have at most {}", record.len(), config.record_bytes);
            return Err(Refusal::new(Word::TooBig, detail));
        }
        let bytes = record.len() as u64;
        let segment = self.segment(key)?;
        if segment.len() + bytes > config.segment_bytes {
            let most = config.segment_bytes;
            return Err(Refusal::new(
                Word::Quota,
                format!("the segment has its {most} bytes; begin a new one"),
            ));
        }
        let device = self.devices.get_mut(&(key / SEGMENTS)).ok_or_else(gone)?;
        while device.bytes + bytes > config.device_bytes {
            let most = config.device_bytes;
            let evicted = evict(&config, device, key % SEGMENTS)
                .ok_or_else(|| Refusal::new(Word::Quota, format!("the device has its {most} bytes")))?;
            self.evicted.push(evicted);
        }
        let Some(segment) = device.segments.get_mut(&(key % SEGMENTS)) else { return Err(gone()) };
        let was_dirty = segment.is_dirty;
        segment.write(record).map_err(|error| failed("the record cannot be written", &error))?;
        device.bytes += bytes;
        if !was_dirty {
            self.dirty.push(key);
        }
        Ok(())
    }

    /// Checks a reference manifest; its fields for the acknowledgement.
    pub fn seal(&self, key: Key, artefact: &str) -> Result<String, Refusal> {
        let invalid = |detail: String| Refusal::new(Word::Invalid, detail);
        let device = self.device(key).ok_or(Word::NotFound)?;
        let mut all = Artefact::default();
        let mut wrong = None;
        for segment in device.segments.values() {
            let scanned = segment.each(|record| {
                if wrong.is_none() {
                    wrong = all.take(artefact, record, self.config.max_refs).err();
                }
            });
            scanned.map_err(|error| failed("a segment cannot be read", &error))?;
        }
        if let Some(wrong) = wrong {
            return Err(invalid(wrong));
        }
        let (bytes, sha256, refs) = all.seal().map_err(invalid)?;
        Ok(format!("artefact={artefact} bytes={bytes} sha256={sha256} refs={refs}"))
    }

    /// Makes durable what was written; says what could not be.
    pub fn sync(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            // One that was evicted meanwhile needs none.
            let Ok(segment) = self.segment(key) else { continue };
            if let Err(error) = segment.sync() {
                failures.push(format!("telemetry {} cannot be synced: {error}", segment.path().display()));
                self.dirty.push(key);
            }
        }
        failures
    }

    /// Makes one segment durable.
    pub fn sync_one(&mut self, key: Key) -> Result<(), Refusal> {
        self.segment(key)?.sync().map_err(|error| failed("the segment cannot be synced", &error))
    }

    /// Has anything been written since the last sync?
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }
}

/// The oldest segment goes, unless it is `keep`, or nothing may.
fn evict(config: &Config, device: &mut Device, keep: u64) -> Option<Evicted> {
    let oldest = device.segments.keys().next().copied().filter(|oldest| config.evicts && *oldest != keep)?;
    let segment = device.segments.remove(&oldest)?;
    device.bytes -= segment.len();
    let evicted =
        Evicted { device: device.name.clone(), segment: segment_name(oldest), records: segment.records() };
    segment.remove();
    Some(evicted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::Stream;

    fn config() -> Config {
        Config {
            max_devices: 2,
            max_segments: 2,
            segment_bytes: 10,
            device_bytes: 16,
            evicts: false,
            record_bytes: 8,
            max_refs: 4,
            sync_ms: 1000,
            watch_ms: 1000,
        }
    }

    fn text(devices: &mut Devices, key: Key) -> String {
        let mut out = vec![0; 64];
        let n = devices.segment(key).unwrap().read(0, &mut out).unwrap();
        String::from_utf8_lossy(&out[..n]).into_owned()
    }

    #[test]
    fn a_device_is_born_with_its_first_segment() {
        let dir = tempfile::tempdir().unwrap();
        let mut devices = Devices::open(dir.path(), config()).unwrap();
        let key = devices.find("dev-1").unwrap();
        assert_eq!(devices.latest(key), None);
        let mut seen = 0;
        devices.each(&mut |_, _| seen += 1);
        assert_eq!(seen, 0, "it is not listed before");
        assert_eq!(devices.new_segment(key, "text/plain").unwrap(), "seg-000001");
        assert_eq!(devices.latest(key).as_deref(), Some("seg-000001"), "by the old key too");
        let key = devices.find("dev-1").unwrap();
        let segment = devices.find_segment(key, "seg-000001").unwrap();
        devices.append(segment, b"one\n").unwrap();
        assert_eq!(text(&mut devices, segment), "one\n");
        for name in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(devices.find(name), None, "{name:?}");
        }
    }

    #[test]
    fn bounds_are_quota_and_cost_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut devices = Devices::open(dir.path(), config()).unwrap();
        let key = devices.find("a").unwrap();
        devices.new_segment(key, "text/plain").unwrap();
        devices.new_segment(key, "text/plain").unwrap();
        let word = |refused: Result<String, Refusal>| refused.unwrap_err().word;
        assert_eq!(word(devices.new_segment(key, "text/plain")), Word::Quota);
        assert_eq!(word(devices.new_segment(key, "text")), Word::Invalid);
        let other = devices.find("b").unwrap();
        devices.new_segment(other, "text/plain").unwrap();
        let third = devices.find("c").unwrap();
        assert_eq!(word(devices.new_segment(third, "text/plain")), Word::Quota);
        let first = devices.find_segment(devices.find("a").unwrap(), "seg-000001").unwrap();
        let second = devices.find_segment(devices.find("a").unwrap(), "seg-000002").unwrap();
        let mut append = |key, record: &[u8]| devices.append(key, record).map_err(|refusal| refusal.word);
        assert_eq!(append(first, b"123456789"), Err(Word::TooBig));
        assert_eq!(append(first, b"12345678"), Ok(()));
        assert_eq!(append(first, b"123"), Err(Word::Quota));
        assert_eq!(append(second, b"12345678"), Ok(()));
        assert_eq!(append(second, b"1"), Err(Word::Quota));
    }

    #[test]
    fn the_oldest_segment_makes_room_where_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let mut devices = Devices::open(dir.path(), Config { evicts: true, ..config() }).unwrap();
        let key = devices.find("a").unwrap();
        devices.new_segment(key, "text/plain").unwrap();
        devices.new_segment(key, "text/plain").unwrap();
        let key = devices.find("a").unwrap();
        let (first, second) = (
            devices.find_segment(key, "seg-000001").unwrap(),
            devices.find_segment(key, "seg-000002").unwrap(),
        );
        devices.append(first, b"12345678").unwrap();
        devices.append(second, b"12345678").unwrap();
        devices.append(second, b"1").unwrap();
        let evicted = Evicted { device: "a".into(), segment: "seg-000001".into(), records: 1 };
        assert_eq!(devices.evicted, [evicted]);
        assert_eq!(devices.append(first, b"1").unwrap_err().word, Word::Revoked);
    }

    #[test]
    fn the_next_life_goes_on_with_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        {
            let mut devices = Devices::open(dir.path(), config()).unwrap();
            let key = devices.find("a").unwrap();
            devices.new_segment(key, "text/plain").unwrap();
            let segment = devices.find_segment(devices.find("a").unwrap(), "seg-000001").unwrap();
            devices.append(segment, b"one\n").unwrap();
            assert!(devices.sync().is_empty() && !devices.is_dirty());
        }
        let mut devices = Devices::open(dir.path(), config()).unwrap();
        let key = devices.find("a").unwrap();
        let segment = devices.find_segment(key, "seg-000001").unwrap();
        assert_eq!(text(&mut devices, segment), "one\n");
        assert_eq!(devices.new_segment(key, "text/plain").unwrap(), "seg-000002");
    }
}
