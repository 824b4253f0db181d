//! What the queen's manifest says.

use crate::owners::Owners;
use ninep::srv::Journal;
use rt::HashMap;
use rt::prelude::*;

/// What the queen's manifest says.
pub struct Config {
    /// Bounds and defaults of the fold.
    pub authority: authority::Config,
    /// Whom her commands pass.
    pub journal: Journal,
    /// Longest command.
    pub ctl_line_bytes: usize,
    /// Where workers dial, `unix!RUN/door`.
    pub door: String,
    /// Worker kinds and their programs.
    pub programs: HashMap<String, String>,
    /// What workers' records are.
    pub frame_schema: manifest::FrameSchema,
    /// Is there a server that makes exports?
    pub has_telemetry: bool,
    /// Who holds workers' records.
    pub owners: Owners,
    /// Processes of servers that the hive cannot be ONLINE without, herself not among them.
    pub required: Vec<String>,
}

impl Config {
    /// From the manifest in force.
    pub fn from_boot(boot: &rt::Boot) -> Config {
        let manifest = &boot.manifest;
        let has = |name: &'static str| manifest.server(name).map(|_| name);
        let journal =
            Journal { audit: has("audit"), policy: has("policy"), pending: manifest.queen.pending as usize };
        let required = manifest.servers.iter().filter(|server| server.required && server.name != "queen");
        Config {
            authority: fold(manifest, journal.audit.is_some()),
            journal,
            ctl_line_bytes: manifest.queen.ctl_line_bytes as usize,
            door: boot.door(),
            programs: manifest.workers.programs.clone().into_iter().collect(),
            frame_schema: manifest.telemetry.frame_schema,
            has_telemetry: manifest.server("telemetry").is_some(),
            owners: Owners::from_manifest(manifest),
            required: required
                .flat_map(|server| {
                    server.processes().take(if server.name == "door" { 1 } else { usize::MAX })
                })
                .collect(),
        }
    }
}

/// The bounds and defaults of the fold. Without a journal the queen's memory ends with her process: her
/// worker's tickets are told from those of an earlier life by its beginning.
fn fold(manifest: &manifest::Manifest, has_journal: bool) -> authority::Config {
    let mut config = authority::Config::from(manifest);
    if !has_journal {
        config.hive += &format!(" {}", rt::now().wall_ms);
    }
    config
}
