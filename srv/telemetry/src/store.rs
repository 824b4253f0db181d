//! Where segments lie: files below the data directory. The only module of this server that touches the
//! world; whoever has no files puts memory behind the same functions. An error is a phrase for people.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What could not be done.
pub(crate) type Fault = String;

/// Files that are kept open: a hive has more segments than a process may have descriptors.
const OPEN_MAX: usize = 256;

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
    dir: PathBuf,
    open: RefCell<OpenFiles>,
}

fn said(path: &Path) -> impl Fn(std::io::Error) -> Fault + '_ {
    move |error| format!("{}: {error}", path.display())
}

impl Store {
    /// What is below `dir`, which is made if it is not there.
    pub(crate) fn open(dir: &Path) -> Result<Store, Fault> {
        fs::create_dir_all(dir).map_err(said(dir))?;
        Ok(Store { dir: dir.into(), open: RefCell::default() })
    }

    fn names(dir: &Path) -> Result<Vec<String>, Fault> {
        let entries = fs::read_dir(dir).map_err(said(dir))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    /// Devices of earlier lives.
    pub(crate) fn devices(&self) -> Result<Vec<String>, Fault> {
        let is_dir = |name: &String| self.dir.join(name).is_dir();
        Ok(Store::names(&self.dir)?.into_iter().filter(is_dir).collect())
    }

    /// Their segments.
    pub(crate) fn segments(&self, device: &str) -> Result<Vec<u64>, Fault> {
        let names = Store::names(&self.dir.join(device))?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| segment_number(name.strip_suffix(".data")?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, place: &Place, kind: &str) -> PathBuf {
        self.dir.join(&*place.device).join(segment_name(place.number)).with_extension(kind)
    }

    /// Makes the files of a segment, and its device's directory if it is the first.
    pub(crate) fn make(&self, place: &Place, mime: &str) -> Result<(), Fault> {
        let dir = self.dir.join(&*place.device);
        fs::create_dir_all(&dir).map_err(said(&dir))?;
        let path = self.path(place, "mime");
        fs::write(&path, mime).map_err(said(&path))?;
        self.file(place, Part::Index)?;
        self.file(place, Part::Data).map(drop)
    }

    /// What a segment was said to be when it was made.
    pub(crate) fn mime(&self, place: &Place) -> Option<String> {
        fs::read_to_string(self.path(place, "mime")).ok()
    }

    fn file(&self, place: &Place, part: Part) -> Result<Rc<File>, Fault> {
        let (clock, open) = &mut *self.open.borrow_mut();
        *clock += 1;
        let name = (place.clone(), part);
        if let Some(known) = open.get_mut(&name) {
            known.used = *clock;
            return Ok(Rc::clone(&known.file));
        }
        let path = self.path(place, if part == Part::Data { "data" } else { "idx" });
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = Rc::new(options.map_err(said(&path))?);
        if open.len() >= OPEN_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, open)| open.used).map(|(name, _)| name.clone())
        {
            open.remove(&oldest);
        }
        open.insert(name, Open { file: Rc::clone(&file), used: *clock });
        Ok(file)
    }

    /// Bytes in a file.
    pub(crate) fn len(&self, place: &Place, part: Part) -> Result<u64, Fault> {
        Ok(self.file(place, part)?.metadata().map_err(|error| error.to_string())?.len())
    }

    /// Writes all of `bytes` at `at`.
    pub(crate) fn write(&self, place: &Place, part: Part, at: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.file(place, part)?.write_all_at(bytes, at).map_err(|error| error.to_string())
    }

    /// Reads what is there at `at`, as much as `out` has room for.
    pub(crate) fn read(&self, place: &Place, part: Part, at: u64, out: &mut [u8]) -> Result<usize, Fault> {
        let file = self.file(place, part)?;
        let mut n = 0;
        while n < out.len() {
            match file.read_at(&mut out[n..], at + n as u64) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(n)
    }

    /// Leaves the first `len` bytes.
    pub(crate) fn cut(&self, place: &Place, part: Part, len: u64) -> Result<(), Fault> {
        self.file(place, part)?.set_len(len).map_err(|error| error.to_string())
    }

    /// Makes a segment durable; its name too, where it `is_new`.
    pub(crate) fn sync(&self, place: &Place, is_new: bool) -> Result<(), Fault> {
        for part in [Part::Data, Part::Index] {
            self.file(place, part)?.sync_data().map_err(|error| error.to_string())?;
        }
        if is_new {
            for dir in [&self.dir, &self.dir.join(&*place.device)] {
                File::open(dir).and_then(|dir| dir.sync_all()).map_err(said(dir))?;
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
            // One that is not there is gone.
            let _ = fs::remove_file(self.path(place, kind));
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
    dir: PathBuf,
}

impl Shelf {
    /// What is below `dir`, which is made if it is not there; what was never finished goes.
    pub(crate) fn open(dir: &Path) -> Result<Shelf, Fault> {
        fs::create_dir_all(dir).map_err(said(dir))?;
        let shelf = Shelf { dir: dir.into() };
        for name in Store::names(dir)?.iter().filter(|name| name.starts_with('.')) {
            fs::remove_dir_all(dir.join(name)).map_err(said(dir))?;
        }
        Ok(shelf)
    }

    /// Jobs that are complete.
    pub(crate) fn jobs(&self) -> Result<Vec<String>, Fault> {
        let mut names = Store::names(&self.dir)?;
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    fn aside(&self, job: &str) -> PathBuf {
        self.dir.join(format!(".{job}"))
    }

    /// Begins a job, from nothing.
    pub(crate) fn begin(&self, job: &str) -> Result<(), Fault> {
        let aside = self.aside(job);
        // It may be there from an attempt that failed.
        let _ = fs::remove_dir_all(&aside);
        fs::create_dir(&aside).map_err(said(&aside))
    }

    /// Adds to a file of a job that is being made.
    pub(crate) fn write(&self, job: &str, file: Exported, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.aside(job).join(file.name());
        let mut open = OpenOptions::new().append(true).create(true).open(&path).map_err(said(&path))?;
        std::io::Write::write_all(&mut open, bytes).map_err(said(&path))
    }

    /// Makes a job durable and shows it.
    pub(crate) fn finish(&self, job: &str) -> Result<(), Fault> {
        let (aside, path) = (self.aside(job), self.dir.join(job));
        for file in Exported::ALL {
            let path = aside.join(file.name());
            File::open(&path).and_then(|file| file.sync_all()).map_err(said(&path))?;
        }
        File::open(&aside).and_then(|dir| dir.sync_all()).map_err(said(&aside))?;
        fs::rename(&aside, &path).map_err(said(&path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(said(&self.dir))
    }

    /// Takes a job away, complete or not.
    pub(crate) fn remove(&self, job: &str) {
        let (aside, path) = (self.aside(job), self.dir.join(job));
        // First its name, so that nobody sees half of it.
        if fs::rename(&path, &aside).is_ok() || aside.exists() {
            let _ = fs::remove_dir_all(&aside);
        }
    }

    /// Bytes in a file of a complete job.
    pub(crate) fn len(&self, job: &str, file: Exported) -> Result<u64, Fault> {
        let path = self.dir.join(job).join(file.name());
        Ok(fs::metadata(&path).map_err(said(&path))?.len())
    }

    /// Reads such a file.
    pub(crate) fn read(&self, job: &str, file: Exported, at: u64, out: &mut [u8]) -> Result<usize, Fault> {
        let path = self.dir.join(job).join(file.name());
        File::open(&path).and_then(|file| file.read_at(out, at)).map_err(said(&path))
    }
}
