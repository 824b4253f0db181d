//! Open files, at most so many: a hive has more segments than a process may have descriptors.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// Names a file of a segment.
pub(crate) type Name = u64;

/// The files that were used last.
#[derive(Debug)]
pub(crate) struct Handles {
    most: usize,
    clock: u64,
    open: HashMap<Name, (Rc<File>, u64)>,
}

impl Handles {
    pub(crate) fn new(most: usize) -> Handles {
        Handles { most, clock: 0, open: HashMap::new() }
    }

    /// The file at `path`, for reading and appending; made if it is not there.
    pub(crate) fn get(
        &mut self,
        name: Name,
        path: impl FnOnce() -> std::path::PathBuf,
    ) -> io::Result<Rc<File>> {
        self.clock += 1;
        if let Some((file, used)) = self.open.get_mut(&name) {
            *used = self.clock;
            return Ok(Rc::clone(file));
        }
        let file = Rc::new(open(&path())?);
        if self.open.len() >= self.most
            && let Some(oldest) = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| *name)
        {
            self.open.remove(&oldest);
        }
        self.open.insert(name, (Rc::clone(&file), self.clock));
        Ok(file)
    }

    pub(crate) fn forget(&mut self, name: Name) {
        self.open.remove(&name);
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}
