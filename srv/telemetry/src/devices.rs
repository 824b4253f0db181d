//! Devices and their segments: names, bounds, eviction. Has never heard of 9P, but for the words of its
//! refusals and the keys of its tables.

use crate::segment::Segment;
use crate::store::{Fault, Place, Store, segment_name, segment_number};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use artefact::refs::{self, Whole};
use core::cell::{Cell, RefCell};
use ninep::refusal::{Refusal, Word};
use ninep::srv::Key;
use rt::prelude::*;

/// Bounds, from the manifest's `[telemetry]`.
#[derive(Debug, Clone)]
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
    /// Bytes of one artefact.
    pub artefact_bytes: u64,
    /// Bytes of a file that goes in envelopes.
    pub inline_bytes: u64,
    /// Media types of segments; `text/*` is all of them.
    pub mimes: Vec<String>,
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
            artefact_bytes: telemetry.artefact_bytes,
            inline_bytes: telemetry.inline_bytes,
            mimes: telemetry.mimes.clone(),
            sync_ms: telemetry.sync_ms,
            watch_ms: telemetry.watch_interval_ms,
        }
    }

    fn allows(&self, mime: &str) -> bool {
        self.mimes.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(kind) => mime.starts_with(kind),
            None => mime == allowed,
        })
    }
}

/// Keys of segments begin here, below are those of devices.
const SEGMENTS: Key = 1 << 39;
/// Names that were walked to and are no device that are remembered.
const UNBORN_MAX: usize = 1024;
/// Bytes of a media type.
const MIME_MAX: usize = 128;

/// One device.
#[derive(Debug)]
struct Device {
    name: Rc<str>,
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
    store: Rc<Store>,
    devices: BTreeMap<Key, Device>,
    keys: BTreeMap<Rc<str>, Key>,
    /// Whose segment a key is, and which.
    places: BTreeMap<Key, (Key, u64)>,
    /// A name that was walked to has its key before it is a device: so that its `ctl` can be written.
    unborn: RefCell<VecDeque<(Key, Rc<str>)>>,
    next_device: Cell<Key>,
    next_segment: Key,
    /// New segments that are on their way to the journal, by device.
    ahead: BTreeMap<String, u64>,
    /// Segments that were written since the last sync.
    dirty: Vec<Key>,
    /// Tails that were cut off when segments were opened, to be logged.
    pub(crate) cuts: Vec<String>,
    pub(crate) evicted: Vec<Evicted>,
}

pub(crate) fn is_device_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn gone() -> Refusal {
    Refusal::new(Word::Revoked, "the segment has made room for newer ones")
}

fn failed(what: &str, fault: &Fault) -> Refusal {
    Refusal::new(Word::Busy, format!("{what}: {fault}"))
}

fn quota(detail: String) -> Refusal {
    Refusal::new(Word::Quota, detail)
}

impl Devices {
    /// Those of `files`.
    pub fn open(files: rt::Files, config: Config) -> Result<Devices, Fault> {
        let store = Store::open(files)?;
        let mut names = store.devices()?;
        names.retain(|name| is_device_name(name));
        names.sort();
        let mut devices = Devices {
            config,
            store: Rc::new(store),
            devices: BTreeMap::new(),
            keys: BTreeMap::new(),
            places: BTreeMap::new(),
            unborn: RefCell::default(),
            next_device: Cell::new(1),
            next_segment: SEGMENTS,
            ahead: BTreeMap::new(),
            dirty: Vec::new(),
            cuts: Vec::new(),
            evicted: Vec::new(),
        };
        for name in names {
            devices.adopt(&name)?;
        }
        Ok(devices)
    }

    /// A device of an earlier life.
    fn adopt(&mut self, name: &str) -> Result<(), Fault> {
        let numbers = self.store.segments(name)?;
        let key = self.new_key();
        self.born(key, name.into());
        for number in numbers {
            let place = Place { device: name.into(), number };
            let segment_key = self.new_segment_key(key, number);
            let (segment, cut) = Segment::open(place, segment_key, Rc::clone(&self.store))?;
            if cut > 0 {
                let seg = segment_name(number);
                self.cuts.push(format!("telemetry device={name} seg={seg} cut={cut} reason=torn-tail"));
            }
            if let Some(device) = self.devices.get_mut(&key) {
                device.bytes += segment.len();
                device.next = number + 1;
                device.segments.insert(number, segment);
            }
        }
        Ok(())
    }

    fn new_key(&self) -> Key {
        let key = self.next_device.get();
        assert!(key < SEGMENTS, "2^39 names are walked to in no process's life");
        self.next_device.set(key + 1);
        key
    }

    fn new_segment_key(&mut self, device: Key, number: u64) -> Key {
        let key = self.next_segment;
        self.next_segment += 1;
        self.places.insert(key, (device, number));
        key
    }

    fn born(&mut self, key: Key, name: Rc<str>) {
        self.keys.insert(Rc::clone(&name), key);
        self.devices.insert(key, Device { name, segments: BTreeMap::new(), bytes: 0, next: 1 });
    }

    /// Devices that exist.
    pub fn each(&self, f: &mut dyn FnMut(&str, Key)) {
        self.devices.iter().for_each(|(key, device)| f(&device.name, *key));
    }

    /// The key of a device; one that does not exist has one too, so that its `ctl` can be written.
    pub fn find(&self, name: &str) -> Option<Key> {
        if let Some(key) = self.keys.get(name) {
            return Some(*key);
        }
        if !is_device_name(name) {
            return None;
        }
        let mut unborn = self.unborn.borrow_mut();
        if let Some((key, _)) = unborn.iter().find(|(_, known)| **known == *name) {
            return Some(*key);
        }
        if unborn.len() >= UNBORN_MAX {
            unborn.pop_front();
        }
        let key = self.new_key();
        unborn.push_back((key, name.into()));
        Some(key)
    }

    /// The name of a key, born or not.
    pub fn name(&self, key: Key) -> Option<Rc<str>> {
        if let Some(device) = self.devices.get(&key) {
            return Some(Rc::clone(&device.name));
        }
        self.unborn.borrow().iter().find(|(known, _)| *known == key).map(|(_, name)| Rc::clone(name))
    }

    fn device(&self, key: Key) -> Option<&Device> {
        self.devices.get(&key)
    }

    fn by_name(&self, name: &str) -> Option<&Device> {
        self.devices.get(self.keys.get(name)?)
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
        self.device(key)?.segments.get(&segment_number(name)?).map(Segment::key)
    }

    /// A segment, by its own key.
    pub fn segment(&mut self, key: Key) -> Result<&mut Segment, Refusal> {
        let (device, number) = self.places.get(&key).copied().ok_or_else(gone)?;
        let device = self.devices.get_mut(&device).ok_or_else(gone)?;
        device.segments.get_mut(&number).ok_or_else(gone)
    }

    /// A segment's media type and the records in it.
    pub(crate) fn about(&self, key: Key) -> Option<(String, u64)> {
        let (device, number) = self.places.get(&key)?;
        let segment = self.devices.get(device)?.segments.get(number)?;
        Some((segment.mime.clone(), segment.records()))
    }

    /// The number that a new segment of a device would have, behind those that are on their way.
    pub fn may_have_new(&self, name: &str, mime: &str) -> Result<u64, Refusal> {
        let is_mime = mime.len() <= MIME_MAX
            && mime.split_once('/').is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty())
            && mime.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        if !is_mime {
            let detail = "mime: type/subtype in lower case is wanted";
            return Err(Refusal::new(Word::Invalid, detail));
        }
        if !self.config.allows(mime) {
            let detail = format!("mime={mime} is none of telemetry.mimes");
            return Err(Refusal::new(Word::Invalid, detail));
        }
        let ahead = self.ahead.get(name).copied().unwrap_or(0);
        let Some(device) = self.by_name(name) else {
            let unborn = self.ahead.keys().filter(|known| self.by_name(known).is_none()).count();
            let is_new = usize::from(ahead == 0);
            if self.devices.len() + unborn + is_new > self.config.max_devices {
                let most = self.config.max_devices;
                return Err(quota(format!("{most} devices are the bound; see telemetry.max_devices")));
            }
            return Ok(1 + ahead);
        };
        let most = self.config.max_segments;
        if !self.config.evicts && device.segments.len() + ahead as usize >= most {
            return Err(quota(format!("{most} segments are the bound; see telemetry.eviction")));
        }
        Ok(device.next + ahead)
    }

    /// A new segment is on its way to the journal.
    pub(crate) fn expect_new(&mut self, name: &str) {
        *self.ahead.entry(name.into()).or_default() += 1;
    }

    /// It has come there, or what was on its way will not.
    pub(crate) fn forget_new(&mut self, name: Option<&str>) {
        let Some(name) = name else { return self.ahead.clear() };
        if let Some(ahead) = self.ahead.get_mut(name) {
            *ahead -= 1;
            if *ahead == 0 {
                self.ahead.remove(name);
            }
        }
    }

    /// Makes segment `number` of a device, and the device if it is the first; nothing where an earlier
    /// life has made it.
    pub fn new_segment(&mut self, name: &str, number: u64, mime: &str) -> Result<(), Refusal> {
        let key = match self.keys.get(name) {
            Some(key) => *key,
            None => {
                let key = self.find(name).ok_or(Word::Invalid)?;
                self.unborn.borrow_mut().retain(|(known, _)| *known != key);
                self.born(key, name.into());
                key
            }
        };
        let Some(device) = self.devices.get_mut(&key).filter(|device| device.next <= number) else {
            return Ok(());
        };
        device.next = number + 1;
        while device.segments.len() >= self.config.max_segments {
            let Some(evicted) = evict(&self.config, device, &mut self.places, u64::MAX) else { break };
            self.evicted.push(evicted);
        }
        let place = Place { device: Rc::clone(&device.name), number };
        let segment_key = self.new_segment_key(key, number);
        let segment = Segment::create(place, segment_key, mime, Rc::clone(&self.store));
        let segment = segment.map_err(|fault| failed("no segment can be made", &fault))?;
        self.dirty.push(segment_key);
        if let Some(device) = self.devices.get_mut(&key) {
            device.segments.insert(number, segment);
        }
        Ok(())
    }

    /// Appends a record to a segment.
    pub fn append(&mut self, key: Key, record: &[u8]) -> Result<(), Refusal> {
        let Config { record_bytes, segment_bytes, device_bytes, .. } = self.config;
        if record.len() > record_bytes {
            let detail = format!("{} bytes; records have at most {record_bytes}", record.len());
            return Err(Refusal::new(Word::TooBig, detail));
        }
        let bytes = record.len() as u64;
        let (device, number) = self.places.get(&key).copied().ok_or_else(gone)?;
        let device = self.devices.get_mut(&device).ok_or_else(gone)?;
        let len = device.segments.get(&number).ok_or_else(gone)?.len();
        if len + bytes > segment_bytes {
            return Err(quota(format!("the segment has its {segment_bytes} bytes; begin a new one")));
        }
        while device.bytes + bytes > device_bytes {
            let evicted = evict(&self.config, device, &mut self.places, number)
                .ok_or_else(|| quota(format!("the device has its {device_bytes} bytes")))?;
            self.evicted.push(evicted);
        }
        let Some(segment) = device.segments.get_mut(&number) else { return Err(gone()) };
        let was_dirty = segment.is_dirty;
        segment.write(record).map_err(|fault| failed("the record cannot be written", &fault))?;
        device.bytes += bytes;
        if !was_dirty {
            self.dirty.push(key);
        }
        Ok(())
    }

    /// Checks a reference manifest; its fields for the acknowledgement.
    pub fn seal(&self, name: &str, artefact: &str) -> Result<String, Refusal> {
        let invalid = |detail: String| Refusal::new(Word::Invalid, detail);
        let none = || Refusal::new(Word::NotFound, format!("artefact={artefact}"));
        let device = self.by_name(name).ok_or_else(none)?;
        let mut whole = Whole::new(self.config.max_refs);
        let mut wrong = None;
        for segment in device.segments.values() {
            let scanned = segment.each_refs(|record| {
                if wrong.is_none() {
                    let read = refs::read(record, Some(artefact));
                    wrong = read.and_then(|record| record.map_or(Ok(()), |r| whole.take(&r))).err();
                }
            });
            scanned.map_err(|fault| failed("a segment cannot be read", &fault))?;
        }
        if let Some(wrong) = wrong {
            return Err(invalid(wrong));
        }
        let (bytes, sha256, refs) = whole.seal().map_err(invalid)?.ok_or_else(none)?;
        if bytes > self.config.artefact_bytes {
            let most = self.config.artefact_bytes;
            let detail = format!("{bytes} bytes; telemetry.artefact_bytes is {most}");
            return Err(Refusal::new(Word::TooBig, detail));
        }
        Ok(format!("artefact={artefact} bytes={bytes} sha256={sha256} refs={refs}"))
    }

    /// Makes durable what was written; says what could not be.
    pub fn sync(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        for key in core::mem::take(&mut self.dirty) {
            // One that was evicted meanwhile needs none.
            let Ok(segment) = self.segment(key) else { continue };
            if let Err(fault) = segment.sync() {
                failures.push(format!("telemetry {} cannot be synced: {fault}", segment.name()));
                self.dirty.push(key);
            }
        }
        failures
    }

    /// Makes one segment durable; other files have nothing to lose.
    pub fn sync_one(&mut self, key: Key) -> Result<(), Refusal> {
        if key < SEGMENTS {
            return Ok(());
        }
        self.segment(key)?.sync().map_err(|fault| failed("the segment cannot be synced", &fault))
    }

    /// Has anything been written since the last sync?
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }
}

/// The oldest segment goes, unless it is `keep`, or nothing may.
fn evict(
    config: &Config,
    device: &mut Device,
    places: &mut BTreeMap<Key, (Key, u64)>,
    keep: u64,
) -> Option<Evicted> {
    let oldest = device.segments.keys().next().copied().filter(|oldest| config.evicts && *oldest != keep)?;
    let segment = device.segments.remove(&oldest)?;
    places.remove(&segment.key());
    device.bytes -= segment.len();
    let (device, records) = (device.name.to_string(), segment.records());
    segment.remove();
    Some(Evicted { device, segment: segment_name(oldest), records })
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
            artefact_bytes: 100,
            inline_bytes: 100,
            mimes: vec!["text/*".into()],
            sync_ms: 1000,
            watch_ms: 1000,
        }
    }

    /// A segment, as the journal would have it made.
    fn new(devices: &mut Devices, name: &str, mime: &str) -> Result<String, Refusal> {
        let number = devices.may_have_new(name, mime)?;
        devices.new_segment(name, number, mime).map(|()| segment_name(number))
    }

    fn text(devices: &mut Devices, key: Key) -> String {
        let mut out = vec![0; 64];
        let n = devices.segment(key).unwrap().read(0, &mut out).unwrap();
        String::from_utf8_lossy(&out[..n]).into_owned()
    }

    #[test]
    fn a_device_is_born_with_its_first_segment() {
        let dir = tempfile::tempdir().unwrap();
        let mut devices = Devices::open(rt::Files::new(dir.path()), config()).unwrap();
        let key = devices.find("dev-1").unwrap();
        assert_eq!(devices.latest(key), None);
        let mut seen = 0;
        devices.each(&mut |_, _| seen += 1);
        assert_eq!(seen, 0, "it is not listed before");
        assert_eq!(new(&mut devices, "dev-1", "text/plain").unwrap(), "seg-000001");
        assert_eq!(devices.find("dev-1"), Some(key), "it keeps its key");
        assert_eq!(devices.latest(key).as_deref(), Some("seg-000001"));
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
        let mut devices = Devices::open(rt::Files::new(dir.path()), config()).unwrap();
        new(&mut devices, "a", "text/plain").unwrap();
        new(&mut devices, "a", "text/plain").unwrap();
        let word = |refused: Result<String, Refusal>| refused.unwrap_err().word;
        assert_eq!(word(new(&mut devices, "a", "text/plain")), Word::Quota);
        for mime in ["text", "text/", "/plain", "Text/plain", "text/a b", "video/mp4"] {
            assert_eq!(word(new(&mut devices, "a", mime)), Word::Invalid, "{mime}");
        }
        new(&mut devices, "b", "text/plain").unwrap();
        assert_eq!(word(new(&mut devices, "c", "text/plain")), Word::Quota);
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
        let mut devices =
            Devices::open(rt::Files::new(dir.path()), Config { evicts: true, ..config() }).unwrap();
        new(&mut devices, "a", "text/plain").unwrap();
        new(&mut devices, "a", "text/plain").unwrap();
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
            let mut devices = Devices::open(rt::Files::new(dir.path()), config()).unwrap();
            new(&mut devices, "a", "text/plain").unwrap();
            let segment = devices.find_segment(devices.find("a").unwrap(), "seg-000001").unwrap();
            devices.append(segment, b"one\n").unwrap();
            assert!(devices.sync().is_empty() && !devices.is_dirty());
        }
        let mut devices = Devices::open(rt::Files::new(dir.path()), config()).unwrap();
        let key = devices.find("a").unwrap();
        let segment = devices.find_segment(key, "seg-000001").unwrap();
        assert_eq!(text(&mut devices, segment), "one\n");
        assert_eq!(new(&mut devices, "a", "text/plain").unwrap(), "seg-000002");
    }

    #[test]
    fn what_is_on_its_way_counts_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut devices = Devices::open(rt::Files::new(dir.path()), config()).unwrap();
        assert_eq!(devices.may_have_new("a", "text/plain").unwrap(), 1);
        devices.expect_new("a");
        assert_eq!(devices.may_have_new("a", "text/plain").unwrap(), 2);
        devices.expect_new("b");
        assert_eq!(devices.may_have_new("c", "text/plain").unwrap_err().word, Word::Quota);
        devices.forget_new(Some("a"));
        devices.forget_new(None);
        assert_eq!(devices.may_have_new("c", "text/plain").unwrap(), 1);
        // A journal that is read again tells of what is there.
        for _ in 0..2 {
            devices.new_segment("a", 1, "text/plain").unwrap();
            devices.new_segment("a", 3, "text/plain").unwrap();
        }
        let (key, mut seen) = (devices.find("a").unwrap(), Vec::new());
        devices.each_segment(key, &mut |name, _| seen.push(name.to_owned()));
        assert_eq!(seen, ["seg-000001", "seg-000003"]);
    }

    #[test]
    fn names_that_are_walked_to_cost_a_bounded_table() {
        let dir = tempfile::tempdir().unwrap();
        let devices = Devices::open(rt::Files::new(dir.path()), config()).unwrap();
        let first = devices.find("d-0").unwrap();
        for i in 1..=100_000 {
            devices.find(&format!("d-{i}")).unwrap();
        }
        assert_eq!(devices.unborn.borrow().len(), UNBORN_MAX);
        assert_eq!(devices.name(first), None);
        assert_eq!(devices.name(devices.find("d-100000").unwrap()).as_deref(), Some("d-100000"));
    }
}
