//! Where a journal is read from.

use cohcmd::{Access, File, Hive, HiveArgs, Record, Trouble};
use journal::{Fault, Hash, Head, PublicKeys, Summary, Verifier};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The hive's journal.
pub(crate) const JOURNAL: &str = "/audit/journal";
/// The public half of the hive's audit key.
pub(crate) const KEY: &str = "/audit/key";
const EXPORT: &str = "/audit/export";
/// How often a journal that grows meanwhile is followed to its end.
const ROUNDS: usize = 16;

/// A head may be read while the hive writes it.
const READS: usize = 3;

/// A journal.
pub(crate) enum Source {
    /// Of a hive.
    Hive(Box<Hive>),
    /// Files that make one journal, in order, and the head that is kept beside them.
    Files { name: String, paths: VecDeque<PathBuf>, kept: Option<Head> },
    /// Standard input.
    Stdin,
}

impl Source {
    /// The journal that an argument names.
    pub(crate) fn find(name: &str, hive: &HiveArgs) -> Result<Source, Trouble> {
        match name {
            JOURNAL => Ok(Source::Hive(Box::new(hive.find()?))),
            "-" => Ok(Source::Stdin),
            _ => {
                let path = Path::new(name);
                let is_dir = path.is_dir();
                // The head first: a journal that grows meanwhile has it all the same.
                let kept = if is_dir { kept(path)? } else { None };
                let paths = if is_dir { segments(path)? } else { [path.to_owned()].into() };
                Ok(Source::Files { name: name.into(), paths, kept })
            }
        }
    }

    /// The keys that go with it, where nobody names others.
    pub(crate) fn key(&mut self) -> Result<String, Trouble> {
        match self {
            Source::Hive(hive) => hive.text(KEY),
            _ => Ok(String::new()),
        }
    }

    /// The head that is kept beside it.
    pub(crate) fn kept(&self) -> Option<Head> {
        match self {
            Source::Files { kept, .. } => *kept,
            _ => None,
        }
    }

    /// Reads and checks all of it. `known`, and what is kept beside it, must be in it.
    pub(crate) fn verify(&mut self, keys: &PublicKeys, known: Option<Head>) -> Result<Summary, Trouble> {
        let heads = known.into_iter().chain(self.kept());
        let mut verifier = heads.fold(Verifier::new(keys, None), Verifier::expect);
        match self {
            Source::Hive(hive) => {
                let mut file = hive.open(JOURNAL, Access::Read)?;
                let summary = follow(hive, &mut file, verifier);
                hive.close(file);
                summary
            }
            Source::Files { name, paths, .. } => {
                for path in &*paths {
                    let file = std::fs::File::open(path).map_err(|error| at(path, &error))?;
                    feed(file, &mut verifier, &path.display().to_string())?;
                }
                finish(verifier, None, name)
            }
            Source::Stdin => {
                feed(io::stdin().lock(), &mut verifier, "standard input")?;
                finish(verifier, None, "standard input")
            }
        }
    }
}

fn at(path: &Path, error: &io::Error) -> Trouble {
    Trouble::failed(format!("{}: {error}", path.display()))
}

fn bad(name: &str, fault: &Fault) -> Trouble {
    Trouble::failed(format!("{name}: {fault}"))
}

/// How far a hive says that the journal in its directory goes. None: nothing says so there.
fn kept(dir: &Path) -> Result<Option<Head>, Trouble> {
    let path = dir.join(journal::SIDECAR);
    for _ in 0..READS {
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| at(&path, &error))?,
        };
        if let Some(head) = journal::noted(&text) {
            return Ok(Some(head));
        }
    }
    let path = path.display();
    Err(Trouble::failed(format!("{path}: not the head of a journal; copy it again, or take it away")))
}

/// The segments of a journal's directory, oldest first: their names are as long as each other.
fn segments(dir: &Path) -> Result<VecDeque<PathBuf>, Trouble> {
    let entries = std::fs::read_dir(dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| at(dir, &error))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    if paths.is_empty() {
        return Err(Trouble::failed(format!("{}: no segments, SEQ.jsonl, in it", dir.display())));
    }
    Ok(paths.into())
}

fn feed(mut input: impl Read, verifier: &mut Verifier<'_>, name: &str) -> Result<(), Trouble> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => verifier.feed(&buffer[..n]).map_err(|fault| bad(name, &fault))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::failed(format!("{name}: {error}"))),
        }
    }
}

fn finish(verifier: Verifier<'_>, head: Option<&Head>, name: &str) -> Result<Summary, Trouble> {
    verifier.finish(head).map_err(|(fault, summary)| {
        let whole = summary.records;
        Trouble::failed(format!("{name}: {fault}; {whole} records before it are whole"))
    })
}

/// Reads a hive's journal to where the hive says that it ends.
fn follow(hive: &mut Hive, file: &mut File, mut verifier: Verifier<'_>) -> Result<Summary, Trouble> {
    let mut piece = Vec::new();
    for _ in 0..ROUNDS {
        loop {
            hive.read(file, &mut piece)?;
            if piece.is_empty() {
                break;
            }
            verifier.feed(&piece).map_err(|fault| bad(JOURNAL, &fault))?;
        }
        let there = exported(&hive.text(EXPORT)?)?;
        let found = verifier.summary().head;
        if there.next <= found.next || there.next == 1 {
            // Where more has come since, what is there by now is the hive's to say another time.
            let known = (there.next == found.next).then_some(there);
            return finish(verifier, known.as_ref(), JOURNAL);
        }
    }
    finish(verifier, None, JOURNAL)
}

fn exported(text: &str) -> Result<Head, Trouble> {
    let record = Record::parse(text.trim());
    let next = record.get("journal_next").and_then(|text| text.parse().ok());
    let hash = record.get("head").and_then(Hash::from_hex);
    match (next, hash) {
        (Some(next), Some(hash)) => Ok(Head { next, hash }),
        _ => Err(Trouble::failed(format!("{EXPORT}: {text:?} found; journal_next and head wanted"))),
    }
}
