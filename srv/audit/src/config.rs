//! What the journal's manifest says, and its keys.

use crate::fold::Folds;
use crate::secrets::Secrets;
use files::Files as _;
use journal::{AuditKey, PublicKeys};
use rt::prelude::*;
use rt::{Boot, BootError};
use zeroize::Zeroizing;

/// Everything that the journal is told at its start.
pub struct Config {
    /// Where it is.
    pub files: rt::Files,
    /// How large it may become.
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
        let files = boot.files()?;
        publish(&files, &key)?;
        Ok(Config {
            files: files.below("journal").private(),
            store: journal::Options {
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

/// Where the public keys are, and where they are written first.
const PUBLISHED: &str = "audit.pub";
const DRAFT: &str = "audit.pub.new";
/// Bytes of them that are read.
const PUBLISHED_MAX: u64 = 64 << 10;
/// Earlier keys that are kept beside the one in use.
const EARLIER_KEYS: usize = 15;

/// Puts the public key first among those that have signed, where it is not yet.
fn publish(files: &rt::Files, key: &AuditKey) -> Result<(), BootError> {
    let public = key.public_hex();
    let there = files.load(PUBLISHED, PUBLISHED_MAX).ok().and_then(|text| String::from_utf8(text).ok());
    let there = there.unwrap_or_default();
    if there.lines().next() == Some(&public) {
        return Ok(());
    }
    let earlier = there.lines().filter(|line| *line != public).take(EARLIER_KEYS);
    let lines: Vec<&str> = [public.as_str()].into_iter().chain(earlier).collect();
    let write = || {
        let draft = files.open(DRAFT)?;
        files.truncate(&draft, 0)?;
        files.write(&draft, (lines.join("\n") + "\n").as_bytes(), 0)?;
        files.rename(DRAFT, PUBLISHED)
    };
    write().map_err(|error| BootError(format!("{}: {error}", files.show(PUBLISHED))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_keys_stay_published() {
        let dir = tempfile::tempdir().unwrap();
        let files = rt::Files::new(dir.path());
        let [old, new] = ["11", "22"].map(|digits| AuditKey::from_hex(&digits.repeat(32)).unwrap());
        for key in [&old, &old, &new, &new] {
            publish(&files, key).unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap();
        assert_eq!(text, format!("{}\n{}\n", new.public_hex(), old.public_hex()));
    }
}
