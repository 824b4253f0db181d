//! The bundle: a CPIO archive (`newc`) of programs and the manifest, read where it lies. A file of several names
//! is there once: cpio(1) writes its content behind the last of them.

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

    /// The entries in order. A malformed one ends the archive.
    fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (entry, left) = entry(rest)?;
            rest = left;
            (entry.name != TRAILER).then_some(entry)
        })
    }

    /// One file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        let named = self.entries().find(|entry| entry.name == name)?;
        let holds = |entry: &Entry<'_>| entry.file == named.file && !entry.data.is_empty();
        let linked = self.entries().find(|entry| named.names > 1 && holds(entry));
        Some(linked.unwrap_or(named).data)
    }
}

/// A name in the archive.
struct Entry<'a> {
    name: &'a str,
    data: &'a [u8],
    /// What it is the name of: inode and device.
    file: [usize; 3],
    /// How many names that has.
    names: usize,
}

/// The first entry, and what follows.
fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
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
    let entry = Entry {
        name: core::str::from_utf8(name).ok()?,
        data: bytes.get(start..end)?,
        file: [field(0)?, field(7)?, field(8)?],
        names: field(4)?,
    };
    let next = end.checked_next_multiple_of(4)?.min(bytes.len());
    Some((entry, &bytes[next..]))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::*;

    /// Each file with its inode; as many names as there are of that.
    fn linked(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, inode, data) in files.iter().chain(&[(TRAILER, 0, &b""[..])]) {
            let zeros: String = format!("{:08x}", 0);
            let mut fields = vec![zeros; 13];
            fields[0] = format!("{inode:08x}");
            fields[4] = format!("{:08x}", files.iter().filter(|(_, other, _)| other == inode).count());
            fields[6] = format!("{:08x}", data.len());
            fields[11] = format!("{:08x}", name.len() + 1);
            out.extend(format!("070701{}{name}\0", fields.concat()).bytes());
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let numbered = files.iter().zip(1..).map(|((name, data), inode)| (*name, inode, *data));
        linked(&numbered.collect::<Vec<_>>())
    }

    #[test]
    fn files_are_found_by_name() {
        let bytes = archive(&[("log", b"one"), ("manifest.cbor", b"\xa0"), ("empty", b"")]);
        let bundle = Bundle::new(&bytes);
        assert_eq!(bundle.file("log"), Some(&b"one"[..]));
        assert_eq!(bundle.file("empty"), Some(&b""[..]));
        assert_eq!(bundle.file("other"), None);
        assert_eq!(bundle.entries().count(), 3);
    }

    #[test]
    fn all_names_of_a_file_are_of_one_content() {
        let bytes = linked(&[
            ("door", 1, b""),
            ("empty", 3, b""),
            ("log", 1, b""),
            ("queen", 1, b"code"),
            ("void", 3, b""),
        ]);
        let bundle = Bundle::new(&bytes);
        let found = ["door", "log", "queen"].map(|name| bundle.file(name).map(<[u8]>::as_ptr));
        assert_eq!(found, [bundle.file("queen").map(<[u8]>::as_ptr); 3]);
        assert_eq!((bundle.file("door"), bundle.file("empty")), (Some(&b"code"[..]), Some(&b""[..])));
    }

    #[test]
    fn a_cut_archive_ends_early() {
        let bytes = archive(&[("log", &[7; 100]), ("door", &[8; 100])]);
        assert_eq!(Bundle::new(&bytes[..300]).entries().count(), 1);
        assert_eq!(Bundle::new(b"070702").entries().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..110) {
            let _ = Bundle::new(&bytes).entries().count();
            let mut good = archive(&[("log", &[7; 60])]);
            good[at] = bytes.first().copied().unwrap_or(0);
            prop_assert!(Bundle::new(&good).entries().count() <= 1);
        }
    }
}
