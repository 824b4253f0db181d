//! The bundle: a CPIO archive (`newc`) of programs and the manifest, read where it lies.

/// The archive's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
}

const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";

impl<'a> Bundle<'a> {
    /// The archive in `bytes`; what is behind its trailer does not matter.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The files in order. A malformed entry ends the archive.
    pub fn files(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (name, data, left) = entry(rest)?;
            rest = left;
            (name != TRAILER).then_some((name, data))
        })
    }

    /// One file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        self.files().find(|(found, _)| *found == name).map(|(_, data)| data)
    }
}

/// Name, content and what follows.
fn entry(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let header = bytes.get(..HEADER)?;
    if !header.starts_with(b"070701") {
        return None;
    }
    let field = |n: usize| {
        let digits = core::str::from_utf8(header.get(6 + 8 * n..14 + 8 * n)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let (size, name_size) = (field(6)?, field(11)?);
    let name = bytes.get(HEADER..HEADER.checked_add(name_size)?)?.strip_suffix(b"\0")?;
    let start = (HEADER + name_size).checked_next_multiple_of(4)?;
    let end = start.checked_add(size)?;
    let data = bytes.get(start..end)?;
    let next = end.checked_next_multiple_of(4)?.min(bytes.len());
    Some((core::str::from_utf8(name).ok()?, data, &bytes[next..]))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, data) in files.iter().chain(&[(TRAILER, &b""[..])]) {
            let zeros: String = format!("{:08x}", 0);
            let mut fields = vec![zeros; 13];
            fields[6] = format!("{:08x}", data.len());
            fields[11] = format!("{:08x}", name.len() + 1);
            out.extend(format!("070701{}{name}\0", fields.concat()).bytes());
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn files_are_found_by_name() {
        let bytes = archive(&[("log", b"one"), ("manifest.cbor", b"\xa0"), ("empty", b"")]);
        let bundle = Bundle::new(&bytes);
        assert_eq!(bundle.file("log"), Some(&b"one"[..]));
        assert_eq!(bundle.file("empty"), Some(&b""[..]));
        assert_eq!(bundle.file("other"), None);
        assert_eq!(bundle.files().count(), 3);
    }

    #[test]
    fn a_cut_archive_ends_early() {
        let bytes = archive(&[("log", &[7; 100]), ("door", &[8; 100])]);
        assert_eq!(Bundle::new(&bytes[..300]).files().count(), 1);
        assert_eq!(Bundle::new(b"070702").files().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..110) {
            let _ = Bundle::new(&bytes).files().count();
            let mut good = archive(&[("log", &[7; 60])]);
            good[at] = bytes.first().copied().unwrap_or(0);
            prop_assert!(Bundle::new(&good).files().count() <= 1);
        }
    }
}
