//! The dev profile's keys: made on the first start, kept in the data directory.

use crate::trouble::{Trouble, at};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use ticket::IssuerKey;
use zeroize::Zeroizing;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Minting tickets.
    Issuer,
    /// Signing the journal's checkpoints.
    Audit,
}

impl Use {
    fn made(self) -> &'static str {
        match self {
            Use::Issuer => "made an issuer key (profile dev); whoever has it can mint tickets",
            Use::Audit => "made an audit key (profile dev); whoever has it can sign a journal",
        }
    }

    fn without(self) -> &'static str {
        match self {
            Use::Issuer => "old tickets then end",
            Use::Audit => "the journal then needs the old one's public half in audit.keys",
        }
    }
}

/// The public key, as hex, of the secret key at `path`, which is made where there is none.
pub(crate) fn dev(path: &Path, what: Use) -> Result<String, Trouble> {
    let key = match cohcmd::secret(path) {
        Ok(text) => IssuerKey::from_hex(text.trim_end()).map_err(|_| {
            let path = path.display();
            Trouble(format!(
                "{path}: not 64 hex digits; take it away and coh up makes a new one ({})",
                what.without()
            ))
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => make(path, what)?,
        Err(error) => return Err(at(path)(error)),
    };
    Ok(key.public_hex())
}

/// Makes what AUTH must say at the TCP console, where there is nothing yet.
pub(crate) fn token(path: &Path) -> Result<(), Trouble> {
    match cohcmd::secret(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 16]);
            rt::entropy(seed.as_mut()).map_err(at(path))?;
            let hex = Zeroizing::new(seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            let what = "made a console token (profile dev); whoever has it is queen at the TCP console";
            keep(path, &hex, what)
        }
        Err(error) => Err(at(path)(error)),
    }
}

fn make(path: &Path, what: Use) -> Result<IssuerKey, Trouble> {
    let mut seed = Zeroizing::new([0; 32]);
    rt::entropy(seed.as_mut()).map_err(at(path))?;
    let key = IssuerKey::generate(*seed);
    keep(path, &key.to_hex(), what.made())?;
    Ok(key)
}

fn keep(path: &Path, text: &str, what: &str) -> Result<(), Trouble> {
    // Written beside and renamed: a key is there whole or not at all.
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(at(&draft))?;
    let write = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n"));
    write.and_then(|()| file.sync_all()).map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))?;
    let path = path.display();
    eprintln!("coh up: {path}: {what}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuer.key");
        let public = dev(&path, Use::Issuer).unwrap();
        assert_eq!(public.len(), 64);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dev(&path, Use::Issuer).unwrap(), public);
        assert!(!fs::read_to_string(&path).unwrap().contains(&public));
    }

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuer.key");
        fs::write(&path, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n").unwrap();
        assert_eq!(
            dev(&path, Use::Issuer).unwrap(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        fs::write(&path, "short\n").unwrap();
        assert!(dev(&path, Use::Issuer).unwrap_err().0.contains("64 hex digits"));
    }
}
