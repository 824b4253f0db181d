//! Where segments lie: files below the data directory, or in memory that outlives the process. An error is a
//! phrase for people.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::RefCell;
use files::Files as _;
use rt::prelude::*;

/// What could not be done.
pub(crate) type Fault = String;

type File = <rt::Files as files::Files>::File;

/// Files that are kept open: a hive has more segments than a process may have descriptors.
const OPEN_MAX: usize = 256;
/// Bytes of a file that says a media type.
const MIME_MAX: u64 = 4096;

/// A segment has one file for its bytes and one for where records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Data,
    Index,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) device: Rc<str>,
    pub(crate) number: u64,
}

/// `seg-000001`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("seg-{number:06}")
}

/// The number of a segment's name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("seg-")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

#[derive(Debug)]
struct Open {
    file: Rc<File>,
    used: u64,
}

/// Files that are open, and a clock that counts their uses.
type OpenFiles = (u64, BTreeMap<(Place, Part), Open>);

/// All files.
#[derive(Debug)]
pub(crate) struct Store {
    files: rt::Files,
    open: RefCell<OpenFiles>,
}

/// What went wrong with the file of that name.
fn said<'f>(files: &'f rt::Files, name: &'f str) -> impl Fn(files::Fault) -> Fault + 'f {
    move |fault| format!("{}: {fault}", files.show(name))
}

fn phrase(fault: files::Fault) -> Fault {
    fault.to_string()
}

impl Store {
    /// What is in `files`, whose directory is made if it is not there.
    pub(crate) fn open(files: rt::Files) -> Result<Store, Fault> {
        files.make_dir("").map_err(said(&files, ""))?;
        Ok(Store { files, open: RefCell::default() })
    }

    /// Devices of earlier lives.
    pub(crate) fn devices(&self) -> Result<Vec<String>, Fault> {
        let names = self.files.names("").map_err(said(&self.files, ""))?;
        Ok(names.into_iter().filter(|name| self.files.names(name).is_ok()).collect())
    }

    /// Their segments.
    pub(crate) fn segments(&self, device: &str) -> Result<Vec<u64>, Fault> {
        let names = self.files.names(device).map_err(said(&self.files, device))?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| segment_number(name.strip_suffix(".data")?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn name(place: &Place, kind: &str) -> String {
        format!("{}/{}.{kind}", place.device, segment_name(place.number))
    }

    /// Makes the files of a segment, and its device's directory if it is the first.
    pub(crate) fn make(&self, place: &Place, mime: &str) -> Result<(), Fault> {
        let files = &self.files;
        files.make_dir(&place.device).map_err(said(files, &place.device))?;
        let name = Store::name(place, "mime");
        let write = || {
            let file = files.open(&name)?;
            files.truncate(&file, 0)?;
            files.write(&file, mime.as_bytes(), 0)
        };
        write().map_err(said(files, &name))?;
        self.file(place, Part::Index)?;
        self.file(place, Part::Data).map(drop)
    }

    /// What a segment was said to be when it was made.
    pub(crate) fn mime(&self, place: &Place) -> Option<String> {
        String::from_utf8(self.files.load(&Store::name(place, "mime"), MIME_MAX).ok()?).ok()
    }

    fn file(&self, place: &Place, part: Part) -> Result<Rc<File>, Fault> {
        let (clock, open) = &mut *self.open.borrow_mut();
        *clock += 1;
        let key = (place.clone(), part);
        if let Some(known) = open.get_mut(&key) {
            known.used = *clock;
            return Ok(Rc::clone(&known.file));
        }
        let name = Store::name(place, if part == Part::Data { "data" } else { "idx" });
        let file = Rc::new(self.files.open(&name).map_err(said(&self.files, &name))?);
        if open.len() >= OPEN_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| key.clone())
        {
            open.remove(&oldest);
        }
        open.insert(key, Open { file: Rc::clone(&file), used: *clock });
        Ok(file)
    }

    /// Bytes in a file.
    pub(crate) fn len(&self, place: &Place, part: Part) -> Result<u64, Fault> {
        self.files.len(&*self.file(place, part)?).map_err(phrase)
    }

    /// Writes all of `bytes` at `at`.
    pub(crate) fn write(&self, place: &Place, part: Part, at: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.files.write(&*self.file(place, part)?, bytes, at).map_err(phrase)
    }

    /// Reads what is there at `at`, as much as `out` has room for.
    pub(crate) fn read(&self, place: &Place, part: Part, at: u64, out: &mut [u8]) -> Result<usize, Fault> {
        self.files.fill(&*self.file(place, part)?, out, at).map_err(phrase)
    }

    /// Leaves the first `len` bytes.
    pub(crate) fn cut(&self, place: &Place, part: Part, len: u64) -> Result<(), Fault> {
        self.files.truncate(&*self.file(place, part)?, len).map_err(phrase)
    }

    /// Makes a segment durable; its name too, where it `is_new`.
    pub(crate) fn sync(&self, place: &Place, is_new: bool) -> Result<(), Fault> {
        for part in [Part::Data, Part::Index] {
            self.files.sync(&*self.file(place, part)?).map_err(phrase)?;
        }
        if is_new {
            for dir in ["", &*place.device] {
                self.files.sync_dir(dir).map_err(said(&self.files, dir))?;
            }
        }
        Ok(())
    }

    /// Takes a segment's files away.
    pub(crate) fn remove(&self, place: &Place) {
        let (_, open) = &mut *self.open.borrow_mut();
        for part in [Part::Data, Part::Index] {
            open.remove(&(place.clone(), part));
        }
        for kind in ["data", "idx", "mime"] {
            // One that cannot be removed is found at the next start.
            let _ = self.files.remove(&Store::name(place, kind));
        }
    }
}

/// The files of one export job, and what each is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exported {
    Telemetry,
    BaseModel,
    Policy,
}

impl Exported {
    pub(crate) const ALL: [Exported; 3] = [Exported::Telemetry, Exported::BaseModel, Exported::Policy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Exported::Telemetry => "telemetry.cbor",
            Exported::BaseModel => "base_model.ref",
            Exported::Policy => "policy.toml",
        }
    }
}

/// Export jobs, a directory each. One that is being made has a dot before its name: it appears whole.
#[derive(Debug)]
pub(crate) struct Shelf {
    files: rt::Files,
}

fn aside(job: &str) -> String {
    format!(".{job}")
}

fn file_of(dir: &str, file: Exported) -> String {
    format!("{dir}/{}", file.name())
}

impl Shelf {
    /// What is in `files`, whose directory is made if it is not there; what was never finished goes.
    pub(crate) fn open(files: rt::Files) -> Result<Shelf, Fault> {
        files.make_dir("").map_err(said(&files, ""))?;
        for name in files.names("").map_err(said(&files, ""))? {
            // In memory the files of a job are shown one after the other.
            let is_whole = || Exported::ALL.iter().all(|file| files.find(&file_of(&name, *file)).is_ok());
            if name.starts_with('.') || files.names(&name).is_ok() && !is_whole() {
                files.remove_dir(&name).map_err(said(&files, &name))?;
            }
        }
        Ok(Shelf { files })
    }

    /// Jobs that are complete.
    pub(crate) fn jobs(&self) -> Result<Vec<String>, Fault> {
        let mut names = self.files.names("").map_err(said(&self.files, ""))?;
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    /// Begins a job, from nothing.
    pub(crate) fn begin(&self, job: &str) -> Result<(), Fault> {
        let aside = aside(job);
        // It may be there from an attempt that failed.
        let _ = self.files.remove_dir(&aside);
        self.files.make_dir(&aside).map_err(said(&self.files, &aside))
    }

    /// Adds to a file of a job that is being made.
    pub(crate) fn write(&self, job: &str, file: Exported, bytes: &[u8]) -> Result<(), Fault> {
        let (files, name) = (&self.files, file_of(&aside(job), file));
        let write = || {
            let file = files.open(&name)?;
            files.write(&file, bytes, files.len(&file)?)
        };
        write().map_err(said(files, &name))
    }

    /// Makes a job durable and shows it.
    pub(crate) fn finish(&self, job: &str) -> Result<(), Fault> {
        let (files, aside) = (&self.files, aside(job));
        for file in Exported::ALL {
            let name = file_of(&aside, file);
            files.find(&name).and_then(|file| files.sync(&file)).map_err(said(files, &name))?;
        }
        files.sync_dir(&aside).map_err(said(files, &aside))?;
        files.rename_dir(&aside, job).map_err(said(files, job))?;
        files.sync_dir("").map_err(said(files, ""))
    }

    /// Takes a job away, complete or not.
    pub(crate) fn remove(&self, job: &str) {
        let aside = aside(job);
        // First its name, so that nobody sees half of it.
        let _ = self.files.rename_dir(job, &aside);
        let _ = self.files.remove_dir(&aside);
    }

    /// Bytes in a file of a complete job.
    pub(crate) fn len(&self, job: &str, file: Exported) -> Result<u64, Fault> {
        let (files, name) = (&self.files, file_of(job, file));
        files.find(&name).and_then(|file| files.len(&file)).map_err(said(files, &name))
    }

    /// Reads such a file.
    pub(crate) fn read(&self, job: &str, file: Exported, at: u64, out: &mut [u8]) -> Result<usize, Fault> {
        let (files, name) = (&self.files, file_of(job, file));
        files.find(&name).and_then(|file| files.read(&file, out, at)).map_err(said(files, &name))
    }
}
