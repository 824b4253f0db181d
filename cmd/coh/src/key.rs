//! The dev profile's issuer key: made on the first start, kept in the data directory.

use crate::trouble::{Trouble, at};
use ed25519_dalek::SigningKey;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The public key, as hex, of the secret key at `path`, which is made where there is none.
pub(crate) fn dev(path: &Path) -> Result<String, Trouble> {
    let seed = match fs::read_to_string(path) {
        Ok(text) => parse(&Zeroizing::new(text)).ok_or_else(|| {
            let path = path.display();
            Trouble(format!(
                "{path}: not 64 hex digits; take it away and coh up makes a new one (old tickets then end)"
            ))
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(at(path)(error)),
    };
    Ok(hex(SigningKey::from_bytes(&seed).verifying_key().as_bytes()))
}

fn make(path: &Path) -> Result<Zeroizing<[u8; 32]>, Trouble> {
    let mut seed = Zeroizing::new([0; 32]);
    rt::entropy(seed.as_mut()).map_err(at(path))?;
    let text = Zeroizing::new(hex(seed.as_ref()) + "\n");
    // Written beside and renamed: a key is there whole or not at all.
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(at(&draft))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))?;
    eprintln!(
        "coh up: {}: made an issuer key (profile dev); whoever has it can mint tickets",
        path.display()
    );
    Ok(seed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.trim_end();
    let mut seed = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuer.key");
        let public = dev(&path).unwrap();
        assert_eq!(public.len(), 64);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dev(&path).unwrap(), public);
        assert!(!fs::read_to_string(&path).unwrap().contains(&public));
    }

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuer.key");
        fs::write(&path, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n").unwrap();
        assert_eq!(dev(&path).unwrap(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        fs::write(&path, "short\n").unwrap();
        assert!(dev(&path).unwrap_err().0.contains("64 hex digits"));
    }
}
