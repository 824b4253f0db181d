//! Files that hold keys.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// More than any key file has.
const MAX: usize = 4096;

/// The text of a key file. It is read into one place, which is wiped when it is dropped: no buffer grows
/// and leaves a copy behind.
pub fn secret(path: &Path) -> io::Result<Zeroizing<String>> {
    // A byte more, so that reading finds the end within it.
    let mut bytes = Zeroizing::new(vec![0; MAX + 1]);
    let mut file = File::open(path)?;
    let mut len = 0;
    loop {
        match file.read(&mut bytes[len..]) {
            Ok(0) if len > MAX => return Err(io::Error::new(ErrorKind::InvalidData, "too long for a key")),
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut text = Zeroizing::new(String::with_capacity(len));
    text.push_str(std::str::from_utf8(&bytes[..len]).map_err(|_| ErrorKind::InvalidData)?);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for len in [0, 64, MAX] {
            std::fs::write(&path, "a".repeat(len)).unwrap();
            assert_eq!(secret(&path).unwrap().len(), len);
        }
        std::fs::write(&path, "a".repeat(MAX + 1)).unwrap();
        assert_eq!(secret(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(secret(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(secret(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
