//! What the journal's manifest says, and its keys.

use crate::fold::Folds;
use crate::secrets::Secrets;
use journal::{AuditKey, PublicKeys};
use rt::prelude::*;
use rt::{Boot, BootError};
use std::fs;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Everything that the journal is told at its start.
pub struct Config {
    /// Where it is, and how large it may become.
    pub store: journal::Options,
    /// The key that signs checkpoints.
    pub key: AuditKey,
    /// Those whose checkpoints are believed.
    pub keys: PublicKeys,
    /// Size of `/audit/decisions`.
    pub decisions_bytes: u64,
    /// Bounds and defaults of the folds.
    pub(crate) folds: Folds,
    /// What is recorded at the start.
    pub fingerprint: String,
    pub(crate) secrets: Secrets,
}

impl Config {
    /// From the manifest in force. Leaves the public key in the data directory, for who verifies a
    /// journal without a hive.
    pub fn from_boot(boot: &Boot) -> Result<Config, BootError> {
        let audit = &boot.manifest.audit;
        let reference = audit.key.as_deref().unwrap_or("file:audit.key");
        let said = |what: String| BootError(format!("audit.key {reference}: {what}"));
        let secret = Zeroizing::new(boot.secret("audit.key", reference)?);
        let key = AuditKey::from_hex(secret.trim()).map_err(|error| said(error.to_string()))?;
        let mut keys = PublicKeys::default();
        keys.add(&key.public_hex()).map_err(|error| said(error.to_string()))?;
        for (id, public) in &audit.keys {
            keys.add(public).map_err(|error| BootError(format!("audit.keys.{id}: {error}")))?;
        }
        publish(boot.data.join("audit.pub"), &key)?;
        Ok(Config {
            store: journal::Options {
                dir: boot.data.join("journal"),
                segment_bytes: audit.segment_bytes,
                journal_bytes: audit.journal_bytes,
            },
            key,
            keys,
            decisions_bytes: audit.decisions_bytes,
            folds: Folds::from_manifest(&boot.manifest),
            fingerprint: boot.manifest.fingerprint().to_string(),
            secrets: Secrets::new(&audit.secrets),
        })
    }
}

/// Earlier keys that are kept beside the one in use.
const EARLIER_KEYS: usize = 15;

/// Puts the public key first among those that have signed, where it is not yet.
fn publish(path: PathBuf, key: &AuditKey) -> Result<(), BootError> {
    let public = key.public_hex();
    let there = fs::read_to_string(&path).unwrap_or_default();
    if there.lines().next() == Some(&public) {
        return Ok(());
    }
    let earlier = there.lines().filter(|line| *line != public).take(EARLIER_KEYS);
    let lines: Vec<&str> = [public.as_str()].into_iter().chain(earlier).collect();
    let draft = path.with_extension("pub.new");
    fs::write(&draft, lines.join("\n") + "\n")
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| BootError(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_keys_stay_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.pub");
        let [old, new] = ["11", "22"].map(|digits| AuditKey::from_hex(&digits.repeat(32)).unwrap());
        for key in [&old, &old, &new, &new] {
            publish(path.clone(), key).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n{}\n", new.public_hex(), old.public_hex()));
    }
}
