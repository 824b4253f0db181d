//! What a hive asks of its clients (client.toml(5)): how often to try, how long to wait, what to keep.

use crate::trouble::Trouble;
use manifest::{Client, ClientConfig};
use ninep::dial::Addr;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A client's policy, and which hive's it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The numbers: of `client.toml` where there is one, else those of a manifest that says nothing.
    pub client: Client,
    of: Option<Of>,
}

/// Whose policy it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Of {
    file: PathBuf,
    hive: String,
    manifest: String,
}

impl Policy {
    /// That of a door: `$COH_CLIENT`, else `client.toml` beside a Unix socket, which is the run directory
    /// of the hive; where there is none, the defaults.
    pub fn at(addr: &Addr) -> Result<Policy, Trouble> {
        let named = crate::args::variable("COH_CLIENT");
        match (named, addr) {
            (Some(file), _) => Policy::named(&file),
            (None, Addr::Unix(socket)) => {
                let file = socket.with_file_name("client.toml");
                if file.exists() { Policy::read(&file) } else { Ok(Policy::default()) }
            }
            (None, _) => Ok(Policy::default()),
        }
    }

    /// That of a mount, which does not tell where its hive runs: `$COH_CLIENT`, else the defaults.
    pub fn of_mount() -> Result<Policy, Trouble> {
        crate::args::variable("COH_CLIENT").map_or_else(|| Ok(Policy::default()), |file| Policy::named(&file))
    }

    fn named(file: &OsStr) -> Result<Policy, Trouble> {
        Policy::read(Path::new(file))
    }

    fn read(file: &Path) -> Result<Policy, Trouble> {
        let said = |what: String| {
            Trouble::failed(format!("{}: the client policy: {what}; coh-rtc writes it", file.display()))
        };
        let text = std::fs::read_to_string(file).map_err(|e| said(e.to_string()))?;
        let ClientConfig { hive, manifest, client, .. } = ClientConfig::parse(&text).map_err(said)?;
        Ok(Policy { client, of: Some(Of { file: file.to_owned(), hive, manifest }) })
    }

    /// Is it some hive's, so that its `/proc/version` has to be asked for?
    pub fn is_of_a_hive(&self) -> bool {
        self.of.is_some()
    }

    /// The same, with as many attempts and as long waits as where nothing is said of them.
    pub(crate) fn with_default_attempts(self) -> Policy {
        let Client { retry_attempts, retry_backoff_ms, retry_backoff_max_ms, .. } = Client::default();
        let client = Client { retry_attempts, retry_backoff_ms, retry_backoff_max_ms, ..self.client };
        Policy { client, ..self }
    }

    /// Refuses to go on with the policy of another manifest than the hive's at `place`, whose
    /// `/proc/version` is `version`. A role that does not see that file cannot be told.
    pub fn check(&self, place: &str, version: &str) -> Result<(), Trouble> {
        let (Some(Of { file, hive, manifest }), Some(runs)) = (&self.of, fingerprint(version)) else {
            return Ok(());
        };
        if manifest == runs {
            return Ok(());
        }
        Err(Trouble::failed(format!(
            "{place}: this hive runs the manifest {}, but {} is of {} (hive {hive}); name this hive's own \
             file in $COH_CLIENT, or take the other away",
            short(runs),
            file.display(),
            short(manifest)
        )))
    }

    /// How often a tail is looked at.
    pub fn tail_poll(&self) -> Duration {
        Duration::from_millis(self.client.tail_poll_ms)
    }

    /// The deadline of one request.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.client.deadline_ms)
    }

    /// The waits between attempts at what is safe to repeat: one fewer than attempts.
    pub fn waits(&self) -> impl Iterator<Item = Duration> + use<> {
        let Client { retry_attempts, retry_backoff_ms, retry_backoff_max_ms, .. } = self.client;
        let doubled = move |i| retry_backoff_ms.saturating_mul(1_u64 << i).min(retry_backoff_max_ms);
        (0..retry_attempts.saturating_sub(1).min(32)).map(move |i| Duration::from_millis(doubled(i)))
    }
}

/// The manifest's fingerprint in the text of `/proc/version`.
pub fn fingerprint(version: &str) -> Option<&str> {
    version.split_whitespace().find_map(|word| word.strip_prefix("manifest="))
}

/// Enough of a fingerprint to tell two apart.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path, manifest: &str) -> Policy {
        let client = Client { tail_poll_ms: 300, ..Client::default() };
        let config = ClientConfig { hive: "den".into(), manifest: manifest.into(), msize: 8192, client };
        std::fs::write(dir.join("client.toml"), config.text()).unwrap();
        Policy::at(&Addr::Unix(dir.join("door"))).unwrap()
    }

    #[test]
    fn a_door_s_policy_lies_beside_it_and_fits_its_hive_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Policy::at(&Addr::Unix(dir.path().join("door"))), Ok(Policy::default()));
        let policy = written(dir.path(), "aa11");
        assert_eq!(policy.tail_poll(), Duration::from_millis(300));
        assert_eq!(policy.check("d", "version=1 manifest=aa11\n"), Ok(()));
        assert_eq!(policy.check("d", ""), Ok(()));
        let other = policy.check("tcp!far!1", "version=1 manifest=bb22 x=1\n").unwrap_err().to_string();
        for word in ["tcp!far!1", "manifest bb22", "is of aa11 (hive den)", "client.toml"] {
            assert!(other.contains(word), "{word}: {other}");
        }
        assert_eq!(Policy::default().check("d", "manifest=bb22"), Ok(()));
    }

    #[test]
    fn a_file_that_is_no_policy_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("client.toml"), "frog = 1").unwrap();
        let said = Policy::at(&Addr::Unix(dir.path().join("door"))).unwrap_err();
        assert!(said.to_string().contains("client.toml: the client policy: "), "{said}");
    }

    #[test]
    fn waits_double_up_to_their_bound_and_are_one_fewer_than_attempts() {
        let client = Client { retry_attempts: 6, ..Client::default() };
        let waits: Vec<_> = Policy { client, of: None }.waits().map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 2000]);
        let client = Client { retry_attempts: 1, ..Client::default() };
        assert_eq!(Policy { client, of: None }.waits().count(), 0);
    }
}
