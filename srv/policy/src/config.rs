//! What policy's manifest says.

use manifest::Manifest;
use ninep::srv::Journal;

/// Bytes of a write that are not data.
const WRITE_OVERHEAD: u32 = 23;

/// What policy's manifest says.
pub struct Config {
    /// The fold's part.
    pub policy: policy::Config,
    /// Whom commands pass: rules hold for policy's own files too.
    pub journal: Journal,
    /// Is there a queen who is to know what rules deny?
    pub has_queen: bool,
    /// Longest command.
    pub ctl_line_bytes: usize,
}

impl Config {
    /// From the manifest in force.
    pub fn from_manifest(manifest: &Manifest) -> Config {
        let has = |name: &'static str| manifest.server(name).map(|_| name);
        let room = manifest.ninep.msize.saturating_sub(WRITE_OVERHEAD);
        Config {
            policy: policy::Config::from(manifest),
            journal: Journal {
                audit: has("audit"),
                policy: has("policy"),
                pending: manifest.policy.pending as usize,
            },
            has_queen: has("queen").is_some(),
            ctl_line_bytes: manifest.policy.ctl_line_bytes.min(room) as usize,
        }
    }
}
