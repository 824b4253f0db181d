//! Chunks as files: `DIR/ab/abcd…` is the one whose sha256 is `abcd…`. What is there is whole, and putting
//! it again costs nothing. A `file:` URI names one for whoever sees the same files.

use crate::Sum;
use std::borrow::ToOwned;
use std::format;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// A directory of chunks.
#[derive(Debug, Clone)]
pub struct Chunks {
    dir: PathBuf,
}

const SCHEME: &str = "file://";

/// The path of a `file:` URI of this machine.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    let path = uri.strip_prefix(SCHEME)?;
    let path = path.strip_prefix("localhost").unwrap_or(path);
    let bytes = path.as_bytes();
    let (mut out, mut i) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(i) {
        let hex = bytes.get(i + 1..i + 3).filter(|_| *byte == b'%');
        match hex {
            Some(hex) => {
                out.push(u8::from_str_radix(core::str::from_utf8(hex).ok()?, 16).ok()?);
                i += 3;
            }
            None => {
                out.push(*byte);
                i += 1;
            }
        }
    }
    String::from_utf8(out).ok().filter(|path| path.starts_with('/')).map(PathBuf::from)
}

fn uri_of(path: &Path) -> String {
    let mut uri = SCHEME.to_owned();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+@,:=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

impl Chunks {
    /// At `place`, a directory or its `file:` URI, which is made if it is not there.
    pub fn at(place: &str) -> io::Result<Chunks> {
        let dir = if place.starts_with("file:") {
            path_of(place).ok_or_else(|| io::Error::other("a file: URI is file:///PATH"))?
        } else if place.split_once("://").is_some() {
            return Err(io::Error::other("chunks can be put into a directory; say it, or its file: URI"));
        } else {
            PathBuf::from(place)
        };
        fs::create_dir_all(&dir)?;
        Ok(Chunks { dir: dir.canonicalize()? })
    }

    /// Where the chunk with that sum is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(sha256.get(..2).unwrap_or("--")).join(sha256)
    }

    /// Keeps a chunk; its sum and URI.
    pub fn put(&self, bytes: &[u8]) -> io::Result<(String, String)> {
        let sha256 = Sum::of(bytes);
        let path = self.path(&sha256);
        let uri = uri_of(&path);
        if fs::metadata(&path).is_ok_and(|there| there.len() == bytes.len() as u64) {
            return Ok((sha256, uri));
        }
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir)?;
        // Several may put the same one at once.
        let aside = dir.join(format!(".{sha256}.{}", std::process::id()));
        let written = File::create(&aside).and_then(|mut file| file.write_all(bytes));
        if let Err(error) = written.and_then(|()| fs::rename(&aside, &path)) {
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
        Ok((sha256, uri))
    }

    /// Makes what was put durable.
    pub fn sync(&self, sums: impl Iterator<Item = String>) -> io::Result<()> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for sum in sums {
            let path = self.path(&sum);
            File::open(&path)?.sync_data()?;
            dirs.extend(path.parent().map(Path::to_path_buf));
        }
        dirs.sort();
        dirs.dedup();
        dirs.push(self.dir.clone());
        dirs.iter().try_for_each(|dir| File::open(dir)?.sync_all())
    }
}

/// Reads a chunk from a file, as long as it is said to be and with that sum; what is wrong with it.
pub fn fetch(path: &Path, bytes: u64, sha256: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let said = |error: io::Error| format!("{}: {error}", path.display());
    // Only a file of that size is read: not a device, and not one that somebody still writes to.
    let about = fs::metadata(path).map_err(said)?;
    if !about.is_file() || about.len() != bytes {
        return Err(format!("{}: {} bytes; {bytes} are wanted", path.display(), about.len()));
    }
    out.clear();
    let file = File::open(path).map_err(said)?;
    file.take(bytes).read_to_end(out).map_err(said)?;
    let found = Sum::of(out);
    if out.len() as u64 != bytes || found != sha256 {
        return Err(format!("{}: its sha256 is {found}; {sha256} is wanted", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_found_by_its_uri_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a b%");
        let chunks = Chunks::at(place.to_str().unwrap()).unwrap();
        let (sum, uri) = chunks.put(b"abc").unwrap();
        assert_eq!(chunks.put(b"abc").unwrap().1, uri);
        chunks.sync([sum.clone()].into_iter()).unwrap();
        let path = path_of(&uri).unwrap();
        assert_eq!(path, chunks.path(&sum));
        let mut out = Vec::new();
        fetch(&path, 3, &sum, &mut out).unwrap();
        assert_eq!(out, b"abc");
        assert!(fetch(&path, 4, &sum, &mut out).unwrap_err().contains("3 bytes; 4 are wanted"));
        fs::write(&path, "abd").unwrap();
        assert!(fetch(&path, 3, &sum, &mut out).unwrap_err().contains("is wanted"));
        assert!(fetch(Path::new("/dev/zero"), 0, &sum, &mut out).is_err());
    }

    #[test]
    fn other_places_are_none() {
        assert!(Chunks::at("https://example.org/x").is_err());
        assert!(path_of("file:relative").is_none() && path_of("cas:abc").is_none());
        let dir = tempfile::tempdir().unwrap();
        assert!(Chunks::at(&format!("file://{}/c", dir.path().display())).is_ok());
    }
}
