//! One segment: bytes as they were written, and beside them where each record ends. A record is there
//! when its bytes and then its index entry are written; what a crash has left half is cut off.

use crate::store::{Fault, Part, Place, Store, segment_name};
use alloc::rc::Rc;
use ninep::srv::Key;
use ring::{Full, Lapped, Stream};
use rt::prelude::*;

/// One index entry: length and check sum of a record, two bytes each, little-endian. The length's upper
/// bit says that the record is of a reference manifest.
const ENTRY: usize = 4;
const REFS: u16 = 1 << 15;
/// Bytes at the end of a segment that are compared with their check sums when it is opened.
const CHECKED: u64 = 1 << 20;
/// Bytes of the index that are read at once.
const INDEX_READ: usize = 1 << 14;

/// A segment.
#[derive(Debug)]
pub struct Segment {
    key: Key,
    place: Place,
    /// Its media type, as it was said when it was made.
    pub mime: String,
    end: u64,
    records: u64,
    pub(crate) is_dirty: bool,
    is_new: bool,
    store: Rc<Store>,
}

/// FNV-1a's step, on eight bytes at once: it tells what a crash has left in part from what is whole.
fn check(record: &[u8]) -> u16 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(PRIME);
        hash ^ hash >> 32
    };
    let words = record.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let hash = words.fold(0xcbf2_9ce4_8422_2325 ^ record.len() as u64, step);
    (hash >> 48) as u16 ^ (hash >> 16) as u16 ^ hash as u16
}

/// Where one record lies.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    len: u16,
    sum: u16,
    is_refs: bool,
}

/// A place between two records of a segment, from which they are read in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// Records before it, and their bytes.
    pub(crate) record: u64,
    at: u64,
    /// Entries that were read ahead.
    index: Vec<u8>,
    used: usize,
}

impl Segment {
    /// A new one; its files are made.
    pub(crate) fn create(place: Place, key: Key, mime: &str, store: Rc<Store>) -> Result<Segment, Fault> {
        store.make(&place, mime)?;
        let mime = mime.to_owned();
        Ok(Segment { key, place, mime, end: 0, records: 0, is_dirty: true, is_new: true, store })
    }

    /// One that an earlier life has left; says how many bytes were cut off.
    pub(crate) fn open(place: Place, key: Key, store: Rc<Store>) -> Result<(Segment, u64), Fault> {
        let mime = store.mime(&place).unwrap_or_else(|| "text/plain".into());
        let len = store.len(&place, Part::Data)?;
        let mut segment =
            Segment { key, place, mime, end: len, records: u64::MAX, is_dirty: false, is_new: false, store };
        // As far as the index goes, and then as far as the records are what it says: what was never
        // synced may be there in part, or be zeros.
        let mut cursor = Cursor::default();
        while segment.entry(&mut cursor)?.is_some() {}
        (segment.records, segment.end) = (cursor.record, cursor.at);
        let (mut cursor, mut record) = (Cursor::default(), Vec::new());
        while let Some(entry) = segment.entry(&mut cursor)? {
            let is_checked = cursor.at + CHECKED >= segment.end;
            if is_checked && (segment.record(entry, &mut record).is_err() || check(&record) != entry.sum) {
                (segment.records, segment.end) = (cursor.record - 1, entry.at);
            }
        }
        segment.store.cut(&segment.place, Part::Data, segment.end)?;
        segment.store.cut(&segment.place, Part::Index, segment.records * ENTRY as u64)?;
        let cut = len - segment.end;
        Ok((segment, cut))
    }

    /// The next entry, while it lies within the segment.
    fn entry(&self, cursor: &mut Cursor) -> Result<Option<Entry>, Fault> {
        if cursor.record >= self.records {
            return Ok(None);
        }
        if cursor.index.len() < cursor.used + ENTRY {
            cursor.index.resize(INDEX_READ, 0);
            let from = cursor.record * ENTRY as u64;
            let n = self.store.read(&self.place, Part::Index, from, &mut cursor.index)?;
            cursor.index.truncate(n);
            cursor.used = 0;
        }
        let Some(&[a, b, c, d]) = cursor.index.get(cursor.used..cursor.used + ENTRY) else { return Ok(None) };
        let (len, sum) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let entry = Entry { at: cursor.at, len: len & !REFS, sum, is_refs: len & REFS != 0 };
        let next = entry.at + u64::from(entry.len);
        if next > self.end {
            return Ok(None);
        }
        cursor.used += ENTRY;
        cursor.record += 1;
        cursor.at = next;
        Ok(Some(entry))
    }

    fn record(&self, entry: Entry, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.resize(usize::from(entry.len), 0);
        match self.store.read(&self.place, Part::Data, entry.at, out)? {
            n if n == out.len() => Ok(()),
            n => Err(format!("{n} of {} bytes of a record are there", out.len())),
        }
    }

    /// The record at the cursor, which moves on; false at the end.
    pub(crate) fn next(&self, cursor: &mut Cursor, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let Some(entry) = self.entry(cursor)? else { return Ok(false) };
        self.record(entry, out).map(|()| true)
    }

    /// Calls `f` with every record of a reference manifest, oldest first.
    pub(crate) fn each_refs(&self, mut f: impl FnMut(&[u8])) -> Result<(), Fault> {
        let (mut cursor, mut record) = (Cursor::default(), Vec::new());
        while let Some(entry) = self.entry(&mut cursor)? {
            if entry.is_refs {
                self.record(entry, &mut record)?;
                f(&record);
            }
        }
        Ok(())
    }

    /// Bytes in it.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Names it among all segments.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Nothing has been written to it.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Records in it.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes a record to the page cache; on an error nothing is left of it.
    pub(crate) fn write(&mut self, record: &[u8]) -> Result<(), Fault> {
        let len = u16::try_from(record.len()).ok().filter(|len| *len < REFS);
        let len = len.ok_or_else(|| format!("{} bytes in one record", record.len()))?;
        let kind = if artefact::refs::is_refs(record) { REFS } else { 0 };
        let mut entry = [0; ENTRY];
        entry[..2].copy_from_slice(&(len | kind).to_le_bytes());
        entry[2..].copy_from_slice(&check(record).to_le_bytes());
        let (store, place) = (&self.store, &self.place);
        let written = store
            .write(place, Part::Data, self.end, record)
            .and_then(|()| store.write(place, Part::Index, self.records * ENTRY as u64, &entry));
        if let Err(fault) = written {
            // Where even that fails, the next record takes the same place.
            let _ = store.cut(place, Part::Data, self.end);
            let _ = store.cut(place, Part::Index, self.records * ENTRY as u64);
            return Err(fault);
        }
        self.end += u64::from(len);
        self.records += 1;
        self.is_dirty = true;
        Ok(())
    }

    /// Makes what is written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Fault> {
        if self.is_dirty {
            self.store.sync(&self.place, self.is_new)?;
            (self.is_dirty, self.is_new) = (false, false);
        }
        Ok(())
    }

    /// Takes its files away.
    pub(crate) fn remove(self) {
        self.store.remove(&self.place);
    }

    /// `dev-1/seg-000001`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.place.device, segment_name(self.place.number))
    }
}

impl Stream for Segment {
    fn base(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        self.end
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<usize, Lapped> {
        let most = out.len().min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        Ok(self.store.read(&self.place, Part::Data, at, &mut out[..most]).unwrap_or(0))
    }

    fn append(&mut self, record: &[u8]) -> Result<(), Full> {
        self.write(record).map_err(|_| Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};

    fn place() -> Place {
        Place { device: "d".into(), number: 1 }
    }

    fn opened(dir: &Path) -> (Segment, u64) {
        Segment::open(place(), 1, Rc::new(Store::open(rt::Files::new(dir)).unwrap())).unwrap()
    }

    fn part(dir: &Path, kind: &str) -> PathBuf {
        dir.join("d/seg-000001").with_extension(kind)
    }

    fn all(segment: &Segment) -> Vec<u8> {
        let mut out = vec![0; 100];
        let n = segment.read(0, &mut out).unwrap();
        out.truncate(n);
        out
    }

    fn filled(dir: &Path) -> Segment {
        let store = Rc::new(Store::open(rt::Files::new(dir)).unwrap());
        let mut segment = Segment::create(place(), 1, "text/plain", store).unwrap();
        for record in ["one\n", "two two\n", "three"] {
            segment.write(record.as_bytes()).unwrap();
        }
        segment
    }

    #[test]
    fn what_was_written_is_there_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(all(&filled(dir.path())), b"one\ntwo two\nthree");
        let (segment, cut) = opened(dir.path());
        assert_eq!((all(&segment), segment.records(), cut), (b"one\ntwo two\nthree".to_vec(), 3, 0));
        let (mut cursor, mut record) = (Cursor::default(), Vec::new());
        assert!(segment.next(&mut cursor, &mut record).unwrap());
        assert!(segment.next(&mut cursor, &mut record).unwrap());
        assert_eq!((cursor.record, &record[..]), (2, &b"two two\n"[..]));
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_any_byte() {
        let dir = tempfile::tempdir().unwrap();
        for cut in 1..=17u64 {
            drop(filled(dir.path()));
            let data = part(dir.path(), "data");
            let len = fs::metadata(&data).unwrap().len();
            File::options().write(true).open(&data).unwrap().set_len(len - cut).unwrap();
            let (segment, _) = opened(dir.path());
            let want: &[u8] = match cut {
                1..=5 => b"one\ntwo two\n",
                6..=13 => b"one\n",
                _ => b"",
            };
            assert_eq!(all(&segment), want, "{cut} bytes short");
            for kind in ["data", "idx"] {
                fs::remove_file(part(dir.path(), kind)).unwrap();
            }
        }
    }

    #[test]
    fn zeros_in_place_of_a_record_are_not_a_record() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path()));
        let file = File::options().write(true).open(part(dir.path(), "data")).unwrap();
        file.write_all_at(&[0; 5], 12).unwrap();
        let (segment, cut) = opened(dir.path());
        assert_eq!((all(&segment), cut), (b"one\ntwo two\n".to_vec(), 5));
    }

    #[test]
    fn bytes_without_an_index_entry_are_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path()));
        let index = File::options().write(true).open(part(dir.path(), "idx")).unwrap();
        index.set_len(2 * ENTRY as u64 + 1).unwrap();
        let (mut segment, cut) = opened(dir.path());
        assert_eq!(cut, 5);
        segment.write(b"four").unwrap();
        drop(segment);
        assert_eq!(all(&opened(dir.path()).0), b"one\ntwo two\nfour");
    }

    #[test]
    fn a_record_that_differs_in_a_bit_has_another_sum() {
        let record: Vec<u8> = (0..100).collect();
        let sums = (0..800).map(|bit| {
            let mut other = record.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            check(&other)
        });
        let same = sums.filter(|sum| *sum == check(&record)).count();
        assert!(same <= 1, "{same} of 800");
        assert_ne!(check(&[0; 8]), check(&[0; 16]));
    }

    #[test]
    fn a_long_index_is_read_piece_by_piece() {
        let dir = tempfile::tempdir().unwrap();
        let mut segment = filled(dir.path());
        for _ in 0..2 * INDEX_READ / ENTRY {
            segment.write(b"x").unwrap();
        }
        segment.write(br#"{"schema":"cohesix-refs/v1"}"#).unwrap();
        let (records, end) = (segment.records(), segment.len());
        drop(segment);
        let (segment, cut) = opened(dir.path());
        assert_eq!((segment.records(), segment.len(), cut), (records, end, 0));
        let mut found = 0;
        segment.each_refs(|_| found += 1).unwrap();
        assert_eq!(found, 1);
    }
}
