//! One segment: a file of bytes as they were written, and beside it where each record ends. A record is
//! there when its bytes and then its index entry are written; what a crash has left half is cut off.

use crate::handles::{Handles, Name};
use ring::{Full, Lapped, Stream};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One index entry: length and check sum of a record, two bytes each, little-endian.
const ENTRY: usize = 4;
/// Bytes at the end of a segment that are compared with their check sums when it is opened.
const CHECKED: u64 = 1 << 20;

/// A segment, open or not.
#[derive(Debug)]
pub struct Segment {
    name: Name,
    path: PathBuf,
    /// Its media type, as it was said when it was made.
    pub mime: String,
    end: u64,
    records: u64,
    pub(crate) is_dirty: bool,
    handles: Rc<RefCell<Handles>>,
}

fn check(record: &[u8]) -> u16 {
    let hash = record.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    (hash >> 16) as u16 ^ hash as u16
}

impl Segment {
    /// A new one; its files are made.
    pub(crate) fn create(
        path: PathBuf,
        name: Name,
        mime: &str,
        handles: Rc<RefCell<Handles>>,
    ) -> io::Result<Segment> {
        std::fs::write(path.with_extension("mime"), mime)?;
        let mime = mime.to_owned();
        let segment = Segment { name, path, mime, end: 0, records: 0, is_dirty: true, handles };
        segment.data()?;
        segment.index()?;
        Ok(segment)
    }

    /// One that an earlier life has left; says how many bytes were cut off.
    pub(crate) fn open(
        path: PathBuf,
        name: Name,
        handles: Rc<RefCell<Handles>>,
    ) -> io::Result<(Segment, u64)> {
        let mime =
            std::fs::read_to_string(path.with_extension("mime")).unwrap_or_else(|_| "text/plain".into());
        let mut segment = Segment { name, path, mime, end: 0, records: 0, is_dirty: false, handles };
        let data = segment.data()?;
        let len = data.metadata()?.len();
        let index = std::fs::read(segment.path.with_extension("idx"))?;
        let mut ends = Vec::new();
        let mut end = 0;
        for entry in index.chunks_exact(ENTRY) {
            let next = end + u64::from(u16::from_le_bytes([entry[0], entry[1]]));
            if next > len {
                break;
            }
            ends.push((end, next, u16::from_le_bytes([entry[2], entry[3]])));
            end = next;
        }
        // What was never synced may be there in part, or be zeros.
        let from = ends.partition_point(|(_, next, _)| *next + CHECKED < end);
        let whole = ends[from..].iter().take_while(|(at, next, sum)| {
            let mut record = vec![0; (next - at) as usize];
            data.read_exact_at(&mut record, *at).is_ok() && check(&record) == *sum
        });
        segment.records = (from + whole.count()) as u64;
        segment.end =
            segment.records.checked_sub(1).and_then(|i| ends.get(i as usize)).map_or(0, |last| last.1);
        data.set_len(segment.end)?;
        segment.index()?.set_len(segment.records * ENTRY as u64)?;
        let cut = len - segment.end;
        Ok((segment, cut))
    }

    fn data(&self) -> io::Result<Rc<File>> {
        self.handles.borrow_mut().get(self.name * 2, || self.path.with_extension("data"))
    }

    fn index(&self) -> io::Result<Rc<File>> {
        self.handles.borrow_mut().get(self.name * 2 + 1, || self.path.with_extension("idx"))
    }

    /// Bytes in it.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Names it among all segments.
    pub(crate) fn key(&self) -> Name {
        self.name
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
    pub(crate) fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let length = u16::try_from(record.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (data, index) = (self.data()?, self.index()?);
        let mut entry = [0; ENTRY];
        entry[..2].copy_from_slice(&length.to_le_bytes());
        entry[2..].copy_from_slice(&check(record).to_le_bytes());
        let written = (&*data).write_all(record).and_then(|()| (&*index).write_all(&entry));
        if let Err(error) = written {
            data.set_len(self.end)?;
            index.set_len(self.records * ENTRY as u64)?;
            return Err(error);
        }
        self.end += u64::from(length);
        self.records += 1;
        self.is_dirty = true;
        Ok(())
    }

    /// Makes what is written durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.data()?.sync_data()?;
            self.index()?.sync_data()?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// Calls `f` with every record, oldest first.
    pub(crate) fn each(&self, mut f: impl FnMut(&[u8])) -> io::Result<()> {
        let data = self.data()?;
        let index = std::fs::read(self.path.with_extension("idx"))?;
        let mut at = 0;
        let mut record = Vec::new();
        for entry in index.chunks_exact(ENTRY).take(self.records as usize) {
            let length = u16::from_le_bytes([entry[0], entry[1]]);
            record.resize(usize::from(length), 0);
            data.read_exact_at(&mut record, at)?;
            at += u64::from(length);
            f(&record);
        }
        Ok(())
    }

    /// Takes its files away.
    pub(crate) fn remove(self) {
        let mut handles = self.handles.borrow_mut();
        handles.forget(self.name * 2);
        handles.forget(self.name * 2 + 1);
        for kind in ["data", "idx", "mime"] {
            // One that is not there is gone.
            let _ = std::fs::remove_file(self.path.with_extension(kind));
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
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
        Ok(self.data().and_then(|data| data.read_at(&mut out[..most], at)).unwrap_or(0))
    }

    fn append(&mut self, record: &[u8]) -> Result<(), Full> {
        self.write(record).map_err(|_| Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn handles() -> Rc<RefCell<Handles>> {
        Rc::new(RefCell::new(Handles::new(4)))
    }

    fn all(segment: &Segment) -> Vec<u8> {
        let mut out = vec![0; 100];
        let n = segment.read(0, &mut out).unwrap();
        out.truncate(n);
        out
    }

    fn filled(path: &Path) -> Segment {
        let mut segment = Segment::create(path.into(), 1, "text/plain", handles()).unwrap();
        for record in ["one\n", "two two\n", "three"] {
            segment.write(record.as_bytes()).unwrap();
        }
        segment
    }

    #[test]
    fn what_was_written_is_there_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seg-000001");
        assert_eq!(all(&filled(&path)), b"one\ntwo two\nthree");
        let (segment, cut) = Segment::open(path, 1, handles()).unwrap();
        assert_eq!((all(&segment), segment.records(), cut), (b"one\ntwo two\nthree".to_vec(), 3, 0));
        let mut records = Vec::new();
        segment.each(|record| records.push(record.to_vec())).unwrap();
        assert_eq!(records[1], b"two two\n");
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_any_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seg-000001");
        for cut in 1..=17u64 {
            drop(filled(&path));
            let data = path.with_extension("data");
            let len = fs::metadata(&data).unwrap().len();
            File::options().write(true).open(&data).unwrap().set_len(len - cut).unwrap();
            let (segment, _) = Segment::open(path.clone(), 1, handles()).unwrap();
            let want: &[u8] = match cut {
                1..=5 => b"one\ntwo two\n",
                6..=13 => b"one\n",
                _ => b"",
            };
            assert_eq!(all(&segment), want, "{cut} bytes short");
            for kind in ["data", "idx"] {
                fs::remove_file(path.with_extension(kind)).unwrap();
            }
        }
    }

    #[test]
    fn zeros_in_place_of_a_record_are_not_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seg-000001");
        drop(filled(&path));
        let file = File::options().write(true).open(path.with_extension("data")).unwrap();
        file.write_all_at(&[0; 5], 12).unwrap();
        let (segment, cut) = Segment::open(path, 1, handles()).unwrap();
        assert_eq!((all(&segment), cut), (b"one\ntwo two\n".to_vec(), 5));
    }

    #[test]
    fn bytes_without_an_index_entry_are_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seg-000001");
        drop(filled(&path));
        let index = File::options().write(true).open(path.with_extension("idx")).unwrap();
        index.set_len(2 * ENTRY as u64 + 1).unwrap();
        let (mut segment, cut) = Segment::open(path.clone(), 1, handles()).unwrap();
        assert_eq!(cut, 5);
        segment.write(b"four").unwrap();
        drop(segment);
        assert_eq!(all(&Segment::open(path, 1, handles()).unwrap().0), b"one\ntwo two\nfour");
    }
}
